"""`skald.lock`: what a pull writes down, a frozen pull takes exactly, and `skald check` compares with the service."""

import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from cli.client.lock import Locked, write_lock
from tests.support.people import Person
from tests.support.service import Service


@pytest.fixture
def ada(running_service: Service, tmp_path: Path) -> Person:
    """Two skills in the project, and both pulled."""
    person = Person(running_service, tmp_path)
    person.write_skill("one", files={"lib/a.txt": b"a", "B.txt": b"b", "_.txt": b"c"}, folder="source/one")
    person.write_skill("two", folder="source/two")
    person.json("push", "source")
    assert person.json("pull", "--dir=out")["summary"] == {"written": 2}
    return person


def send(ada: Person, path: str, body: Any = None, method: str = "POST") -> Any:
    with ada.service.client(ada.key, ada.project_id) as http:
        return http.request(method, f"llm_skills/{path}", json=body).raise_for_status()


def locked(ada: Person) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ada.work / "out/skald.lock").read_text())
    assert list(found) == ["format", "skills"]
    skills: dict[str, Any] = found["skills"]
    return skills


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_frozen_pull_takes_what_a_pull_wrote_down_or_nothing(ada: Person) -> None:
    first = locked(ada)
    shown = send(ada, "name/one", method="GET").json()
    assert first["one"] == {
        "version": 1,
        "digest": shown["digest"],
        "position": send(ada, "name/one/history", method="GET").json()["results"][0]["position"],
        "source": f"{ada.service.base_url}/api/projects/{ada.project_id}",
    }
    text = (ada.work / "out/skald.lock").read_bytes()
    send(ada, "name/one", {"base_version": 1, "body": "# New\n"}, "PATCH")
    # Elsewhere, from the lock alone.
    clone = ada.work / "clone"
    clone.mkdir()
    (clone / "skald.lock").write_bytes(text)
    assert ada.json("pull", "--frozen", "--dir=clone")["summary"] == {"written": 2}
    assert ada.json("pull", "--frozen", "--dir=clone")["summary"] == {"unchanged": 2}
    assert (clone / "skald.lock").read_bytes() == text
    assert (clone / "one/SKILL.md").read_bytes() == (ada.work / "out/one/SKILL.md").read_bytes()

    assert ada.json("pull", "one", "--dir=out")["summary"] == {"updated": 1}
    assert (locked(ada)["one"]["version"], locked(ada)["two"]) == (2, first["two"])

    # One digest that differs, and nothing is written.
    second = ada.work / "second"
    second.mkdir()
    wrong = json.loads(text)
    wrong["skills"]["two"]["digest"] = "sha256:" + "0" * 64
    (second / "skald.lock").write_text(json.dumps(wrong))
    before = files(second)
    done = ada.json("pull", "--frozen", "--dir=second", code=1)
    assert [(one["name"], one["outcome"]) for one in done["skills"]] == [("two", "failed")]
    assert files(second) == before
    for broken, code in (
        ("<<<<<<<\n", "bad_lock"),
        (json.dumps({"format": 1, "skills": {"../x": wrong["skills"]["two"]}}), "bad_lock"),
    ):
        (second / "skald.lock").write_text(broken)
        assert ada.json("pull", "--frozen", "--dir=second", code=1)["error"]["code"] == code
    assert ada.json("pull", "--frozen", "--dir=nowhere", code=1)["error"]["code"] == "no_lock"
    assert not (ada.work / "nowhere").exists()
    (clone / "one/SKILL.md").write_text("mine")
    assert ada.json("pull", "--frozen", "--dir=clone", code=1)["summary"] == {
        "changed_here": 1,
        "unchanged": 1,
    }


def test_a_check_says_what_has_become_of_each(ada: Person) -> None:
    assert ada.skald("check", "out").stdout == ""
    send(ada, "name/one", {"base_version": 1, "body": "# New\n"}, "PATCH")
    send(ada, "name/two", {"base_version": 1, "body": "# New\n"}, "PATCH")
    assert ada.skald("yank", "one", "1", "--reason", "leaks").stdout == (
        "one: version 1 is yanked, the latest is 2\n"
    )
    send(ada, "name/two/rename", {"new_name": "three"})
    done = ada.skald("check", "out/skald.lock")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "one newer yanked (version 1, the latest is 2; yanked: leaks)",
        "two newer renamed (version 1, the latest is 2; is named three now)",
    ]
    send(ada, "name/three/archive")
    assert "is yanked: leaks" in ada.skald("pull", "one", "--frozen", "--dir=out").stderr
    assert "is yanked: leaks" in ada.skald("pull", "one", "--version=1", "--dir=old").stderr
    assert ada.skald("unyank", "one", "1").returncode == 0
    found = ada.json("check", "out", code=1)
    assert [(one["name"], one["states"]) for one in found["results"]] == [
        ("one", ["newer"]),
        ("two", ["missing"]),
    ]


