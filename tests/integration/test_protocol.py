"""What a client may hold of the server before its request is one; the connections of several API processes."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from api.http import WHOLE
from cli import protocol
from cli.http import listener
from cli.protocol import LARGE_BODY, MAX_HEAD, Protocol


class Noting:
    """A transport that keeps what is written to it."""

    def __init__(self, transport: Any, written: list[bytes]) -> None:
        self._transport, self._written = transport, written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._written.append(data)
        self._transport.write(data)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the length of the body, or at once with as many bytes as the path says."""
    if scope["path"] != "/":
        body = b"x" * int(scope["path"][1:])
        await scope["extensions"][WHOLE](200, [(b"content-length", b"%d" % len(body))], body)
        return
    length, more = 0, True
    while more:
        message = await receive()
        length, more = length + len(message["body"]), message["more_body"]
    answer = str(length).encode()
    headers = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer, "more_body": False})


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(protocol, "HEAD_WITHIN", 0.3)
    config = uvicorn.Config(application, http=Protocol, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    # Signals are the test runner's.
    monkeypatch.setattr(server, "capture_signals", contextlib.nullcontext)
    sock = listener("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    yield sock.getsockname()[1]
    server.should_exit = True
    await serving


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All writes to all connections."""
    written: list[bytes] = []
    connect = Protocol.connection_made
    monkeypatch.setattr(
        Protocol,
        "connection_made",
        lambda self, transport: connect(self, Noting(transport, written)),  # type: ignore[arg-type]
    )
    return written


async def exchange(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """All that the server says until it closes, or until it has nothing to say for a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
    said = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while part := await asyncio.wait_for(reader.read(65536), 1.0):
            said += part
    writer.close()
    return said


async def test_a_head_without_end_is_cut_off(port: int) -> None:
    said = await exchange(
        port, b"GET / HTTP/1.1\r\n", b"x: ", *[b"a" * 8192 for _ in range(MAX_HEAD // 8192 + 1)], pause=0.001
    )

    assert said.startswith(b"HTTP/1.1 431 ")


async def test_many_headers_are_cut_off(port: int) -> None:
    headers = [b"x-%d: %s\r\n" % (number, b"a" * 1000) for number in range(MAX_HEAD // 1000 + 1)]

    assert (await exchange(port, b"GET / HTTP/1.1\r\n", *headers, pause=0.001)).startswith(b"HTTP/1.1 431 ")


async def test_a_large_body_is_no_large_head(port: int) -> None:
    size = 4 * MAX_HEAD
    head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % size

    assert (await exchange(port, head, *[b"a" * (size // 8)] * 8)).endswith(str(size).encode())


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nhost: x\r\n"])
async def test_who_does_not_come_to_the_point_is_let_go(port: int, begun: bytes) -> None:
    said = await exchange(port, begun)

    assert said.startswith(b"HTTP/1.1 408 ")


async def test_the_second_request_of_a_connection_is_bounded_too(port: int) -> None:
    said = await exchange(port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"GET / HTTP/1.1\r\n", pause=0.05)

    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in said


async def test_a_connection_between_two_requests_is_kept(port: int) -> None:
    request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"

    said = await exchange(port, request, request, pause=0.6)

    assert said.count(b"HTTP/1.1 200 ") == 2


async def test_a_slow_body_is_waited_for(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n"

    assert (await exchange(port, head, b"a", b"b", pause=0.5)).endswith(b"\r\n\r\n2")


def test_several_processes_listen_on_one_address_and_answers_leave_at_once() -> None:
    with listener("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with listener("127.0.0.1", port) as second:
            second.listen()
            with socket.create_connection(("127.0.0.1", port)), second.accept()[0] as accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_whole_answer_leaves_in_one_write(port: int, written: list[bytes]) -> None:
    said = await exchange(port, b"GET /5 HTTP/1.1\r\nhost: x\r\n\r\n")

    assert written == [said]
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert said.endswith(b"content-length: 5\r\n\r\nxxxxx")


async def test_whole_answers_come_in_the_order_of_their_requests(port: int) -> None:
    requests = [b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % size for size in (1, LARGE_BODY + 1, 2)]

    said = await exchange(port, b"".join(requests))

    bodies = [part.partition(b"\r\n\r\n")[2] for part in said.split(b"HTTP/1.1 200 OK")[1:]]
    assert [len(body) for body in bodies] == [1, LARGE_BODY + 1, 2]


async def test_after_a_whole_answer_a_connection_is_closed_when_the_client_wants_it(port: int) -> None:
    request = b"GET /1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"

    said = await exchange(port, request, request)

    assert said.count(b"HTTP/1.1 200 ") == 1
    assert b"\r\nconnection: close\r\n" in said
