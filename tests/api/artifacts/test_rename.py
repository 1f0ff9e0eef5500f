"""A rename: the versions under a new name, the old name leading to it, and what was, as it was."""

import asyncio
import re
from collections import Counter
from typing import Any

import httpx
import pytest
from litestar import Litestar

from api.app import route_handlers
from api.openapi.document import operations_of
from projections.events.feed import one as one_event
from projections.events.feed import read_named
from tests.support import invariants
from tests.support.archives import packed, send
from tests.support.archives import skill_md as document
from tests.support.prompt_space import PromptSpace
from tests.support.space import NewSpace, Space, file, refusal


async def rename(space: Space | PromptSpace, name: str, new_name: Any, **options: Any) -> httpx.Response:
    return await space.post(f"name/{name}/rename/", {"new_name": new_name}, **options)


async def renamed(space: Space | PromptSpace, name: str, new_name: str) -> Any:
    return await Space.ok(200, await rename(space, name, new_name))


def position(answer: httpx.Response) -> int:
    return int(answer.headers["X-Event-Position"])


def own(version: dict[str, Any]) -> dict[str, Any]:
    """What a rename of a skill may not change."""
    return {key: value for key, value in version.items() if key not in ("name", "skill_md", "digest")}


async def skill_md(space: Space, name: str, **query: Any) -> str:
    answer = await space.get(f"name/{name}/skill-md/", params=query)
    assert answer.status_code == 200, answer.text
    return answer.text


# What it makes


async def test_a_skill_is_the_same_under_another_name(space: Space) -> None:
    await space.create(files=[file("a.txt", "1")], metadata={"k": 1})
    second = await space.publish("pdf-forms", 1, body="# Two\n")
    first = await space.show(version=1)

    answer = await rename(space, "pdf-forms", " pdf-fields ")

    made = await space.ok(200, answer)
    assert position(answer) == await space.head()
    assert made["name"] == "pdf-fields"
    assert own(made) == own(second)
    assert made["digest"] != second["digest"]
    assert await space.show("pdf-fields") == made
    # Earlier versions keep their bytes.
    assert await space.show("pdf-fields", version=1) == {**first, "name": "pdf-fields"}
    assert (await skill_md(space, "pdf-fields")).startswith("---\nname: pdf-fields\n")
    assert (await skill_md(space, "pdf-fields", version=1)).startswith("---\nname: pdf-forms\n")
    assert await space.names() == ["pdf-fields"]
    assert await space.names(search="FIELDS") == ["pdf-fields"]
    assert await space.names(search="pdf-forms") == []
    listed = (await space.ok(200, await space.get("")))["results"][0]
    assert (listed["digest"], listed["version"], listed["version_count"]) == (made["digest"], 2, 2)
    third = await space.publish("pdf-fields", 2, description="Other")
    assert (third["version"], third["name"]) == (3, "pdf-fields")
    assert (await skill_md(space, "pdf-fields", version=2)).startswith("---\nname: pdf-fields\n")


async def test_a_prompt_keeps_its_labels(prompts: PromptSpace) -> None:
    await prompts.create("Agent_1", prompt="one")
    await prompts.put("live", {"version": 1}, "Agent_1")
    before = await Space.ok(200, await prompts.get("name/Agent_1"))

    made = await Space.ok(200, await rename(prompts, "Agent_1", "Agent_2"))

    assert (made["name"], made["labels"], made["version"]) == ("Agent_2", ["live"], 1)
    shown = await Space.ok(200, await prompts.get("name/Agent_2"))
    assert shown == {**before, "name": "Agent_2"}
    labeled = await Space.ok(200, await prompts.get("name/Agent_2?label=live"))
    assert (labeled["name"], labeled["prompt"], labeled["label"]) == ("Agent_2", "one", "live")
    led = await prompts.get("name/Agent_1?label=live")
    assert led.status_code == 302
    assert led.headers["location"].endswith("/llm_prompts/name/Agent_2?label=live")


async def test_the_folder_of_a_version_has_the_name_that_its_document_says(space: Space) -> None:
    await space.create(files=[file("a.txt")])
    before = (await space.get("name/pdf-forms/export/")).content
    await space.publish("pdf-forms", 1, body="# Two\n")
    await renamed(space, "pdf-forms", "pdf-fields")

    latest = await space.get("name/pdf-fields/export/")
    assert b"pdf-fields/SKILL.md" in latest.content
    assert b"pdf-forms" not in latest.content
    assert (await space.get("name/pdf-fields/export/?version=1")).content == before


