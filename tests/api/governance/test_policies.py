"""Label policies: what they protect, against which keys, by every door; and where they are seen."""

from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from projections.events.feed import one, read_named
from store.tables import identity
from tests.support.prompt_space import PromptSpace
from tests.support.space import NewSpace, Space, refusal

WRITER = ("llm_prompt:write", "llm_skill:write")
PROMOTER = (*WRITER, "llm_prompt:promote", "llm_skill:promote")


async def with_scopes(space: Space, scopes: Sequence[str]) -> Space:
    """The same project and user with another key."""
    _, key = await identity.create_key(
        space.conn, email=space.user.email, scopes=scopes, project_ids=[space.id]
    )
    return Space(space.app, space.conn, space.project, space.user, key)


async def protect(space: Space, label: str = "production", **policy: Any) -> httpx.Response:
    return await space.at("PUT", f"label-policies/{label}", json=policy or {"protected": True})


async def policies(space: Space, **query: Any) -> list[dict[str, Any]]:
    page = await space.ok(200, await space.at("GET", "label-policies/", params=query))
    assert list(page) == ["results"]
    results: list[dict[str, Any]] = page["results"]
    return results


@pytest.fixture
async def admin(new_space: NewSpace) -> Space:
    return await new_space(scopes=("*",))


async def test_a_policy_is_set_changed_and_removed(admin: Space) -> None:
    assert await policies(admin) == []

    new = await protect(admin, protected=True, approvals=0)
    assert new.status_code == 201
    policy = new.json()
    assert list(policy) == ["label", "protected", "approvals", "updated_by", "updated_at"]
    assert (policy["label"], policy["protected"], policy["approvals"]) == ("production", True, 0)
    assert policy["updated_by"]["id"] == admin.user.id
    assert int(new.headers["x-event-position"]) == await admin.head()

    changed = await protect(admin, protected=False, approvals=2)
    assert (changed.status_code, changed.json()["protected"], changed.json()["approvals"]) == (200, True, 2)
    head = await admin.head()
    again = await protect(admin, approvals=2)
    assert (again.status_code, again.json(), await admin.head()) == (200, changed.json(), head)
    await protect(admin, "beta")
    assert [row["label"] for row in await policies(admin)] == ["beta", "production"]

    removed = await admin.at("DELETE", "label-policies/production/")
    assert (removed.status_code, removed.content) == (204, b"")
    assert int(removed.headers["x-event-position"]) == await admin.head()
    assert [row["label"] for row in await policies(admin)] == ["beta"]
    assert refusal(await admin.at("DELETE", "label-policies/production"))[:2] == (404, "not_found")


async def test_the_policies_of_the_past_are_shown_as_of_then(admin: Space) -> None:
    first = int((await protect(admin)).headers["x-event-position"])
    second = (await protect(admin, approvals=3)).json()
    await admin.at("DELETE", "label-policies/production")

    assert await policies(admin, position=first - 1) == []
    assert [row["approvals"] for row in await policies(admin, position=first)] == [0]
    assert await policies(admin, as_of=second["updated_at"]) == [second]
    assert await policies(admin) == []


BAD = [
    ({}, "required", "protected"),
    ({"approvals": 0}, "required", "protected"),
    ({"protected": None}, "null", "protected"),
    ({"protected": "yes"}, "invalid_input", "protected"),
    ({"protected": True, "approvals": 6}, "max_value", "approvals"),
    ({"protected": True, "approvals": -1}, "min_value", "approvals"),
    ({"protected": True, "approvals": 1.5}, "invalid_input", "approvals"),
    ({"protected": True, "approvals": None}, "null", "approvals"),
]


@pytest.mark.parametrize(("body", "code", "attr"), BAD)
async def test_bad_policies_are_refused(admin: Space, body: Any, code: str, attr: str) -> None:
    head = await admin.head()
    assert refusal(await admin.at("PUT", "label-policies/production", json=body)) == (400, code, attr)
    for label, reason in (("latest", "reserved_name"), ("7", "reserved_name"), ("A", "invalid_name")):
        for method in ("PUT", "DELETE"):
            bad = await admin.at(method, f"label-policies/{label}", json={"protected": True})
            assert refusal(bad) == (400, reason, "label_name")
    assert await admin.head() == head


