"""Promotions: requested, approved, rejected, withdrawn, outdated; by whom; and where all of it is seen."""

from typing import Any

import pytest
import pytest_asyncio

from domain.artifacts.kinds import KINDS
from tests.support.governing import KEYS, NAME, Governed, another, governed, with_scopes
from tests.support.space import NewSpace, refusal


@pytest_asyncio.fixture(loop_scope="session", params=list(KINDS))
async def ada(new_space: NewSpace, request: Any) -> Governed:
    """Who asks."""
    made = await governed(new_space, request.param)
    await made.policy(approvals=1)
    return made


@pytest_asyncio.fixture(loop_scope="session")
async def grace(ada: Governed) -> Governed:
    """Who approves: with a key that may do nothing else."""
    scope = KINDS[ada.kind].SCOPE
    return ada.of(await another(ada.space, [f"{scope}:promote", f"{scope}:read"]))


async def test_a_promotion_moves_the_label_with_its_last_approval(ada: Governed, grace: Governed) -> None:
    made = await ada.request(2, note=" Short answers ")
    assert {key: made[key] for key in KEYS if key not in ("id", "requested_by", "requested_at")} == {
        "kind": ada.kind,
        "name": NAME,
        "label": "production",
        "version": 2,
        "from_version": 1,
        "status": "open",
        "note": "Short answers",
        "approvals": [],
        "required": 1,
        "decided_at": None,
    }
    assert made["requested_by"]["id"] == ada.space.user.id
    assert await ada.listed() == [made]
    assert await ada.labeled() == 1

    approved = await grace.act(made, "approve", comment="Tried it")
    promoted = approved.json()
    assert (approved.status_code, list(promoted)) == (200, KEYS)
    assert (promoted["status"], promoted["required"]) == ("promoted", 1)
    [approval] = promoted["approvals"]
    assert list(approval) == ["by", "at", "comment"]
    assert (approval["by"]["id"], approval["comment"]) == (grace.space.user.id, "Tried it")
    assert approval["at"] == promoted["decided_at"]
    assert int(approved.headers["x-event-position"]) == await ada.space.head()
    assert await ada.labeled() == 2
    assert await ada.listed() == [promoted]


async def test_the_label_moves_when_as_many_as_the_policy_asks_for_have_approved(
    ada: Governed, grace: Governed
) -> None:
    await ada.policy(approvals=2)
    made = await ada.request(2)
    first = (await grace.act(made, "approve")).json()
    assert (first["status"], first["required"], len(first["approvals"])) == ("open", 2, 1)
    head = await ada.space.head()
    again = await grace.act(made, "approve", comment="again")
    assert (again.status_code, again.json(), await ada.space.head()) == (200, first, head)
    assert await ada.labeled() == 1

    third = ada.of(await another(ada.space))
    assert (await third.act(made, "approve")).json()["status"] == "promoted"
    assert await ada.labeled() == 2


async def test_the_policy_of_the_approval_counts(ada: Governed, grace: Governed) -> None:
    made = await ada.request(2)
    await ada.policy(approvals=3)
    assert (await grace.act(made, "approve")).json()["required"] == 3
    await ada.policy(approvals=2)
    assert [one["required"] for one in await ada.listed()] == [2]
    third = ada.of(await another(ada.space))
    promoted = (await third.act(made, "approve")).json()
    assert (promoted["status"], promoted["required"]) == ("promoted", 2)
    await ada.policy(approvals=5)
    assert [one["required"] for one in await ada.listed()] == [2]


async def test_without_a_policy_one_approval_is_enough(ada: Governed, grace: Governed) -> None:
    await ada.space.at("DELETE", "label-policies/production")
    made = await ada.request(2)
    assert (made["status"], made["required"]) == ("open", 0)
    promoted = (await grace.act(made, "approve")).json()
    assert (promoted["status"], promoted["required"]) == ("promoted", 0)


async def test_a_label_that_is_new_is_promoted_from_nowhere(ada: Governed, grace: Governed) -> None:
    made = await ada.request(3, "beta")
    assert made["from_version"] is None
    assert (await grace.act(made, "approve")).json()["status"] == "promoted"
    assert await ada.labeled("beta") == 3


