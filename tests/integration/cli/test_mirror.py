"""`skald import-from skald --follow` keeps a project equal to another, also when it is killed, until `skald mirror end`."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.test_import_from import Registry, from_there, here, there
from tests.support.service import MakeService, Service

__all__ = ["here", "there"]

WITHIN = 60.0  # seconds; a start of the command on a busy machine


@contextmanager
def following(here: Registry, there: Registry) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        here.person.command("import-from", *from_there(there), "--follow"),
        env=here.person.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        # Shown with a test that fails.
        print(process.communicate()[1])


def until(holds: Callable[[], bool]) -> None:
    """Raises AssertionError when it does not come true in time."""
    deadline = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def shown(registry: Registry) -> dict[str, Any]:
    """What readers of the project see, without who and when."""
    skills = registry.get("llm_skills/", limit=100)["results"]
    prompts = registry.get("llm_prompts/", limit=100)["results"]
    fields = ("name", "version", "version_count", "tags", "all_labels", "digest", "prompt")
    return {row["name"]: {field: row.get(field) for field in fields} for row in [*skills, *prompts]}


def test_a_mirror_follows_through_kills_and_is_read_only(
    here: Registry, there: Registry, running_service: Service
) -> None:
    there.send("POST", "llm_skills/", json={"name": "one", "description": "D.", "body": "# 1\n"})
    there.send("POST", "llm_prompts/", json={"name": "Ask", "prompt": "1", "tags": ["a"]})
    with following(here, there):
        until(lambda: shown(here) == shown(there))
        # A live one brings what happens.
        there.send("PATCH", "llm_skills/name/one", json={"body": "# 2\n", "base_version": 1})
        there.send("PUT", "llm_skills/name/one/labels/stable", json={"version": 1})
        there.send("POST", "llm_prompts/name/Ask/rename", json={"new_name": "Greet"})
        there.send("PATCH", "llm_prompts/name/Greet", json={"tags": ["b"]})
        until(lambda: shown(here) == shown(there))
    # While it is away, all that can happen does.
    there.send("DELETE", "llm_skills/name/one/labels/stable")
    there.send("PATCH", "llm_skills/name/one", json={"body": "# 3\n", "base_version": 2})
    there.send("POST", "llm_skills/name/one/versions/3/yank", json={"reason": "wrong"})
    there.send("POST", "llm_prompts/name/Greet/archive")
    there.send("POST", "llm_prompts/", json={"name": "Greet", "prompt": "another"})
    there.send("POST", "llm_skills/", json={"name": "two", "description": "D.", "body": "# 1\n"})
    with following(here, there):
        until(lambda: shown(here) == shown(there))
        there.send("POST", "llm_skills/name/one/versions/3/unyank")
        there.send("POST", "llm_skills/name/two/archive")
        until(lambda: shown(here) == shown(there))
    head = here.head()
    with following(here, there):
        there.send("PATCH", "llm_skills/name/one", json={"body": "# 4\n", "base_version": 3})
        until(lambda: shown(here) == shown(there))
    # Exactly the one version, whatever was compared again.
    assert [one["body"] for one in here.versions("one")] == ["# 1\n", "# 2\n", "# 3\n", "# 4\n"]
    assert len(here.get("events/", after=head)["results"]) == 1

    # Another key writes again once it has ended, and what follows stops then.
    other = running_service.make_key(["*"], [here.person.project_id])
    body = {"body": "# Mine\n", "base_version": 4}
    with following(here, there) as process:
        time.sleep(0.1)
        with running_service.client(other, here.person.project_id) as http:
            refused = http.patch("llm_skills/name/one", json=body)
            assert (refused.status_code, refused.json()["code"]) == (403, "mirror")
        status = here.person.skald("mirror", "status").stdout
        assert status.startswith(f"a mirror of Skald at {running_service.base_url}, project ")
        assert process.stderr is not None
        lines = iter(process.stderr)
        until(lambda: "following" in next(lines))
        ended = here.person.skald("mirror", "end")
        assert (ended.returncode, ended.stdout) == (0, "the project is no mirror any more\n")
        there.send("PATCH", "llm_skills/name/one", json={"body": "# 5\n", "base_version": 4})
        assert process.wait(WITHIN) == 1
        assert "is no mirror" in process.stderr.read()
    with running_service.client(other, here.person.project_id) as http:
        assert http.patch("llm_skills/name/one", json=body).status_code == 200
    assert here.person.skald("mirror", "status").stdout == "no mirror\n"


def test_it_waits_for_another_service_that_is_away(
    here: Registry, make_service: MakeService, fresh_database_url: str, tmp_path: Path
) -> None:
    source = make_service(database_url=fresh_database_url, redis_url=None, workers=1)
    there = Registry(source, tmp_path / "elsewhere")
    there.send("POST", "llm_skills/", json={"name": "one", "description": "D.", "body": "# 1\n"})
    with following(here, there):
        until(lambda: shown(here) == shown(there))
        source.kill()
        source.start()
        there.send("PATCH", "llm_skills/name/one", json={"body": "# 2\n", "base_version": 1})
        until(lambda: shown(here) == shown(there))
    there.http.close()


def test_it_takes_a_project_of_its_own(here: Registry, there: Registry) -> None:
    here.send("POST", "llm_skills/", json={"name": "mine", "description": "D.", "body": "# 1\n"})
    done = here.person.skald("import-from", *from_there(there), "--follow")
    assert done.returncode == 1
    assert "versions of its own (mine)" in done.stderr
    assert here.http.get("mirror/").status_code == 404


@pytest.mark.parametrize("option", ["--dry-run", "--force", "--json"])
def test_what_does_not_go_with_it(here: Registry, there: Registry, option: str) -> None:
    done = here.person.skald("import-from", *from_there(there), "--follow", option)
    assert (done.returncode, "goes with neither" in done.stderr) == (1, True)


def test_a_source_whose_log_went_back_is_told(here: Registry, there: Registry) -> None:
    """Versions here that the source does not have stand for that: a log cannot go back on the service that all tests share."""
    there.send("POST", "llm_skills/", json={"name": "one", "description": "D.", "body": "# 1\n"})
    here.skald(*from_there(there))
    gone = {"body": "# 2\n", "base_version": 1, "version_description": "imported: Ada, 2026-03-03T09:30:00Z"}
    here.send("PATCH", "llm_skills/name/one", json=gone)
    done = here.person.skald("import-from", *from_there(there), "--follow")
    assert done.returncode == 1
    assert "the log of the source went back behind what is here: one; `skald archive NAME`" in done.stderr
    here.send("POST", "llm_skills/name/one/archive")
    with following(here, there):
        until(lambda: shown(here) == shown(there))
