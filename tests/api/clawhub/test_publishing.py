"""Publishing as clients of ClawHub do it: tickets, bytes, the skill; and tickets of others, spent, wrong or too many."""

from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import httpx
import pytest

from api.clawhub import schemas
from store.tables import identity, uploads
from tests.support.space import NewSpace, Space, refusal

V1 = "/api/v1"
SKILL_MD = b"---\nname: pdf-forms\ndescription: Fill in forms.\n---\n# Forms\n"


async def announce(space: Space, name: str, data: bytes, **changes: Any) -> httpx.Response:
    body = {
        "path": name,
        "size": len(data),
        "sha256": sha256(data).hexdigest(),
        "contentType": "text/plain",
        **changes,
    }
    return await space.at("POST", f"{V1}/skills/-/upload-url", json=body)


async def send(space: Space, path: str, data: bytes) -> dict[str, Any]:
    """A file as a publish names it."""
    ticket = await space.ok(200, await announce(space, path, data))
    assert ticket["uploadUrl"].startswith("http://skald.test/api/v1/skills/-/uploads/")
    answer = await space.at(
        "POST",
        ticket["uploadUrl"].removeprefix("http://skald.test"),
        content=data,
        headers={"Content-Type": "image/png"},
    )
    stored = await space.ok(200, answer)
    return {
        "path": path,
        "size": len(data),
        "sha256": sha256(data).hexdigest(),
        "contentType": "text/plain",
        "storageId": stored["storageId"],
        "uploadTicket": ticket["uploadTicket"],
    }


async def publish(space: Space, *files: dict[str, Any], **fields: Any) -> httpx.Response:
    body = {
        "slug": "pdf-forms",
        "displayName": "PDF Forms",
        "ownerHandle": "ada",
        "version": "7.0.0",
        "changelog": "",
        "acceptLicenseTerms": True,
        "tags": ["latest"],
        "files": list(files),
        **fields,
    }
    return await space.at("POST", f"{V1}/skills", json=body)


async def test_files_become_a_skill_and_then_a_version(space: Space) -> None:
    script = b"#!/bin/sh\n\x00\xff"
    answer = await publish(
        space,
        await send(space, "SKILL.md", SKILL_MD),
        await send(space, "run.bin", script),
        changelog="First",
    )
    made = await space.ok(200, answer)
    shown = await space.show()
    assert made == {
        "ok": True,
        "skillId": made["skillId"],
        "versionId": shown["id"],
        "publicationStatus": "published",
        "slug": "pdf-forms",
        "version": "1.0.1",
    }
    assert int(answer.headers["x-event-position"]) == await space.head()
    assert (shown["body"], shown["version_description"]) == ("# Forms\n", "First")
    assert shown["created_by"]["id"] == space.user.id
    assert [row["path"] for row in shown["files"]] == ["run.bin"]

    # Nothing that would change is no version; what is left out goes.
    again = await space.ok(
        200,
        await publish(space, await send(space, "SKILL.md", SKILL_MD), await send(space, "run.bin", script)),
    )
    assert (again["versionId"], again["version"]) == (made["versionId"], "1.0.1")
    second = await space.ok(200, await publish(space, await send(space, "SKILL.md", SKILL_MD)))
    assert (second["skillId"], second["version"]) == (made["skillId"], "1.0.2")
    assert (await space.show())["files"] == []


async def test_the_slug_is_the_name_and_an_answer_that_got_lost_is_given_again(space: Space) -> None:
    file = await send(space, "SKILL.md", SKILL_MD)
    made = await space.ok(200, await publish(space, file, slug="other-name"))
    assert (await space.show("other-name"))["description"] == "Fill in forms."
    # The client sends the same again, with and without a key for it.
    assert (await space.ok(200, await publish(space, file, slug="other-name")))["versionId"] == made[
        "versionId"
    ]
    spent = await space.at("POST", f"{V1}/skills/-/uploads/{file['uploadTicket']}", content=SKILL_MD)
    assert spent.status_code == 404


