"""Behind ``https://host/skald/`` every address in an answer lacked the sub-path: who followed one left the service.

Followed here: each address is resolved as a browser does and fetched through the proxy, which knows nothing outside.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from tests.support.reverse_proxy import proxying
from tests.support.servers import free_port
from tests.support.service import MakeService, Service

SCOPES = ("llm_skill:write", "event:read")
PREFIX = "/skald"
TRUSTED = {"SKALD_TRUSTED_PROXIES": "127.0.0.1"}


def follow(client: httpx.Client, page: str, address: str) -> httpx.Response:
    """What a client gets that resolves ``address``, found in the answer of ``page``."""
    answer = client.get(urljoin(page, address))
    assert answer.status_code == 200, (page, address, answer.status_code, answer.text)
    return answer


def check_all(service: Service, base: str) -> None:
    project = service.make_project()
    key = service.make_key(SCOPES, [project.id])
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        here = f"{base}/api/projects/{project.id}/"
        skills = f"{here}llm_skills/"
        for name in ("ant", "bee", "cow"):
            file = {"path": "a.txt", "content": "a"}
            made = client.post(skills, json={"name": name, "description": "d", "body": "b", "files": [file]})
            assert made.status_code == 201, made.text
        check_pages(client, skills, f"{here}audit/", f"{here}events/")
        check_names(client, skills, made.json()["id"])
        check_share(client, skills)
        check_reference(client, base)
        check_mcp(client, f"{here}mcp", made.json()["id"])


def check_pages(client: httpx.Client, skills: str, audit: str, events: str) -> None:
    first = client.get(skills, params={"limit": 1}).json()
    second = follow(client, skills, first["next"]).json()
    assert [row["name"] for row in second["results"]] == ["bee"]
    assert follow(client, skills, second["previous"]).json() == first
    follow(client, audit, client.get(audit, params={"limit": 1}).json()["next"])
    page = client.get(events, params={"limit": 1})
    event = page.json()["results"][0]
    assert follow(client, events, page.links["next"]["url"]).json()["results"]
    assert page.json()["next"] == page.links["next"]["url"]
    assert follow(client, events, event["dataschema"]).json()["$id"]
    assert follow(client, events, event["data"]["links"]["version"]).json()["name"] == "ant"
    # A name, by which readers tell events apart, whatever way they came.
    assert re.fullmatch("/api/projects/[0-9]+", event["source"])


def check_names(client: httpx.Client, skills: str, version_id: str) -> None:
    for path in ("name/{}", "name/{}/"):
        asked = skills + path.format(version_id)
        moved = client.get(asked)
        assert moved.status_code == 302, moved.text
        follow(client, asked, moved.headers["location"])


def check_share(client: httpx.Client, skills: str) -> None:
    url = client.post(f"{skills}shares/", json={}).json()["url"]
    place = f"{url}/.well-known/agent-skills/index.json"
    for one in follow(client, place, place).json()["skills"]:
        follow(client, place, one["url"])


def check_reference(client: httpx.Client, base: str) -> None:
    for page in (f"{base}/schema", f"{base}/schema/", f"{base}/"):
        html = client.get(page, headers={"Accept": "text/html"}).text
        found = re.findall(r'(?:href|src)="([^"]+)"', html)
        assert len(found) >= 4
        for address in found:
            follow(client, page, address)
    for place in ("reference", "skills", "readiness"):
        follow(client, f"{base}/", client.get(f"{base}/").json()["links"][place])
    document = f"{base}/schema/openapi.json"
    described = client.get(document).json()
    server = urljoin(document, described["servers"][0]["url"]).rstrip("/")
    assert client.get(f"{server}/healthz").status_code == 200


def check_mcp(client: httpx.Client, url: str, version_id: str) -> None:
    """A tool follows the redirect from an id by itself, within."""
    params = {"name": "get_skill", "arguments": {"name": version_id}}
    answer = client.post(
        url,
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
        headers={"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"},
    )
    result: dict[str, Any] = answer.json()["result"]
    assert not result["isError"], result
    assert "cow" in str(result)


@pytest.fixture(scope="module")
def trusting(postgres_url: str, redis_url: str) -> Iterator[Service]:
    """A service that takes what proxies of this host say of themselves."""
    service = Service(postgres_url, redis_url, settings=TRUSTED)
    try:
        yield service.start()
    finally:
        service.close()


@pytest.mark.parametrize("prefix", [PREFIX, "/tools/skald-2", "/api"])
def test_the_trusted_proxy_tells_its_prefix(trusting: Service, prefix: str) -> None:
    with proxying(trusting.base_url, free_port(), prefix) as base:
        check_all(trusting, base)


@pytest.mark.parametrize("prefix", [PREFIX, "/s"])
def test_the_operator_tells_the_public_address(make_service: MakeService, prefix: str) -> None:
    port = free_port()
    service = make_service(settings={"SKALD_PUBLIC_URL": f"http://127.0.0.1:{port}{prefix}/"})

    for strip in (True, False):
        with proxying(service.base_url, port, prefix, strip=strip, forwarded=False) as base:
            check_all(service, base)


def test_the_prefix_of_a_proxy_that_is_not_trusted_counts_for_nothing(make_service: MakeService) -> None:
    service = make_service(settings={"SKALD_TRUSTED_PROXIES": "192.0.2.1"})

    with service.client(headers={"X-Forwarded-Prefix": "/evil", "X-Forwarded-Host": "evil"}) as client:
        client.post("llm_skills/", json={"name": "ant", "description": "d", "body": "b"})
        client.post("llm_skills/", json={"name": "bee", "description": "d", "body": "b"})
        assert client.get("llm_skills/", params={"limit": 1}).json()["next"].startswith(service.url())
        assert b"evil" not in client.get(f"{service.base_url}/schema/").content
        assert b"evil" not in client.get(f"{service.base_url}/schema/openapi.json").content


@contextmanager
def nginx(folder: Path, port: int, to: str) -> Iterator[str]:
    (folder / "nginx.conf").write_text(
        f"""
        daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
        events {{ worker_connections 64; }}
        http {{
          access_log off;
          client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
          fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
          server {{
            listen 127.0.0.1:{port};
            location {PREFIX}/ {{
              proxy_pass {to}/;
              proxy_set_header X-Forwarded-Host $http_host;
              proxy_set_header X-Forwarded-Proto $scheme;
              proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
              proxy_set_header X-Forwarded-Prefix {PREFIX};
            }}
          }}
        }}
        """
    )
    process = subprocess.Popen(["nginx", "-c", f"{folder}/nginx.conf", "-p", str(folder)])
    try:
        for _ in range(300):
            try:
                httpx.get(f"http://127.0.0.1:{port}/")
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}{PREFIX}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx_as_documented(trusting: Service, tmp_path: Path) -> None:
    with nginx(tmp_path, free_port(), trusting.base_url) as base:
        check_all(trusting, base)