def test_locks_of_other_installers_are_read(ada: Person) -> None:
    tree = files(ada.work / "out/one")
    # As the installer sorts them, by its language: ``_`` before letters, letters whatever their case.
    whole = b"".join(path.encode() + tree[path] for path in ("_.txt", "B.txt", "lib/a.txt", "SKILL.md"))
    entry = {
        "source": "x",
        "sourceUrl": f"{ada.service.base_url}/s/sks_x",
        "sourceType": "well-known",
        "computedHash": hashlib.sha256(whole).hexdigest(),
    }
    lock = {
        "version": 1,
        "skills": {
            "one": entry,
            "two": {**entry, "computedHash": "0" * 64},
            "none": entry,
            "elsewhere": {**entry, "sourceUrl": "https://example.com/"},
        },
    }
    (ada.work / "skills-lock.json").write_text(json.dumps(lock))
    send(ada, "name/one", {"base_version": 1, "body": "# New\n"}, "PATCH")
    done = ada.skald("check", "skills-lock.json")
    assert (done.returncode, done.stdout.splitlines()) == (
        1,
        ["one newer (version 1, the latest is 2)", "two drifted", "none missing"],
    )
    assert done.stderr.startswith("1 of skills-lock.json are not of ")
    (ada.work / "apm.lock.yaml").write_text(
        "lockfile_version: '1'\ndependencies:\n- repo_url: skald/one\n  version: 1.0.1\n"
        "- repo_url: skald/two\n  version: 1.0.1\n- repo_url: other/thing\n  version: 3.0.0\n"
    )
    done = ada.skald("check", "apm.lock.yaml")
    assert (done.returncode, done.stdout) == (1, "one newer (version 1, the latest is 2)\n")


def test_a_lock_that_is_not_as_a_pull_left_it(ada: Person, running_service: Service, tmp_path: Path) -> None:
    text = (ada.work / "out/skald.lock").read_bytes()
    # Of another project, which is said; the digests decide.
    other = Person(running_service, tmp_path / "other")
    (other.work / "skald.lock").write_bytes(text)
    done = other.skald("check")
    assert (done.returncode, done.stdout) == (1, "one missing\ntwo missing\n")
    url = running_service.base_url
    assert done.stderr == (
        f"2 of skald.lock were pulled from {url}/api/projects/{ada.project_id}, "
        f"not from {url}/api/projects/{other.project_id}\n"
    )
    found = other.json("pull", "--frozen", code=1)
    assert (found["summary"], files(other.work)) == ({"not_found": 2}, {"skald.lock": text})

    # Left by a merge.
    for marks in (
        b"<<<<<<< HEAD\n" + text + b"=======\n" + text + b">>>>>>> side\n",
        text.replace(b"\n", b"\r\n") + b"=======\r\n",
    ):
        (ada.work / "out/skald.lock").write_bytes(marks)
        for arguments in (("check", "out"), ("pull", "--dir=out"), ("pull", "--frozen", "--dir=out")):
            error = ada.json(*arguments, code=1)["error"]
            assert (error["code"], "conflict markers of a merge" in error["detail"]) == ("bad_lock", True)
        assert (ada.work / "out/skald.lock").read_bytes() == marks
    (ada.work / "out/skald.lock").write_bytes(text)

    # Archived, and renamed since: what is pinned cannot be had, and nothing else is written.
    send(ada, "name/two/archive")
    clone = ada.work / "clone"
    clone.mkdir()
    (clone / "skald.lock").write_bytes(text)
    found = ada.json("pull", "--frozen", "--dir=clone", code=1)
    assert (found["summary"], files(clone)) == ({"not_found": 1}, {"skald.lock": text})


def test_a_large_lock_is_checked_in_few_requests(ada: Person) -> None:
    lock = json.loads((ada.work / "out/skald.lock").read_text())
    one = lock["skills"]["one"]
    lock["skills"] |= {f"none-{number}": one for number in range(9998)}
    (ada.work / "skald.lock").write_text(json.dumps(lock))
    found = ada.json("check", code=1)
    assert found["checked"] == 10_000
    assert sum(each["states"] == ["missing"] for each in found["results"]) == 9998
    lock["skills"]["too-many"] = one
    (ada.work / "skald.lock").write_text(json.dumps(lock))
    assert ada.json("check", code=1)["error"]["code"] == "bad_lock"


def test_a_full_disk_leaves_the_lock_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Locked(1, f"sha256:{'0' * 64}", None, "x")
    write_lock(tmp_path, {"one": one})
    before = files(tmp_path)
    written = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        written(self, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_lock(tmp_path, {"one": one, "two": one})
    assert files(tmp_path) == before