async def test_the_same_name_changes_nothing(space: Space, prompts: PromptSpace) -> None:
    made = await space.create()
    await prompts.create("Agent_1")
    head = await space.head()
    assert (await renamed(space, "pdf-forms", "pdf-forms"))["name"] == "pdf-forms"
    assert (await renamed(prompts, "Agent_1", "Agent_1"))["name"] == "Agent_1"
    assert await space.head() == head
    assert (await rename(space, "pdf-forms", "pdf-forms")).json() == made


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, "required", "new_name")),
        ({"new_name": None}, (400, "null", "new_name")),
        ({"new_name": 1}, (400, "invalid_input", "new_name")),
        ({"new_name": " "}, (400, "blank", "new_name")),
        ({"new_name": "a" * 65}, (400, "max_length", "new_name")),
        ({"new_name": "A b"}, (400, "invalid_name", "new_name")),
        ({"new_name": "NEW"}, (400, "reserved_name", "new_name")),
        ({"new_name": "taken"}, (400, "unique", "new_name")),
    ],
)
async def test_what_does_not_fit_is_refused(
    space: Space, body: dict[str, Any], expected: tuple[int, str, str | None]
) -> None:
    await space.create()
    await space.create("taken")
    head = await space.head()
    assert refusal(await space.post("name/pdf-forms/rename", body)) == expected
    assert await space.head() == head
    assert (await space.show())["name"] == "pdf-forms"


async def test_it_needs_the_scope_and_something_to_rename(space: Space, new_space: NewSpace) -> None:
    assert refusal(await rename(space, "nothing", "other"))[:2] == (404, "not_found")
    reader = await new_space(scopes=("llm_skill:read",))
    refused = await rename(reader, "nothing", "")
    assert refusal(refused)[:2] == (403, "permission_denied")
    assert "required scope 'llm_skill:write'" in refused.json()["detail"]


async def test_if_match_names_what_is_renamed(space: Space) -> None:
    await space.create()
    old = (await space.get("name/pdf-forms/")).headers["etag"]
    await space.publish("pdf-forms", 1, body="# Two\n")
    stale = await rename(space, "pdf-forms", "other", headers={"If-Match": old})
    assert refusal(stale)[:2] == (412, "precondition_failed")
    new = (await space.get("name/pdf-forms/")).headers["etag"]
    made = await rename(space, "pdf-forms", "other", headers={"If-Match": new})
    assert made.status_code == 200
    assert made.headers["etag"] == (await space.get("name/other")).headers["etag"] != new


async def test_a_repeated_request_has_the_first_answer(space: Space, prompts: PromptSpace) -> None:
    await space.create()
    await prompts.create("pdf-forms", prompt="one")
    both: tuple[Space | PromptSpace, ...] = (space, prompts)
    for one in both:
        once = {"Idempotency-Key": "rename-1"}
        first = await rename(one, "pdf-forms", "pdf-fields", headers=once)
        await renamed(one, "pdf-fields", "last")
        again = await rename(one, "pdf-forms", "pdf-fields", headers=once)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.headers["X-Event-Position"] == first.headers["X-Event-Position"]
        assert again.content == first.content
        other = await rename(one, "pdf-forms", "another", headers=once)
        assert refusal(other)[:2] == (422, "idempotency_key_reused")


async def test_a_repeated_publish_is_answered_as_before_a_rename(space: Space) -> None:
    await space.create()
    once = {"Idempotency-Key": "publish-1"}
    change = {"base_version": 1, "body": "# Two\n"}
    first = await space.patch("pdf-forms", change, headers=once)
    await renamed(space, "pdf-forms", "pdf-fields")
    again = await space.patch("pdf-forms", change, headers=once)
    assert again.content == first.content


# Where the old name leads


READS = [
    "name/{}",
    "name/{}/",
    "name/{}?version=1",
    "name/{}/?body_offset=2&body_length=3",
    "name/{}/files/a%20b.txt?version=1",
    "name/{}/skill-md/",
    "name/{}/export",
    "resolve/name/{}/?limit=1",
    "name/{}/history?limit=2",
    "name/{}/diff/?from=1&to=2",
    "name/{}/blame",
]