async def test_nobody_approves_what_they_have_requested(ada: Governed, grace: Governed) -> None:
    made = await ada.request(2)
    assert refusal(await ada.act(made, "approve")) == (403, "own_promotion", None)
    # Nor with another key.
    other = ada.of(await with_scopes(ada.space, ("*",)))
    assert refusal(await other.act(made, "approve"))[:2] == (403, "own_promotion")
    await grace.act(made, "approve")
    assert refusal(await ada.act(made, "approve"))[:2] == (403, "own_promotion")


async def test_rejected_and_withdrawn_promotions_are_over(ada: Governed, grace: Governed) -> None:
    rejected, withdrawn = await ada.request(2), await ada.request(3)
    answer = await grace.act(rejected, "reject", comment="Too long")
    assert (answer.status_code, answer.json()["status"]) == (200, "rejected")
    assert answer.json()["decided_at"] is not None

    writer = ada.of(await another(ada.space, [f"{KINDS[ada.kind].SCOPE}:write"]))
    assert refusal(await writer.act(withdrawn, "withdraw"))[:2] == (403, "permission_denied")
    answer = await ada.act(withdrawn, "withdraw")
    assert (answer.status_code, answer.json()["status"]) == (200, "withdrawn")

    for promotion, status in ((rejected, "rejected"), (withdrawn, "withdrawn")):
        for person, word in ((grace, "approve"), (grace, "reject"), (ada, "withdraw")):
            refused = await person.act(promotion, word)
            assert refusal(refused) == (409, status, None)
    assert await ada.labeled() == 1
    assert [one["version"] for one in await ada.listed(status="rejected")] == [2]


async def test_a_promoted_one_is_over(ada: Governed, grace: Governed) -> None:
    made = await ada.request(2)
    await grace.act(made, "approve")
    for person, word in ((grace, "approve"), (grace, "reject"), (ada, "withdraw")):
        assert refusal(await person.act(made, word)) == (409, "promoted", None)


async def test_of_several_for_one_label_the_first_outdates_the_others(ada: Governed, grace: Governed) -> None:
    two, three, beta = await ada.request(2), await ada.request(3), await ada.request(3, "beta")
    await grace.act(two, "approve")
    refused = await grace.act(three, "approve")
    assert refusal(refused) == (409, "outdated", None)
    assert await ada.labeled() == 2
    assert [one["label"] for one in await ada.listed(status="outdated")] == ["production"]
    assert (await ada.status(three), await ada.status(beta)) == ("outdated", "open")
    assert (await grace.act(await ada.request(3), "approve")).json()["from_version"] == 2


@pytest.mark.parametrize("move", ["set", "remove"])
async def test_a_direct_move_outdates(ada: Governed, grace: Governed, move: str) -> None:
    made = await ada.request(2)
    await ada.policy(protected=True, approvals=0)
    if move == "set":
        assert (await ada.put(3)).status_code == 200
    else:
        assert (await ada.named("DELETE", "labels/production")).status_code == 204
    assert refusal(await grace.act(made, "approve")) == (409, "outdated", None)
    assert await ada.labeled() == (3 if move == "set" else None)


async def test_an_archive_outdates_and_a_restore_brings_nothing_back(ada: Governed, grace: Governed) -> None:
    made, beta = await ada.request(2), await ada.request(3, "beta")
    assert refusal(await ada.named("POST", "archive", {}))[:2] == (403, "approval_required")
    await ada.space.at("DELETE", "label-policies/production")
    assert (await ada.named("POST", "archive", {})).is_success
    for promotion in (made, beta):
        assert refusal(await grace.act(promotion, "approve")) == (409, "outdated", None)
        assert refusal(await grace.space_act(promotion, "approve")) == (409, "outdated", None)
    # A new life of the name has its own.
    await ada.create()
    assert refusal(await grace.act(made, "approve")) == (409, "outdated", None)
    await ada.named("POST", "archive", {})
    await ada.named("POST", "restore", {})
    assert await ada.labeled() is None
    assert {one["status"] for one in await ada.listed(name=NAME)} == {"outdated"}


