"""The repository below a share, by the real ``git``: the present to everybody, what came later to those who have some of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.gitting import Git, git
from tests.support.service import MakeService

__all__ = ["git"]


class Shared:
    """A project with two skills of several versions and one that is archived, and a share of it."""

    def __init__(self, git: Git) -> None:
        self.git = git
        self.http = git.service.client(git.key, git.project_id)
        self.create("gone", "secret\n")
        self.http.post("llm_skills/name/gone/archive", json={}).raise_for_status()
        self.create("pdf", "# Draft\n", files=[{"path": "run.sh", "content": "#!/bin/sh\n"}])
        self.publish("pdf", 1, "# Pages\n")
        self.create("csv", "# Tables\n")
        self.share = self.http.post("llm_skills/shares/", json={}).raise_for_status().json()
        self.url = self.share["url"] + ".git"

    def create(self, name: str, body: str, **fields: Any) -> None:
        self.http.post(
            "llm_skills/", json={"name": name, "description": "d", "body": body, **fields}
        ).raise_for_status()

    def publish(self, name: str, base: int, body: str) -> None:
        self.http.patch(
            f"llm_skills/name/{name}", json={"base_version": base, "body": body}
        ).raise_for_status()

    def revoke(self) -> None:
        self.http.delete(f"llm_skills/shares/{self.share['id']}").raise_for_status()

    def clone(self, name: str, *options: str, url: str = "", version: int | None = None) -> Path:
        """A checkout by the share, which knows no key."""
        folder = self.git.home / name
        alone = ("-c", "credential.helper=")
        self.git(*alone, "clone", "--quiet", *options, url or self.url, str(folder), version=version)
        self.git.check(folder)
        return folder

    def objects(self, folder: Path) -> str:
        """All that came, as text."""
        ids = self.git("cat-file", "--batch-check=%(objectname)", "--batch-all-objects", cwd=folder).split()
        return "".join(self.git("cat-file", "-p", one, cwd=folder) for one in ids)


@pytest.fixture
def shared(git: Git) -> Shared:
    return Shared(git)


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("options", [(), ("--depth", "1")])
def test_a_clone_is_the_present_of_the_project_and_nothing_else(
    git: Git, shared: Shared, version: int, options: tuple[str, ...]
) -> None:
    folder = shared.clone("shared", *options, version=version)
    assert git.files(folder) == git.files(git.clone("own"))
    assert git.files(folder).keys() == {"csv/SKILL.md", "pdf/SKILL.md", "pdf/run.sh"}
    assert git.log(folder) == ["csv: version 1"]
    came = shared.objects(folder)
    assert "# Tables" in came
    assert "# Draft" not in came
    assert "secret" not in came


def test_the_root_has_what_gemini_reads_and_that_of_the_project_stays(git: Git, shared: Shared) -> None:
    own, folder = git.clone("own"), shared.clone("shared")
    extension = json.loads((folder / "gemini-extension.json").read_bytes())
    plugin = json.loads((folder / ".claude-plugin/plugin.json").read_bytes())
    assert extension["name"] == plugin["name"] == f"skald-{git.project_id}"
    assert extension["version"] == plugin["version"] == "1.0.5"
    names = [set(git("ls-tree", "--name-only", "HEAD", cwd=place).split()) for place in (own, folder)]
    assert names[1] - names[0] == {"gemini-extension.json"}
    [subtree, same] = [git("rev-parse", "HEAD:skills", cwd=place) for place in (own, folder)]
    assert subtree == same


def test_a_pull_brings_what_has_changed_since(git: Git, shared: Shared) -> None:
    folder = shared.clone("shared")
    shared.publish("pdf", 2, "# Forms\n")
    shared.create("more", "# More\n")
    git("pull", "--quiet", "--ff-only", cwd=folder)
    git.check(folder)
    assert git.log(folder) == ["more: version 1", "pdf: version 3", "csv: version 1"]
    assert git.files(folder) == git.files(git.clone("own"))
    for wider in (("--unshallow",), ("--depth", "100"), ("--shallow-since", "2020-01-01")):
        git("fetch", "--quiet", *wider, cwd=folder)
        git.check(folder)
        assert len(git.log(folder)) == 3
    assert "# Draft" not in shared.objects(folder)
    fresh = shared.clone("fresh")
    assert git.log(fresh) == ["more: version 1"]
    assert git("rev-parse", "HEAD", cwd=fresh) == git("rev-parse", "HEAD", cwd=folder)


def test_an_empty_project_is_cloned_and_pulled(git: Git) -> None:
    with git.service.client(git.key, git.project_id) as http:
        url = http.post("llm_skills/shares/", json={}).raise_for_status().json()["url"]
        folder = git.home / "empty"
        git("clone", "--quiet", f"{url}.git", str(folder))
        body = {"name": "first", "description": "d", "body": "# First\n"}
        http.post("llm_skills/", json=body).raise_for_status()
    git("pull", "--quiet", "--ff-only", cwd=folder)
    assert git.files(folder).keys() == {"first/SKILL.md"}


def packet(text: str) -> bytes:
    return b"%04x%b" % (len(text) + 5, text.encode() + b"\n")


@pytest.fixture
def fetch(shared: Shared) -> Callable[..., bytes]:
    """``fetch("want …", "have …", "done")``: what a client of our own gets, which claims what it likes."""

    def call(*lines: str) -> bytes:
        body = packet("command=fetch") + b"0001" + b"".join(map(packet, lines)) + b"0000"
        headers = {"content-type": "application/x-git-upload-pack-request", "git-protocol": "version=2"}
        return httpx.post(f"{shared.url}/git-upload-pack", content=body, headers=headers).content

    return call


def test_what_is_older_than_the_share_is_unknown_to_it(
    git: Git, shared: Shared, fetch: Callable[..., bytes]
) -> None:
    """Whose ids are known: those that a share of before showed, and that of the first commit, which needs no secret to compute."""
    own = git("rev-parse", "HEAD", cwd=git.clone("own")).strip()
    head = git("rev-parse", "HEAD", cwd=shared.clone("shared")).strip()
    old = git("cat-file", "-p", head, cwd=git.home / "shared").split("parent ")[1][:40]
    assert b"not our ref" in fetch(f"want {old}", "done")
    assert b"not our ref" in fetch(f"want {own}", "done")
    plain = fetch(f"want {head}", "no-progress", "done")
    assert b"shallow " + head.encode() in plain
    for claim in (
        [f"have {old}"], [f"have {old}", f"shallow {old}", "deepen 2147483647"], ["deepen 100"],
        ["deepen-since 1"], [f"shallow {head}", "deepen 5", "deepen-relative"],
    ):  # fmt: skip
        answer = fetch(f"want {head}", *claim, "done")
        count = int.from_bytes(answer[answer.index(b"PACK") + 8 :][:4])
        assert count <= int.from_bytes(plain[plain.index(b"PACK") + 8 :][:4]), claim


def test_a_revoked_share_is_404_at_once_and_nothing_is_written_through_one(git: Git, shared: Shared) -> None:
    folder = shared.clone("shared")
    assert "read-only" in git.fail("push", "origin", "HEAD:main", cwd=folder)
    assert httpx.get(f"{shared.url}/info/refs").status_code == 400
    shared.revoke()
    for address in ("info/refs?service=git-upload-pack", "info/refs"):
        refused = httpx.get(f"{shared.url}/{address}")
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
        assert "www-authenticate" not in refused.headers
    assert httpx.post(f"{shared.url}/git-upload-pack").status_code == 404
    assert "not found" in git.fail("pull", cwd=folder)
    unknown = shared.url.replace(shared.share["token"], "sks_" + "x" * 43)
    assert httpx.get(f"{unknown}/info/refs?service=git-upload-pack").status_code == 404


def test_an_address_without_the_ending_is_the_same(git: Git, shared: Shared) -> None:
    folder = shared.clone("shared", url=shared.share["url"])
    assert git.files(folder) == git.files(git.clone("own"))


def test_the_log_names_the_share_and_not_its_token(git: Git, make_service: MakeService) -> None:
    service = make_service()
    shared = Shared(Git(service, git.home / "other"))
    shared.clone("shared")
    shared.revoke()
    httpx.get(f"{shared.url}/info/refs")
    service.stop()
    printed = service.output
    lines = [json.loads(line) for line in printed.splitlines() if '"route":"/s/' in line]
    assert {(line["route"], line["key_id"]) for line in lines if line["status"] == 200} == {
        ("/s/{share_token}/info/refs", shared.share["id"]),
        ("/s/{share_token}/git-upload-pack", shared.share["id"]),
    }
    assert shared.share["token"] not in printed
