"""The MCP endpoint as an address: who may come in, what it costs, and what is said to messages that make no sense."""

import json
import re
import socket
import time

import httpx
import pytest

from api.mcp.endpoint import check_origin
from domain.errors import PermissionDenied
from tests.support.mcp_client import ACCEPT, ERAS, agent_on, call, message, post
from tests.support.servers import eventually
from tests.support.service import MakeService, Service
from tests.support.wire import Wire, request

SKILL = {"name": "pdf-forms", "description": "Fill in forms.", "body": "Fill.\n"}


@pytest.fixture(scope="module")
def project(running_service: Service) -> tuple[int, str]:
    """A project and the key that opens it alone."""
    found = running_service.make_project()
    return found.id, running_service.make_key(project_ids=[found.id])


@pytest.mark.parametrize("era", ERAS)
async def test_it_says_what_it_is(running_service: Service, era: str) -> None:
    async with agent_on(running_service, era) as agent:
        info = agent.client.server_info
        assert info is not None
        assert (info.name, info.title) == ("skald", "Skald")
        assert "base_version" in (agent.client.instructions or "")
        capabilities = agent.client.server_capabilities
        assert capabilities.tools is not None
        assert capabilities.resources is not None
        assert capabilities.prompts is not None
        tools = {tool.name: tool for tool in (await agent.client.list_tools()).tools}
        assert tools["get_skill"].annotations is not None
        assert tools["get_skill"].annotations.read_only_hint is True
        assert tools["archive_skill"].annotations is not None
        assert tools["archive_skill"].annotations.destructive_hint is True


# Who may come in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "not_authenticated"),
        ("sk_wrong", "authentication_failed"),
        ("sk_" + "a" * 43, "authentication_failed"),
    ],
)
def test_without_a_good_key_nobody_comes_in(running_service: Service, key: str | None, code: str) -> None:
    for path in ("/mcp", f"/api/projects/{running_service.project_id}/mcp"):
        answer = post(running_service, key, message("tools/list"), path)
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert answer.headers["www-authenticate"] == "Bearer"


def test_the_project_is_that_of_the_key_or_of_the_address(running_service: Service) -> None:
    projects = [running_service.make_project() for _ in range(2)]
    key = running_service.make_key(project_ids=[project.id for project in projects])
    for number, project in enumerate(projects):
        with running_service.client(key, project.id) as http:
            http.post("llm_skills/", json={**SKILL, "name": f"skill-{number}"}).raise_for_status()
    places = [
        (f"/api/projects/{projects[0].id}/mcp", 0),
        (f"/api/environments/{projects[1].id}/mcp/", 1),
        (f"/mcp?token={projects[0].api_token}", 0),
        (f"/mcp/?token={projects[1].api_token}", 1),
        (f"/api/projects/@current/mcp?token={projects[1].api_token}", 1),
    ]
    for path, number in places:
        answer = call(running_service, key, "list_skills", path)
        names = [row["name"] for row in answer.json()["result"]["structuredContent"]["results"]]
        assert names == [f"skill-{number}"], path

    other = running_service.make_project()
    foreign = call(running_service, key, "list_skills", f"/api/projects/{other.id}/mcp")
    assert (foreign.status_code, foreign.json()["code"]) == (403, "permission_denied")
    unknown = call(running_service, key, "list_skills", "/api/projects/999999999/mcp")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    token = call(running_service, key, "list_skills", "/mcp?token=skt_unknown")
    assert (token.status_code, token.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("origin", "host", "fine"),
    [
        (None, "skald.example", True),
        ("http://localhost:6274", "localhost:8000", True),
        ("http://[::1]:3000", "127.0.0.1:8000", True),
        ("https://listed.example", "skald.example", True),
        ("HTTPS://Listed.Example", "skald.example", True),
        ("https://evil.example", "skald.example", False),
        ("http://evil.example:8000", "evil.example:8000", False),
        ("http://localhost.evil.example", "localhost:8000", False),
        ("http://localhost:6274", "evil.example:8000", False),
        ("http://localhost:6274", None, False),
        ("null", "localhost:8000", False),
    ],
)
def test_web_pages_come_in_when_they_are_listed_or_of_this_machine(
    origin: str | None, host: str | None, fine: bool
) -> None:
    given = (None if origin is None else origin.encode(), None if host is None else host.encode())
    if fine:
        check_origin(*given, ("https://listed.example",))
    else:
        with pytest.raises(PermissionDenied):
            check_origin(*given, ("https://listed.example",))
    check_origin(*given, ("*",))


