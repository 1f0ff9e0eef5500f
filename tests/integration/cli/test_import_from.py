"""`skald import-from`: versions come in order with their authors, once, whatever interrupts it and whatever the source sends."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.archives import packed, skill_md
from tests.support.people import Person
from tests.support.service import Service


class Registry:
    """One project of the service, by HTTP, and a person whose commands write to it."""

    def __init__(self, service: Service, home: Path) -> None:
        self.person = Person(service, home, scopes=("*",))
        self.http = service.client(self.person.key, self.person.project_id)
        self.key_file = home / "key"
        self.key_file.write_text(f"{self.person.key}\n")

    def send(self, method: str, path: str, **options: Any) -> Any:
        answer = self.http.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def get(self, path: str, **query: Any) -> Any:
        return self.send("GET", path, params=query)

    def head(self) -> int:
        """The position of the last event of the project."""
        position = 0
        while (page := self.get("events/", after=position, limit=1000))["results"]:
            position = page["position"]
        return page["results"][-1]["position"] if page["results"] else position

    def versions(self, name: str, kind: str = "skill") -> list[dict[str, Any]]:
        """All versions, oldest first."""
        resource = f"llm_{kind}s"
        latest = self.get(f"{resource}/name/{name}")["latest_version"]
        query = {"resolve": "false"} if kind == "prompt" else {}
        return [self.get(f"{resource}/name/{name}", version=n, **query) for n in range(1, latest + 1)]

    def skald(self, *arguments: str, code: int = 0) -> Any:
        done = self.person.skald("import-from", *arguments, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        [line] = done.stdout.splitlines()
        return json.loads(line)


@pytest.fixture
def here(running_service: Service, tmp_path: Path) -> Iterator[Registry]:
    found = Registry(running_service, tmp_path / "here")
    yield found
    found.http.close()


@pytest.fixture
def there(running_service: Service, tmp_path: Path) -> Iterator[Registry]:
    found = Registry(running_service, tmp_path / "there")
    yield found
    found.http.close()


def from_there(there: Registry, source: str = "skald") -> tuple[str, ...]:
    project = str(there.person.project_id)
    url = there.person.service.base_url
    return (source, url, f"--source-project={project}", f"--source-key-file={there.key_file}")


def fill(there: Registry) -> None:
    """Skills and prompts with all that they can have, by two people."""
    binary = {
        "path": "logo.png",
        "content": "iVBORw0KGgo=",
        "encoding": "base64",
        "content_type": "image/png",
    }
    text = {"path": "lib/a.py", "content": "print(1)\r\n", "content_type": "text/x-python"}
    skill = {
        **{
            "name": "pdf",
            "description": "Fills forms.",
            "body": "# One\n",
            "license": "MIT",
            "tags": ["docs"],
        },
        **{"allowed_tools": ["Bash(git log:*)"], "metadata": {"a": 1, "b": [1.5, None]}},
        "files": [binary, text],
    }
    there.send("POST", "llm_skills/", json={**skill, "version_description": "the first"})
    grace = there.person.service.make_key(["*"], [there.person.project_id])
    as_grace = {"Authorization": f"Bearer {grace}"}
    there.send("PATCH", "llm_skills/name/pdf", json={"body": "# Two\n", "base_version": 1}, headers=as_grace)
    there.send("PATCH", "llm_skills/name/pdf", json={"files": [text], "base_version": 2})
    there.send("PUT", "llm_skills/name/pdf/labels/stable", json={"version": 2})
    # Its frontmatter has a key that no field has, which a later version has no more.
    for body, more in (("# A\n", ("model: opus",)), ("# B\n", ())):
        archive = packed("odd", md=skill_md("odd", *more, body=body))
        there.send("POST", "llm_skills/import/?mode=upsert", files={"file": ("x.zip", archive)})
    # What refers comes before what it refers to.
    there.send("POST", "llm_prompts/", json={"name": "Tone", "prompt": "Kind."})
    there.send("PUT", "llm_prompts/name/Tone/labels/production", json={"version": 1})
    marks = "Be @@@prompt:name=Tone|label=production@@@"
    there.send("POST", "llm_prompts/", json={"name": "Ask", "prompt": marks, "config": {"t": 1e-3}})
    chat = [{"role": "system", "content": "1.0"}]
    there.send("POST", "llm_prompts/", json={"name": "Chat", "prompt": chat, "config": {"top": 2}})
    there.send("PATCH", "llm_prompts/name/Chat", json={"prompt": chat, "config": None, "base_version": 1})


SAME = (
    *("name", "description", "body", "license", "compatibility", "allowed_tools", "metadata", "frontmatter"),
    *("files", "digest", "version", "latest_version", "tags", "labels", "prompt", "config"),
)


def same(version: dict[str, Any]) -> dict[str, Any]:
    return {field: version[field] for field in SAME if field in version}


def test_another_project_comes_whole_and_once(here: Registry, there: Registry) -> None:
    fill(there)
    dry = here.skald(*from_there(there), "--dry-run")
    assert (dry["summary"]["brought"], here.head()) == (9, 0)

    answer = here.skald(*from_there(there))
    assert answer["summary"] == {"brought": 9, "there": 0, "marks": 3, "archived": 0, "refused": 0}
    for kind, names in (("skill", ("pdf", "odd")), ("prompt", ("Tone", "Ask", "Chat"))):
        for name in names:
            source, made = there.versions(name, kind), here.versions(name, kind)
            assert list(map(same, made)) == list(map(same, source))
            for one, other in zip(source, made, strict=True):
                by = (
                    one.get("created_by") or there.get(f"llm_{kind}s/resolve/name/{name}")[kind]["created_by"]
                )
                line, _, note = other["version_description"].partition("\n")
                assert line == f"imported: Ada <{by['email']}>, {one['created_at']}"
                assert note == one["version_description"]
    assert here.get("llm_prompts/name/Ask")["prompt"] == "Be Kind."

    head = here.head()
    again = here.skald(*from_there(there))
    assert again["summary"] == {"brought": 0, "there": 9, "marks": 0, "archived": 0, "refused": 0}
    assert here.head() == head

    there.send("PATCH", "llm_skills/name/pdf", json={"body": "# Four\n", "base_version": 3})
    there.send("POST", "llm_skills/name/pdf/rename", json={"new_name": "pdf-forms"})
    there.send("PUT", "llm_skills/name/pdf-forms/labels/stable", json={"version": 3})
    more = here.skald(*from_there(there))
    assert more["summary"] == {"brought": 1, "there": 9, "marks": 1, "archived": 0, "refused": 0}
    made = here.get("llm_skills/name/pdf-forms")
    assert (made["version"], made["body"]) == (4, "# Four\n")
    assert here.get("llm_skills/name/pdf-forms", label="stable")["version"] == 3
    assert here.http.get("llm_skills/name/pdf").status_code == 302
    head = here.head()
    assert here.skald(*from_there(there))["summary"]["brought"] == 0
    assert here.head() == head


def test_what_others_made_here_is_not_overwritten(here: Registry, there: Registry) -> None:
    skill = {"name": "one", "description": "D.", "body": "# 1\n"}
    there.send("POST", "llm_skills/", json=skill)
    here.skald(*from_there(there))
    here.send("PATCH", "llm_skills/name/one", json={"body": "# Mine\n", "base_version": 1})
    assert here.skald(*from_there(there))["summary"]["there"] == 1  # nothing new, nothing to say
    there.send("PATCH", "llm_skills/name/one", json={"body": "# 2\n", "base_version": 1})
    there.send("POST", "llm_skills/", json={**skill, "name": "taken"})
    here.send("POST", "llm_skills/", json={**skill, "name": "taken"})
    refused = here.skald(*from_there(there), code=1)
    assert {one["name"]: [refusal["code"] for refusal in one["refused"]] for one in refused["artifacts"]} == {
        "one": ["changed_here"],
        "taken": ["name_taken"],
    }
    here.skald(*from_there(there), "--force", code=1)
    assert [one["body"] for one in here.versions("one")] == ["# 1\n", "# Mine\n", "# 2\n"]
    assert len(here.versions("taken")) == 1


def test_what_was_yanked_here_is_not_brought_again(here: Registry, there: Registry) -> None:
    there.send("POST", "llm_skills/", json={"name": "one", "description": "D.", "body": "# 1\n"})
    there.send("PATCH", "llm_skills/name/one", json={"body": "# 2\n", "base_version": 1})
    here.skald(*from_there(there))
    here.send("POST", "llm_skills/name/one/versions/2/yank", json={"reason": "wrong"})
    assert here.skald(*from_there(there))["summary"]["brought"] == 0
    there.send("PATCH", "llm_skills/name/one", json={"body": "# 3\n", "base_version": 2})
    assert here.skald(*from_there(there))["summary"] == {
        "brought": 1,
        "there": 2,
        "marks": 0,
        "archived": 0,
        "refused": 0,
    }
    assert here.get("llm_skills/name/one")["body"] == "# 3\n"


def test_a_second_run_sees_what_became_of_versions_that_are_here(here: Registry, there: Registry) -> None:
    for name in ("one", "two", "gone", "kept"):
        there.send(
            "POST", "llm_skills/", json={"name": name, "description": "D.", "body": "# 1\n", "tags": ["a"]}
        )
        for number in (1, 2):
            body = {"body": f"# {number + 1}\n", "base_version": number}
            there.send("PATCH", f"llm_skills/name/{name}", json=body)
    there.send("POST", "llm_prompts/", json={"name": "Base", "prompt": "B"})
    there.send("POST", "llm_prompts/", json={"name": "Ask", "prompt": "See @@@prompt:name=Base@@@"})
    there.send("PUT", "llm_skills/name/one/labels/stable", json={"version": 1})
    here.skald(*from_there(there))
    # One of the project's own, whose name is archived there too, and is another one.
    here.send("POST", "llm_skills/name/kept/archive")
    note = "imported: Ada, 2026-03-03T09:30:00Z"
    kept = {"name": "kept", "description": "D.", "body": "# Mine\n", "version_description": note}
    here.send("POST", "llm_skills/", json=kept)

    there.send("POST", "llm_skills/name/one/versions/2/yank", json={"reason": "wrong"})
    there.send("PUT", "llm_skills/name/one/labels/stable", json={"version": 3})
    there.send("PATCH", "llm_skills/name/one", json={"tags": ["b"]})
    # Yanked under a name of before.
    there.send("POST", "llm_skills/name/two/versions/1/yank", json={"reason": "old"})
    there.send("POST", "llm_skills/name/two/rename", json={"new_name": "deux"})
    for path in (
        "llm_skills/name/gone",
        "llm_skills/name/kept",
        "llm_prompts/name/Ask",
        "llm_prompts/name/Base",
    ):
        there.send("POST", f"{path}/archive")

    for arguments in (("--dry-run",), ()):
        told = here.skald(*from_there(there), *arguments)
        assert (told["summary"]["brought"], told["summary"]["refused"]) == (0, 0)
        assert {one["name"] for one in told["artifacts"] if one["archived"]} == {"gone", "Ask", "Base"}
    assert told["summary"]["marks"] == 4
    one = here.get("llm_skills/name/one", version=2)
    assert (one["yanked"]["reason"], one["tags"]) == ("wrong", ["a", "b"])
    assert here.get("llm_skills/name/one", label="stable")["version"] == 3
    assert here.get("llm_skills/name/deux", version=1)["yanked"]["reason"] == "old"
    for path in ("llm_skills/name/gone", "llm_prompts/name/Ask", "llm_prompts/name/Base"):
        assert here.http.get(path).status_code == 404
    assert here.get("llm_skills/name/kept")["body"] == "# Mine\n"
    # Nothing changed, nothing is appended.
    head = here.head()
    again = here.skald(*from_there(there))["summary"]
    assert (again["brought"], again["marks"], again["archived"], again["refused"], here.head()) == (
        0,
        0,
        0,
        0,
        head,
    )


def test_a_key_that_reads_no_events_is_told(here: Registry, there: Registry) -> None:
    there.send("POST", "llm_skills/", json={"name": "one", "description": "D.", "body": "# 1\n"})
    scopes = ("llm_skill:read", "llm_prompt:read")
    there.key_file.write_text(there.person.service.make_key(scopes, [there.person.project_id]))
    here.skald(*from_there(there))
    again = here.person.skald("import-from", *from_there(there))
    assert (again.returncode, "the key of the source needs event:read" in again.stderr) == (0, True)


def test_a_kill_loses_nothing_and_doubles_nothing(here: Registry, there: Registry) -> None:
    for name in ("a", "b"):
        there.send("POST", "llm_skills/", json={"name": name, "description": "D.", "body": "# 1\n"})
        for number in range(1, 15):
            body = {"body": f"# {number + 1}\n", "base_version": number}
            there.send("PATCH", f"llm_skills/name/{name}", json=body)
    for _ in range(4):
        process = subprocess.Popen(
            here.person.command("import-from", *from_there(there)),
            env=here.person.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        before, deadline = here.head(), time.monotonic() + 30
        while here.head() == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    answer = here.skald(*from_there(there))
    assert answer["summary"]["brought"] + answer["summary"]["there"] == 30
    for name in ("a", "b"):
        assert [one["body"] for one in here.versions(name)] == [f"# {n}\n" for n in range(1, 16)]


def test_posthog_is_read_by_its_published_api_alone(here: Registry, there: Registry) -> None:
    fill(there)
    answer = here.skald(*from_there(there, "posthog"), "--kind=skill")
    assert (answer["summary"]["brought"], answer["summary"]["refused"]) == (5, 0)


# Git


class Repository:
    """A repository on this machine; each commit has a time of its own unless told otherwise."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(parents=True)
        self.clock = 1_700_000_000
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        who = {"NAME": "Ann Lee", "EMAIL": "ann@example.com", "DATE": f"{self.clock} +0200"}
        env = {f"GIT_{role}_{key}": text for role in ("AUTHOR", "COMMITTER") for key, text in who.items()}
        return subprocess.run(
            ["git", *arguments],
            cwd=self.place,
            env={"PATH": os.environ["PATH"], "HOME": str(self.place), **env},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def write(self, path: str, text: str | bytes) -> None:
        (self.place / path).parent.mkdir(parents=True, exist_ok=True)
        (self.place / path).write_bytes(text if isinstance(text, bytes) else text.encode())

    def skill(self, folder: str, name: str, body: str) -> None:
        self.write(f"{folder}/SKILL.md", f"---\nname: {name}\ndescription: Does it.\n---\n{body}")

    def commit(self, message: str, *, later: int = 60) -> None:
        self.clock += later
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repo")


def test_each_commit_of_a_folder_is_a_version(here: Registry, repository: Repository) -> None:
    repository.write("README.md", "# Skills\n")
    repository.skill("skills/pdf", "pdf", "# 1\n")
    repository.write("skills/pdf/logo.png", b"\x89PNG\0")
    repository.commit("add pdf\n\nLonger words.")
    repository.skill("skills/pdf", "pdf", "# 2\n")
    repository.commit("second", later=0)  # the same second
    repository.write("README.md", "# More\n")
    repository.commit("not of the skill")
    # Its branch is where the folder comes from; the merge itself changes nothing of it.
    repository.git("checkout", "-q", "-b", "side")
    repository.skill("skills/pdf", "pdf", "# 3\n")
    repository.commit("third")
    repository.git("checkout", "-q", "main")
    repository.skill("skills/csv", "My CSV", "# csv\n")
    repository.commit("csv")
    repository.git("merge", "-q", "--no-ff", "-m", "merge", "side")

    done = here.person.skald("import-from", "git", str(repository.place))
    assert (done.returncode, done.stdout) == (0, "4 versions brought, 0 already there\n"), done.stderr
    assert "skill 'My CSV' is called 'my-csv' here" in done.stderr
    assert "skill/pdf: 3 versions" in done.stderr
    made = here.versions("pdf")
    assert [one["body"] for one in made] == ["# 1\n", "# 2\n", "# 3\n"]
    assert made[0]["version_description"] == (
        "imported: Ann Lee <ann@example.com>, 2023-11-14T22:14:20Z\nadd pdf\n\nLonger words."
    )
    assert [file["path"] for file in made[2]["files"]] == ["logo.png"]
    head = here.head()
    assert here.skald("git", str(repository.place))["summary"] == {
        **{"brought": 0, "there": 4, "marks": 0, "archived": 0, "refused": 0}
    }
    assert here.head() == head

    # A folder that moves takes its skill along, and what comes then goes on there.
    repository.git("mv", "skills/pdf", "skills/pdf-forms")
    repository.commit("move")
    repository.skill("skills/pdf-forms", "pdf-forms", "# 4\n")
    repository.commit("fourth")
    more = here.skald("git", str(repository.place))
    assert more["summary"]["brought"] == 2
    made = here.versions("pdf-forms")
    assert [one["body"] for one in made] == ["# 1\n", "# 2\n", "# 3\n", "# 3\n", "# 4\n"]
    assert here.http.get("llm_skills/name/pdf").status_code == 302
    head = here.head()
    assert here.skald("git", f"file://{repository.place}")["summary"]["brought"] == 0
    assert here.head() == head


def test_what_git_cannot_bring_is_named_and_the_rest_comes(here: Registry, repository: Repository) -> None:
    repository.write("bad/SKILL.md", "no frontmatter\n")
    repository.skill("good", "good", "# 1\n")
    repository.write("good/big.bin", b"x" * 1_000_001)
    repository.commit("too large")
    (repository.place / "good/big.bin").unlink()
    repository.write("good/.env", "SECRET=1\n")
    repository.commit("small")
    (repository.place / "good/link").symlink_to("/etc/passwd")
    repository.commit("a link")
    answer = here.skald("git", str(repository.place), code=1)
    refused = {one["place"]: [refusal["code"] for refusal in one["refused"]] for one in answer["artifacts"]}
    assert refused == {"bad": ["invalid_skill"], "good": ["max_size", "not_a_file"]}
    [made] = here.versions("good")
    assert made["files"] == []
    again = here.skald("git", str(repository.place), code=1)
    assert again["summary"]["brought"] == 0


@pytest.mark.parametrize("place", ["ext::sh -c touch% /tmp/x", "file::/tmp", "--upload-pack=x", "nowhere"])
def test_an_address_runs_nothing(here: Registry, place: str) -> None:
    done = here.person.skald("import-from", "git", "--", place)
    assert done.returncode in (1, 2)
    assert re.match("skald: ", done.stderr)


def test_a_copy_has_no_more_than_it_may(here: Registry, repository: Repository, tmp_path: Path) -> None:
    repository.skill("good", "good", "# 1\n")
    repository.commit("one")
    repository.write("good/big.bin", os.urandom(3_000_000))
    repository.commit("with a file that no skill can have")
    repository.git("rm", "-q", "good/big.bin")
    repository.git("mv", "good", "better")
    repository.commit("moved, without it")
    repository.git("config", "uploadpack.allowFilter", "true")
    before = set(Path(tempfile.gettempdir()).glob("skald-import-*"))
    told = here.skald("git", repository.place.as_uri(), "--max-size=1", code=1)
    [found] = told["artifacts"]
    assert [(one["code"], one["detail"]) for one in found["refused"]] == [
        ("max_size", "big.bin has more than 1,000,000 bytes")
    ]
    assert [one["body"] for one in here.versions("better")] == ["# 1\n", "# 1\n"]
    repository.write("better/noise", os.urandom(1_500_000))
    repository.commit("more than a megabyte")
    done = here.person.skald("import-from", "git", repository.place.as_uri(), "--max-size=1")
    assert done.returncode == 1
    assert done.stderr == f"skald: {repository.place.as_uri()} is larger than 1 MB; --max-size allows more\n"
    assert set(Path(tempfile.gettempdir()).glob("skald-import-*")) == before


def test_a_repository_that_means_no_good_runs_and_writes_nothing(
    here: Registry, repository: Repository, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    repository.skill("good", "good", "# 1\n")
    (repository.place / "link").symlink_to("good")
    (repository.place / "file").mkdir()
    (repository.place / "file/SKILL.md").symlink_to("/etc/passwd")
    repository.write("new\nline/SKILL.md", "x")
    repository.write("\x1b[2J/SKILL.md", "---\nname: x\n---\n")
    repository.git("add", "-A")
    # A tree that no checkout would make: `..` is a folder, and so is `.git`.
    blob = repository.git("rev-parse", ":good/SKILL.md").strip()
    (repository.place / ".git/raw").write_bytes(b"100644 SKILL.md\0" + bytes.fromhex(blob))
    inner = repository.git("hash-object", "-t", "tree", "-w", "--literally", ".git/raw").strip()
    repository.commit("odd names")
    whole = repository.git("ls-tree", "-z", "HEAD").encode().split(b"\0")[:-1]
    rows = sorted([(line.split(b"\t")[1], *line.split()[:3]) for line in whole])
    tree = b"".join(
        mode.lstrip(b"0") + b" " + name + b"\0" + bytes.fromhex(oid.decode()) for name, mode, _, oid in rows
    )
    evil = b"".join(b"40000 " + name + b"\0" + bytes.fromhex(inner) for name in (b"..", b".git"))
    (repository.place / ".git/raw").write_bytes(evil + tree)
    made = repository.git("hash-object", "-t", "tree", "-w", "--literally", ".git/raw").strip()
    commit = repository.git("commit-tree", "-m", "evil", "-p", "HEAD", made).strip()
    repository.git("update-ref", "refs/heads/main", commit)
    for key in (
        "core.fsmonitor",
        "core.sshCommand",
        "diff.external",
        "uploadpack.packObjectsHook",
        "core.pager",
    ):
        repository.git("config", key, f"touch {mark}; false")
    hook = repository.place / ".git/hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
    hook.chmod(0o755)
    for place in (str(repository.place), repository.place.as_uri()):
        done = here.person.skald("import-from", "git", place)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert not set(done.stderr) & {"\x1b", "\r"}
        assert "skill/file version " in done.stderr, done.stderr
        assert not mark.exists()
    assert here.get("llm_skills/")["count"] == 1
