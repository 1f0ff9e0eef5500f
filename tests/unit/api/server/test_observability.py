"""The access log, the request id and what happens when nobody caught an error."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from api.http.context import record
from api.server.metrics import Metrics, open_metrics
from api.server.observability import AccessLog, Observability

KEY = "sk_" + "x" * 43
Messages = list[dict[str, Any]]


@pytest.fixture
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Metrics:
    return open_metrics(tmp_path_factory.mktemp("run") / "metrics")


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[tuple[AccessLog, Path]]:
    file = tmp_path / "access.log"
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY)
    yield AccessLog(descriptor), file
    os.close(descriptor)


async def call(
    app: Any, *, method: str = "GET", headers: list[tuple[bytes, bytes]] | None = None
) -> Messages:
    sent: Messages = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": method,
        "path": f"/private/{KEY}",
        "query_string": f"token={KEY}".encode(),
        "headers": [(b"authorization", f"Bearer {KEY}".encode()), *(headers or [])],
    }
    await app(scope, receive, send)
    return sent


async def hello(scope: Any, receive: Any, send: Any) -> None:
    found = record(scope)
    found.route, found.key_id, found.project_id = "/hello", UUID(int=7), 3
    await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"he", "more_body": True})
    await send({"type": "http.response.body", "body": b"lo"})


async def broken(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("secret")


async def test_a_request_leaves_one_line_that_names_it_and_no_secret(
    metrics: Metrics, log: tuple[AccessLog, Path]
) -> None:
    access, file = log

    sent = await call(Observability(hello, metrics=metrics, log=access), headers=[(b"x-request-id", b"r-1")])
    access.flush()

    line = json.loads(file.read_text())
    assert (b"x-request-id", b"r-1") in sent[0]["headers"]
    assert line | {"ts": "", "ms": 0} == {
        "ts": "",
        "request_id": "r-1",
        "method": "GET",
        "route": "/hello",
        "status": 201,
        "ms": 0,
        "bytes": 4,
        "project_id": 3,
        "key_id": str(UUID(int=7)),
    }
    assert "private" not in file.read_text()
    assert KEY not in file.read_text()


@pytest.mark.parametrize("given", [b"", b"a b", b"x" * 200, b"\xff", b"a\nb", KEY.encode()])
async def test_an_odd_request_id_is_replaced(metrics: Metrics, given: bytes) -> None:
    sent = await call(Observability(hello, metrics=metrics), headers=[(b"x-request-id", given)])

    [name] = [value for key, value in sent[0]["headers"] if key == b"x-request-id"]
    assert len(name) == 32


async def test_head_has_the_headers_and_no_body(metrics: Metrics) -> None:
    sent = await call(Observability(hello, metrics=metrics), method="HEAD")

    assert (b"content-length", b"4") in sent[0]["headers"]
    assert [message.get("body") for message in sent[1:]] == [b""]


async def test_what_nobody_caught_is_a_500_that_tells_nothing(
    metrics: Metrics, log: tuple[AccessLog, Path]
) -> None:
    access, file = log

    sent = await call(Observability(broken, metrics=metrics, log=access), method="BREW")
    access.flush()

    assert sent[0]["status"] == 500
    assert json.loads(sent[1]["body"])["code"] == "error"
    assert b"secret" not in sent[1]["body"]
    line = json.loads(file.read_text())
    assert (line["status"], line["route"], line["method"]) == (500, "unmatched", "OTHER")


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


async def correlation(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": record(scope).correlation_id.encode()})


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (f"00-{TRACE}-{SPAN}-01", TRACE),
        (f"00-{TRACE}-{SPAN}-00", TRACE),
        (f"cc-{TRACE}-{SPAN}-01-what-a-later-version-has", TRACE),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f'00-{TRACE}-{SPAN}-01","key', None),
        ("", None),
    ],
)
async def test_the_trace_of_a_request_is_in_its_line_and_correlates_its_events(
    metrics: Metrics, log: tuple[AccessLog, Path], given: str, found: str | None
) -> None:
    access, file = log

    traced = Observability(correlation, metrics=metrics, log=access)
    alone = await call(traced, headers=[(b"traceparent", given.encode())])
    both = await call(traced, headers=[(b"x-request-id", b"r-1"), (b"traceparent", given.encode())])
    access.flush()

    first, second = map(json.loads, file.read_text().splitlines())
    assert first.get("trace_id") == second.get("trace_id") == found
    assert len(first["request_id"]) == 32
    assert first["request_id"] != found, "several requests of a trace have one id each"
    assert alone[1]["body"].decode() == (found or first["request_id"])
    assert (second["request_id"], both[1]["body"]) == ("r-1", b"r-1")
