"""`skald serve` as an operator sees it: start, stop, crash, and the deaths of its parts."""

import json
import os
import shlex
import signal
import socket
import subprocess
from typing import Any

import httpx
import pytest

from tests.support import commands
from tests.support.servers import (
    RunningService,
    StartService,
    descendants,
    eventually,
    free_port,
    is_running,
)

pytestmark = pytest.mark.slow


def skald(*arguments: str) -> subprocess.CompletedProcess[str]:
    shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
    return commands.run(*arguments, env=shown)


def answers(service: RunningService, path: str = "/readyz") -> bool:
    try:
        return httpx.get(service.address + path, headers=bearer(service), timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def paste(line: str) -> Any:
    """The JSON that a printed curl line gives; curl itself is not on every machine."""
    if "$(" in line:
        line = subprocess.run(
            ["/bin/sh", "-c", f"printf '%s\\n' {line.removeprefix('curl ')}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.rstrip()
        line = shlex.join(["curl", *line.splitlines()])
    program, silent, address, header, credential = shlex.split(line)
    assert (program, silent, header) == ("curl", "-sS", "-H")
    name, value = credential.split(": ", 1)
    return httpx.get(address, headers={name: value}).json()


def bearer(service: RunningService) -> dict[str, str]:
    return {"Authorization": f"Bearer {service.key}"}


def api_processes(service: RunningService) -> list[int]:
    """The processes below the API's master."""
    return sorted(descendants(service.pid_of("cli.server.http")))


def curl_line(service: RunningService) -> str:
    [line] = [line.strip() for line in service.output.splitlines() if line.strip().startswith("curl ")]
    return line


def test_the_key_stays_out_of_logs_and_the_file_that_holds_it_is_named(start_service: StartService) -> None:
    service = start_service("--workers=2")
    assert service.key not in service.output
    assert paste(curl_line(service))["count"] == 0
    body = {"name": "hello", "description": "d", "body": "# b"}
    skills = f"{service.address}/api/projects/1/llm_skills/"
    assert httpx.post(skills, json=body, headers=bearer(service)).status_code == 201
    assert (service.data_dir / "first-key").stat().st_mode & 0o777 == 0o600
    for path in ("events/", "webhooks/"):
        url = f"{service.address}/api/projects/1/{path}"
        assert httpx.get(url, headers=bearer(service)).status_code == 200
    assert service.stop() == 0
    service.restart()
    assert service.key not in service.output
    assert str(service.data_dir / "first-key") in curl_line(service)
    assert paste(curl_line(service))["count"] == 1


def test_commands_work_while_it_serves(start_service: StartService) -> None:
    service = start_service("--workers=1")
    where = (f"--data-dir={service.data_dir}", "--json")
    project = json.loads(skald("project", "create", "Docs", *where).stdout)
    skald("user", "create", "ada@example.org", *where)
    key = json.loads(
        skald(
            "key", "create", "--user=ada@example.org", "--all-projects", "--scope=llm_skill:read", *where
        ).stdout
    )["key"]
    url = f"{service.address}/api/projects/{project['id']}/llm_skills/"
    assert httpx.get(url, headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_a_second_service_is_refused_by_the_folder_and_by_the_port(start_service: StartService) -> None:
    service = start_service("--workers=1")
    second = skald("serve", f"--data-dir={service.data_dir}", f"--port={free_port()}")
    assert second.returncode == 1
    assert f"process {service.child.pid}" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert answers(service)


def test_a_port_in_use_is_told_before_anything_starts(start_service: StartService) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        service = start_service("--workers=1")
        service.stop()
        run = skald("serve", f"--data-dir={service.data_dir}", f"--port={port}")
    assert run.returncode == 1
    assert f"port {port}" in run.stderr
    assert "in use" in run.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(start_service: StartService, number: signal.Signals) -> None:
    service = start_service("--workers=2")
    children = service.descendants()
    assert len(children) >= 6
    assert service.stop(number) == 0
    assert not [line for pid, line in children.items() if is_running(pid)]
    assert "database system is shut down" in (service.data_dir / "postgres.log").read_text().splitlines()[-1]
    assert not (service.data_dir / "servers.json").exists()


def test_a_killed_parent_leaves_no_orphan_and_the_next_start_recovers(start_service: StartService) -> None:
    service = start_service("--workers=2")
    address = f"{service.address}/api/projects/1/llm_skills/"
    body = {"name": "kept", "description": "d", "body": "# b"}
    assert httpx.post(address, json=body, headers=bearer(service)).status_code == 201
    children = service.descendants()
    service.kill()
    eventually(lambda: not any(is_running(pid) for pid in children), "all children end with the parent")
    service.restart()
    assert answers(service, "/api/projects/1/llm_skills/name/kept")


def test_parts_that_die_come_back(start_service: StartService) -> None:
    service = start_service("--workers=2")
    for part in ("valkey-server", "cli.main worker", "bin/postgres"):
        before = service.pid_of(part)
        os.kill(before, signal.SIGKILL)
        eventually(lambda before=before: not is_running(before), f"{part} ends")  # type: ignore[misc]
        eventually(lambda part=part: part in str(service.descendants()), f"{part} is started again")  # type: ignore[misc]
        eventually(
            lambda: answers(service), f"the service is ready again after the end of {part}", timeout=40
        )
    eventually(
        lambda: answers(service, "/api/projects/1/llm_skills/"), "every process has its database again"
    )


def test_it_keeps_answering_while_the_cache_is_gone(start_service: StartService) -> None:
    service = start_service("--workers=1")
    valkey = service.pid_of("valkey-server")
    # Stopped, not ended: the supervisor has nothing to restart, and Valkey does not answer.
    os.kill(valkey, signal.SIGSTOP)
    try:
        assert answers(service, "/api/projects/1/llm_skills/")
    finally:
        os.kill(valkey, signal.SIGCONT)


def test_an_api_process_that_dies_is_replaced(start_service: StartService) -> None:
    service = start_service("--workers=2")
    victim, other = api_processes(service)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(set(api_processes(service)) - {victim}) == 2, "a new process takes its place")
    assert other in api_processes(service)
    eventually(lambda: answers(service), "the service is ready")


def test_api_processes_die_with_their_master_which_is_started_again(start_service: StartService) -> None:
    service = start_service("--workers=2")
    master, processes = service.pid_of("cli.server.http"), api_processes(service)
    os.kill(master, signal.SIGKILL)
    eventually(lambda: not any(is_running(pid) for pid in processes), "the processes end with their master")
    eventually(lambda: answers(service), "the service is ready again", timeout=40)
    assert service.pid_of("cli.server.http") != master


def test_a_service_on_given_servers_starts_none(
    start_service: StartService, fresh_database_url: str, redis_url: str
) -> None:
    env = {"SKALD_DATABASE_URL": fresh_database_url, "SKALD_REDIS_URL": redis_url}
    service = start_service("--workers=1", env=env)
    lines = " ".join(service.descendants().values())
    assert "postgres" not in lines
    assert "valkey" not in lines
    assert answers(service, "/api/projects/1/llm_skills/")


def test_without_followers_it_runs_none(start_service: StartService) -> None:
    service = start_service("--workers=1", "--no-worker")
    assert "cli.main worker" not in " ".join(service.descendants().values())