async def test_a_project_has_so_many_policies(admin: Space) -> None:
    for number in range(100):
        assert (await protect(admin, f"l{number}")).status_code == 201
    assert refusal(await protect(admin, "more")) == (400, "max_length", "label_name")
    assert (await protect(admin, "l7", approvals=1)).status_code == 200


async def test_only_admins_see_and_set_policies(admin: Space) -> None:
    await protect(admin)
    for scopes in (PROMOTER, ("event:read", "webhook:write")):
        other = await with_scopes(admin, scopes)
        for method, path in (("GET", ""), ("PUT", "production"), ("PUT", "L"), ("DELETE", "production")):
            answer = await other.at(method, f"label-policies/{path}", json={"protected": 7})
            assert refusal(answer)[:2] == (403, "permission_denied")
            assert "required scope 'project:admin'" in answer.json()["detail"]
    assert len(await policies(await with_scopes(admin, ("project:admin",)))) == 1


async def test_policies_of_one_project_mean_nothing_in_another(admin: Space, new_space: NewSpace) -> None:
    other = PromptSpace(await new_space(scopes=("project:admin", *WRITER)))
    await protect(admin)
    assert await policies(other.space) == []
    await other.create()
    await other.set_label("production", 1)


async def moves(prompts: PromptSpace) -> list[httpx.Response]:
    """Everything that moves or removes the label production of the prompt agent, which is at version 1."""
    return [
        await prompts.put("production", {"version": 2}),
        await prompts.delete("production"),
        await prompts.post("name/agent/archive", {}),
    ]


async def test_a_protected_label_takes_the_scope(admin: Space) -> None:
    prompts = PromptSpace(admin)
    await prompts.create()
    await prompts.publish(1, prompt="two")
    await prompts.set_label("production", 1)
    await prompts.set_label("beta", 1)
    await protect(admin)
    writer = PromptSpace(await with_scopes(admin, WRITER))
    head = await admin.head()

    for refused in await moves(writer):
        assert refusal(refused) == (403, "label_protected", None)
        assert "required scope 'llm_prompt:promote'" in refused.json()["detail"]
    assert await admin.head() == head
    # The scope of the other kind is another one.
    skills = PromptSpace(await with_scopes(admin, (*WRITER, "llm_skill:promote")))
    assert refusal(await skills.put("production", {"version": 2}))[1] == "label_protected"
    # Everything else goes on, and reading by the label.
    assert (await writer.put("beta", {"version": 2})).status_code == 200
    await writer.publish(2, prompt="three")
    assert (await writer.show(label="production"))["version"] == 1

    promoter = PromptSpace(await with_scopes(admin, PROMOTER))
    assert [answer.status_code for answer in await moves(promoter)] == [200, 204, 200]


async def test_the_first_label_of_a_name_is_protected_too(admin: Space) -> None:
    prompts = PromptSpace(await with_scopes(admin, WRITER))
    await protect(admin)
    await prompts.create()
    assert refusal(await prompts.put("production", {"version": 1}))[1] == "label_protected"
    # Nothing is protected that is not there.
    assert (await prompts.post("name/agent/archive", {})).status_code == 200


async def test_the_scope_is_asked_for_first(admin: Space) -> None:
    prompts = PromptSpace(admin)
    await prompts.create()
    await prompts.set_label("production", 1)
    await protect(admin)
    await protect(admin, "beta")
    writer = PromptSpace(await with_scopes(admin, WRITER))
    for refused in (
        await writer.put("production", {"version": 1}),
        await writer.put("production", {"version": 9}),
        await writer.delete("beta"),
    ):
        assert refusal(refused) == (403, "label_protected", None)
    assert refusal(await writer.put("production", {"version": 1}, "missing"))[:2] == (404, "not_found")
    assert (await prompts.put("production", {"version": 1})).status_code == 200


