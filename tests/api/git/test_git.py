"""Skills by the real ``git``: cloned, fetched and deepened over every protocol version, and who may not."""

import base64
import gzip
import json
import random
import socket
import stat
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.git import protocol as wire
from tests.support.gitting import Git, git
from tests.support.service import Service
from tests.support.space import file, skill

__all__ = ["git"]

VERSIONS = (0, 1, 2)
BOTH = ("environments", "projects")


class Author:
    """Writes skills into the project of a ``Git``."""

    def __init__(self, git: Git) -> None:
        self.http = git.service.client(git.key, git.project_id)

    def create(self, name: str, **fields: Any) -> dict[str, Any]:
        return self._ok(self.http.post("llm_skills/", json=skill(name, **fields)))

    def publish(self, name: str, base: int, **fields: Any) -> dict[str, Any]:
        answer = self.http.patch(f"llm_skills/name/{name}", json={"base_version": base, **fields})
        return self._ok(answer)

    def post(self, path: str, /, **fields: Any) -> None:
        self.http.post(f"llm_skills/{path}", json=fields).raise_for_status()

    @staticmethod
    def _ok(answer: httpx.Response) -> dict[str, Any]:
        assert answer.is_success, answer.text
        decoded: dict[str, Any] = answer.json()
        return decoded


@pytest.fixture
def author(git: Git) -> Author:
    return Author(git)


def plugin(git: Git, folder: Path, commit: str = "HEAD") -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(git("show", f"{commit}:.claude-plugin/plugin.json", cwd=folder))
    return decoded


def test_a_project_without_skills_is_an_empty_marketplace(git: Git) -> None:
    folder = git.clone("empty")
    assert git.log(folder) == ["An empty marketplace"]
    assert git("ls-files", cwd=folder).split() == [
        ".claude-plugin/marketplace.json",
        ".claude-plugin/plugin.json",
        ".gitattributes",
    ]
    name = f"skald-{git.project_id}"
    catalogue = json.loads((folder / ".claude-plugin/marketplace.json").read_bytes())
    assert (catalogue["name"], catalogue["owner"]["name"]) == (name, "Skald")
    [entry] = catalogue["plugins"]
    assert (entry["name"], entry["source"]) == (name, "./")
    assert (plugin(git, folder)["name"], plugin(git, folder)["version"]) == (name, "1.0.0")


@pytest.mark.parametrize("version", VERSIONS)
def test_clone_fetch_and_deepen(git: Git, author: Author, version: int) -> None:
    script = "#!/bin/sh\necho hello\n"
    author.create("one", files=[file("scripts/run.sh", script), file("a/b/c.txt", "deep"), file("z.txt", "")])
    author.create("two", files=[file("scripts/run.sh", script)])
    author.publish("one", 1, body="# Second\r\n")

    full = git.clone("full", version=version)
    tip = git.clone("tip", "--depth", "1", version=version)
    assert git.files(tip) == git.files(full)
    held = git.files(full)
    assert held["one/SKILL.md"].endswith(b"---\n# Second\r\n")
    assert held["one/scripts/run.sh"] == script.encode()
    assert sorted(held) == [
        "one/SKILL.md", "one/a/b/c.txt", "one/scripts/run.sh", "one/z.txt", "two/SKILL.md", "two/scripts/run.sh",
    ]  # fmt: skip
    assert (full / "skills/two/scripts/run.sh").stat().st_mode & stat.S_IXUSR
    assert not (full / "skills/one/z.txt").stat().st_mode & stat.S_IXUSR
    subjects = ["one: version 2", "two: version 1", "one: version 1", "An empty marketplace"]
    assert git.log(full) == subjects
    assert git.log(tip) == subjects[:1]

    author.publish("two", 1, files=[file("new.txt", "new")])
    author.post("name/one/archive")
    for folder in (full, tip):
        git("pull", "--ff-only", "--quiet", cwd=folder, version=version)
        git.check(folder)
        assert sorted(git.files(folder)) == ["two/SKILL.md", "two/new.txt"]
    subjects = ["one: archived", "two: version 2", *subjects]
    assert git.log(full) == subjects
    assert git.log(tip) == subjects[:3]

    git("fetch", "--quiet", "--deepen", "1", cwd=tip, version=version)
    git.check(tip)
    assert git.log(tip) == subjects[:4]
    git("fetch", "--quiet", "--depth", "5", cwd=tip, version=version)
    git.check(tip)
    assert git.log(tip) == subjects[:5]
    git("fetch", "--quiet", "--unshallow", cwd=tip, version=version)
    git.check(tip)
    assert git("rev-parse", "HEAD", cwd=tip) == git("rev-parse", "HEAD", cwd=full)
    assert git.log(tip) == subjects
    assert not (tip / ".git/shallow").exists()
    # Nothing new: no pack at all.
    git("fetch", cwd=tip, version=version)
    # And shallow again.
    git("fetch", "--quiet", "--depth", "2", cwd=full, version=version)
    assert git.log(full) == subjects[:2]


