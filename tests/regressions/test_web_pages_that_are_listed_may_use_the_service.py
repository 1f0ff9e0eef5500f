"""`SKALD_MCP_ORIGINS` let the request of a page in, but no answer had a word of CORS: no browser showed it to the page."""

import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import httpx
import pytest

from tests.support.mcp_client import ACCEPT
from tests.support.servers import free_port
from tests.support.service import MakeService, Service

PAGE = "https://app.example"
AGENT_PAGE = "https://agents.example:8443"
EVIL = "https://evil.example"
LISTED = {"SKALD_CORS_ORIGINS": f"{PAGE}, https://other.example", "SKALD_MCP_ORIGINS": AGENT_PAGE}
SCOPES = ("llm_skill:write", "event:read")
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "page", "version": "1"},
    },
}


@pytest.fixture
def listed(make_service: MakeService) -> Service:
    return make_service(settings={**LISTED, "SKALD_MAX_BODY_BYTES": "2048"})


def preflight(url: str, origin: str, method: str, headers: str = "") -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    return httpx.options(
        url, headers=asked | ({"Access-Control-Request-Headers": headers} if headers else {})
    )


def names(text: str) -> set[str]:
    return {name.strip().lower() for name in text.split(",")}


def check_readable(answer: httpx.Response, origin: str = PAGE) -> None:
    assert answer.headers.get_list("access-control-allow-origin") == [origin], answer.headers
    assert "origin" in names(answer.headers["vary"])
    assert "access-control-allow-credentials" not in answer.headers
    exposed = names(answer.headers["access-control-expose-headers"])
    assert {"etag", "link", "location", "retry-after", "x-event-position", "x-request-id"} <= exposed
    assert {"mcp-session-id", "idempotent-replayed", "ratelimit-remaining"} <= exposed


def check_closed(answer: httpx.Response) -> None:
    assert not [name for name in answer.headers if name.startswith("access-control")], answer.headers
    assert "origin" in names(answer.headers["vary"])


def test_every_answer_can_be_read_by_a_listed_page_and_by_no_other(listed: Service) -> None:
    key = listed.make_key(SCOPES, [listed.project_id])
    for origin, check in ((PAGE, check_readable), (EVIL, check_closed), ("null", check_closed)):
        with listed.client(key, headers={"Origin": origin}) as client:
            name = f"skill-{len(origin)}"
            made = client.post("llm_skills/", json={"name": name, "description": "d", "body": "b"})
            assert made.status_code == 201
            check(made)
            # Twice: the second time it is answered from memory, without a task.
            for _ in range(3):
                found = client.get(f"llm_skills/name/{name}")
                check(found)
            known = {"If-None-Match": found.headers["etag"]}
            for answer, status in (
                (client.get(f"llm_skills/name/{name}", headers=known), 304),
                (client.get("llm_skills/"), 200),
                (client.get("llm_skills/name/none"), 404),
                (client.get(f"{listed.base_url}/no/such/place"), 404),
                (client.get("llm_skills/", headers={"Authorization": "Bearer wrong"}), 401),
                (client.get("llm_prompts/"), 403),
                (client.put("llm_skills/"), 405),
                (client.patch(f"llm_skills/name/{name}", json={"base_version": 1, "body": "x" * 4096}), 413),
                (client.patch(f"llm_skills/name/{name}", json={"base_version": 1, "body": "c"}), 200),
                (client.patch(f"llm_skills/name/{name}", json={"base_version": 1, "body": "d"}), 409),
                (client.get(f"{listed.base_url}/schema/openapi.json"), 200),
            ):
                assert answer.status_code == status, (status, answer.text)
                check(answer)
            with client.stream("GET", "events/stream") as stream:
                check(stream)
                assert stream.status_code == 200


