"""Each endpoint as its page describes it: status, exact keys, values."""

import asyncio
import hashlib
import re
from time import monotonic

from store.tables import identity
from tests.support.space import BODY, ROW_KEYS, SKILL_KEYS, USER_KEYS, Space, file, skill

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


async def test_create_answers_with_the_whole_skill(space: Space) -> None:
    answer = await space.post(
        json=skill(
            license="MIT",
            compatibility="Python 3.11",
            allowed_tools=["Read", "Bash(git log:*)"],
            metadata={"team": "docs", "b": [1, 2.5, None, {"c": True}]},
            files=[file("b.txt", "béta"), file("a/x.py", "print()\n", content_type="text/x-python")],
        )
    )

    created = await space.ok(201, answer)
    assert sorted(created) == sorted(SKILL_KEYS)
    assert list(created["created_by"]) == USER_KEYS
    assert created["created_by"]["id"] == space.user.id
    assert created["created_by"]["hedgehog_config"] is None
    assert created["body"] == BODY
    assert created["allowed_tools"] == ["Read", "Bash(git log:*)"]
    assert created["metadata"] == {"team": "docs", "b": [1, 2.5, None, {"c": True}]}
    assert created["outline"] == [{"level": 1, "text": "PDF forms"}]
    assert created["files"] == [
        {
            "path": "a/x.py",
            "content_type": "text/x-python",
            "size": 8,
            "sha256": hashlib.sha256(b"print()\n").hexdigest(),
            "line_count": 1,
            "char_count": 8,
        },
        {
            "path": "b.txt",
            "content_type": "text/plain",
            "size": 5,
            "sha256": hashlib.sha256("béta".encode()).hexdigest(),
            "line_count": 1,
            "char_count": 4,
        },
    ]
    assert (created["version"], created["latest_version"], created["version_count"]) == (1, 1, 1)
    assert (created["deleted"], created["is_latest"]) == (False, True)
    assert TIME.fullmatch(created["created_at"])
    assert created["created_at"] == created["updated_at"] == created["first_version_created_at"]


async def test_defaults_of_a_new_skill(space: Space) -> None:
    created = await space.create()

    assert (created["license"], created["compatibility"]) == ("", "")
    assert (created["allowed_tools"], created["metadata"], created["files"]) == ([], {}, [])


async def test_get_by_name_is_what_create_answered(space: Space) -> None:
    created = await space.create(files=[file("a")])

    assert await space.show() == created


async def test_get_of_an_old_version(space: Space) -> None:
    first = await space.create()
    second = await space.publish("pdf-forms", 1, body="two")

    old = await space.show(version=1)

    assert sorted(old) == sorted(SKILL_KEYS)
    assert old == first | {"is_latest": False, "latest_version": 2, "version_count": 2}
    assert second["id"] != first["id"]
    assert second["first_version_created_at"] == first["created_at"]
    assert second["created_at"] > first["created_at"]
    assert await space.show(version=2) == second == await space.show()


async def test_list_rows_are_skills_without_body_and_files(space: Space) -> None:
    created = await space.create(files=[file("a")])

    page = await space.ok(200, await space.get(""))

    assert list(page) == ["count", "next", "previous", "results"]
    assert (page["count"], page["next"], page["previous"]) == (1, None, None)
    [row] = page["results"]
    assert sorted(row) == sorted(ROW_KEYS)
    shown = {key: value for key, value in created.items() if key not in ("body", "files", "labels")}
    assert row == {**shown, "all_labels": []}


async def test_archive(space: Space) -> None:
    await space.create()

    answer = await space.post("name/pdf-forms/archive")

    assert (answer.status_code, answer.content) == (204, b"")


async def test_duplicate(space: Space) -> None:
    await space.create(files=[file("a", "one")], license="MIT", metadata={"k": 1})
    source = await space.publish("pdf-forms", 1, body="# Two")

    copy = await space.ok(201, await space.post("name/pdf-forms/duplicate", {"new_name": " copy "}))

    assert sorted(copy) == sorted(SKILL_KEYS)
    same = ("description", "body", "license", "metadata", "files", "outline")
    assert {key: copy[key] for key in same} == {key: source[key] for key in same}
    assert (copy["name"], copy["version"], copy["version_count"]) == ("copy", 1, 1)
    assert copy["id"] != source["id"]
    assert (await space.get("name/copy/files/a")).json()["content"] == "one"
    # Neither changes with the other.
    await space.publish("copy", 1, files=[])
    assert (await space.show())["files"] == source["files"]


