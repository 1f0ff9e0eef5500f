"""What a publish carries forward, replaces and edits (contract, section 4)."""

from typing import Any

import pytest

from tests.support.space import Space, file, refusal

WHOLE: dict[str, Any] = {
    "description": "Whole",
    "body": "# One\n\ntwo two\n",
    "license": "MIT",
    "compatibility": "any",
    "allowed_tools": ["Read"],
    "metadata": {"a": {"b": 1}, "c": 2},
    "files": [file("a.txt", "alpha beta", content_type="text/x-a"), file("b.txt", "beta")],
}
STANDING = ("id", "version", "latest_version", "version_count", "created_at", "updated_at")
# What follows from the content and the number of the version.
FOLLOWING = ("skill_md", "digest", "spec_problems")


def content(shown: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in shown.items() if key not in (*STANDING, *FOLLOWING)}


async def test_a_publish_that_changes_nothing_still_makes_a_version(space: Space) -> None:
    created = await space.create(**WHOLE)

    published = await space.publish("pdf-forms", 1)

    assert content(published) == content(created)
    assert (published["version"], published["latest_version"], published["version_count"]) == (2, 2, 2)
    assert published["id"] != created["id"]
    assert (await space.publish("pdf-forms", 2, body=WHOLE["body"]))["version"] == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("description", "Other"),
        ("license", ""),
        ("compatibility", ""),
        ("allowed_tools", []),
        ("allowed_tools", ["Write", "Read"]),
        ("metadata", {}),
        ("metadata", {"a": {}}),
        ("files", []),
    ],
)
async def test_a_sent_value_replaces_the_whole_and_the_others_carry_forward(
    space: Space, field: str, value: Any
) -> None:
    created = await space.create(**WHOLE)

    published = await space.publish("pdf-forms", 1, **{field: value})

    assert published[field] == value
    assert content(published) | {field: None} == content(created) | {field: None}
    assert await space.show() == published
    assert content(await space.show(version=1)) | {"is_latest": True} == content(created)


async def test_files_replace_the_whole_list(space: Space) -> None:
    await space.create(**WHOLE)

    published = await space.publish("pdf-forms", 1, files=[file("c.txt", "c"), file("a.txt", "new")])

    assert [(entry["path"], entry["content_type"], entry["size"]) for entry in published["files"]] == [
        ("a.txt", "text/plain", 3),
        ("c.txt", "text/plain", 1),
    ]
    assert (await space.get("name/pdf-forms/files/b.txt")).status_code == 404
    assert (await space.get("name/pdf-forms/files/b.txt?version=1")).json()["content"] == "beta"


async def test_edits_apply_in_order_each_to_the_result_of_the_one_before(space: Space) -> None:
    await space.create(body="a b")

    edits = [{"old": "a", "new": "b c"}, {"old": "b c b", "new": "d"}, {"old": "d", "new": "b\\1 \\g<0>"}]
    assert (await space.publish("pdf-forms", 1, edits=edits))["body"] == "b\\1 \\g<0>"


async def test_old_counts_without_overlap_and_by_code_points(space: Space) -> None:
    await space.create(body="aaa e\u0301 é\r\n\r\n")

    assert (await space.publish("pdf-forms", 1, edits=[{"old": "aa", "new": "x"}]))["body"].startswith("xa ")
    assert (await space.publish("pdf-forms", 2, edits=[{"old": "é", "new": "E"}]))[
        "body"
    ] == "xa e\u0301 E\r\n\r\n"
    answer = await space.patch("pdf-forms", {"base_version": 3, "edits": [{"old": "\n", "new": ""}]})
    assert answer.json()["code"] == "edit_ambiguous"
    assert (await space.publish("pdf-forms", 3, edits=[{"old": "E\r\n\r\n", "new": ""}]))[
        "body"
    ] == "xa e\u0301 "