def test_a_preflight_needs_no_key(listed: Service) -> None:
    wanted = "authorization,content-type,if-match,idempotency-key"
    for path in ("llm_skills/name/any", "llm_skills/", "no/such/place"):
        answer = preflight(listed.url(path), PAGE, "PATCH", wanted)
        assert (answer.status_code, answer.content) == (204, b"")
        check_readable(answer)
        assert "PATCH" in answer.headers["access-control-allow-methods"]
        assert names(answer.headers["access-control-allow-headers"]) == names(wanted)
        assert int(answer.headers["access-control-max-age"]) > 0

    for other in (EVIL, AGENT_PAGE, "null", f"{PAGE}.evil.example", "https://app.example:444"):
        check_closed(preflight(listed.url("llm_skills/"), other, "PATCH", wanted))
    odd = preflight(listed.url("llm_skills/"), PAGE, "PATCH", "a b, c")
    assert "access-control-allow-headers" not in odd.headers


def test_the_mcp_endpoint_has_a_list_of_its_own(listed: Service) -> None:
    wanted = "authorization,content-type,mcp-protocol-version,mcp-session-id"
    headers = {"Authorization": f"Bearer {listed.key}", "Accept": ACCEPT}
    for path in (
        "/mcp",
        "/mcp/",
        f"/api/projects/{listed.project_id}/mcp",
        "/api/environments/@current/mcp/",
    ):
        url = listed.base_url + path
        answer = preflight(url, AGENT_PAGE, "POST", wanted)
        assert answer.status_code == 204
        check_readable(answer, AGENT_PAGE)
        assert names(answer.headers["access-control-allow-headers"]) == names(wanted)
        check_closed(preflight(url, PAGE, "POST", wanted))

        given = httpx.post(url, json=INITIALIZE, headers={**headers, "Origin": AGENT_PAGE})
        assert given.json()["result"]["serverInfo"]
        check_readable(given, AGENT_PAGE)
        refused = httpx.post(url, json=INITIALIZE, headers={**headers, "Origin": PAGE})
        assert refused.status_code == 403
        check_closed(refused)
        unknown = httpx.post(url, json=INITIALIZE, headers={"Accept": ACCEPT, "Origin": AGENT_PAGE})
        assert unknown.status_code == 401
        check_readable(unknown, AGENT_PAGE)


def test_a_star_is_every_page_and_no_credentials(make_service: MakeService) -> None:
    service = make_service(settings={"SKALD_CORS_ORIGINS": "*"})

    with service.client(headers={"Origin": EVIL}) as client:
        check_readable(client.get("llm_skills/"), "*")
        check_readable(preflight(service.url("llm_skills/"), "null", "POST", "x-a"), "*")
    check_closed_without_setting(httpx.post(f"{service.base_url}/mcp", headers={"Origin": EVIL}))


def check_closed_without_setting(answer: httpx.Response) -> None:
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_without_a_setting_there_is_nothing(running_service: Service) -> None:
    with running_service.client(headers={"Origin": PAGE}) as client:
        answer = client.get("llm_skills/")
        check_closed_without_setting(answer)
        assert "origin" not in names(answer.headers.get("vary", ""))
        check_closed_without_setting(preflight(running_service.url("llm_skills/"), PAGE, "POST", "x-a"))


def test_what_any_page_may_read_says_so_once(listed: Service) -> None:
    with listed.client(headers={"Origin": PAGE}) as client:
        url = client.post("llm_skills/shares/", json={}).json()["url"]
        answer = client.get(f"{url}/.well-known/agent-skills/index.json")
    assert answer.headers.get_list("access-control-allow-origin") == ["*"]


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