@pytest.mark.parametrize("version", VERSIONS)
def test_one_tip_after_another(git: Git, author: Author, version: int) -> None:
    """What an installer does that keeps nothing but the newest commit."""
    author.create("one", files=[file("a.txt", "1"), file("b/c.txt", "1")])
    folder = git.clone("tip", "--depth", "1", version=version)
    for number in range(1, 4):
        author.publish("one", number, files=[file("a.txt", "1"), file("b/c.txt", str(number))])
        git("fetch", "--quiet", "--depth", "1", "origin", "main", cwd=folder, version=version)
        git("reset", "--quiet", "--hard", "FETCH_HEAD", cwd=folder)
        git.check(folder)
        assert git.log(folder) == [f"one: version {number + 1}"]
        assert git.files(folder)["one/b/c.txt"] == str(number).encode()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_with_much_of_its_own_finds_what_is_in_common(
    git: Git, author: Author, version: int
) -> None:
    author.create("one")
    folder = git.clone("own", version=version)
    first = "from refs/heads/main^0\n"
    script = "".join(
        f"commit refs/heads/main\ncommitter T <t@example.com> {1_900_000_000 + number} +0000\n"
        f"data 2\nx\n{first if number == 0 else ''}\n"
        for number in range(150)
    )
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=folder, env=git.env, input=script.encode(), check=True
    )
    author.publish("one", 1, body="# Two\n")
    git("fetch", "--quiet", cwd=folder, version=version)
    git.check(folder)
    assert git.log(folder, "origin/main") == ["one: version 2", "one: version 1", "An empty marketplace"]


def test_every_change_has_its_commit_and_raises_the_version(git: Git, author: Author) -> None:
    author.create("one", files=[file("a.txt", "a")])
    author.post("name/one/files", path="b.txt", content="b")
    author.post("name/one/files-rename", old_path="b.txt", new_path="c/b.txt")
    author.http.delete("llm_skills/name/one/files/a.txt").raise_for_status()
    author.post("name/one/duplicate", new_name="two")
    author.post("name/one/archive")
    author.create("one", body="# Another life\n")
    author.post("name/one/archive")
    author.post("name/one/restore")
    author.http.post("llm_prompts/", json={"name": "p", "prompt": "no skill"}).raise_for_status()

    folder = git.clone("all")
    assert git.log(folder) == [
        "one: restored at version 1",
        "one: archived",
        "one: version 1",
        "one: archived",
        "two: version 1",
        "one: version 4",
        "one: version 3",
        "one: version 2",
        "one: version 1",
        "An empty marketplace",
    ]
    commits = git("rev-list", "--reverse", "HEAD", cwd=folder).split()
    assert [plugin(git, folder, commit)["version"] for commit in commits] == [f"1.0.{n}" for n in range(10)]
    # One change, one skill: nothing else of the tree moves.
    for commit in commits[1:]:
        changed = git("diff", "--name-only", f"{commit}^", commit, cwd=folder).split()
        assert len({path.split("/")[1] for path in changed if path.startswith("skills/")}) <= 1
    assert (folder / "skills/one/SKILL.md").read_bytes().endswith(b"# Another life\n")

    last = author.http.get("llm_skills/name/one").json()
    shown = git("show", "--no-patch", "--format=%an|%ae|%cn|%ce|%b", commits[7], cwd=folder)
    user = last["created_by"]["id"]
    assert shown.startswith(f"user {user}|user-{user}@skald.invalid|user {user}|user-{user}@skald.invalid|")
    assert "Plugin-Version: 1.0.7\nEvent: skill.created\nEvent-Position: " in shown
    at = datetime.fromisoformat(last["created_at"]).replace(microsecond=0)
    seconds = git("show", "--no-patch", "--format=%at %ct", commits[7], cwd=folder).split()
    assert {datetime.fromtimestamp(int(one), UTC) for one in seconds} == {at}


