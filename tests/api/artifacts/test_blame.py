"""Which version brought each line."""

from typing import Any

import pytest

from projections.compare import blame as blaming
from store.tables import identity
from tests.support.prompt_space import PromptSpace, chat
from tests.support.space import NewSpace, Space, file, refusal


async def blame(space: Space, **query: Any) -> dict[str, Any]:
    return await space.ok(200, await space.get("name/pdf-forms/blame/", params=query))


def brought(found: dict[str, Any]) -> list[tuple[str, int]]:
    assert [line["line"] for line in found["lines"]] == list(range(1, len(found["lines"]) + 1))
    return [(line["text"], line["version"]) for line in found["lines"]]


async def test_each_line_of_the_body_has_its_version_author_and_time(new_space: NewSpace) -> None:
    space = await new_space()
    first = await space.create(body="# A\nb\r\nc\n")
    other = await identity.create_user(space.conn, email=f"other-{space.id}@example.com", first_name="Bo")
    _, key = await identity.create_key(
        space.conn, email=other.email, scopes=["llm_skill:write"], project_ids=[space.id]
    )
    await space.patch(
        "pdf-forms",
        {"base_version": 1, "edits": [{"old": "b\r\n", "new": "B\r\n"}]},
        headers={"Authorization": f"Bearer {key}"},
    )
    await space.publish("pdf-forms", 2, description="The body stays.")
    await space.publish("pdf-forms", 3, body="new\n# A\nB\r\nc")
    found = await blame(space)
    assert list(found) == ["name", "version", "path", "lines", "complete", "truncated"]
    assert brought(found) == [("new", 4), ("# A", 1), ("B\r", 2), ("c", 4)]
    assert (found["version"], found["path"], found["complete"], found["truncated"]) == (4, None, True, False)
    lines = found["lines"]
    assert lines[1]["created_at"] == first["created_at"]
    assert lines[1]["created_by"]["first_name"] == "Ada"
    assert lines[2]["created_by"]["first_name"] == "Bo"
    assert brought(await blame(space, version=2)) == [("# A", 1), ("B\r", 2), ("c", 1)]
    assert brought(await blame(space, path="SKILL.md")) == brought(found)


async def test_a_file_is_followed_through_its_renames(space: Space) -> None:
    await space.create(files=[file("a.txt", "1\n2\n")])
    await space.post("name/pdf-forms/files-rename/", {"old_path": "a.txt", "new_path": "b/a.txt"})
    await space.publish(
        "pdf-forms", 2, file_edits=[{"path": "b/a.txt", "edits": [{"old": "2", "new": "two"}]}]
    )
    found = await blame(space, path="b/a.txt")
    assert brought(found) == [("1", 1), ("two", 3)]
    assert found["path"] == "b/a.txt"
    assert brought(await blame(space, path="a.txt", version=1)) == [("1", 1), ("2", 1)]
    assert refusal(await space.get("name/pdf-forms/blame/", params={"path": "a.txt"}))[:2] == (
        404,
        "not_found",
    )


async def test_a_revert_brings_the_lines_that_were_gone(space: Space) -> None:
    await space.create(body="same\nold\n")
    await space.publish("pdf-forms", 1, body="same\nnew\n")
    await space.post("name/pdf-forms/revert/", {"version": 1, "base_version": 2})
    assert brought(await blame(space)) == [("same", 1), ("old", 3)]


async def test_answers_are_cached_as_elsewhere(space: Space) -> None:
    await space.create()
    fixed = await space.get("name/pdf-forms/blame/?version=1")
    again = await space.get("name/pdf-forms/blame/", headers={"If-None-Match": fixed.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["cache-control"] == "private, no-cache"


async def test_bounds_are_told(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    await space.create(
        body="# Title\n", files=[file("long.txt", "\n" * 10_000), file("big.txt", "x" * 200_001)]
    )
    for path in ("long.txt", "big.txt"):
        found = await blame(space, path=path)
        assert (found["lines"], found["truncated"], found["complete"]) == ([], True, False)
    for number in range(1, 5):
        await space.publish("pdf-forms", number, body=f"# Title\n{number}\n")
    monkeypatch.setattr(blaming, "MAX_STEPS", 3)
    found = await blame(space)
    assert found["complete"] is False
    assert brought(found) == [("# Title", 3), ("4", 5)]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("version=9", 404, "version_not_found"),
        ("version=x", 400, "invalid_input"),
        ("path=..", 400, "invalid_path"),
    ],
)
async def test_what_is_not_there_is_refused(space: Space, query: str, status: int, code: str) -> None:
    await space.create()
    assert refusal(await space.get(f"name/pdf-forms/blame/?{query}"))[:2] == (status, code)


async def test_prompts_are_told_by_text_or_by_indented_json(prompts: PromptSpace) -> None:
    await prompts.create(prompt="one\ntwo")
    await prompts.publish(1, prompt="one\n2")
    await prompts.publish(2, config={"t": 1})
    found = await prompts.space.ok(200, await prompts.get("name/agent/blame/"))
    assert brought(found) == [("one", 1), ("2", 2)]
    await prompts.create("chat", chat("Hi"))
    await prompts.publish(1, "chat", prompt=[*chat("Hi"), {"role": "user", "content": "Ho"}])
    found = await prompts.space.ok(200, await prompts.get("name/chat/blame/"))
    assert ('    "content": "Hi"', 1) in brought(found)
    assert ('    "content": "Ho"', 2) in brought(found)