# Every request is tried; what a page gets is a list of what it could read, or why not.
SCRIPT = """
const attempt = async (name, run) => {
  try { return [name, await run()]; } catch (error) { return [name, `refused: ${error.name}`]; }
};
const auth = { Authorization: `Bearer ${KEY}` };
const json = { ...auth, "Content-Type": "application/json" };
(async () => {
  const found = [];
  found.push(await attempt("health", async () => (await fetch(`${BASE}/healthz`)).status));
  let etag = "";
  found.push(await attempt("get", async () => {
    const answer = await fetch(`${PROJECT}llm_skills/name/ant`, { headers: auth });
    etag = answer.headers.get("etag");
    return [answer.status, (await answer.json()).name, Boolean(etag), Boolean(answer.headers.get("x-request-id"))];
  }));
  found.push(await attempt("patch", async () => {
    const headers = { ...json, "If-Match": etag || '"none"', "Idempotency-Key": NAME };
    const answer = await fetch(`${PROJECT}llm_skills/name/ant`,
      { method: "PATCH", headers, body: JSON.stringify({ body: `by ${NAME}` }) });
    return [answer.status, Number(answer.headers.get("x-event-position")) > 0];
  }));
  found.push(await attempt("missing", async () => (await fetch(`${PROJECT}llm_skills/name/none`, { headers: auth })).status));
  found.push(await attempt("nowhere", async () => (await fetch(`${BASE}/none`, { headers: auth })).status));
  found.push(await attempt("no key", async () => (await fetch(`${PROJECT}llm_skills/`)).status));
  found.push(await attempt("stream", async () => {
    const answer = await fetch(`${PROJECT}events/stream`, { headers: auth });
    const { value } = await answer.body.getReader().read();
    return [answer.status, value.length > 0];
  }));
  found.push(await attempt("mcp", async () => {
    const headers = { ...json, Accept: "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18" };
    const answer = await fetch(`${PROJECT}mcp`, { method: "POST", headers, body: JSON.stringify(INITIALIZE) });
    return [answer.status, Boolean((await answer.json()).result)];
  }));
  await fetch("/found", { method: "POST", body: JSON.stringify(Object.fromEntries(found)) });
})();
"""


@contextmanager
def pages(port: int, script: str) -> Iterator["Queue[Any]"]:
    """Serves a page that runs the script of its port; what it reports is in the queue."""
    found: Queue[Any] = Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(f"<!doctype html><script>{script}</script>".encode())

        def do_POST(self) -> None:
            found.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def browse(folder: Path, port: int, script: str) -> dict[str, Any]:
    """What a page of that port reports from a browser."""
    with pages(port, script) as found:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        profile = f"--user-data-dir={folder}/profile-{port}"
        address = f"http://127.0.0.1:{port}/"
        # A window that stays: without it the browser ends before the page has done its work.
        browser = subprocess.Popen(
            [str(CHROMIUM), *options, profile, "--remote-debugging-port=0", address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            reported: dict[str, Any] = found.get(timeout=120)
            return reported
        finally:
            browser.terminate()
            browser.wait(30)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_page_in_chromium(make_service: MakeService, tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    origin = f"http://127.0.0.1:{port}"
    service = make_service(settings={"SKALD_CORS_ORIGINS": origin, "SKALD_MCP_ORIGINS": origin})
    key = service.make_key(SCOPES, [service.project_id])
    with service.client(key) as client:
        client.post("llm_skills/", json={"name": "ant", "description": "d", "body": "b"})

    def script(name: str) -> str:
        values = {"KEY": key, "BASE": service.base_url, "PROJECT": service.url(), "INITIALIZE": INITIALIZE}
        texts = (f"const {each} = {json.dumps(value)};" for each, value in {**values, "NAME": name}.items())
        return "".join(texts) + SCRIPT

    assert browse(tmp_path, port, script("listed")) == {
        "health": 200,
        "get": [200, "ant", True, True],
        "patch": [200, True],
        "missing": 404,
        "nowhere": 404,
        "no key": 401,
        "stream": [200, True],
        "mcp": [200, True],
    }
    refused = browse(tmp_path, other, script("other"))
    assert set(refused.values()) == {"refused: TypeError"}
    with service.client(key) as client:
        assert client.get("llm_skills/name/ant").json()["body"] == "by listed"