def test_a_rename_is_one_commit(git: Git, author: Author) -> None:
    for name in ("a", "m", "z"):
        author.create(name, files=[file("x.txt", name)])
    folder = git.clone("renamed")
    before = git.log(folder)
    author.post("name/a/rename", new_name="q")
    author.publish("q", 1, body="# Two\n")
    author.post("name/q/rename", new_name="b")
    author.post("name/z/rename", new_name="a")
    git("pull", "--quiet", cwd=folder)
    assert git.log(folder)[: -len(before)] == [
        "a: renamed from z",
        "b: renamed from q",
        "q: version 2",
        "q: renamed from a",
    ]
    assert git.log(folder)[-len(before) :] == before
    assert sorted(path.name for path in (folder / "skills").iterdir()) == ["a", "b", "m"]
    for name in ("a", "b"):
        text = (folder / "skills" / name / "SKILL.md").read_bytes()
        assert text == author.http.get(f"llm_skills/name/{name}/skill-md").content
        assert text.startswith(f"---\nname: {name}\n".encode())
    old = git("show", "HEAD~4:skills/a/SKILL.md", cwd=folder)
    assert "\nname: a\n" in old
    assert git.clone("again").is_dir()
    git("fsck", "--strict", cwd=folder)


def test_a_yank_goes_on_with_what_is_the_latest_then(git: Git, author: Author) -> None:
    author.create("a", files=[file("x.txt", "1")])
    author.publish("a", 1, body="# Two\n", files=[file("y.txt", "2")])
    folder = git.clone("yanked")
    before = git.log(folder)
    author.post("name/a/versions/1/yank", reason="no commit: another one is the latest")
    author.post("name/a/versions/1/unyank")
    author.post("name/a/versions/2/yank", reason='{"latest":{}}')
    author.post("name/a/rename", new_name="b")
    shallow = git.clone("shallow", "--depth=1")
    author.publish("b", 1, files=[file("x.txt", "1"), file("y.txt", "2")])
    author.post("name/b/versions/3/yank", reason="x")
    author.post("name/b/versions/2/unyank")
    for one in (folder, shallow):
        git("pull", "--quiet", "--ff-only", cwd=one)
        git.check(one)
    assert git.log(folder) == [
        "b: version 2",
        "b: back to version 1, as what came after is yanked",
        "b: version 3",
        "b: renamed from a",
        "a: back to version 1, as what came after is yanked",
        *before,
    ]
    assert git.files(folder).keys() == {"b/SKILL.md", "b/y.txt"}
    text = (folder / "skills/b/SKILL.md").read_bytes()
    assert text == author.http.get("llm_skills/name/b/skill-md").content
    assert text.startswith(b"---\nname: b\n")
    assert git.files(git.clone("again")) == git.files(folder)


def test_the_files_are_those_of_the_api(git: Git, author: Author) -> None:
    binary = bytes(range(256)) * 8
    files = [
        file("ü/naïve 😀.txt", "é"),
        file("bin.dat", base64.b64encode(binary).decode(), encoding="base64"),
        file(".gitignore", "*\n"),
    ]
    author.create(
        "one", files=files, license="MIT", allowed_tools=["Bash(git log:*)"], metadata={"team": "docs"}
    )
    folder = git.clone("same")
    held = git.files(folder)
    document = author.http.get("llm_skills/name/one/skill-md/")
    assert held["one/SKILL.md"] == document.content
    assert held["one/ü/naïve 😀.txt"] == "é".encode()
    assert held["one/bin.dat"] == binary
    assert git("status", "--porcelain", cwd=folder) == ""


def test_paths_that_no_checkout_can_have_are_left_out_and_named(git: Git, author: Author) -> None:
    files = [file(path, "x") for path in (".gitattributes", "a/.GitAttributes", "a/kept.txt", "b" * 300)]
    author.create("one", files=files)
    folder = git.clone("safe")
    assert sorted(git.files(folder)) == ["one/SKILL.md", "one/a/kept.txt"]
    message = git("log", "-1", "--format=%b", cwd=folder)
    assert "Left out, because git cannot hold these paths:" in message
    assert "  a/.GitAttributes" in message


def test_since_a_date(git: Git, author: Author) -> None:
    author.create("one")
    time.sleep(1.1)
    between = int(time.time())
    author.publish("one", 1, body="# Two\n")
    author.publish("one", 2, body="# Three\n")
    for version in VERSIONS:
        folder = git.clone(f"since-{version}", f"--shallow-since=@{between}", version=version)
        assert git.log(folder) == ["one: version 3", "one: version 2"]
        future = git.fail(
            "clone", "--shallow-since=@4000000000", git.url, str(git.home / "none"), version=version
        )
        assert "no commits selected" in future or "hung up" in future or "error" in future
    git("fetch", "--quiet", "--shallow-since=@1", cwd=folder)
    git.check(folder)
    assert git.log(folder)[-1] == "one: version 1"