@pytest.mark.parametrize("path", READS)
async def test_a_read_of_the_old_name_is_led_to_the_new_one(space: Space, path: str) -> None:
    await space.create(files=[file("a b.txt", "1")])
    await space.publish("pdf-forms", 1, body="# Two\n")
    tag = (await space.get(path.format("pdf-forms"))).headers.get("etag", '"x"')
    await renamed(space, "pdf-forms", "pdf-fields")

    for condition in ({}, {"If-None-Match": tag}):
        answer = await space.get(path.format("pdf-forms"), headers=condition)
        assert answer.status_code == 302
        assert (
            answer.headers["location"] == f"/api/projects/{space.id}/llm_skills/{path.format('pdf-fields')}"
        )
        assert answer.headers["cache-control"] == "private, no-cache"
    assert (await space.at("HEAD", f"llm_skills/{path.format('pdf-forms')}")).status_code == 302
    assert (await space.client.get(answer.headers["location"])).status_code == 200


async def test_every_read_below_a_name_is_led_on(new_space: NewSpace) -> None:
    """What the service reads by a name, as its routes say."""
    space = await new_space(scopes=("*",))
    prompts = PromptSpace(space)
    await space.create("a")
    await prompts.create("a")
    await renamed(space, "a", "b")
    await renamed(prompts, "a", "b")
    app = Litestar(route_handlers=route_handlers(), openapi_config=None, logging_config=None)
    seen = 0
    for operation in operations_of(app):
        found = re.search(r"/(llm_skills|llm_prompts)/(?:resolve/)?name/{\w+_name}.*", operation.path)
        if operation.method != "GET" or found is None:
            continue
        seen += 1
        path = re.sub(r"{\w+}", "x", re.sub(r"name/{\w+_name}", "name/a", found[0])[1:])
        answer = await space.at("GET", path)
        assert answer.status_code == 302, path
        assert answer.headers["location"].endswith(path.replace("name/a", "name/b", 1))
    assert seen > 12


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "name/a", {"base_version": 1, "body": "x"}),
        ("POST", "name/a/files", {"path": "x", "content": ""}),
        ("POST", "name/a/files-rename", {"old_path": "x", "new_path": "y"}),
        ("DELETE", "name/a/files/x", None),
        ("POST", "name/a/archive", None),
        ("POST", "name/a/duplicate", {"new_name": "c"}),
        ("POST", "name/a/rename", {"new_name": "c"}),
        ("POST", "name/a/revert", {"version": 1, "base_version": 1}),
        ("POST", "name/a/restore", {}),
    ],
)
async def test_a_write_to_the_old_name_is_refused(
    space: Space, method: str, path: str, body: dict[str, Any] | None
) -> None:
    await space.create("a")
    await renamed(space, "a", "b")
    head = await space.head()
    answer = await space.at(method, f"llm_skills/{path}", json=body)
    assert refusal(answer) == (404, "not_found", None)
    assert answer.json()["renamed_to"] == "b"
    assert answer.json()["suggestions"] == ["b"]
    assert "'b'" in answer.json()["detail"]
    assert await space.head() == head


async def leads(space: Space | PromptSpace, name: str) -> str | None:
    """Where a read of the name is led to: the name itself for what has it, None for nothing."""
    answer = await space.get(f"name/{name}")
    if answer.status_code == 302:
        return str(answer.headers["location"]).rpartition("/")[2]
    return str(answer.json()["name"]) if answer.status_code == 200 else None


async def test_a_chain_goes_to_the_end(space: Space) -> None:
    await space.create("a")
    for old, new in (("a", "b"), ("b", "c"), ("c", "d")):
        await renamed(space, old, new)
    assert [await leads(space, name) for name in "abcd"] == ["d"] * 4


async def test_an_alias_ends_for_good_when_something_takes_the_name(space: Space) -> None:
    await space.create("a")
    await renamed(space, "a", "b")
    taken = await space.create("a", description="Another")
    assert (await space.show("a")) == taken
    await space.post("name/a/archive")
    assert await leads(space, "a") is None
    await renamed(space, "b", "c")
    assert [await leads(space, name) for name in "abc"] == [None, "c", "c"]
    # The other one leads there now.
    await space.ok(200, await space.post("name/a/restore"))
    await renamed(space, "a", "z")
    assert await leads(space, "a") == "z"


@pytest.mark.parametrize("way", ["duplicate", "rename"])
async def test_every_way_to_a_name_ends_its_alias(space: Space, way: str) -> None:
    await space.create("a")
    await space.create("other")
    await renamed(space, "a", "b")
    assert (await space.post(f"name/other/{way}", {"new_name": "a"})).is_success
    assert await leads(space, "a") == "a"
    assert (await space.show("a"))["first_version_created_at"] != (await space.show("b"))[
        "first_version_created_at"
    ]


