"""The archive of a version: the same bytes always, and nothing lost on the way out and in again."""

import base64
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
import skills_ref  # type: ignore[import-untyped]

from domain.formats.archives import zip_of
from tests.support.archives import FILES, PNG, export, packed, send, skill_md, unzipped
from tests.support.space import NewSpace, Space, refusal


def base64_file(path: str, data: bytes) -> dict[str, Any]:
    return {"path": path, "content": base64.b64encode(data).decode(), "encoding": "base64"}


async def test_an_export_holds_what_the_skill_is(space: Space) -> None:
    made = await space.create(
        metadata={"tags": ["a"]},
        files=[base64_file("assets/logo.png", PNG), {"path": "run.sh", "content": "#!/bin/sh\r\n"}],
    )

    answer = await space.get("name/pdf-forms/export/")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="pdf-forms.zip"'
    files = unzipped(answer.content)
    assert list(files) == ["pdf-forms/SKILL.md", "pdf-forms/assets/logo.png", "pdf-forms/run.sh"]
    assert files["pdf-forms/assets/logo.png"] == PNG
    assert files["pdf-forms/run.sh"] == b"#!/bin/sh\r\n"
    assert hashlib.sha256(files["pdf-forms/SKILL.md"]).hexdigest() == made["skill_md"]["sha256"]
    assert files["pdf-forms/SKILL.md"].endswith(b"\n---\n" + made["body"].encode())
    lines = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {path.removeprefix('pdf-forms/')}\n"
        for path, data in sorted(files.items())
    )
    assert made["digest"] == "sha256:" + hashlib.sha256(lines.encode()).hexdigest()


async def test_every_version_keeps_its_bytes(space: Space) -> None:
    await space.create()
    first = await export(space)
    await space.publish("pdf-forms", 1, body="two")
    await space.post("name/pdf-forms/files", {"path": "a", "content": "x"})
    second, third = await export(space, version=2), await export(space)

    assert await export(space, version=1) == first
    assert list(unzipped(second)) == ["pdf-forms/SKILL.md"]
    assert list(unzipped(third)) == ["pdf-forms/SKILL.md", "pdf-forms/a"]
    assert await export(space, version=3) == third
    assert b'version: "3"' in unzipped(third)["pdf-forms/SKILL.md"]


async def test_an_export_of_the_past_is_what_it_was_then(space: Space) -> None:
    await space.create()
    then, first = await space.head(), await export(space)
    await space.publish("pdf-forms", 1, body="two")

    assert await export(space, position=then) == first
    await space.post("name/pdf-forms/archive")
    assert await export(space, position=then) == first
    assert (await space.get("name/pdf-forms/export/")).status_code == 404


async def test_equal_skills_are_equal_archives_in_every_project(space: Space, new_space: NewSpace) -> None:
    other = await new_space()
    for one in (space, other):
        assert (await send(one, packed("pdf-forms", *FILES))).status_code == 201

    assert await export(space) == await export(other)


async def test_what_is_exported_comes_in_again_elsewhere(space: Space, new_space: NewSpace) -> None:
    """The digest tells the number of the version, too, so both are brought to the same one."""
    other = await new_space()
    md = skill_md("pdf-forms", "license: MIT", "metadata:", "  a: '1'", "hooks:", "  - on: start  # always")
    await send(space, packed("pdf-forms", *FILES, md=md))
    made = await space.publish(
        "pdf-forms", 1, metadata={"nested": {"a": [1, "x: y", None]}, "note": "---\n\ttab"}
    )
    archive = await export(space)

    await other.create(body="an older one")
    answer = await send(other, archive, mode="upsert")

    assert answer.json()["outcome"] == "published", answer.text
    assert answer.json()["digest"] == made["digest"]
    assert await export(other) == archive
    assert (await send(space, archive, mode="upsert")).json()["outcome"] == "unchanged"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_entity_tag_is_strong_and_saves_the_bytes(space: Space, method: str) -> None:
    await space.create()

    async def ask(**options: Any) -> httpx.Response:
        return await space.at(method, "llm_skills/name/pdf-forms/export/", **options)

    latest, fixed = await ask(), await ask(params={"version": 1})
    etag = latest.headers["etag"]
    assert etag == fixed.headers["etag"]
    assert etag.startswith('"')
    assert latest.headers["cache-control"] == "private, no-cache"
    assert fixed.headers["cache-control"] == "private, no-cache", "the name in it may change"
    assert int(latest.headers["content-length"]) == len(await export(space))
    assert (latest.content == b"") == (method == "HEAD")

    same = await ask(headers={"If-None-Match": etag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert "content-type" not in same.headers
    await space.publish("pdf-forms", 1, body="two")
    assert (await ask(headers={"If-None-Match": etag})).status_code == 200
    assert (await ask(params={"version": 1}, headers={"If-None-Match": etag})).status_code == 304


async def test_a_large_skill_is_sent_file_by_file(space: Space) -> None:
    files = {f"{number}.txt": f"{number}" * 900_000 for number in range(4)}
    await space.create(files=[{"path": path, "content": text} for path, text in files.items()])
    sizes: list[int] = []

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        async def noted(message: Any) -> None:
            sizes.append(len(message.get("body", b"")))
            await send(message)

        await space.app(scope, receive, noted)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(noting), base_url=space.client.base_url, headers=space.client.headers
    ) as client:
        answer = await client.get(f"/api/projects/{space.id}/llm_skills/name/pdf-forms/export/")

    held = unzipped(answer.content)
    assert {path: held[f"pdf-forms/{path}"].decode() for path in files} == files
    assert answer.content == zip_of(
        [(path.partition("/")[2], data) for path, data in held.items()], "pdf-forms"
    )
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert max(sizes) < 1_000_000


async def test_what_is_not_there_is_not_exported(space: Space, new_space: NewSpace) -> None:
    await space.create()

    missing = await space.get("name/pdf-form/export/")
    assert refusal(missing)[:2] == (404, "not_found")
    assert missing.json()["suggestions"] == ["pdf-forms"]
    assert refusal(await space.get("name/pdf-forms/export/?version=2"))[:2] == (404, "version_not_found")
    assert refusal(await space.get("name/pdf-forms/export/?version=x")) == (400, "invalid_input", "version")
    assert (await (await new_space()).get("name/pdf-forms/export/")).status_code == 404
    other = await new_space(scopes=("llm_prompt:write",))
    assert refusal(await other.get("name/pdf-forms/export/"))[:2] == (403, "permission_denied")
    assert (await space.post("name/pdf-forms/export/")).status_code == 405
    await space.post("name/pdf-forms/archive")
    assert (await space.get("name/pdf-forms/export/?version=1")).status_code == 404


async def test_the_reference_validator_takes_what_is_exported(space: Space, tmp_path: Path) -> None:
    await send(space, packed("pdf-forms", *FILES, md=skill_md("pdf-forms", "license: MIT")))

    with zipfile.ZipFile(io.BytesIO(await export(space))) as archive:
        archive.extractall(tmp_path)

    assert (tmp_path / "pdf-forms/scripts/fill.sh").read_bytes() == dict(FILES)["scripts/fill.sh"]
    assert skills_ref.validate(tmp_path / "pdf-forms") == []