async def test_the_scopes(ada: Governed, grace: Governed) -> None:
    scope = KINDS[ada.kind].SCOPE
    writer = ada.of(await another(ada.space, [f"{scope}:write"]))
    reader = ada.of(await another(ada.space, [f"{scope}:read"]))
    [other_scope] = [kind.SCOPE for kind in KINDS.values() if scope != kind.SCOPE]
    stranger = ada.of(
        await another(ada.space, [f"{other_scope}:write", f"{other_scope}:promote", "event:read"])
    )
    made = await writer.request(2)

    bad = {"label": 7}
    for person in (reader, grace, stranger):
        assert refusal(await person.named("POST", "promotions", bad))[:2] == (403, "permission_denied")
    for person in (reader, writer, stranger):
        for word in ("approve", "reject"):
            for answer in (await person.act(made, word), await person.space_act(made, word)):
                assert refusal(answer)[:2] == (403, "permission_denied")
                assert ":promote'" in answer.json()["detail"]
    assert refusal(await grace.act(made, "withdraw"))[:2] == (403, "permission_denied")
    assert await stranger.listed() == []
    assert [one["id"] for one in await grace.listed()] == [made["id"]]
    auditor = await with_scopes(ada.space, ("event:read",))
    assert refusal(await auditor.at("GET", "promotions/"))[:2] == (403, "permission_denied")


async def test_bad_requests_name_the_first_wrong_field(ada: Governed, grace: Governed) -> None:
    made = await ada.request(2)
    head = await ada.space.head()
    for body, expected in (
        ({}, (400, "required", "label")),
        ({"label": "Production", "version": 0}, (400, "invalid_name", "label")),
        ({"label": "latest", "version": 2}, (400, "reserved_name", "label")),
        ({"label": "production"}, (400, "required", "version")),
        ({"label": "production", "version": 0, "note": 7}, (400, "min_value", "version")),
        ({"label": "production", "version": "2"}, (400, "invalid_input", "version")),
        ({"label": "production", "version": 2, "note": "x" * 401}, (400, "max_length", "note")),
        ({"label": "production", "version": 2, "note": None}, (400, "null", "note")),
        (
            {"label": "production", "version": 2, "note": "a\0"},
            (400, "null_characters_not_allowed", "note"),
        ),
        ({"label": "production", "version": 1}, (409, "already_there", "version")),
        ({"label": "production", "version": 9}, (404, "version_not_found", None)),
    ):
        assert refusal(await ada.named("POST", "promotions", body)) == expected
    missing = await ada.at("POST", "name/missing/promotions", {"label": "beta", "version": 1})
    assert refusal(missing)[:2] == (404, "not_found")
    for word in ("approve", "reject"):
        assert refusal(await grace.act(made, word, comment="x" * 401)) == (400, "max_length", "comment")
    for id in ("x", "01890a5d-ac96-774b-bcce-b302099a8057"):
        assert refusal(await grace.act({"id": id}, "approve"))[:2] == (404, "not_found")
    elsewhere = await grace.at("POST", f"name/other/promotions/{made['id']}/approve", {})
    assert refusal(elsewhere)[:2] == (404, "not_found")
    assert await ada.space.head() == head
    for query in ({"status": "closed"}, {"limit": 0}, {"label": "x" * 129}, {"position": -1}):
        assert (await ada.space.at("GET", "promotions/", params=query)).status_code == 400


async def test_promotions_of_another_project_are_not_there(
    ada: Governed, grace: Governed, new_space: NewSpace
) -> None:
    made = await ada.request(2)
    foreign = ada.of(await new_space(scopes=("*",)))
    assert await foreign.listed() == []
    for word in ("approve", "reject", "withdraw"):
        assert refusal(await foreign.space_act(made, word))[:2] == (404, "not_found")
    assert await ada.status(made) == "open"