def test_many_skills_and_long_chains_of_deltas(git: Git, author: Author) -> None:
    for number in range(60):
        author.create(f"skill-{number % 40}" if number < 40 else f"more-{number}", body=f"# {number}\n")
    for number in range(1, 20):
        author.publish("skill-1", number, body=f"# {number}\n")
    full = git.clone("full")
    assert len(git.log(full)) == 80
    for depth in (1, 2, 52, 79):
        folder = git.clone(f"depth-{depth}", "--depth", str(depth))
        assert len(git.log(folder)) == depth
        assert git.files(folder) == git.files(full)
    # An old commit by its id, as a lock file of an installer may have it.
    old = git("rev-parse", "HEAD~40", cwd=full).strip()
    for version in VERSIONS:
        git("fetch", "--quiet", "--depth", "1", git.url, old, cwd=folder, version=version)
        assert git("rev-parse", "FETCH_HEAD", cwd=folder).strip() == old
    git.check(folder)


def test_clones_while_skills_are_published(git: Git, author: Author) -> None:
    author.create("one")
    done = threading.Event()
    published = 1

    def go_on() -> None:
        nonlocal published
        own = Author(git)
        while not done.is_set() and published < 300:
            own.publish("one", published, body=f"# {published}\n")
            published += 1

    writer = threading.Thread(target=go_on)
    writer.start()
    folders: list[Path] = []
    try:

        def clone(number: int) -> None:
            for turn in range(3):
                folders.append(git.clone(f"clone-{number}-{turn}", *(["--depth", "1"] if turn else [])))

        readers = [threading.Thread(target=clone, args=(number,)) for number in range(4)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    finally:
        done.set()
        writer.join()
    assert len(folders) == 12
    final = git.clone("final")
    assert git.log(final)[0] == f"one: version {published}"
    for folder in folders:
        head = git("rev-parse", "HEAD", cwd=folder).strip()
        git("merge-base", "--is-ancestor", head, "HEAD", cwd=final)


def test_a_reader_that_leaves_disturbs_nobody(git: Git, author: Author) -> None:
    noise = random.Random(1)
    for number in range(8):
        files = [file(f"{n}.txt", noise.randbytes(300_000).hex()) for n in range(4)]
        author.create(f"big-{number}", files=files)
    head = git("ls-remote", git.url, "HEAD").split()[0]
    body = wire.line(b"command=fetch") + wire.DELIM
    body += wire.line(b"want " + head.encode()) + wire.line(b"done") + wire.FLUSH
    path = httpx.URL(git.url).raw_path.decode() + "/git-upload-pack"
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", git.service.port), timeout=20) as connection:
            connection.sendall(
                f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {git.key}\r\nGit-Protocol: version=2\r\n"
                f"Content-Type: application/x-git-upload-pack-request\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            assert connection.recv(1000)
    assert len(git.files(git.clone("whole"))) == 40


# Who may not come in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", BOTH)
def test_without_credentials_there_is_a_challenge(git: Git, prefix: str) -> None:
    url = git.url.replace("/environments/", f"/{prefix}/")
    for answer in (
        httpx.get(f"{url}/info/refs?service=git-upload-pack"),
        httpx.get(f"{url}/info/refs?service=git-upload-pack", auth=("x", "sk_wrong")),
        httpx.post(f"{url}/git-upload-pack"),
    ):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic realm=")
        assert answer.json()["type"] == "authentication_error"
    for auth in (("skald", git.key), (git.key, "")):
        assert httpx.get(f"{url}/info/refs?service=git-upload-pack", auth=auth).status_code == 200
    bearer = {"Authorization": f"Bearer {git.key}", "Git-Protocol": "version=2"}
    answer = httpx.get(f"{url}/info/refs?service=git-upload-pack", headers=bearer)
    assert answer.headers["content-type"] == "application/x-git-upload-pack-advertisement"
    assert answer.content.startswith(b"000eversion 2\n")


def test_the_key_may_stand_in_the_address(git: Git) -> None:
    git("config", "--global", "--unset-all", f"credential.{git.service.base_url}.helper")
    address = git.url.replace("://", f"://any:{git.key}@")
    assert "refs/heads/main" in git("ls-remote", address)
    assert "could not read Username" in git.fail("ls-remote", git.url)


def test_what_git_tells_its_user(running_service: Service, git: Git, tmp_path: Path) -> None:
    def ask(key: str, project_id: int) -> str:
        other = Git(running_service, tmp_path / "other", project_id, key)
        return other.fail("ls-remote", other.url)

    other = running_service.make_project().id
    assert "Authentication failed" in ask("sk_wrong", git.project_id)
    assert f"remote: This API key may not enter project {other}." in ask(git.key, other)
    assert "There is no project 999999" in ask(running_service.make_key(), 999_999)
    prompts = running_service.make_key(["llm_prompt:write"], [git.project_id])
    assert "missing required scope 'llm_skill:read'" in ask(prompts, git.project_id)


def test_it_is_read_only(git: Git) -> None:
    folder = git.clone("mine")
    git("commit", "--quiet", "--allow-empty", "-m", "mine", cwd=folder)
    assert "read-only" in git.fail("push", cwd=folder)


def test_commits_of_another_project_are_unknown(
    running_service: Service, git: Git, author: Author, tmp_path: Path
) -> None:
    author.create("secret")
    secret = git("ls-remote", git.url, "HEAD").split()[0]
    other = Git(running_service, tmp_path / "other")
    folder = other.clone("other")
    for version in VERSIONS:
        assert "not our ref" in other.fail("fetch", "origin", secret, cwd=folder, version=version)


def test_every_clone_counts_against_the_budget_of_its_key(make_service: Any, tmp_path: Path) -> None:
    service = make_service(settings={"SKALD_RATE_LIMIT_PER_MINUTE": "4"})
    git = Git(service, tmp_path / "home")
    folder = git.clone("one")
    assert "429" in git.fail("fetch", cwd=folder) + git.fail("fetch", cwd=folder)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"zzzz", {}, 400),
        (b"0009want\n0000", {}, 400),
        (b"0000", {}, 200),
        (b"", {}, 200),
        (b"0000", {"Content-Type": "application/json"}, 415),
        (b"0000", {"Content-Encoding": "br"}, 415),
        (b"0000", {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b"0000", mtime=0), {"Content-Encoding": "gzip"}, 200),
        (gzip.compress(bytes(8 * 2**20), mtime=0), {"Content-Encoding": "gzip"}, 413),
    ],
    ids=["no packets", "no id", "flush", "empty", "json", "brotli", "no gzip", "gzip", "bomb"],
)
@pytest.mark.parametrize("version", ["0", "2"])
def test_requests_that_no_git_sends(
    git: Git, body: bytes, headers: dict[str, str], status: int, version: str
) -> None:
    basic = {
        "Content-Type": "application/x-git-upload-pack-request",
        "Git-Protocol": f"version={version}",
        "Authorization": f"Bearer {git.key}",
    }
    answer = httpx.post(f"{git.url}/git-upload-pack", content=body, headers={**basic, **headers})
    assert answer.status_code == status, answer.text


