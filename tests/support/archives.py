"""Skills as archives, and how tests send and read them."""

import io
import zipfile
from typing import Any

import httpx

from domain.formats.archives import zip_of
from tests.support.space import Space
from tests.support.tars import tar_gz_of

BODY = "# PDF forms\n\nRead the form, then fill it in.\n"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe"
FILES = [("assets/logo.png", PNG), ("scripts/fill.sh", b"#!/bin/sh\r\necho done"), ("empty", b"")]


def skill_md(name: str = "pdf-forms", *lines: str, body: str = BODY) -> bytes:
    """A SKILL.md as an author writes it; ``lines`` are more of its frontmatter."""
    head = "\n".join([f"name: {name}", "description: Fill in PDF forms.", *lines])
    return f"---\n{head}\n---\n{body}".encode()


def packed(
    name: str = "pdf-forms", *files: tuple[str, bytes], md: bytes | None = None, body: str = BODY
) -> bytes:
    """A zip of one skill in a folder of its name."""
    return zip_of([("SKILL.md", md or skill_md(name, body=body)), *files], name)


def tarred(name: str = "pdf-forms", *files: tuple[str, bytes]) -> bytes:
    return tar_gz_of([("SKILL.md", skill_md(name)), *files])


def unzipped(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


async def send(
    space: Space, archive: bytes, *, headers: dict[str, str] | None = None, query: Any = None, **fields: str
) -> httpx.Response:
    """An import."""
    return await space.at(
        "POST",
        "llm_skills/import/",
        files={"file": ("skill.zip", archive)},
        data=fields,
        params=query,
        headers=headers,
    )


async def export(space: Space, name: str = "pdf-forms", **query: Any) -> bytes:
    answer = await space.get(f"name/{name}/export/", params=query)
    assert answer.status_code == 200, answer.text
    return answer.content