async def test_a_name_can_be_taken_back(space: Space) -> None:
    first = await space.create("a")
    await renamed(space, "a", "b")
    back = await renamed(space, "b", "a")
    assert back == first
    assert [await leads(space, name) for name in "ab"] == ["a", "a"]
    await renamed(space, "a", "b")
    assert [await leads(space, name) for name in "ab"] == ["b", "b"]


async def test_aliases_of_what_is_archived_come_back_with_it(space: Space) -> None:
    await space.create("a")
    await renamed(space, "a", "b")
    await space.post("name/b/archive")
    assert [await leads(space, name) for name in "ab"] == [None, None]
    assert refusal(await space.patch("a", {"base_version": 1, "body": "x"}))[0] == 404
    # It is what it was called last that can be restored.
    assert refusal(await space.post("name/a/restore"))[:2] == (404, "not_found")
    [row] = (await space.ok(200, await space.get("archived")))["results"]
    assert row["name"] == "b"
    await space.ok(200, await space.post("name/b/restore"))
    assert [await leads(space, name) for name in "ab"] == ["b", "b"]


async def test_a_restored_name_is_no_alias_of_its_own(space: Space) -> None:
    """The archive ends a name, not a rename: what is restored has it again."""
    await space.create("a")
    await space.post("name/a/archive")
    await space.ok(200, await space.post("name/a/restore"))
    await renamed(space, "a", "b")
    await space.post("name/b/archive")
    await space.create("b")
    assert [await leads(space, name) for name in "ab"] == [None, "b"]


async def test_the_id_of_a_version_leads_to_the_new_name(space: Space) -> None:
    made = await space.create("a")
    await renamed(space, "a", "b")
    assert await leads(space, made["id"]) == "b"


async def test_a_renamed_skill_is_not_imported_anew_by_upsert(space: Space) -> None:
    await space.create("a")
    await renamed(space, "a", "b")
    archive = packed("a", md=document("a"))
    refused = await send(space, archive, mode="upsert")
    assert (refused.status_code, refused.json()["renamed_to"]) == (404, "b")
    assert (await send(space, archive, mode="upsert", dry_run="true")).status_code == 404
    assert (await send(space, archive, mode="create")).status_code == 201
    assert await leads(space, "a") == "a"


async def test_names_of_other_projects_and_kinds_lead_nowhere(
    space: Space, new_space: NewSpace, prompts: PromptSpace
) -> None:
    await space.create("a")
    await renamed(space, "a", "b")
    other = await new_space()
    assert await leads(other, "a") is None
    assert await leads(prompts, "a") is None


# What was


async def test_the_past_is_as_it_was(space: Space) -> None:
    made = await space.create("a", files=[file("x.txt")])
    created = await space.head()
    await space.publish("a", 1, body="# Two\n")
    published = await space.head()
    then = await space.show("a")
    first = await rename(space, "a", "b")
    between = await space.show("b")
    second = await rename(space, "b", "c")
    await space.publish("c", 2, body="# Three\n")

    async def at(name: str, position: int, **query: Any) -> httpx.Response:
        return await space.get(f"name/{name}", params={"position": position, **query})

    assert (await at("a", created)).json() == made
    assert (await at("a", published)).json() == then
    assert (await at("b", position(first))).json() == between
    led = await at("a", position(first))
    assert (led.status_code, led.headers["location"].partition("/name/")[2]) == (
        302,
        f"b?position={position(first)}",
    )
    assert (await at("b", published)).status_code == 404
    assert (await at("c", position(first))).status_code == 404
    assert (await at("c", position(second))).json()["digest"] != between["digest"]
    listed = await space.get("", params={"position": published})
    assert [(row["name"], row["digest"]) for row in listed.json()["results"]] == [("a", then["digest"])]
    listed = await space.get("", params={"position": position(first)})
    assert [(row["name"], row["digest"]) for row in listed.json()["results"]] == [("b", between["digest"])]
    document = await space.get("name/a/skill-md", params={"position": published})
    assert document.text.startswith("---\nname: a\n")
    # Without a version after it, the latest of then is shown under the name of then.
    assert (await at("a", published, version=1)).json()["name"] == "a"
    assert (await at(made["id"], published)).headers["location"].partition("/name/")[2].startswith("a?")