def test_only_the_smart_protocol(git: Git) -> None:
    with httpx.Client(auth=("x", git.key)) as http:
        assert http.get(f"{git.url}/info/refs").status_code == 400
        assert http.get(f"{git.url}/info/refs?service=git-receive-pack").status_code == 403
        assert http.get(f"{git.url}/HEAD").status_code == 404
        assert http.head(f"{git.url}/info/refs?service=git-upload-pack").status_code == 200


def test_a_clone_is_a_read_of_each_skill_at_its_commit(git: Git, author: Author) -> None:
    watcher = git.service.client(git.service.make_key(("usage:read",)), git.project_id)

    def counted() -> dict[str, dict[int, int]]:
        found = {}
        for name in ("one", "two"):
            rows = watcher.get(f"llm_skills/name/{name}/usage/?by=version").raise_for_status().json()["rows"]
            found[name] = {row["version"]: row["reads"] for row in rows}
        return found

    def until(expected: dict[str, dict[int, int]]) -> None:
        deadline = time.monotonic() + 30
        while counted() != expected:
            assert time.monotonic() < deadline, counted()
            time.sleep(0.1)

    author.create("one")
    author.create("two")
    folder = git.clone("counted")
    git("fetch", cwd=folder)
    until({"one": {1: 1}, "two": {1: 1}})
    author.publish("one", 1, body="# Two\n")
    git("fetch", cwd=folder)
    until({"one": {1: 1, 2: 1}, "two": {1: 2}})
    doors = watcher.get("llm_skills/name/two/usage/?by=door").json()["rows"]
    assert [(row["door"], row["reads"]) for row in doors] == [("git", 2)]