async def test_files_are_added_renamed_read_and_deleted(space: Space) -> None:
    await space.create()

    added = await space.ok(
        201, await space.post("name/pdf-forms/files", file("b\\x.py", "1\r\n", content_type="text/x-python"))
    )
    assert sorted(added) == sorted(SKILL_KEYS)
    assert (added["version"], [entry["path"] for entry in added["files"]]) == (2, ["b/x.py"])

    read = await space.ok(200, await space.get("name/pdf-forms/files/b/x.py"))
    assert read == {"path": "b/x.py", "content": "1\r\n", "content_type": "text/x-python"}
    assert list(read) == ["path", "content", "content_type"]

    renamed = await space.ok(
        200, await space.post("name/pdf-forms/files-rename", {"old_path": "b/x.py", "new_path": "b\\y.py"})
    )
    assert sorted(renamed) == sorted(SKILL_KEYS)
    assert (renamed["version"], [entry["path"] for entry in renamed["files"]]) == (3, ["b/y.py"])
    assert renamed["files"][0]["sha256"] == added["files"][0]["sha256"]
    assert renamed["files"][0]["content_type"] == "text/x-python"

    removed = await space.ok(
        200, await space.delete("name/pdf-forms/files/b/y.py", params={"base_version": 3})
    )
    assert sorted(removed) == sorted(SKILL_KEYS)
    assert (removed["version"], removed["files"]) == (4, [])
    assert (await space.get("name/pdf-forms/files/b/x.py", params={"version": 2})).json() == read


async def test_resolve(space: Space) -> None:
    first = await space.create()
    second = await space.publish("pdf-forms", 1, body="two")

    resolved = await space.ok(200, await space.get("resolve/name/pdf-forms"))

    assert list(resolved) == ["skill", "versions", "has_more", "labels"]
    assert resolved["skill"] == second
    assert list(resolved["versions"][0]) == ["id", "version", "created_by", "created_at", "is_latest"]
    assert [(line["id"], line["version"], line["is_latest"]) for line in resolved["versions"]] == [
        (second["id"], 2, True),
        (first["id"], 1, False),
    ]
    assert resolved["versions"][1]["created_at"] == first["created_at"]
    assert resolved["versions"][1]["created_by"] == first["created_by"]
    assert resolved["has_more"] is False


async def test_content_is_not_in_the_manifest_of_a_new_skill(space: Space) -> None:
    created = await space.create(files=[file("a", "secret")])

    assert list(created["files"][0]) == ["path", "content_type", "size", "sha256", "line_count", "char_count"]


async def test_created_by_is_the_publisher_of_each_version(space: Space) -> None:
    await space.create()
    other = await identity.create_user(space.conn, email=f"other-{space.id}@example.com", first_name="Bob")
    _, key = await identity.create_key(
        space.conn, email=other.email, scopes=["llm_skill:write"], project_ids=[space.id]
    )
    answer = await space.patch("pdf-forms", {"base_version": 1}, headers={"Authorization": f"Bearer {key}"})
    assert (await space.ok(200, answer))["created_by"]["id"] == other.id

    lines = (await space.get("resolve/name/pdf-forms")).json()["versions"]
    assert [line["created_by"]["id"] for line in lines] == [other.id, space.user.id]
    rows = await space.names(created_by_id=other.id)
    assert rows == ["pdf-forms"]
    assert await space.names(created_by_id=space.user.id) == []


async def test_created_by_is_null_once_the_user_is_erased(space: Space) -> None:
    other = await identity.create_user(space.conn, email=f"gone-{space.id}@example.com", first_name="Bob")
    _, key = await identity.create_key(
        space.conn, email=other.email, scopes=["llm_skill:write"], project_ids=[space.id]
    )
    answer = await space.post(json=skill(), headers={"Authorization": f"Bearer {key}"})
    assert (await space.ok(201, answer))["created_by"]["first_name"] == "Bob"

    await identity.erase_user(space.conn, other.email)
    # Another connection wrote to the log, so the service hears of it by notification.
    deadline = monotonic() + 5
    while (shown := await space.show())["created_by"] is not None and monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert shown["created_by"] is None
    assert (await space.get("")).json()["results"][0]["created_by"] is None
    assert (await space.get("resolve/name/pdf-forms")).json()["versions"][0]["created_by"] is None
