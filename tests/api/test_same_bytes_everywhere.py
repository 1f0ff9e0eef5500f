"""One store, every door: what is published once comes out of each of them with the same bytes and digests."""

import asyncio
import base64
import io
import stat
import zipfile
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

import httpx
import pytest

from tests.support.gitting import Git
from tests.support.mcp_client import Agent, connected
from tests.support.people import Person
from tests.support.service import Service
from tests.support.tars import tar_gz_of

NAME = "pdf-forms"
SCRIPT = "scripts/fill in.sh"
SKILL_MD = """\
---
name: pdf-forms
description: "Fill in PDF forms: read, then write."
license: MIT
allowed-tools: Read Bash(git log:*)
metadata:
  author: Ada
model: opus  # no key of the specification
hooks:
  - on: start
---
# PDF forms\r
\r
Read [how](references/größe.md), then fill it in: "---" is no end.
"""
FILES = {
    SCRIPT: b"#!/bin/sh\necho done\n",
    "assets/logo.png": b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe",
    "references/größe.md": "naïve\r\n".encode(),
    "references/deep/er/empty": b"",
    "table.csv": b"a;b\xe4\n",
}
Tree = dict[str, bytes]


class Doors:
    """A project with one skill on the running service, and each way to get it."""

    def __init__(self, service: Service, home: Path) -> None:
        self.service, self.home = service, home
        self.project_id = service.make_project().id
        self.key = service.make_key(["llm_skill:write"], [self.project_id])
        self.http = service.async_client(self.key, self.project_id)
        self.executable: dict[str, set[str]] = {}
        self.by_files: list[dict[str, Any]] = []

    async def publish(self, files: Tree, *, body: str = "") -> dict[str, Any]:
        archive = tar_gz_of([("SKILL.md", (SKILL_MD + body).encode()), *files.items()], NAME)
        answer = await self.http.post(
            "llm_skills/import/", params={"mode": "upsert"}, files={"file": ("skill.tgz", archive)}
        )
        assert answer.is_success, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def get(self, path: str) -> httpx.Response:
        answer = await self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer

    async def api(self) -> Tree:
        """SKILL.md, and each file by itself."""
        shown = (await self.get(f"llm_skills/name/{NAME}")).json()
        tree = {"SKILL.md": (await self.get(f"llm_skills/name/{NAME}/skill-md/")).content}
        for file in shown["files"]:
            answer = (await self.get(f"llm_skills/name/{NAME}/files/{quote(file['path'])}")).json()
            is_text = "encoding" not in answer
            data = answer["content"].encode() if is_text else base64.b64decode(answer["content"])
            assert sha256(data).hexdigest() == file["sha256"]
            tree[file["path"]] = data
        return tree

    async def zip(self) -> Tree:
        archive = (await self.get(f"llm_skills/name/{NAME}/export/")).content
        return {path.removeprefix(f"{NAME}/"): data for path, data in self._unzipped("zip", archive).items()}

    async def discovery(self) -> Tree:
        """The archive of the index, and every file by itself."""
        share = (await self.http.post("llm_skills/shares/", json={})).json()["token"]
        base = f"{self.service.base_url}/s/{share}/.well-known"
        async with httpx.AsyncClient() as anyone:
            index = (await anyone.get(f"{base}/agent-skills/index.json")).json()
            [entry] = index["skills"]
            archive = (await anyone.get(urljoin(f"{base}/agent-skills/index.json", entry["url"]))).content
            assert entry["digest"] == f"sha256:{sha256(archive).hexdigest()}"
            tree = self._unzipped("discovery", archive)
            for path, data in tree.items():
                for folder in ("agent-skills", "skills"):
                    answer = await anyone.get(f"{base}/{folder}/{NAME}/{quote(path)}")
                    assert answer.content == data, path
            # Older installers read another index, which has no skill with a path that they could not fetch.
            self.by_files = (await anyone.get(f"{base}/skills/index.json")).json()["skills"]
        return tree

    async def git(self) -> Tree:
        git = Git(self.service, self.home / "git", self.project_id, self.key)
        folder = self.home / "git" / f"clone-{len(list(self.home.glob('git/clone-*')))}"
        await asyncio.to_thread(git, "-c", "core.autocrlf=false", "clone", "-q", git.url, str(folder))
        skill = folder / "skills" / NAME
        self.executable["git"] = {path for path in self._read(skill) if (skill / path).stat().st_mode & 0o100}
        return self._read(skill)

    async def mcp(self) -> Tree:
        async with connected(f"{self.service.base_url}/mcp", self.key) as client:
            agent = Agent(self.service, client, self.project_id, self.key)
            entry = (await agent.ask("skills/get", uri=f"skill://{NAME}/SKILL.md"))["skill"]
            tree = {}
            for resource in entry["resources"]:
                [content] = (await client.read_resource(resource["uri"])).contents
                text: str | None = getattr(content, "text", None)
                data = base64.b64decode(content.blob) if text is None else text.encode()  # type: ignore[union-attr]
                assert resource["digest"] == f"sha256:{sha256(data).hexdigest()}"
                assert resource["size"] == len(data)
                path = httpx.URL(resource["uri"]).path.removeprefix("/")
                tree[path] = data
            return tree

    async def command(self) -> Tree:
        person = Person(self.service, self.home / f"person-{len(list(self.home.glob('person-*')))}")
        person.env |= {"SKALD_KEY": self.key, "SKALD_PROJECT": str(self.project_id)}
        await asyncio.to_thread(person.json, "pull", NAME, "--dir", "skills")
        return self._read(person.work / "skills" / NAME)

    def _unzipped(self, door: str, archive: bytes) -> Tree:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            infos = opened.infolist()
            self.executable[door] = {
                info.filename.removeprefix(f"{NAME}/")
                for info in infos
                if (info.external_attr >> 16) & stat.S_IXUSR
            }
            return {info.filename: opened.read(info) for info in infos}

    @staticmethod
    def _read(folder: Path) -> Tree:
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    def all(self) -> dict[str, Callable[[], Awaitable[Tree]]]:
        return {
            "api": self.api,
            "zip": self.zip,
            "discovery": self.discovery,
            "git": self.git,
            "mcp": self.mcp,
            "skald pull": self.command,
        }