async def test_an_artifact_has_so_many_open_promotions(ada: Governed) -> None:
    for number in range(100):
        await ada.request(2, f"l{number}")
    more = await ada.named("POST", "promotions", {"label": "more", "version": 2})
    assert refusal(more)[:2] == (400, "max_length")
    [first] = await ada.listed(label="l0")
    await ada.act(first, "withdraw")
    await ada.request(2, "more")


async def test_the_list_is_filtered_and_paged(ada: Governed) -> None:
    made = [await ada.request(2), await ada.request(3), await ada.request(3, "beta")]
    assert [one["id"] for one in await ada.listed()] == [one["id"] for one in reversed(made)]
    assert [one["id"] for one in await ada.listed(label="beta")] == [made[2]["id"]]
    assert await ada.listed(name="other") == []
    assert len(await ada.listed(name=NAME, status="open")) == 3
    page = (await ada.space.at("GET", "promotions/", params={"limit": 2})).json()
    assert (page["count"], len(page["results"]), page["previous"]) == (3, 2, None)
    rest = (await ada.space.client.get(page["next"])).json()
    assert [one["id"] for one in rest["results"]] == [made[0]["id"]]


async def test_the_past(ada: Governed, grace: Governed) -> None:
    before = await ada.space.head()
    made = await ada.request(2)
    requested = await ada.space.head()
    await ada.policy(approvals=2)
    first = (await grace.act(made, "approve")).json()
    approved = await ada.space.head()
    third = ada.of(await another(ada.space))
    last = (await third.act(made, "approve")).json()
    await ada.policy(approvals=4)

    assert await ada.listed(position=before) == []
    assert await ada.listed(position=requested) == [made]
    assert await ada.listed(position=approved) == [first]
    assert await ada.listed(as_of=last["decided_at"]) == [last] == await ada.listed()
    assert await ada.listed(position=approved, status="promoted") == []


