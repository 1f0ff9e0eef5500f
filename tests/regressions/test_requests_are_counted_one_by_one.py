"""Requests that come together on one connection shared a state: their lines and counts were those of the last. What the
protocol refuses before it is a request was counted nowhere."""

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from api.fast import protocol
from api.http.context import record
from api.http.proxies import SubPath
from api.http.responses import WHOLE, Answer
from api.server.cors import Cors
from api.server.metrics import Metrics, open_metrics
from api.server.observability import AccessLog, Observability
from cli.server.http import listener, server_config
from tests.integration.api.fast.test_protocol import exchange, whole


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Takes as long as the path says, so that what came later could be ready earlier. What waits for its turn comes here."""
    number = int(scope["path"].rpartition("/")[2])
    record(scope).route, record(scope).project_id = scope["path"], number
    await asyncio.sleep(0.01 * (10 - number))
    answer = whole(number)
    await send({"type": WHOLE, "status": 200, "headers": answer.headers, "body": answer.body})


def answer_now(scope: Any) -> Answer | None:
    number = int(scope["path"].rpartition("/")[2])
    if not scope["path"].startswith("/now/"):
        return None
    record(scope).route, record(scope).project_id = scope["path"], number
    return whole(number)


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Metrics:
    return open_metrics(tmp_path_factory.mktemp("run") / "metrics")


@pytest.fixture(params=["", "cors", "sub-path"])
async def port(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, metrics: Metrics, tmp_path: Path
) -> AsyncIterator[int]:
    monkeypatch.setattr(protocol, "HEAD_WITHIN", 0.3)
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    app: Any = Observability(application, metrics=metrics, log=AccessLog(log), answer_now=answer_now)
    if request.param == "cors":
        app = Cors(app, api=("https://a.example",))
    if request.param == "sub-path":
        app = SubPath(app, "/skald", {"now", "later"})
    config = server_config(lambda: app)
    config.lifespan = "off"
    server = uvicorn.Server(config)
    monkeypatch.setattr(server, "capture_signals", contextlib.nullcontext)
    serving = asyncio.create_task(server.serve(sockets=[listener("127.0.0.1", 0)]))
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving
    os.close(log)


def counts(metrics: Metrics, what: str) -> dict[str, float]:
    """The samples of a counter by their labels."""
    text = metrics.exposition().decode()
    return {labels: float(value) for labels, value in re.findall(rf"^{what}{{(.*)}} (.*)$", text, re.M)}


@pytest.mark.parametrize("ways", [["now"], ["later"], ["now", "later"], ["later", "now", "now"]])
async def test_pipelined_ones(port: int, metrics: Metrics, tmp_path: Path, ways: list[str]) -> None:
    asked = [(ways[number % len(ways)], number) for number in range(9)]
    before = counts(metrics, "skald_http_requests_total")
    said = await exchange(
        port,
        b"".join(
            b"GET /%s/%d HTTP/1.1\r\nHost: x\r\nX-Request-ID: id-%d\r\n\r\n" % (way.encode(), number, number)
            for way, number in asked
        ),
    )
    assert re.findall(rb"x-request-id: id-(\d)", said) == [b"%d" % number for _, number in asked]
    after = counts(metrics, "skald_http_requests_total")
    grown = {labels: value - before.get(labels, 0) for labels, value in after.items()}
    expected = {f'method="GET",route="/{way}/{number}",status="200"' for way, number in asked}
    assert {labels: value for labels, value in grown.items() if value} == dict.fromkeys(expected, 1.0)
    lines: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while len(lines) < len(asked):
            await asyncio.sleep(0.05)
            lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    told = [(line["route"], line["request_id"], line["project_id"], line["bytes"]) for line in lines]
    assert sorted(told) == sorted((f"/{way}/{n}", f"id-{n}", n, n) for way, n in asked)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "400"),
        (b"nonsense\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 2 * protocol.MAX_HEAD + b"\r\n\r\n", "431"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", "408"),
    ],
)
async def test_what_the_protocol_refuses(port: int, metrics: Metrics, head: bytes, status: str) -> None:
    before = counts(metrics, "skald_http_refused_heads_total")
    said = await exchange(port, head)
    assert said.startswith(b"HTTP/1.1 " + status.encode())
    after = counts(metrics, "skald_http_refused_heads_total")
    label = f'status="{status}"'
    assert after[label] - before.get(label, 0) == 1