async def test_an_idempotency_key_gives_the_first_answer_again(space: Space) -> None:
    file = await send(space, "SKILL.md", SKILL_MD)
    body = {"slug": "pdf-forms", "files": [file]}
    headers = {"Idempotency-Key": f"publish-{space.id}"}
    first = await space.at("POST", f"{V1}/skills", json=body, headers=headers)
    await space.publish("pdf-forms", 1, body="# Two\n")
    again = await space.at("POST", f"{V1}/skills", json=body, headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"


async def test_bytes_have_to_be_those_that_were_announced(space: Space) -> None:
    ticket = await space.ok(200, await announce(space, "a.txt", b"abc"))
    address = f"{V1}/skills/-/uploads/{ticket['uploadTicket']}"
    assert refusal(await space.at("POST", address, content=b"abcd"))[0] == 413
    for data in (b"abd", b"ab", b""):
        assert refusal(await space.at("POST", address, content=data))[:2] == (400, "digest_mismatch")
    assert (await space.at("POST", address, content=b"abc")).status_code == 200
    # Sent again, it is the same file.
    assert (await space.at("POST", address, content=b"abc")).status_code == 200


async def test_a_ticket_is_of_one_key_and_one_project(space: Space, new_space: NewSpace) -> None:
    file = await send(space, "SKILL.md", SKILL_MD)
    unsent = await space.ok(200, await announce(space, "a.txt", b"abc"))
    other = await new_space()
    _, key = await identity.create_key(
        space.conn, email=space.user.email, scopes=["llm_skill:write"], project_ids=[space.id]
    )
    same_project = Space(space.app, space.conn, space.project, space.user, key)
    for thief in (other, same_project):
        address = f"{V1}/skills/-/uploads/{unsent['uploadTicket']}"
        assert (await thief.at("POST", address, content=b"abc")).status_code == 404
        answer = await publish(thief, file)
        assert refusal(answer) == (400, "does_not_exist", "files__0__storageId")
    own = await send(space, "b.txt", b"b")
    for changes in ({"uploadTicket": own["uploadTicket"]}, {"storageId": own["storageId"]}):
        answer = await publish(space, {**file, **changes})
        assert refusal(answer) == (400, "does_not_exist", "files__0__storageId")
    for changes in ({"size": 1}, {"sha256": "0" * 64}):
        answer = await publish(space, {**file, **changes})
        assert refusal(answer) == (400, "digest_mismatch", "files__0__sha256")
    answer = await publish(space, {**own, "storageId": "0" * 8 + file["storageId"][8:]})
    assert refusal(answer)[1] == "does_not_exist"


async def test_what_expired_is_gone_and_swept(space: Space) -> None:
    file = await send(space, "SKILL.md", SKILL_MD)
    await space.conn.execute(
        "UPDATE uploads SET expires_at = now() - interval '1 second' WHERE project_id = %s", (space.id,)
    )
    assert refusal(await publish(space, file))[1] == "does_not_exist"
    assert (
        await space.at("POST", f"{V1}/skills/-/uploads/{file['uploadTicket']}", content=SKILL_MD)
    ).status_code == 404
    await uploads.sweep(space.conn)
    rows = await (
        await space.conn.execute("SELECT 1 FROM uploads WHERE project_id = %s", (space.id,))
    ).fetchall()
    assert rows == []


async def test_a_key_holds_so_many_at_a_time(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_UPLOADS", 2)
    file = await send(space, "SKILL.md", SKILL_MD)
    await space.ok(200, await announce(space, "a.txt", b"a"))
    assert refusal(await announce(space, "b.txt", b"b"))[:2] == (400, "too_many_uploads")
    # What is published counts no more.
    await space.ok(200, await publish(space, file))
    await space.ok(200, await announce(space, "b.txt", b"b"))
    monkeypatch.setattr(uploads, "MAX_UPLOADS", 100)
    monkeypatch.setattr(uploads, "MAX_BYTES", 1000)
    assert refusal(await announce(space, "c.txt", b"c" * 999))[:2] == (400, "too_many_uploads")
    await space.ok(200, await announce(space, "c.txt", b"c" * 900))


async def test_a_body_of_unknown_length_ends_at_the_largest_file(space: Space) -> None:
    ticket = await space.ok(200, await announce(space, "a.txt", b"abc"))
    address = f"{V1}/skills/-/uploads/{ticket['uploadTicket']}"
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while read < 20 * schemas.MAX_FILE:
            read += 100_000
            yield b"a" * 100_000

    assert refusal(await space.at("POST", address, content=endless()))[0] == 413


async def test_a_file_may_be_empty(space: Space) -> None:
    files = [await send(space, "SKILL.md", SKILL_MD), await send(space, "empty.txt", b"")]
    await space.ok(200, await publish(space, *files))
    assert [(row["path"], row["size"]) for row in (await space.show())["files"]] == [("empty.txt", 0)]


async def test_a_former_name_takes_no_version(space: Space) -> None:
    await space.ok(200, await publish(space, await send(space, "SKILL.md", SKILL_MD)))
    await space.ok(200, await space.post("name/pdf-forms/rename", json={"new_name": "forms"}))
    answer = await publish(space, await send(space, "SKILL.md", SKILL_MD + b"More.\n"))
    assert (answer.status_code, answer.json()["renamed_to"]) == (404, "forms")


@pytest.mark.parametrize(
    ("changes", "code", "attr"),
    [
        ({"size": -1}, "min_value", "size"),
        ({"size": schemas.MAX_FILE + 1}, "max_value", "size"),
        ({"size": 1.0}, "invalid_input", "size"),
        ({"size": "1"}, "invalid_input", "size"),
        ({"sha256": "0" * 63}, "invalid_input", "sha256"),
        ({"sha256": "A" * 64}, "invalid_input", "sha256"),
        ({"sha256": "0" * 63 + "\n"}, "invalid_input", "sha256"),
        ({"sha256": None}, "null", "sha256"),
        ({"path": ""}, "blank", "path"),
        ({"path": "x" * 501}, "max_length", "path"),
        ({"path": "a\0"}, "null_characters_not_allowed", "path"),
    ],
)
async def test_what_cannot_be_announced(space: Space, changes: dict[str, Any], code: str, attr: str) -> None:
    answer = await announce(space, "a.txt", b"a", **changes)
    status, found, blamed = refusal(answer)
    assert (status, blamed) == (400, attr)
    assert found == code or code == "null"


@pytest.mark.parametrize("ticket", ["x", "a" * 43, "a" * 42 + "%2e", "..%2f..", "%00", "a" * 5000])
async def test_what_is_no_ticket_opens_nothing(space: Space, ticket: str) -> None:
    assert (await space.at("POST", f"{V1}/skills/-/uploads/{ticket}", content=b"a")).status_code == 404


@pytest.mark.parametrize(
    ("fields", "code", "attr"),
    [
        ({"slug": "PDF Forms"}, "invalid_name", "slug"),
        ({"slug": "../x"}, "invalid_name", "slug"),
        ({"slug": "new"}, "reserved_name", "slug"),
        ({"slug": "-"}, "invalid_name", "slug"),
        ({"files": []}, "invalid_input", "files"),
        ({"files": [{}] * 202}, "max_length", "files"),
        ({"changelog": "x" * 401}, "max_length", "changelog"),
    ],
)
async def test_what_cannot_be_published(space: Space, fields: dict[str, Any], code: str, attr: str) -> None:
    file = await send(space, "SKILL.md", SKILL_MD)
    head = await space.head()
    status, found, blamed = refusal(await publish(space, **{"files": [file], **fields}))
    assert (status, blamed) == (400, attr)
    assert found == code or attr == "files"
    assert await space.head() == head


@pytest.mark.parametrize("path", ["../a.txt", "/etc/passwd", "a//b", ".git/config", "skill.md", "a\\..\\b"])
async def test_paths_are_those_of_an_import(space: Space, path: str) -> None:
    answer = await publish(space, await send(space, "SKILL.md", SKILL_MD), await send(space, path, b"x"))
    assert refusal(answer) == (400, "invalid_skill", "files")
    assert answer.json()["problems"]
    assert (await space.get("name/pdf-forms")).status_code == 404


async def test_files_without_a_skill_or_with_a_path_twice(space: Space) -> None:
    text, skill = await send(space, "a.txt", b"a"), await send(space, "SKILL.md", SKILL_MD)
    assert refusal(await publish(space, text)) == (400, "invalid_skill", "files")
    assert refusal(await publish(space, skill, text, text)) == (400, "duplicate_path", "files__2__path")
    bad = await send(space, "SKILL.md", b"---\nname: pdf-forms\n---\nNo description.\n")
    assert refusal(await publish(space, bad)) == (400, "invalid_skill", "files")


async def test_writing_needs_its_scope_before_anything_else(space: Space) -> None:
    _, key = await identity.create_key(
        space.conn, email=space.user.email, scopes=["llm_skill:read"], project_ids=[space.id]
    )
    reader = Space(space.app, space.conn, space.project, space.user, key)
    for path in ("skills", "skills/-/upload-url", f"skills/-/uploads/{'a' * 43}"):
        answer = await reader.at("POST", f"{V1}/{path}", content=b"{")
        assert refusal(answer)[0] == 403
        assert "required scope 'llm_skill:write'" in answer.json()["detail"]


async def test_the_number_of_a_yanked_version_is_not_used_again(space: Space) -> None:
    await space.ok(200, await publish(space, await send(space, "SKILL.md", SKILL_MD)))
    two = SKILL_MD + b"More.\n"
    await space.ok(200, await publish(space, await send(space, "SKILL.md", two)))
    await space.ok(200, await space.post("name/pdf-forms/versions/2/yank", json={"reason": "It leaks."}))
    made = await space.ok(200, await publish(space, await send(space, "SKILL.md", two)))
    assert made["version"] == "1.0.3"