def test_a_page_from_elsewhere_is_refused_over_http(
    running_service: Service, project: tuple[int, str]
) -> None:
    answer = post(running_service, project[1], message("tools/list"), origin="https://evil.example")
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert (
        post(running_service, project[1], message("tools/list"), origin="http://localhost:1").status_code
        == 200
    )


# What HTTP says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/mcp", "/api/projects/@current/mcp"])
def test_there_are_no_sessions_and_no_stream_of_its_own(
    running_service: Service, project: tuple[int, str], path: str
) -> None:
    headers = {"authorization": f"Bearer {project[1]}", "accept": ACCEPT, "mcp-session-id": "x"}
    for method in ("GET", "HEAD", "DELETE", "PUT", "PATCH"):
        answer = httpx.request(method, running_service.base_url + path, headers=headers)
        assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST"), method
        if method != "HEAD":
            assert answer.json()["code"] == "method_not_allowed"
    options = httpx.options(running_service.base_url + path)
    assert (options.status_code, options.headers["allow"]) == (204, "OPTIONS, POST")
    stray = post(running_service, project[1], message("ping"), path, mcp_session_id="of another server")
    assert stray.status_code == 200
    assert "mcp-session-id" not in stray.headers


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_only_json_is_taken(running_service: Service, project: tuple[int, str], media_type: str) -> None:
    answer = post(running_service, project[1], message("ping"), content_type=media_type)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_an_answer_that_cannot_be_taken_is_not_made(
    running_service: Service, project: tuple[int, str]
) -> None:
    assert post(running_service, project[1], message("ping"), accept="text/html").status_code == 406
    assert post(running_service, project[1], message("ping"), accept="*/*").status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"\\ud800":1}}', -32700),
        (b"[" * 3000 + b"]" * 3000, -32700),
        (b"null", -32602),
        (b"{}", -32602),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', -32602),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32602),
    ],
)
def test_what_is_no_message_is_an_error_of_the_protocol(
    running_service: Service, project: tuple[int, str], body: bytes, code: int
) -> None:
    answer = post(running_service, project[1], body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == code, answer.text


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("tools/destroy", {}, -32601),
        ("tools/call", {}, -32602),
        ("tools/call", {"name": 5}, -32602),
        ("tools/call", {"name": "get_skill", "arguments": []}, -32602),
        ("tools/call", {"name": "none", "arguments": {}}, -32602),
        ("resources/list", {"cursor": "mine"}, -32602),
        ("resources/list", {"cursor": "-1"}, -32602),
        ("resources/subscribe", {"uri": "skill://a/SKILL.md"}, -32601),
    ],
)
def test_a_message_that_asks_for_nothing_known_is_told_so(
    running_service: Service, project: tuple[int, str], method: str, params: dict[str, object], code: int
) -> None:
    answer = post(running_service, project[1], message(method, **params))
    assert answer.json()["error"]["code"] == code, answer.text


def test_notifications_are_taken_in_silence(running_service: Service, project: tuple[int, str]) -> None:
    for method in ("notifications/initialized", "notifications/cancelled", "notifications/unheard-of"):
        answer = post(running_service, project[1], {"jsonrpc": "2.0", "method": method, "params": {}})
        assert (answer.status_code, answer.content) == (202, b"")


def test_a_version_of_the_protocol_that_nobody_knows_is_refused(
    running_service: Service, project: tuple[int, str]
) -> None:
    answer = post(running_service, project[1], message("tools/list"), mcp_protocol_version="2999-01-01")
    assert answer.status_code == 400
    assert "error" in answer.json()


def test_spaces_around_the_value_of_a_header_do_not_count(
    running_service: Service, project: tuple[int, str]
) -> None:
    body = json.dumps(message("tools/list")).encode()
    about = (f"Accept:\t{ACCEPT} ", "Content-Type: application/json", "MCP-Protocol-Version:  2025-11-25 \t")
    head = request(running_service, "POST", "mcp", *about, f"Content-Length: {len(body)}")
    with Wire(running_service) as wire:
        wire.send(head + body)
        assert wire.reply().status == 200