def digest_of(tree: Tree) -> str:
    """As `sha256sum` and `sort` would have it."""
    lines = "".join(f"{sha256(tree[path]).hexdigest()}  {path}\n" for path in sorted(tree))
    return "sha256:" + sha256(lines.encode()).hexdigest()


@pytest.fixture
async def doors(running_service: Service, tmp_path: Path) -> Any:
    opened = Doors(running_service, tmp_path)
    yield opened
    await opened.http.aclose()


async def test_every_door_gives_the_same_bytes_and_digest(doors: Doors) -> None:
    plain = {"new": b"\0", "run.sh": b"#!/bin/sh\n", "assets/logo.png": FILES["assets/logo.png"]}
    for number, (files, script) in enumerate(((FILES, SCRIPT), (plain, "run.sh")), start=1):
        made = await doors.publish(files, body=f"Version {number}.\n")
        assert made["version"] == number

        trees = {door: await read() for door, read in doors.all().items()}

        document = trees["api"]["SKILL.md"]
        assert made["skill_md"] == {"sha256": sha256(document).hexdigest(), "size": len(document)}
        assert document.endswith(SKILL_MD.partition("\n---\n")[2].encode() + f"Version {number}.\n".encode())
        assert f'  version: "{number}"\nmodel: opus  # no key'.encode() in document
        for door, tree in trees.items():
            assert tree == {"SKILL.md": document, **files}, door
            assert digest_of(tree) == made["digest"], door
        assert doors.executable == {door: {script} for door in ("zip", "discovery", "git")}
    [listed] = doors.by_files
    assert sorted(listed["files"]) == sorted(["SKILL.md", *plain])
