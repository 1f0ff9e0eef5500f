"""Differences between versions, as JSON and as a patch."""

from typing import Any

import pytest

from tests.support.prompt_space import PromptSpace, chat
from tests.support.space import Space, file, refusal


async def diff(space: Space, /, **query: Any) -> dict[str, Any]:
    return await space.ok(200, await space.get("name/pdf-forms/diff/", params=query))


async def story(space: Space) -> None:
    """Three versions: 2 changes most things, 3 renames a file."""
    await space.create(
        body="# One\n\nfirst\nlast\n",
        metadata={"a": 1, "b": [1], "c": "x"},
        files=[
            file("keep.txt"),
            file("edit.txt", "1\n2\n3\n"),
            file("drop.txt"),
            file("old.txt", "move me\n"),
        ],
    )
    await space.publish(
        "pdf-forms",
        1,
        body="# One\n\nfirst\nlast!\n",
        description="Other words.",
        metadata={"a": 1, "b": [2], "d": None},
        files=[
            file("keep.txt"),
            file("edit.txt", "1\ntwo\n3\n"),
            file("old.txt", "move me\n"),
            file("new.txt", "n"),
        ],
    )
    await space.post("name/pdf-forms/files-rename/", {"old_path": "old.txt", "new_path": "moved/old.txt"})


async def test_a_diff_tells_fields_keys_files_and_lines(space: Space) -> None:
    await story(space)
    found = await diff(space, **{"from": 1, "to": 3})
    assert list(found) == ["name", "from", "to", "fields", "metadata", "body", "files"]
    assert (found["from"]["version"], found["to"]["version"]) == (1, 3)
    assert found["from"]["created_by"]["id"] == space.user.id
    assert found["fields"] == [
        {"field": "description", "before": "Fill in PDF forms.", "after": "Other words."}
    ]
    assert found["metadata"] == {
        "added": {"d": None},
        "removed": {"c": "x"},
        "changed": {"b": {"before": [1], "after": [2]}},
    }
    assert found["body"]["hunks"] == ["@@ -1,4 +1,4 @@\n # One\n \n first\n-last\n+last!\n"]
    assert found["body"]["truncated"] is False
    assert [(one["status"], one["old_path"], one["path"]) for one in found["files"]] == [
        ("removed", None, "drop.txt"),
        ("modified", None, "edit.txt"),
        ("renamed", "old.txt", "moved/old.txt"),
        ("added", None, "new.txt"),
    ]
    removed, modified, renamed, added = found["files"]
    assert modified["hunks"] == ["@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n"]
    assert renamed["hunks"] == []
    assert renamed["truncated"] is False
    assert removed["after"] is None
    assert removed["before"]["size"] == 1
    assert added["hunks"] == ["@@ -0,0 +1 @@\n+n\n\\ No newline at end of file\n"]


async def test_a_diff_back_in_time_is_the_other_way_round(space: Space) -> None:
    await story(space)
    found = await diff(space, **{"from": "latest", "to": 1})
    assert (found["from"]["version"], found["to"]["version"]) == (3, 1)
    assert [(one["status"], one["old_path"], one["path"]) for one in found["files"]] == [
        ("added", None, "drop.txt"),
        ("modified", None, "edit.txt"),
        ("removed", None, "new.txt"),
        ("renamed", "moved/old.txt", "old.txt"),
    ]


async def test_what_is_left_out_means_the_latest_and_the_one_before(space: Space) -> None:
    await story(space)
    assert await diff(space) == await diff(space, **{"from": 2, "to": 3})
    assert await diff(space, to=2) == await diff(space, **{"from": 1, "to": 2})
    first = await diff(space, to=1)
    assert first["from"] is None
    assert {one["status"] for one in first["files"]} == {"added"}
    assert first["metadata"]["added"] == {"a": 1, "b": [1], "c": "x"}
    same = await diff(space, **{"from": 2, "to": 2})
    assert (same["fields"], same["body"], same["files"]) == ([], None, [])


async def test_one_path_is_shown_alone(space: Space) -> None:
    await story(space)
    for path in ("old.txt", "moved/old.txt", "moved\\old.txt"):
        found = await diff(space, **{"from": 1, "to": 3, "path": path})
        assert [one["status"] for one in found["files"]] == ["renamed"]
        assert (found["fields"], found["body"]) == ([], None)
    body = await diff(space, **{"from": 1, "to": 3, "path": "skill.md"})
    assert body["body"]["hunks"]
    assert body["files"] == []
    unchanged = await diff(space, **{"from": 1, "to": 3, "path": "keep.txt"})
    assert unchanged["files"] == []
    answer = await space.get("name/pdf-forms/diff/", params={"path": "keep.tx"})
    assert refusal(answer)[:2] == (404, "not_found")
    assert answer.json()["suggestions"][0] == "keep.txt"
    assert refusal(await space.get("name/pdf-forms/diff/", params={"path": "../x"}))[2] == "path"