def test_a_client_that_leaves_early_hurts_nobody(running_service: Service, project: tuple[int, str]) -> None:
    body = json.dumps(
        message("tools/call", name="create_skill", arguments={**SKILL, "name": "left-early"})
    ).encode()
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {project[1]}\r\nAccept: {ACCEPT}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    for sent in (head + body[: len(body) // 2], head + body):
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", running_service.port), timeout=10) as connection:
                connection.sendall(sent)
    deadline = time.monotonic() + 10
    while call(running_service, project[1], "get_skill", name="left-early").json()["result"]["isError"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    seen = call(running_service, project[1], "get_skill", name="left-early").json()
    assert seen["result"]["structuredContent"]["version"] == 1


# What it costs -----------------------------------------------------------------------------------------------------


def test_a_call_counts_as_one_request_and_a_message_is_bounded(make_service: MakeService) -> None:
    service = make_service(settings={"SKALD_RATE_LIMIT_PER_MINUTE": "6", "SKALD_MAX_BODY_BYTES": "4096"})
    keys = [service.make_key(project_ids=[service.project_id]) for _ in range(2)]
    assert not call(service, keys[0], "create_skill", **SKILL).json()["result"]["isError"]
    # Each of them looks at more than one address within.
    for tool in ("get_skill", "list_skills", "get_skill"):
        arguments = {"name": "pdf-forms"} if tool == "get_skill" else {}
        assert not call(service, keys[0], tool, **arguments).json()["result"]["isError"]
    with service.client(keys[0]) as http:
        assert http.get("llm_skills/name/pdf-forms").status_code == 200
    assert post(service, keys[0], message("ping")).status_code == 200
    throttled = call(service, keys[0], "list_skills")
    assert (throttled.status_code, throttled.json()["code"]) == (429, "throttled")
    assert 0 < int(throttled.headers["retry-after"]) <= 60
    assert throttled.headers["ratelimit-limit"] == "6"

    large = call(service, keys[1], "create_skill", **{**SKILL, "body": "x" * 5000})
    assert (large.status_code, large.json()["code"]) == (413, "request_too_large")

    def chunks() -> "object":
        for _ in range(5):
            yield b"x" * 1000

    headers = {"authorization": f"Bearer {keys[1]}", "content-type": "application/json", "accept": ACCEPT}
    chunked = httpx.post(f"{service.base_url}/mcp", content=chunks(), headers=headers)  # type: ignore[arg-type]
    assert (chunked.status_code, chunked.json()["code"]) == (413, "request_too_large")
    assert call(service, keys[1], "list_skills").status_code == 200

    service.stop()
    lines = [json.loads(line) for line in service.output.splitlines() if line.startswith("{")]
    routes = {line["route"]: line for line in lines}
    line = routes["/mcp tools/call create_skill"]
    assert (line["method"], line["status"], line["project_id"]) == ("POST", 200, service.project_id)
    assert re.fullmatch("[0-9a-f-]{36}", line["key_id"])
    # One line for each message: what happens within is not logged again.
    assert not [route for route in routes if route.startswith("/api/projects")]
    assert "Traceback" not in service.output
    assert keys[0] not in service.output


def test_metrics_name_the_tool_and_nothing_that_a_client_invents(
    running_service: Service, project: tuple[int, str]
) -> None:
    call(running_service, project[1], "list_skills", f"/api/projects/{project[0]}/mcp")
    call(running_service, project[1], "evil-tool-1")
    post(running_service, project[1], message("evil/method-1"))
    routes = (
        'route="/api/projects/{project_id}/mcp tools/call list_skills"',
        'route="/mcp tools/call"',
        'route="/mcp other"',
    )
    texts = [""]

    def are_counted() -> bool:
        texts.append(httpx.get(f"{running_service.base_url}/metrics").text)
        return all(route in texts[-1] for route in routes)

    # Each process writes down now and then what it has counted.
    eventually(are_counted, "all three requests are counted")
    assert "evil" not in texts[-1]
