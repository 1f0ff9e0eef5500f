"""The commands beside `skald serve`: what they print, how they fail, and that they need no running service."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
import pytest

from domain.keys import SCOPES
from tests.support import commands
from tests.support.servers import ROOT, SKALD, make_folder

SCOPE = "--scope=llm_skill:read"

Run = Callable[..., subprocess.CompletedProcess[str]]


def skald(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, with nothing but ``env`` set."""
    shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
    return commands.run(*arguments, env={**shown, **env})


@pytest.fixture
def on_database(fresh_database_url: str) -> Run:
    """Runs commands on a migrated database of a real server."""
    return lambda *arguments: skald(*arguments, SKALD_DATABASE_URL=fresh_database_url)


@pytest.fixture
def folder() -> Iterator[Path]:
    path = make_folder()
    yield path
    shutil.rmtree(path)


def answer(run: subprocess.CompletedProcess[str]) -> Any:
    """The one JSON object that a command printed."""
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    [line] = run.stdout.splitlines()
    return json.loads(line)


def refusal(run: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """The exit code and the error's code of a command that failed with one line on each stream."""
    [line] = run.stdout.splitlines()
    error = json.loads(line)["error"]
    assert run.stderr == f"skald: {error['detail']}\n"
    assert set(error) == {"code", "detail", "attr"}
    return run.returncode, error["code"]


def test_a_project_a_user_and_a_key_are_made_on_a_folder_that_nobody_serves(folder: Path) -> None:
    where = (f"--data-dir={folder}", "--json")
    project = answer(skald("project", "create", "Docs", *where))
    user = answer(skald("user", "create", "ada@example.org", "--first-name=Ada", "--last-name=L", *where))
    key = answer(
        skald("key", "create", "--user=ada@example.org", f"--project={project['id']}", SCOPE, *where)
    )
    assert set(project) == {"id", "name", "api_token"}
    assert project["name"] == "Docs"
    assert set(user) == {"id", "uuid", "email"}
    assert set(key) == {"id", "key"}
    assert key["key"].startswith("sk_")
    [listed] = answer(skald("key", "list", *where))["keys"]
    assert (listed["id"], listed["project_ids"]) == (key["id"], [project["id"]])
    assert not (folder / "servers.json").exists()


def test_two_commands_at_once_on_a_new_folder_both_work(folder: Path) -> None:
    shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
    command = [*SKALD, "project", "create", "Docs", "--json", f"--data-dir={folder}"]
    both = [
        subprocess.Popen(command, cwd=ROOT, env=shown, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    printed = [process.communicate(timeout=90)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert {json.loads(text)["id"] for text in printed} == {1, 2}


def test_a_key_without_a_project_may_enter_every_project(on_database: Run) -> None:
    answer(on_database("user", "create", "ada@example.org", "--json"))
    made = answer(
        on_database(
            "key",
            "create",
            "--user=ada@example.org",
            "--all-projects",
            SCOPE,
            "--expires=90d",
            "--label=ci",
            "--json",
        )
    )
    [listed] = answer(on_database("key", "list", "--json"))["keys"]
    assert listed["id"] == made["id"]
    assert listed["project_ids"] is None
    assert listed["expires_at"] is not None
    assert listed["label"] == "ci"
    assert made["key"] not in json.dumps(listed)


def test_a_revoked_key_stays_in_the_list_as_revoked(on_database: Run) -> None:
    answer(on_database("user", "create", "ada@example.org", "--json"))
    made = answer(on_database("key", "create", "--user=ada@example.org", "--all-projects", SCOPE, "--json"))
    assert answer(on_database("key", "revoke", made["id"], "--json"))["id"] == made["id"]
    [listed] = answer(on_database("key", "list", "--json"))["keys"]
    assert listed["revoked_at"] is not None


def test_what_a_command_on_the_host_does_says_by_whom(on_database: Run, fresh_database_url: str) -> None:
    project = answer(on_database("project", "create", "Docs", "--json"))["id"]
    root, ada = (
        answer(on_database("user", "create", f"{name}@example.org", "--json"))["id"]
        for name in ("root", "ada")
    )
    by = "--by=root@example.org"
    user = "--user=ada@example.org"
    nameless = answer(on_database("key", "create", user, "--all-projects", SCOPE, "--json"))
    for_ada = answer(on_database("key", "create", user, "--all-projects", SCOPE, by, "--json"))
    answer(on_database("key", "revoke", nameless["id"], by, "--json"))
    share = answer(
        on_database("share", "create", f"--project={project}", by, "--serve-label=production", "--json")
    )
    [listed] = answer(on_database("share", "list", f"--project={project}", "--json"))["shares"]
    assert listed["serve_label"] == "production"
    answer(on_database("share", "revoke", share["id"], by, "--json"))
    answer(on_database("user", "erase", "ada@example.org", by, "--json"))
    with psycopg.connect(fresh_database_url) as connection:
        found = connection.execute("SELECT topic, actor_id FROM events ORDER BY position").fetchall()
        [[made_by]] = connection.execute("SELECT created_by FROM shares").fetchall()
    assert found == [
        ("key.created", None),
        *[
            (topic, root)
            for topic in (
                "key.created",
                "key.revoked",
                "share.created",
                "share.revoked",
                "user.erased",
                "key.revoked",
            )
        ],
    ]
    assert made_by == root != ada
    assert for_ada["id"] != nameless["id"]
    unknown = on_database(
        "key", "create", "--user=root@example.org", "--all-projects", SCOPE, "--by=no@example.org"
    )
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "no@example.org" in unknown.stderr


def test_an_erased_user_is_gone_and_their_keys_are_revoked(on_database: Run, fresh_database_url: str) -> None:
    answer(on_database("user", "create", "ada@example.org", "--first-name=Ada", "--json"))
    answer(on_database("key", "create", "--user=ada@example.org", "--all-projects", SCOPE, "--json"))
    answer(on_database("user", "erase", "ada@example.org", "--json"))
    [listed] = answer(on_database("key", "list", "--json"))["keys"]
    assert listed["revoked_at"] is not None
    with psycopg.connect(fresh_database_url) as connection:
        assert "Ada" not in str(connection.execute("SELECT * FROM users").fetchall())


def test_people_read_lines_not_json(on_database: Run) -> None:
    on_database("user", "create", "ada@example.org")
    made = on_database("key", "create", "--user=ada@example.org", "--all-projects", SCOPE)
    listed = on_database("key", "list")
    assert made.stdout.startswith("sk_")
    assert "ada@example.org" in listed.stdout
    assert made.stdout.splitlines()[0] not in listed.stdout


def test_a_name_that_is_taken_or_unknown_is_one_clear_line(on_database: Run) -> None:
    answer(on_database("user", "create", "ada@example.org", "--json"))
    assert refusal(on_database("user", "create", "ada@example.org", "--json")) == (1, "unique")
    assert refusal(
        on_database("key", "create", "--user=bob@example.org", "--all-projects", SCOPE, "--json")
    ) == (
        1,
        "not_found",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("key", "create", SCOPE),
        ("key", "create", "--user=ada@example.org"),
        ("key", "create", "--user=ada@example.org", "--all-projects", SCOPE, "--expires=soon"),
        ("key", "create", "--user=ada@example.org", "--all-projects", SCOPE, "--expires=0d"),
        ("key", "create", "--user=ada@example.org", "--all-projects", SCOPE, "--expires=999999999w"),
        ("key", "revoke", "not-an-id"),
        ("project", "create"),
        ("project", "delete"),
    ],
)
def test_a_wrong_call_ends_with_code_2(arguments: tuple[str, ...]) -> None:
    assert refusal(skald(*arguments, "--json")) == (2, "usage")


def test_a_bad_setting_ends_with_code_2() -> None:
    assert refusal(skald("config", "--json", SKALD_PORT="http")) == (2, "bad_setting")


def test_a_database_that_does_not_answer_is_told_without_its_password() -> None:
    run = skald("key", "list", "--json", SKALD_DATABASE_URL="postgresql://skald:hunter2@127.0.0.1:1/skald")
    assert refusal(run) == (1, "unavailable")
    assert "hunter2" not in run.stdout + run.stderr


def test_migrate_applies_once_and_commands_ask_for_it(empty_database_url: str) -> None:
    database = {"SKALD_DATABASE_URL": empty_database_url}
    assert refusal(skald("key", "list", "--json", **database)) == (1, "not_migrated")
    assert len(answer(skald("migrate", "--json", **database))["applied"]) >= 1
    assert answer(skald("migrate", "--json", **database)) == {"applied": []}
    assert answer(skald("key", "list", "--json", **database)) == {"keys": []}


def test_migrate_on_a_new_folder_tells_what_it_applied(folder: Path) -> None:
    assert len(answer(skald("migrate", "--json", f"--data-dir={folder}"))["applied"]) >= 1
    assert answer(skald("migrate", "--json", f"--data-dir={folder}")) == {"applied": []}


def test_config_shows_every_setting_and_no_password() -> None:
    run = skald("config", "--json", SKALD_DATABASE_URL="postgresql://skald:hunter2@db/skald", SKALD_PORT="81")
    shown = {row["variable"]: row for row in answer(run)["settings"]}
    assert shown["SKALD_PORT"]["value"] == "81"
    assert shown["SKALD_PORT"]["default"] == "8000"
    assert "hunter2" not in run.stdout
    assert "SKALD_DATABASE_URL" in skald("config").stdout


def test_a_worker_without_a_database_says_what_it_needs(folder: Path) -> None:
    run = skald("worker", f"--data-dir={folder}")
    assert run.returncode == 1
    assert "SKALD_DATABASE_URL" in run.stderr


def test_a_key_says_its_projects_and_stands_alone_on_standard_output(on_database: Run) -> None:
    project = answer(on_database("project", "create", "Docs", "--json"))
    user = answer(on_database("user", "create", "ada@example.org", "--first-name=Ada", "--json"))
    wanted = ("key", "create", "--user=ada@example.org", SCOPE)
    assert refusal(on_database(*wanted, "--json")) == (2, "usage")
    assert refusal(on_database(*wanted, "--all-projects", "--project=1", "--json")) == (2, "usage")
    made = on_database(*wanted, "--all-projects")
    assert made.stdout.startswith("sk_")
    assert (len(made.stdout.split()), made.stderr.startswith("key ")) == (1, True)
    shared = on_database("share", "create", f"--project={project['id']}")
    assert (len(shared.stdout.split()), shared.stderr.startswith("share ")) == (1, True)
    [listed] = answer(on_database("user", "list", "--json"))["users"]
    assert (listed["id"], listed["email"]) == (user["id"], "ada@example.org")
    assert "Docs" in on_database("project", "list").stdout
    assert "ada@example.org  Ada" in on_database("user", "list").stdout
    answer(on_database("user", "erase", "ada@example.org", "--json"))
    assert answer(on_database("user", "list", "--json")) == {"users": []}


def test_the_help_of_a_key_has_every_scope_and_there_is_a_version_and_completion() -> None:
    shown = skald("key", "create", "--help").stdout
    assert all(f"  {scope} " in shown for scope in SCOPES)
    assert skald("--version").stdout == f"skald {version('skald')}\n"
    assert "skald" in skald(_SKALD_COMPLETE="zsh_source").stdout