async def test_the_unified_form_is_a_patch(space: Space) -> None:
    await story(space)
    answer = await space.get("name/pdf-forms/diff/", params={"from": "1", "to": "3", "format": "unified"})
    assert answer.headers["content-type"] == "text/x-diff; charset=utf-8"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert '# description: "Fill in PDF forms." -> "Other words."\n' in answer.text
    assert '# metadata.c: "x" -> null\n' in answer.text
    assert (
        "diff --git a/old.txt b/moved/old.txt\nrename from old.txt\nrename to moved/old.txt\n" in answer.text
    )
    assert (
        "diff --git a/SKILL.md b/SKILL.md\n--- a/SKILL.md\n+++ b/SKILL.md\n@@ -1,4 +1,4 @@\n" in answer.text
    )
    assert "--- a/drop.txt\n+++ /dev/null\n" in answer.text
    again = await space.get(
        "name/pdf-forms/diff/",
        params={"from": "1", "to": "3", "format": "unified"},
        headers={"If-None-Match": answer.headers["etag"]},
    )
    assert (again.status_code, again.content) == (304, b"")


async def test_a_diff_is_asked_for_again_as_the_name_in_it_may_change(space: Space) -> None:
    await story(space)
    fixed = await space.get("name/pdf-forms/diff/", params={"from": "1", "to": "2"})
    assert fixed.headers["cache-control"] == "private, no-cache"
    moving = await space.get("name/pdf-forms/diff/", params={"from": "1"})
    assert moving.headers["cache-control"] == "private, no-cache"
    again = await space.get(
        "name/pdf-forms/diff/", params={"from": "1"}, headers={"If-None-Match": moving.headers["etag"]}
    )
    assert again.status_code == 304


async def test_large_contents_are_bounded(space: Space) -> None:
    await space.create(body="line\n" * 30_000, files=[file("big.txt", "x" * 200_001), file("small.txt", "1")])
    await space.publish(
        "pdf-forms",
        1,
        body="other\n" * 30_000,
        files=[file("big.txt", "y"), file("small.txt", "2")],
    )
    found = await diff(space)
    assert found["body"] == {**found["body"], "truncated": True, "hunks": []}
    big, small = found["files"]
    assert (big["truncated"], small["truncated"]) == (True, False)
    assert small["hunks"]


@pytest.mark.parametrize(
    ("query", "status", "code", "attr"),
    [
        ({"to": "9"}, 404, "version_not_found", None),
        ({"from": "9"}, 404, "version_not_found", None),
        ({"from": "0"}, 400, "min_value", "from"),
        ({"to": "-1"}, 400, "min_value", "to"),
        ({"to": "production"}, 404, "not_found", None),
        ({"to": "x" * 129}, 400, "max_length", "to"),
        ({"format": "html"}, 400, "invalid_input", "format"),
        ({"path": "a\0"}, 400, "null_characters_not_allowed", "path"),
    ],
)
async def test_what_cannot_be_compared_is_refused(
    space: Space, query: dict[str, str], status: int, code: str, attr: str | None
) -> None:
    await space.create()
    assert refusal(await space.get("name/pdf-forms/diff/", params=query)) == (status, code, attr)


async def test_prompts_are_compared_by_text_config_and_label(prompts: PromptSpace) -> None:
    await prompts.create(prompt="one\ntwo", config={"t": 1, "big": 1})
    await prompts.publish(1, prompt="one\n2", config={"t": 1.0}, version_description="why")
    await prompts.set_label("production", 1)
    found = await prompts.space.ok(200, await prompts.get("name/agent/diff/?from=production&to=latest"))
    assert list(found) == ["name", "from", "to", "fields", "prompt"]
    assert (found["from"]["version"], found["to"]["version"]) == (1, 2)
    assert [(one["field"], one["before"], one["after"]) for one in found["fields"]] == [
        ("config", {"t": 1, "big": 1}, {"t": 1.0}),
        ("version_description", "", "why"),
    ]
    no_end = "\\ No newline at end of file\n"
    assert found["prompt"]["hunks"] == [f"@@ -1,2 +1,2 @@\n one\n-two\n{no_end}+2\n{no_end}"]
    missing = await prompts.get("name/agent/diff/?from=staging")
    assert refusal(missing)[:2] == (404, "not_found")


async def test_prompts_that_are_no_text_are_compared_as_indented_json(prompts: PromptSpace) -> None:
    await prompts.create(prompt=chat("Grüße"))
    await prompts.publish(1, prompt=chat("Servus"))
    await prompts.publish(2, prompt="now a text")
    found = await prompts.space.ok(200, await prompts.get("name/agent/diff/?from=1&to=2"))
    (hunk,) = found["prompt"]["hunks"]
    assert '-    "content": "Grüße"\n+    "content": "Servus"\n' in hunk
    answer = await prompts.get("name/agent/diff/?format=unified")
    assert "rename from prompt.json\nrename to prompt.txt\n" in answer.text
