"""Shares on a running service: revoked for all its processes at once, and never in what it prints or counts."""

import re
import subprocess
import sys
import time

import httpx

from tests.support.service import MakeService, Service

INDEX = ".well-known/agent-skills/index.json"


def statuses(service: Service, token: str, count: int = 24) -> set[int]:
    """Each request by a connection of its own, so that every process has some."""
    return {httpx.get(f"{service.base_url}/s/{token}/{INDEX}", timeout=10).status_code for _ in range(count)}


def make(service: Service) -> dict[str, str]:
    with service.client() as client:
        made: dict[str, str] = client.post("llm_skills/shares/", json={}).raise_for_status().json()
    return made


def test_a_revoked_share_is_closed_in_every_process_when_the_answer_is_out(running_service: Service) -> None:
    made = make(running_service)
    assert statuses(running_service, made["token"]) == {200}
    with running_service.client() as client:
        client.delete(f"llm_skills/shares/{made['id']}").raise_for_status()
    assert statuses(running_service, made["token"]) == {404}


def test_the_token_is_neither_logged_nor_counted(make_service: MakeService) -> None:
    service = make_service(workers=1, settings={"SKALD_LOG_LEVEL": "debug", "SKALD_PUBLIC_PROJECT": "1"})
    made = make(service)
    base = f"{service.base_url}/s/{made['token']}"
    with service.client() as client:
        body = {"name": "pdf-forms", "description": "d", "body": "# b"}
        client.post("llm_skills/", json=body).raise_for_status()
    for path in (INDEX, ".well-known/skills/index.json", ".well-known/agent-skills/pdf-forms/SKILL.md"):
        assert httpx.get(f"{base}/{path}").status_code == 200
    for method, path, status in (
        ("GET", "", 404),
        ("GET", "unknown/path", 404),
        ("GET", ".well-known/agent-skills/no.zip", 404),
        ("GET", ".well-known/agent-skills/pdf-forms.zip?version_id=x", 400),
        ("POST", INDEX, 405),
        ("OPTIONS", INDEX, 204),
        ("HEAD", INDEX, 200),
    ):
        sent = httpx.request(method, f"{base}/{path}", headers={"X-Request-Id": made["token"]})
        assert sent.status_code == status, (method, path)
    metrics = httpx.get(f"{service.base_url}/metrics").text
    service.stop()
    printed = service.output
    secret = made["token"][8:]
    assert secret not in printed
    assert secret not in metrics
    template = "/s/{share_token}/.well-known/agent-skills/index.json"
    assert f'"route":"{template}"' in printed
    assert f'route="{template}"' in metrics
    # The log tells which share it was.
    assert re.search(rf'"key_id":"{made["id"]}"', printed)


def test_a_share_revoked_on_the_command_line_is_closed_soon(running_service: Service) -> None:
    made = make(running_service)
    assert statuses(running_service, made["token"]) == {200}
    command = [sys.executable, "-m", "cli.main", "share", "revoke", made["id"]]
    env = {"SKALD_DATABASE_URL": running_service.database_url, "PATH": "/usr/bin:/bin"}
    subprocess.run(command, env=env, check=True, timeout=60, capture_output=True)
    deadline = time.monotonic() + 2
    while statuses(running_service, made["token"], 6) != {404}:
        assert time.monotonic() < deadline