async def test_history_says_who_renamed_what(space: Space) -> None:
    await space.create("a")
    await renamed(space, "a", "b")
    await space.create("a", description="Another")

    async def history(name: str, **query: Any) -> list[Any]:
        return list((await space.ok(200, await space.get(f"name/{name}/history", params=query)))["results"])

    def types(entries: list[Any]) -> list[str]:
        return [entry["type"].split(".")[2] for entry in entries]

    entry, first = await history("b")
    assert types([entry, first]) == ["renamed", "created"]
    assert entry["changes"]["renamed"] == {"from": "a", "to": "b"}
    assert entry["changes"]["fields"] == ["name"]
    assert (entry["version_before"], entry["version_after"]) == (1, 1)
    assert entry["actor"]["id"] == space.user.id
    assert "renamed" not in first["changes"]
    await space.ok(201, await space.post("name/b/duplicate", {"new_name": "copy"}))
    await renamed(space, "b", "c")
    [made] = await history("copy")
    assert made["changes"]["source"]["name"] == "b"
    await renamed(space, "c", "b")
    assert types(await history("a")) == ["created"]
    # What another one did under the name, up to its rename.
    assert types(await history("a", include_archived="true")) == ["created", "created"]
    paged = await space.ok(200, await space.get("name/a/history?include_archived=true&limit=1&offset=1"))
    assert (paged["count"], paged["results"][0]["stream_id"]) == (2, first["stream_id"])
    await space.post("name/b/archive")
    assert types(await history("b", include_archived="true")) == ["archived", *["renamed"] * 3, "created"]


async def test_events_have_the_name_of_their_time(new_space: NewSpace) -> None:
    space = await new_space(scopes=("llm_skill:write", "event:read"))
    await space.create("a")
    await renamed(space, "a", "b")
    await space.publish("b", 1, body="# Two\n")
    await space.post("name/b/archive")
    await space.create("a")

    async def feed(path: str, **query: Any) -> list[Any]:
        answer = await space.ok(200, await space.at("GET", path, params=query))
        return list(answer.get("events") or answer["results"])

    def seen(events: list[Any]) -> list[tuple[str, str]]:
        return [(event["type"].split(".")[2], event["subject"]) for event in events]

    expected = [
        ("created", "skill/a"),
        ("renamed", "skill/b"),
        ("published", "skill/b"),
        ("archived", "skill/b"),
        ("created", "skill/a"),
    ]
    everything = await feed("events/")
    assert seen(everything) == expected
    renaming = everything[1]
    assert renaming["type"] == "skald.skill.renamed.v1"
    assert {key: renaming["data"][key] for key in ("name", "old_name")} == {"name": "b", "old_name": "a"}
    assert renaming["data"]["links"]["self"].endswith("/llm_skills/name/b/")
    # An audit has the keys, too, those of other tests that open every project among them.
    assert [one for one in seen(await feed("audit/")) if one[1].startswith("skill/")] == expected
    whole = [one for one in await read_named(space.conn, 0, limit=100_000) if one.project_id == space.id]
    assert [f"{one.kind}/{one.name}" for one in whole] == [subject for _, subject in expected]
    first = await one_event(space.conn, space.id, everything[0]["position"])
    assert (first and first.name) == "a"
    for path in ("events/", "audit/"):
        assert seen(await feed(path, subject="skill/a")) == [expected[0], expected[4]]
        assert seen(await feed(path, subject="skill/b")) == expected[1:4]
        assert seen(await feed(path, type="skald.skill.renamed.v1")) == [expected[1]]


# At the same time


async def crowd(*requests: Any) -> Counter[tuple[int, str | None]]:
    answers = await asyncio.gather(*requests)
    return Counter(
        (answer.status_code, (answer.json() if answer.content else {}).get("code")) for answer in answers
    )


async def test_of_many_to_one_name_one_gets_it(space: Space) -> None:
    names = [f"from-{number}" for number in range(8)]
    for name in names:
        await space.create(name)
    found = await crowd(*(rename(space, name, "one") for name in names))
    assert found == {(200, None): 1, (400, "unique"): 7}
    assert len([name for name in names if await leads(space, name) == "one"]) == 1


async def test_of_many_names_one_is_given(space: Space) -> None:
    await space.create("a")
    found = await crowd(*(rename(space, "a", f"to-{number}") for number in range(8)))
    assert found == {(200, None): 1, (404, "not_found"): 7}


async def test_a_rename_against_creates_archives_and_publishes(space: Space, postgres_url: str) -> None:
    for round_ in range(5):
        old, new = f"old-{round_}", f"new-{round_}"
        await space.create(old)
        await asyncio.gather(
            rename(space, old, new),
            space.post("", {"name": new, "description": "d", "body": "b"}),
            space.patch(old, {"base_version": 1, "body": "x"}),
            space.post(f"name/{old}/archive"),
            space.post("", {"name": old, "description": "d", "body": "b"}),
            rename(space, old, f"third-{round_}"),
        )
    await asyncio.to_thread(invariants.check, postgres_url)
