"""`skald login` and `logout`: the file of profiles, and how a service and its key are found."""

import contextlib
import os
import pty
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.support.people import Person
from tests.support.servers import free_port
from tests.support.service import Service


@pytest.fixture
def ada(running_service: Service, tmp_path: Path) -> Person:
    """Somebody who has set no variables."""
    person = Person(running_service, tmp_path)
    for name in ("SKALD_URL", "SKALD_KEY", "SKALD_PROJECT"):
        del person.env[name]
    return person


def login(person: Person, *more: str) -> "subprocess.CompletedProcess[str]":
    return person.skald(
        "login", f"--url={person.service.base_url}", "--key-stdin", *more, stdin=f"{person.key}\n"
    )


def test_a_login_is_kept_for_the_user_alone_and_used_by_the_other_commands(ada: Person) -> None:
    assert "run `skald login`" in ada.skald("list").stderr
    done = login(ada)
    assert (done.returncode, done.stderr) == (0, "")
    file = ada.home / ".config" / "skald" / "config.toml"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    [profile] = tomllib.loads(file.read_text())["profiles"].values()
    assert profile == {"url": ada.service.base_url, "project": str(ada.project_id), "key": ada.key}

    assert ada.json("list") == {"count": 0, "results": []}
    assert ada.skald("logout").returncode == 0
    assert ada.key not in file.read_text()
    assert ada.json("list", code=2)["error"]["code"] == "not_logged_in"


def test_the_key_is_asked_for_without_echo(ada: Person) -> None:
    master, terminal = pty.openpty()
    with subprocess.Popen(
        ada.command("login", f"--url={ada.service.base_url}"),
        env=ada.env,
        cwd=ada.work,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        seen = b""
        while b"Key (not shown)" not in seen:
            seen += os.read(master, 1000)
        os.write(master, f"{ada.key}\n".encode())
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        os.set_blocking(master, False)
        with contextlib.suppress(OSError):
            seen += os.read(master, 10_000)
    os.close(master)
    assert ada.key.encode() not in seen + out
    assert ada.json("list")["count"] == 0


def test_a_key_that_is_refused_is_not_kept(ada: Person) -> None:
    done = ada.skald("login", f"--url={ada.service.base_url}", "--key-stdin", "--json", stdin="sk_nonsense\n")
    assert done.returncode == 1
    assert '"code":"authentication_failed"' in done.stdout
    assert "sk_nonsense" not in done.stdout + done.stderr
    assert not (ada.home / ".config").exists()
    other = str(ada.service.make_project().id)
    refused = login(ada, f"--project={other}")
    assert refused.returncode == 1
    assert not (ada.home / ".config").exists()


def test_without_a_terminal_the_key_comes_by_standard_input_alone(ada: Person) -> None:
    done = ada.skald("login", f"--url={ada.service.base_url}")
    assert done.returncode == 1
    assert "--key-stdin" in done.stderr


def test_an_address_without_a_service_says_so_in_one_line(ada: Person) -> None:
    nobody = ada.skald("login", f"--url=http://127.0.0.1:{free_port()}", "--key-stdin", stdin="sk_x\n")
    assert nobody.returncode == 1
    assert "does not answer" in nobody.stderr
    assert len(nobody.stderr.splitlines()) == 1
    # Something else that answers there.
    page = ada.skald("login", f"--url={ada.service.base_url}/schema", "--key-stdin", "--json", stdin="sk_x\n")
    assert page.returncode == 1
    bad = ada.skald("login", "--url=ftp://example.com", "--key-stdin", stdin="sk_x\n")
    assert (bad.returncode, "looks like https://" in bad.stderr) == (2, True)


def test_profiles_stand_beside_each_other(ada: Person) -> None:
    other = ada.service.make_project().id
    key = ada.service.make_key(["llm_skill:write"], [other])
    login(ada)
    done = ada.skald(
        "login", f"--url={ada.service.base_url}", "--key-stdin", "--profile=other", stdin=f"{key}\n"
    )
    assert (done.returncode, key in done.stdout) == (0, False)
    ada.write_skill("pdf")
    ada.skald("push", "skills", "--profile=other")
    assert ada.json("list")["count"] == 0
    assert ada.json("list", "--profile=other")["count"] == 1
    assert ada.skald("list", env={"SKALD_PROFILE": "other"}).stdout.count("pdf") == 2
    assert ada.json("list", "--profile=third", code=2)["error"]["code"] == "not_logged_in"


def test_a_key_goes_to_no_other_address_than_its_own(ada: Person) -> None:
    login(ada)
    done = ada.skald("list", env={"SKALD_URL": f"http://127.0.0.1:{free_port()}"})
    assert done.returncode == 2
    assert "no key is known for" in done.stderr


def test_a_file_that_cannot_be_used_is_named(ada: Person) -> None:
    login(ada)
    file = ada.home / ".config" / "skald" / "config.toml"
    file.write_text("[profiles.default]\nurl = 3\n")
    done = ada.skald("list")
    assert done.returncode == 2
    assert str(file) in done.stderr


def test_a_key_without_the_scope_is_told_which_one(running_service: Service, tmp_path: Path) -> None:
    reader = Person(running_service, tmp_path, scopes=["llm_skill:read"])
    reader.write_skill("pdf")
    done = reader.skald("push", "skills")
    assert done.returncode == 1
    assert "llm_skill:write" in done.stderr
