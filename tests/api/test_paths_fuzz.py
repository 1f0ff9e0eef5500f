"""Random paths through every way in and every door out: refused at the entrance, or byte-equal everywhere."""

import asyncio
import base64
import io
import random
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote, urljoin

import httpx
from mcp_types import TextResourceContents

from cli.client.skill_folders import JUNK_FILES, JUNK_FOLDERS
from domain.content import check_path
from domain.errors import Invalid
from domain.formats.archives import zip_of
from tests.support.archives import skill_md
from tests.support.gitting import Git, git
from tests.support.mcp_client import connected
from tests.support.people import Person
from tests.support.space import file, skill

__all__ = ["git"]

COUNT = 120
PIECES = [
    "git", ".git", "~1", "SKILL.md", "skill", " ", ".", "..", "é", "e\u0301", "\u200c", "\ufeff", ":", "$", "a", "B",
    "#", "?", "%", "%2e", "&", "+", "\\", "x.txt", "CON", ".gitattributes", "'", '"', "<", "*", "|", "😀", "~", "-",
    "_", "[", "]", ";", "=", "@", ".DS_Store", "__MACOSX", "._a",
]  # fmt: skip
Tree = dict[str, bytes]


def paths(seed: int) -> list[str]:
    """Near to what is refused, and at times what is."""
    rng = random.Random(seed)
    found = {
        "/".join(
            "".join(rng.choices(PIECES, k=rng.choice((1, 1, 2, 3)))) for _ in range(rng.choice((1, 1, 2, 3)))
        )
        for _ in range(COUNT)
    }
    return sorted(found)


def normal(path: str) -> str | None:
    try:
        return check_path(path)
    except Invalid:
        return None


def enter(http: httpx.Client, way: str, name: str, path: str, data: bytes) -> httpx.Response:
    """One file of a skill of its own, by one of the ways."""
    sent = file(path, data.decode())
    if way == "create":
        return http.post("llm_skills/", json=skill(name, files=[sent]))
    if way == "import":
        archive = zip_of([("SKILL.md", skill_md(name)), (path, data)], name)
        return http.post("llm_skills/import/", files={"file": ("skill.zip", archive)})
    before = [file("before", data.decode())] if way == "rename" else []
    http.post("llm_skills/", json=skill(name, files=before)).raise_for_status()
    if way == "publish":
        return http.patch(f"llm_skills/name/{name}", json={"base_version": 1, "files": [sent]})
    if way == "add":
        return http.post(f"llm_skills/name/{name}/files", json={"base_version": 1, **sent})
    move = {"base_version": 1, "old_path": "before", "new_path": path}
    return http.post(f"llm_skills/name/{name}/files-rename", json=move)


def unzipped(data: bytes, prefix: str = "") -> Tree:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.orig_filename.removeprefix(prefix): archive.read(info) for info in archive.infolist()}


def discovered(git: Git, http: httpx.Client) -> dict[str, Tree]:
    made = http.post("llm_skills/shares/", json={})
    made.raise_for_status()
    base = f"{git.service.base_url}/s/{made.json()['token']}/.well-known/agent-skills/"
    found = {}
    with httpx.Client() as client:
        for entry in client.get(f"{base}index.json").raise_for_status().json()["skills"]:
            data = client.get(urljoin(f"{base}index.json", entry["url"])).raise_for_status().content
            found[entry["name"]] = unzipped(data) if entry["type"] == "archive" else {"SKILL.md": data}
            for path in entry.get("files", []):
                one = client.get(f"{base}{entry['name']}/{quote(path)}").raise_for_status()
                assert one.content == found[entry["name"]][path], path
    return found


async def by_mcp(git: Git, trees: dict[str, Tree]) -> None:
    async with connected(f"{git.service.base_url}/mcp", git.key) as client:
        for name, tree in trees.items():
            for path, data in tree.items():
                (content,) = (await client.read_resource(f"skill://{name}/{quote(path)}")).contents
                if isinstance(content, TextResourceContents):
                    assert content.text.encode() == data, path
                else:
                    assert base64.b64decode(content.blob) == data, path


def test_refused_or_equal_by_every_door(git: Git, tmp_path: Path) -> None:
    ways = ("create", "publish", "add", "rename", "import")
    trees: dict[str, Tree] = {}
    unsent: dict[str, set[str]] = {}
    with git.service.client(git.key, git.project_id, timeout=60) as http:
        for number, path in enumerate(paths(15)):
            name, way, data = f"s{number}", ways[number % len(ways)], f"line {number}\r\nä\n".encode()
            answer = enter(http, way, name, path, data)
            assert answer.status_code in (200, 201, 400), (way, path, answer.text)
            if (shown := http.get(f"llm_skills/name/{name}")).status_code == 404:
                assert answer.status_code == 400
                continue
            held = [one["path"] for one in shown.json()["files"]]
            if answer.status_code == 400:
                assert way == "import" or normal(path) is None, path
            elif way != "import":
                assert held == [normal(path)]
            unsent[name] = {
                problem["path"]
                for problem in shown.json()["spec_problems"]
                if problem["code"] == "left_out_of_git"
            }
            trees[name] = {
                one: http.get(f"llm_skills/name/{name}/files/{quote(one)}")
                .raise_for_status()
                .json()["content"]
                .encode()
                for one in held
            }
            assert all(content == data for content in trees[name].values()), path
            archive = http.get(f"llm_skills/name/{name}/export/").raise_for_status().content
            unpacked = unzipped(archive, f"{name}/")
            trees[name]["SKILL.md"] = unpacked["SKILL.md"]
            assert unpacked == trees[name], path
        assert len(trees) > COUNT / 2
        assert discovered(git, http) == trees

    asyncio.run(by_mcp(git, trees))
    cloned = git.files(git.clone("all", "-c", "core.autocrlf=true"))
    assert cloned == {
        f"{name}/{path}": data
        for name, tree in trees.items()
        for path, data in tree.items()
        if path not in unsent[name]
    }
    person = Person(git.service, tmp_path / "person", project_id=git.project_id)
    person.skald("pull", "--all", "--dir=out").check_returncode()
    out = person.work / "out"
    pulled = {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name not in (".skald.json", "skald.lock")
    }
    assert pulled == {f"{name}/{path}": data for name, tree in trees.items() for path, data in tree.items()}

    # The last way in: folders that are pushed bring what was pulled.
    for path, data in pulled.items():
        copy = person.work / "again" / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(data)
    with git.service.client(git.key, git.project_id, timeout=60) as http:
        for name in trees:
            http.post(f"llm_skills/name/{name}/archive").raise_for_status()
        person.skald("push", "again").check_returncode()
        for name, tree in trees.items():
            archive = http.get(f"llm_skills/name/{name}/export/").raise_for_status().content
            # SKILL.md says which version it is, and that begins anew; what editors and systems leave behind is not pushed.
            kept = {
                path: data for path, data in tree.items() if path != "SKILL.md" and not is_left_behind(path)
            }
            found = unzipped(archive, f"{name}/")
            del found["SKILL.md"]
            assert found == kept, name


def is_left_behind(path: str) -> bool:
    *folders, name = path.split("/")
    return not JUNK_FOLDERS.isdisjoint(folders) or any(fnmatchcase(name, pattern) for pattern in JUNK_FILES)