async def test_a_repeated_request_has_the_first_answer(ada: Governed, grace: Governed) -> None:
    headers = {"Idempotency-Key": "one"}
    path = f"{ada.resource}/name/{NAME}/promotions"
    body = {"label": "production", "version": 2}
    made = await ada.space.at("POST", path, json=body, headers=headers)
    again = await ada.space.at("POST", path, json=body, headers=headers)
    assert (again.status_code, again.content) == (made.status_code, made.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-event-position"] == made.headers["x-event-position"]

    path = f"{path}/{made.json()['id']}/approve"
    approved = await grace.space.at("POST", path, json={"comment": "yes"}, headers=headers)
    await ada.policy(protected=True, approvals=0)
    await ada.put(3)
    again = await grace.space.at("POST", path, json={"comment": "yes"}, headers=headers)
    assert (again.status_code, again.content) == (200, approved.content)
    assert again.headers["idempotent-replayed"] == "true"
    other = await grace.space.at("POST", path, json={"comment": "no"}, headers=headers)
    assert refusal(other)[:2] == (422, "idempotency_key_reused")


async def test_the_history_of_a_label(ada: Governed, grace: Governed) -> None:
    made = await ada.request(2)
    await grace.act(made, "approve")
    promoted = await ada.space.head()
    await ada.policy(protected=True, approvals=0)
    await ada.named("DELETE", "labels/production")
    await ada.put(3)

    async def entries(**query: Any) -> list[dict[str, Any]]:
        answer = await ada.named("GET", "labels/production/history", **query)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["results"]
        return found

    third, second, first = await entries()
    assert list(first) == ["version", "from", "until", "set_by", "promotion_id"]
    assert [one["version"] for one in (first, second, third)] == [1, 2, 3]
    assert [one["promotion_id"] for one in (first, second, third)] == [None, made["id"], None]
    assert [one["set_by"]["id"] for one in (first, second, third)] == [
        ada.space.user.id,
        grace.space.user.id,
        ada.space.user.id,
    ]
    assert first["until"] == second["from"]
    assert second["from"] < second["until"] < third["from"]
    assert third["until"] is None

    assert await entries(position=promoted) == [{**second, "until": None}, first]
    assert await entries(limit=1, offset=1) == [second]
    empty = await ada.named("GET", "labels/beta/history")
    assert (empty.status_code, empty.json()["results"]) == (200, [])
    assert refusal(await ada.named("GET", "labels/LIVE/history")) == (400, "invalid_name", "label_name")
    assert refusal(await ada.at("GET", "name/missing/labels/beta/history"))[:2] == (404, "not_found")
    await ada.named("POST", "archive", {})
    await ada.named("POST", "restore", {})
    assert [one["until"] is None for one in await entries()] == [False, False, False]


async def test_promotions_are_in_history_feed_and_audit(ada: Governed, grace: Governed) -> None:
    made, other = await ada.request(2, note="Better"), await ada.request(3)
    await grace.act(made, "approve", comment="Yes")
    await ada.request(3, "beta")
    [beta, *_] = await ada.listed()
    await grace.act(beta, "reject", comment="No")
    gone = await ada.request(2, "beta")
    await ada.act(gone, "withdraw")

    subject = {"subject": f"{ada.kind}/{NAME}"}
    feed = (await ada.space.at("GET", "events/", params=subject)).json()["results"]
    types = [event["type"].removeprefix(f"skald.{ada.kind}.").removesuffix(".v1") for event in feed]
    assert types[4:] == [
        "promotion_requested",
        "promotion_requested",
        "promotion_approved",
        "label_set",
        "promotion_requested",
        "promotion_rejected",
        "promotion_requested",
        "promotion_withdrawn",
    ]
    requested, _, approved, moved = feed[4:8]
    assert requested["data"]["promotion_id"] == moved["data"]["promotion_id"] == made["id"]
    assert (requested["data"]["note"], requested["data"]["from_number"]) == ("Better", 1)
    assert (approved["data"]["required"], approved["data"]["approved_by"]) == (1, grace.space.user.id)
    # One commit.
    assert approved["commandid"] == moved["commandid"]
    audit = (await ada.space.at("GET", "audit/", params=subject)).json()["results"]
    assert [entry["type"] for entry in audit] == [event["type"] for event in feed]

    history = (await ada.named("GET", "history")).json()["results"]
    changes = [entry["changes"] for entry in reversed(history)]
    told = [one["promotion"] for one in changes if "promotion" in one]
    assert [(one["status"], one["label"], one["version"]) for one in told] == [
        ("requested", "production", 2),
        ("requested", "production", 3),
        ("approved", "production", 2),
        ("promoted", "production", 2),
        ("requested", "beta", 3),
        ("rejected", "beta", 3),
        ("requested", "beta", 2),
        ("withdrawn", "beta", 2),
    ]
    assert [one["text"] for one in told][:3] == ["Better", "", "Yes"]
    assert other["id"] == told[1]["id"]


async def test_a_promotion_goes_along_with_a_rename(ada: Governed, grace: Governed) -> None:
    made = await ada.request(2)
    requested = await ada.space.head()
    assert (await ada.named("POST", "rename", {"new_name": "helper"})).status_code == 200
    assert [one["name"] for one in await ada.listed()] == ["helper"]
    assert await ada.listed(position=requested) == [made]
    assert len(await ada.listed(name="helper")) == 1
    old = await grace.act(made, "approve")
    assert refusal(old)[:2] == (404, "not_found")
    assert old.json()["renamed_to"] == "helper"
    # Earlier names lead on, until something else takes them.
    [shown] = await ada.listed(name="helper")
    assert (shown["id"], shown["name"]) == (made["id"], "helper")
    assert await ada.listed(name=NAME) == [shown]
    approved = await grace.space_act(made, "approve")
    assert (approved.json()["status"], approved.json()["name"]) == ("promoted", "helper")
    history = await ada.at("GET", "name/helper/labels/production/history")
    assert [one["version"] for one in history.json()["results"]] == [2, 1]
    led = await ada.named("GET", "labels/production/history")
    assert (led.status_code, "/name/helper/labels/production/history" in led.headers["location"]) == (
        302,
        True,
    )
    await ada.create(NAME)
    assert await ada.listed(name=NAME) == []