async def test_a_protected_label_of_a_skill_takes_its_scope(admin: Space) -> None:
    await admin.create()
    await protect(admin)
    labels = "llm_skills/name/pdf-forms/labels/production"
    for scopes, code in ((WRITER, "label_protected"), ((*WRITER, "llm_prompt:promote"), "label_protected")):
        refused = await (await with_scopes(admin, scopes)).at("PUT", labels, json={"version": 1})
        assert refusal(refused) == (403, code, None)
    promoter = await with_scopes(admin, (*WRITER, "llm_skill:promote"))
    assert (await promoter.at("PUT", labels, json={"version": 1})).status_code == 201
    writer = await with_scopes(admin, WRITER)
    assert refusal(await writer.post("name/pdf-forms/archive"))[:2] == (403, "label_protected")


async def test_approvals_close_the_direct_way_for_all(admin: Space) -> None:
    prompts = PromptSpace(admin)
    await prompts.create()
    await prompts.publish(1, prompt="two")
    await prompts.set_label("production", 1)
    await protect(admin, approvals=1)
    writer = PromptSpace(await with_scopes(admin, WRITER))
    head = await admin.head()

    for refused in await moves(prompts):
        assert refusal(refused) == (403, "approval_required", None)
    for refused in await moves(writer):
        assert refusal(refused) == (403, "label_protected", None)
    assert await admin.head() == head

    await admin.at("DELETE", "label-policies/production")
    assert [answer.status_code for answer in await moves(prompts)] == [200, 204, 200]


async def test_a_restore_brings_no_protected_label_back(admin: Space) -> None:
    prompts = PromptSpace(admin)
    await prompts.create()
    await prompts.set_label("production", 1)
    await protect(admin)
    await prompts.post("name/agent/archive", {})
    writer = PromptSpace(await with_scopes(admin, WRITER))
    restored = await writer.post("name/agent/restore", {})
    assert (restored.status_code, restored.json()["labels"]) == (200, [])


async def test_policies_are_in_the_feed_and_the_audit(admin: Space) -> None:
    prompts = PromptSpace(admin)
    await prompts.create()
    position = int((await protect(admin, "release.1", approvals=1)).headers["x-event-position"])
    await protect(admin, "beta")
    await admin.at("DELETE", "label-policies/release.1")

    async def feed(**query: Any) -> list[dict[str, Any]]:
        page = await admin.ok(200, await admin.at("GET", "events/", params=query))
        found: list[dict[str, Any]] = page["results"]
        return found

    subject = "label_policy/release.1"
    first, second = await feed(subject=subject)
    assert (first["type"], first["subject"], first["position"]) == (
        "skald.label_policy.set.v1",
        subject,
        position,
    )
    assert first["actor"] == admin.user.id
    assert {key: first["data"][key] for key in ("name", "label", "protected", "approvals")} == {
        "name": "release.1",
        "label": "release.1",
        "protected": True,
        "approvals": 1,
    }
    link = await admin.at("GET", first["data"]["links"]["self"])
    assert link.status_code == 200
    assert second["type"] == "skald.label_policy.removed.v1"
    assert [one["subject"] for one in await feed(type="skald.label_policy.set.v1")] == [
        subject,
        "label_policy/beta",
    ]
    assert len(await feed()) == 4
    # Followers, and webhooks by position, have the same name for it.
    [named] = await read_named(admin.conn, position - 1, limit=1)
    item = await one(admin.conn, admin.id, position)
    assert item is not None
    assert (named.kind, named.name) == (item.kind, item.name) == ("label_policy", "release.1")
    schema = (await admin.at("GET", "/schema/events/skald.label_policy.set.v1.json")).json()
    assert {"label", "protected", "approvals"} <= set(schema["required"])

    audit = await admin.ok(200, await admin.at("GET", "audit/", params={"subject": subject}))
    assert [(one["type"], one["subject"]) for one in audit["results"]] == [
        ("skald.label_policy.set.v1", subject),
        ("skald.label_policy.removed.v1", subject),
    ]
    everything = await admin.ok(200, await admin.at("GET", "audit/"))
    assert [one["subject"] for one in everything["results"] if "policy" in one["type"]] == [
        subject,
        "label_policy/beta",
        subject,
    ]


async def test_webhooks_may_ask_for_policies(admin: Space) -> None:
    made = await admin.at(
        "POST",
        "webhooks/",
        json={
            "url": "https://example.com/hook",
            "types": ["skald.label_policy.set.v1"],
            "names": "label_policy/prod*",
        },
    )
    assert made.status_code == 201
