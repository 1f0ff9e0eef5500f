"""The way back: an earlier version as a new one, and an archived life under its old name."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from api.config import ApiConfig
from tests.support import invariants
from tests.support.prompt_space import FULL_KEYS, PromptSpace, chat
from tests.support.space import SKILL_KEYS, NewSpace, Space, file, refusal, running, skill


async def revert(space: Space, version: Any, base: Any, name: str = "pdf-forms", **options: Any) -> Any:
    return await space.post(f"name/{name}/revert/", {"version": version, "base_version": base}, **options)


async def restore(space: Space, body: Any = None, name: str = "pdf-forms", **options: Any) -> Any:
    return await space.post(f"name/{name}/restore/", body, **options)


async def archive(space: Space, name: str = "pdf-forms") -> None:
    assert (await space.post(f"name/{name}/archive")).status_code == 204


def content(version: dict[str, Any]) -> dict[str, Any]:
    """What a version says, without who published it when."""
    own = {"id", "version", "created_at", "updated_at", "is_latest", "latest_version", "version_count"}
    # SKILL.md names the version.
    own |= {"skill_md", "digest"}
    return {key: value for key, value in version.items() if key not in own}


# Revert ---------------------------------------------------------------------------------------------------------


async def test_a_revert_is_a_new_version_equal_to_the_old_one(space: Space) -> None:
    first = await space.create(files=[file("a.txt", "1"), file("b.txt")], metadata={"k": [1]}, license="MIT")
    await space.publish("pdf-forms", 1, body="# Other\n", files=[], metadata={}, license="")
    await space.post("name/pdf-forms/files/", file("c.txt"))
    answer = await revert(space, 1, 3)
    made = await space.ok(200, answer)
    assert sorted(made) == sorted(SKILL_KEYS)
    assert content(made) == content(first)
    assert made["version"] == made["latest_version"] == 4
    assert made["id"] != first["id"]
    assert int(answer.headers["X-Event-Position"]) == await space.head()
    assert await space.show() == made
    assert content(await space.show(version=1)) == content(first)
    text = await space.ok(200, await space.get("name/pdf-forms/files/a.txt"))
    assert text["content"] == "1"
    assert (await space.show(version=3))["files"][0]["path"] == "c.txt"


async def test_a_revert_brings_back_what_searches_find(space: Space) -> None:
    await space.create(description="Unmistakable words")
    await space.publish("pdf-forms", 1, description="Others")
    await space.ok(200, await revert(space, 1, 2))
    assert await space.names(search="mistakable") == ["pdf-forms"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, "required", "version")),
        ({"version": 1}, (400, "required", "base_version")),
        ({"version": "1", "base_version": 2}, (400, "invalid_input", "version")),
        ({"version": 0, "base_version": 2}, (400, "min_value", "version")),
        ({"version": 10**12, "base_version": 2}, (400, "max_value", "version")),
        ({"version": None, "base_version": 2}, (400, "null", "version")),
        ({"version": 9, "base_version": 1}, (409, "version_conflict", "base_version")),
        ({"version": 9, "base_version": 2}, (404, "version_not_found", None)),
        ({"version": 1, "base_version": 3}, (409, "version_conflict", "base_version")),
    ],
)
async def test_a_revert_that_does_not_fit_is_refused(
    space: Space, body: dict[str, Any], expected: tuple[int, str, str | None]
) -> None:
    await space.create()
    await space.publish("pdf-forms", 1, body="# Two\n")
    before = await space.head()
    answer = await space.post("name/pdf-forms/revert/", body)
    assert refusal(answer) == expected
    if answer.status_code == 409:
        assert answer.json()["current_version"] == 2
    if answer.status_code == 404:
        assert answer.json()["available_versions"] == [2, 1]
    assert await space.head() == before


async def test_if_match_stands_for_the_base_version(space: Space) -> None:
    await space.create()
    old = (await space.get("name/pdf-forms/")).headers["etag"]
    await space.publish("pdf-forms", 1, body="# Two\n")
    stale = await space.post("name/pdf-forms/revert/", {"version": 1}, headers={"If-Match": old})
    assert refusal(stale)[:2] == (412, "precondition_failed")
    new = (await space.get("name/pdf-forms/")).headers["etag"]
    made = await space.post("name/pdf-forms/revert/", {"version": 1}, headers={"If-Match": new})
    assert (await space.ok(200, made))["version"] == 3


async def test_a_repeated_revert_is_made_once(space: Space) -> None:
    await space.create()
    await space.publish("pdf-forms", 1, body="# Two\n")
    once = {"Idempotency-Key": "revert-1"}
    first = await revert(space, 1, 2, headers=once)
    again = await revert(space, 1, 2, headers=once)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.content == first.content
    assert refusal(await revert(space, 2, 3, headers=once))[:2] == (422, "idempotency_key_reused")
    assert (await space.show())["version"] == 3


async def test_of_many_reverts_on_one_base_one_wins(space: Space) -> None:
    await space.create()
    await space.publish("pdf-forms", 1, body="# Two\n")
    answers = await asyncio.gather(*(revert(space, 1, 2) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    assert {answer.json().get("current_version") for answer in answers} == {None, 3}


async def test_prompts_go_back_with_their_config(prompts: PromptSpace) -> None:
    first = await prompts.create(prompt=chat("one"), config={"t": 1}, version_description="first")
    await prompts.publish(1, prompt="two", config=None)
    answer = await prompts.post("name/agent/revert/", {"version": 1, "base_version": 2})
    made = await prompts.space.ok(200, answer)
    assert set(made) == set(FULL_KEYS)
    assert (made["prompt"], made["config"]) == (first["prompt"], first["config"])
    assert (made["version"], made["version_description"]) == (3, "")
    assert await prompts.names(search="one") == ["agent"]


# Restore --------------------------------------------------------------------------------------------------------


async def test_an_archived_skill_comes_back_with_its_versions(space: Space) -> None:
    await space.create(files=[file("a.txt", "1")])
    second = await space.publish("pdf-forms", 1, description="Found by this", body="# Two\n")
    assert refusal(await restore(space))[:2] == (400, "unique")
    await archive(space)
    assert (await space.get("name/pdf-forms/")).status_code == 404
    answer = await restore(space)
    assert await space.ok(200, answer) == second
    assert sorted(second) == sorted(SKILL_KEYS)
    assert int(answer.headers["X-Event-Position"]) == await space.head()
    read = await space.get("name/pdf-forms/")
    assert read.json() == second
    assert read.headers["etag"] == answer.headers["etag"]
    assert (await space.show(version=1))["version"] == 1
    assert await space.names() == ["pdf-forms"]
    assert await space.names(search="found by") == ["pdf-forms"]
    third = await space.publish("pdf-forms", 2, body="# Three\n")
    assert third["version_count"] == 3
    assert third["first_version_created_at"] == second["first_version_created_at"]
    resolved = await space.ok(200, await space.get("resolve/name/pdf-forms/"))
    assert [line["version"] for line in resolved["versions"]] == [3, 2, 1]
    assert (await space.get(f"name/{second['id']}/")).status_code == 302


async def test_a_skill_may_come_and_go_often(space: Space) -> None:
    made = await space.create()
    for _ in range(3):
        await archive(space)
        assert (await space.get("name/pdf-forms/")).status_code == 404
        assert await space.ok(200, await restore(space)) == made
        assert await space.show() == made


async def test_the_life_is_the_last_one_or_the_one_that_is_named(space: Space) -> None:
    first = await space.create(body="# First\n")
    await space.publish("pdf-forms", 1, body="# First, again\n")
    await archive(space)
    second = await space.create(body="# Second\n")
    assert refusal(await restore(space)) == (400, "unique", "name")
    assert refusal(await restore(space, {"id": first["id"]})) == (400, "unique", "name")
    await archive(space)
    assert refusal(await restore(space, {"id": str(uuid4())}))[:2] == (404, "not_found")
    back = await space.ok(200, await restore(space, {"id": first["id"]}))
    assert (back["body"], back["version"]) == ("# First, again\n", 2)
    await archive(space)
    # Last archived, not last created.
    assert (await space.ok(200, await restore(space)))["body"] == "# First, again\n"
    await archive(space)
    assert await space.ok(200, await restore(space, {"id": second["id"]})) == second
    await archive(space)
    told = await space.ok(200, await space.get("name/pdf-forms/history/?include_archived=true"))
    life = told["results"][-1]["stream_id"]
    assert (await space.ok(200, await restore(space, {"id": life})))["body"] == "# First, again\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"id": "x"}, (400, "invalid_input", "id")),
        ({"id": 1}, (400, "invalid_input", "id")),
        ({"id": None}, (400, "null", "id")),
        ({"id": uuid4().hex}, (400, "invalid_input", "id")),
        ({}, (404, "not_found", None)),
        (None, (404, "not_found", None)),
    ],
)
async def test_what_cannot_be_restored_is_refused(
    space: Space, body: Any, expected: tuple[int, str, str | None]
) -> None:
    assert refusal(await restore(space, body)) == expected


async def test_a_version_of_another_name_is_not_taken_for_a_life_of_this_one(space: Space) -> None:
    other = await space.create("other")
    await archive(space, "other")
    await space.create()
    await archive(space)
    assert refusal(await restore(space, {"id": other["id"]}))[:2] == (404, "not_found")


async def test_a_repeated_restore_is_answered_as_the_first_was(space: Space) -> None:
    made = await space.create()
    await archive(space)
    once = {"Idempotency-Key": "restore-1"}
    first = await restore(space, headers=once)
    await space.publish("pdf-forms", 1, body="# Later\n")
    again = await restore(space, headers=once)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await space.ok(200, again) == first.json() == made
    assert (await space.show())["version"] == 2


async def test_a_repeated_archive_is_answered_as_the_first_was_after_a_restore(prompts: PromptSpace) -> None:
    await prompts.create()
    once = {"Idempotency-Key": "archive-1"}
    first = await prompts.post("name/agent/archive", headers=once)
    await prompts.post("name/agent/restore/")
    await prompts.publish(1, prompt="two")
    again = await prompts.post("name/agent/archive", headers=once)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    assert again.json()["deleted"] is True


async def test_a_prompt_comes_back_without_its_labels(prompts: PromptSpace) -> None:
    made = await prompts.create(config={"t": 1})
    await prompts.set_label("production", 1)
    await prompts.post("name/agent/archive")
    back = await prompts.space.ok(200, await prompts.post("name/agent/restore/"))
    assert back == {**made, "labels": []}
    assert refusal(await prompts.get("name/agent/?label=production"))[:2] == (404, "not_found")
    await prompts.set_label("production", 1)
    assert (await prompts.show(label="production"))["labels"] == ["production"]


async def test_the_past_knows_when_a_name_was_archived(space: Space) -> None:
    await space.create()
    created = await space.head()
    await archive(space)
    gone = await space.head()
    await restore(space)
    assert (await space.show(position=created))["version"] == 1
    assert (await space.get("name/pdf-forms/", params={"position": gone})).status_code == 404
    assert (await space.show(position=gone + 1))["version"] == 1


async def test_of_many_who_restore_and_create_one_gets_the_name(space: Space) -> None:
    await space.create()
    await archive(space)
    answers = await asyncio.gather(
        *(restore(space) for _ in range(8)),
        *(space.post(json=skill(body=f"# {number}\n")) for number in range(8)),
    )
    won = [answer for answer in answers if answer.is_success]
    assert len(won) == 1
    assert {refusal(answer)[:2] for answer in answers if answer not in won} == {(400, "unique")}
    assert await space.show() == won[0].json()


async def test_other_processes_race_for_a_name_and_see_it_restored(
    api_config: ApiConfig, space: Space, tmp_path: Path, postgres_url: str
) -> None:

    made = await space.create()
    other_config = msgspec.structs.replace(api_config, run_dir=tmp_path)
    async with running(other_config) as app:
        other = Space(app, space.conn, space.project, space.user, space.key)
        for number in range(6):
            await archive(space)
            answers = await asyncio.gather(
                restore(space),
                restore(other),
                space.post(json=skill(body=f"# {number}\n")),
                other.post(json=skill(body=f"# {number}\n")),
            )
            assert sorted(answer.status_code for answer in answers) in (
                [200, 400, 400, 400],
                [201, 400, 400, 400],
            )
            won = next(answer for answer in answers if answer.is_success)
            assert await space.show() == won.json()
        await archive(space)
        assert await space.ok(200, await restore(other, {"id": made["id"]})) == made
        assert (await space.publish("pdf-forms", 1, body="# Next\n"))["version"] == 2
        await other.client.aclose()
    invariants.check(postgres_url)


# What can be restored -------------------------------------------------------------------------------------------


async def test_archived_lives_are_listed_the_last_one_first(new_space: NewSpace) -> None:
    space = await new_space(scopes=("llm_skill:write",))
    first = await space.create("one")
    await space.create("two", files=[file("a.txt")])
    latest = await space.publish("two", 1, description="Second words")
    await space.create("three")
    for name in ("one", "two"):
        await archive(space, name)
    page = await space.ok(200, await space.get("archived/"))
    assert list(page) == ["count", "next", "previous", "results"]
    assert page["count"] == 2
    two, one = page["results"]
    row_keys = [key for key in SKILL_KEYS if key not in ("body", "files", "labels")]
    assert sorted(two) == sorted([*row_keys, "all_labels", "archived_at", "archived_by", "name_taken"])
    assert {key: two[key] for key in row_keys} == {**{key: latest[key] for key in row_keys}, "deleted": True}
    assert two["archived_by"]["id"] == space.user.id
    assert two["archived_at"] > one["archived_at"]
    assert two["name_taken"] is False
    assert one["id"] == first["id"]
    paged = await space.ok(200, await space.get("archived/?limit=1"))
    assert [row["name"] for row in paged["results"]] == ["two"]
    rest = await space.ok(200, await space.client.get(paged["next"]))
    assert [row["name"] for row in rest["results"]] == ["one"]
    await space.create("one")
    taken = await space.ok(200, await space.get("archived/?offset=1"))
    assert [(row["name"], row["name_taken"]) for row in taken["results"]] == [("one", True)]
    await restore(space, name="two")
    assert (await space.ok(200, await space.get("archived/")))["count"] == 1
    again = await space.get(
        "archived/", headers={"If-None-Match": (await space.get("archived/")).headers["etag"]}
    )
    assert again.status_code == 304
    assert refusal(await space.get("archived/?limit=0")) == (400, "min_value", "limit")


async def test_archived_prompts_are_listed_with_or_without_their_text(prompts: PromptSpace) -> None:
    await prompts.create(prompt="A text", config={"t": 1})
    await prompts.set_label("production", 1)
    await prompts.post("name/agent/archive")
    (row,) = (await prompts.space.ok(200, await prompts.get("archived/")))["results"]
    assert (row["prompt"], row["config"], row["all_labels"], row["deleted"]) == ("A text", {"t": 1}, [], True)
    (row,) = (await prompts.space.ok(200, await prompts.get("archived/?content=preview")))["results"]
    assert row["prompt_preview"] == "A text"
    assert "prompt" not in row
    (row,) = (await prompts.space.ok(200, await prompts.get("archived/?content=none")))["results"]
    assert row["prompt_size_bytes"] == 8