async def test_body_edits_and_file_changes_go_together_in_one_version(space: Space) -> None:
    await space.create(**WHOLE)

    published = await space.publish(
        "pdf-forms",
        1,
        edits=[{"old": "two two", "new": "three"}],
        file_edits=[
            {"path": "a.txt", "edits": [{"old": "alpha", "new": "ALPHA"}, {"old": "A b", "new": "A-b"}]},
            {"path": "b.txt", "edits": [{"old": "beta", "new": ""}]},
        ],
        license="BSD",
    )

    assert (published["version"], published["body"], published["license"]) == (2, "# One\n\nthree\n", "BSD")
    shown = await space.get("name/pdf-forms/files/a.txt")
    assert shown.json() == {"path": "a.txt", "content": "ALPHA-beta", "content_type": "text/x-a"}
    assert [entry["size"] for entry in published["files"]] == [10, 0]
    both = await space.publish(
        "pdf-forms", 2, body="x", file_edits=[{"path": "a.txt", "edits": [{"old": "-", "new": ""}]}]
    )
    assert (both["version"], both["body"]) == (3, "x")
    mixed = await space.publish("pdf-forms", 3, edits=[{"old": "x", "new": "y"}], files=[])
    assert (mixed["version"], mixed["body"], mixed["files"]) == (4, "y", [])


async def test_one_bad_edit_spoils_the_whole_publish(space: Space) -> None:
    created = await space.create(**WHOLE)
    before = await space.head()

    answer = await space.patch(
        "pdf-forms",
        {
            "base_version": 1,
            "description": "never",
            "edits": [{"old": "One", "new": "Two"}],
            "file_edits": [
                {"path": "a.txt", "edits": [{"old": "alpha", "new": ""}]},
                {"path": "b.txt", "edits": [{"old": "none", "new": ""}]},
            ],
        },
    )

    assert refusal(answer) == (400, "edit_not_found", "file_edits__1__edits__0__old")
    assert await space.head() == before
    assert await space.show() == created


async def test_a_version_is_never_changed(space: Space) -> None:
    await space.create(**WHOLE)
    await space.post("name/pdf-forms/files", file("c.txt"))
    await space.post("name/pdf-forms/files-rename", {"old_path": "c.txt", "new_path": "d.txt"})
    before = [await space.show(version=version) for version in (1, 2, 3)]

    await space.delete("name/pdf-forms/files/a.txt")
    await space.publish("pdf-forms", 4, files=[], body="new", metadata={})

    for version, old in enumerate(before, 1):
        now = await space.show(version=version)
        assert now == old | {"is_latest": False, "latest_version": 5, "version_count": 5}
    assert (await space.get("name/pdf-forms/files/a.txt?version=3")).json()["content"] == "alpha beta"


async def test_a_base_version_of_files_is_checked_when_sent(space: Space) -> None:
    await space.create(**WHOLE)

    assert (await space.post("name/pdf-forms/files", file("c", base_version=1))).status_code == 201
    rename = {"old_path": "c", "new_path": "d", "base_version": 2}
    assert (await space.post("name/pdf-forms/files-rename", rename)).status_code == 200
    assert (await space.delete("name/pdf-forms/files/d?base_version=3")).status_code == 200
    assert (await space.delete("name/pdf-forms/files/a.txt")).json()["version"] == 5


async def test_file_paths_are_normalised_everywhere(space: Space) -> None:
    await space.create(files=[file("a\\b.txt", "old")])

    edits = [{"path": "a\\b.txt", "edits": [{"old": "old", "new": "new"}]}]
    published = await space.publish("pdf-forms", 1, file_edits=edits)
    assert [entry["path"] for entry in published["files"]] == ["a/b.txt"]
    rename = {"old_path": "a\\b.txt", "new_path": "c\\d.txt"}
    renamed = await space.ok(200, await space.post("name/pdf-forms/files-rename", rename))
    assert [entry["path"] for entry in renamed["files"]] == ["c/d.txt"]
    assert (await space.get("name/pdf-forms/files/c%5Cd.txt")).json()["path"] == "c/d.txt"


async def test_the_manifest_is_sorted_by_path(space: Space) -> None:
    created = await space.create(files=[file(path) for path in ("b", "a/z", "B", "é", "a.b", "a-b")])

    paths = [entry["path"] for entry in created["files"]]
    assert paths == sorted(paths)
    added = await space.ok(201, await space.post("name/pdf-forms/files", file("a/a")))
    paths = [entry["path"] for entry in added["files"]]
    assert paths == sorted(paths)
