"""What a client may hold of the server before its request is one; the connections of several API processes."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import uvicorn

from api.fast import protocol
from api.fast.protocol import LARGE_BODY, MAX_HEAD, Protocol
from api.http.errors import render
from api.http.responses import WHOLE, Answer, Header
from api.server.admission import Admission, Slot
from cli.server.http import listener, server_config
from domain.errors import Refused
from tests.support.collecting import left_to_the_collector


class Noting:
    """A transport that keeps what is written to it."""

    def __init__(self, transport: Any, written: list[bytes]) -> None:
        self._transport, self._written = transport, written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._written.append(data)
        self._transport.write(data)


def whole(size: int) -> Answer:
    return Answer(200, [(b"content-length", b"%d" % size)], b"x" * size)


class Application:
    """Answers with the length of the body, or as a whole with as many bytes as the path says: at once below ``/now/``,
    below ``/slow/`` when it is told to.
    """

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.begun: list[str] = []
        self.headers: list[list[Header]] = []
        self.left = asyncio.Event()
        self._admission = Admission(limit=0)

    def answer_now(self, scope: Any) -> Answer | None:
        self.begun.append(scope["path"])
        self.headers.append(scope["headers"])
        _, _, size = scope["path"].partition("/now/")
        return whole(int(size)) if size else None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/left":
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.set()
            return
        if scope["path"] != "/":
            if scope["path"].startswith("/slow/"):
                with await self._admission.slot(scope) as slot:
                    await self.told.wait()
                    receive, send = partial(slot.receive, receive), partial(slot.send, send)
            assert WHOLE in scope["extensions"]
            status, headers, body = whole(int(scope["path"].rpartition("/")[2]))
            await send({"type": WHOLE, "status": status, "headers": headers, "body": body})
            return
        length, more = 0, True
        while more:
            try:
                message = await receive()
            except Refused as refused:
                status, headers, body = render(refused)
                headers = [*headers, (b"content-length", b"%d" % len(body))]
                await send({"type": WHOLE, "status": status, "headers": headers, "body": body})
                return
            length, more = length + len(message["body"]), message["more_body"]
        answer = str(length).encode()
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer, "more_body": False})


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch, application: Application) -> AsyncIterator[uvicorn.Server]:
    monkeypatch.setattr(protocol, "HEAD_WITHIN", 0.3)
    config = server_config(lambda: application)
    config.lifespan = "off"
    server = uvicorn.Server(config)
    # Signals are the test runner's.
    monkeypatch.setattr(server, "capture_signals", contextlib.nullcontext)
    sock = listener("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    yield server
    server.should_exit = True
    await serving


@pytest.fixture
def port(server: uvicorn.Server) -> int:
    number: int = server.servers[0].sockets[0].getsockname()[1]
    return number


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


def get(path: bytes, more: bytes = b"") -> bytes:
    return b"GET /%b HTTP/1.1\r\nhost: x\r\n%b\r\n" % (path, more)


def sizes(said: bytes) -> list[int]:
    """The lengths of the bodies of answers."""
    return [len(part.partition(b"\r\n\r\n")[2]) for part in said.split(b"HTTP/1.1 200 OK")[1:]]


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


@pytest.mark.parametrize("where", [b"", b"now/"])
async def test_whole_answers_come_in_the_order_of_their_requests(port: int, where: bytes) -> None:
    requests = [get(b"%b%d" % (where, size)) for size in (1, LARGE_BODY + 1, 2)]

    said = await exchange(port, b"".join(requests))

    assert sizes(said) == [1, LARGE_BODY + 1, 2]


@pytest.mark.parametrize("path", [b"1", b"now/1"])
async def test_after_a_whole_answer_a_connection_is_closed_when_the_client_wants_it(
    port: int, path: bytes, application: Application
) -> None:
    said = await exchange(port, get(path, b"connection: close\r\n") + get(path))

    assert sizes(said) == [1]
    assert b"\r\nconnection: close\r\n" in said
    assert len(application.begun) == 1


async def test_what_could_be_answered_at_once_waits_for_the_requests_before_it(
    port: int, application: Application
) -> None:
    many = 2000
    asking = asyncio.create_task(exchange(port, get(b"now/1") + get(b"slow/2") + get(b"now/3") * many))
    while "/slow/2" not in application.begun:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    before = list(application.begun)
    application.told.set()

    assert sizes(await asking) == [1, 2] + [3] * many
    assert before == ["/now/1", "/slow/2"]


async def test_what_nobody_reads_is_not_answered_at_once(port: int, application: Application) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    writer.write(get(b"now/60000") * 2000)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(writer.drain(), 0.5)

    assert 0 < len(application.begun) < 500
    writer.transport.abort()


async def test_no_request_is_left_to_the_collector(port: int, application: Application) -> None:
    application.told.set()
    with left_to_the_collector() as garbage:
        await exchange(port, get(b"now/1") + get(b"slow/2") + get(b"now/3"))

    assert not [one for one in garbage if isinstance(one, protocol.Cycle | Slot)]


async def test_at_its_end_a_server_answers_what_has_come_and_closes(
    port: int, server: uvicorn.Server, application: Application
) -> None:
    asking = asyncio.create_task(exchange(port, get(b"now/1") + get(b"slow/2"), get(b"now/3"), pause=0.1))
    await asyncio.sleep(0.3)
    server.should_exit = True
    await asyncio.sleep(0.3)
    application.told.set()

    said = await asking

    assert sizes(said) == [1, 2, 3]
    assert said.count(b"\r\nconnection: close\r\n") == 1
    with pytest.raises(ConnectionRefusedError):
        await exchange(port, get(b"now/1"))


def statuses(said: bytes) -> list[int]:
    return [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]]


POST = b"POST / HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize("framing", [b"content-length: 100", b"transfer-encoding: chunked"])
@pytest.mark.parametrize("first", [b"", b"1\r\na\r\n"])
async def test_a_body_that_hardly_comes_is_not_waited_for(
    port: int, monkeypatch: pytest.MonkeyPatch, framing: bytes, first: bytes
) -> None:
    monkeypatch.setattr(protocol, "BODY_WITHIN", 0.3)

    said = await exchange(port, POST + framing + b"\r\n\r\n" + first, *[b"1\r\na\r\n"] * 5, pause=0.2)

    assert statuses(said) == [408]
    assert b"\r\nconnection: close\r\n" in said


async def test_a_body_that_comes_well_is_waited_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_WITHIN", 0.3)
    size = 8 * protocol.BODY_RATE
    head = POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % size

    assert (await exchange(port, head, *[b"a" * (size // 4)] * 4, pause=0.2)).endswith(b"\r\n\r\n%d" % size)


async def test_what_is_left_of_a_body_behind_its_answer_is_not_waited_for(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "BODY_WITHIN", 0.3)

    said = await exchange(
        port, b"POST /now/5 HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\na", b"b", pause=0.6
    )

    assert sizes(said) == [5]


@pytest.mark.parametrize("endless", [b"0\r\nx: ", b"1;x="])
async def test_what_is_no_data_of_a_chunked_body_is_bounded(port: int, endless: bytes) -> None:
    more = [b"a" * 8192] * (2 * MAX_HEAD // 8192)

    said = await exchange(port, POST + b"transfer-encoding: chunked\r\n\r\n", endless, *more, pause=0.001)

    assert statuses(said) == [400]


async def test_who_stops_reading_is_let_go(
    port: int, monkeypatch: pytest.MonkeyPatch, server: uvicorn.Server
) -> None:
    monkeypatch.setattr(protocol, "READ_WITHIN", 0.3)
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    writer.write(get(b"%d" % (64 * 1024 * 1024)))
    async with asyncio.timeout(20):
        while not server.server_state.connections:
            await asyncio.sleep(0.01)
        while server.server_state.connections:
            await asyncio.sleep(0.05)
    writer.transport.abort()


async def test_who_reads_slowly_gets_all(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "READ_WITHIN", 0.5)
    size, taken = 24 * 1024 * 1024, 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(get(b"%d" % size))
    await reader.readuntil(b"\r\n\r\n")
    while taken < size:
        taken += len(await reader.read(4 * 1024 * 1024))
        await asyncio.sleep(0.002)
    writer.close()


@pytest.mark.parametrize("behind", [b"GET / HTTP/1.1\r\nhost: x\r\nx: ", b"GET / HTTP/1.1\r\n"])
async def test_requests_in_one_packet_do_not_count_as_one_head(port: int, behind: bytes) -> None:
    many = MAX_HEAD // len(get(b"now/1")) + 10

    said = await exchange(port, get(b"now/1") * many + behind, pause=0.1)

    assert statuses(said) == [200] * many + [408]


async def test_a_large_head_behind_another_request_is_one(port: int) -> None:
    large = b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(
        b"x-%d: %s\r\n" % (number, b"a" * 1000) for number in range(MAX_HEAD // 1000 + 1)
    )

    said = await exchange(port, get(b"now/1") + large + b"\r\n")

    assert statuses(said) == [200, 431]


async def test_a_head_that_cannot_be_read_is_answered_in_its_turn(
    port: int, application: Application
) -> None:
    asking = asyncio.create_task(exchange(port, get(b"slow/2") + b"\0\r\n\r\n" + get(b"now/1")))
    while "/slow/2" not in application.begun:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    application.told.set()

    assert statuses(await asking) == [200, 400]


async def test_a_head_behind_a_slow_answer_has_its_time_too(port: int, application: Application) -> None:
    asking = asyncio.create_task(exchange(port, get(b"slow/2") + b"GET / HTTP/1.1\r\n"))
    await asyncio.sleep(0.8)
    application.told.set()

    assert statuses(await asking) == [200, 408]


async def test_all_requests_of_a_connection_lose_their_client(port: int, application: Application) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    # The first one reads on while another waits behind it.
    writer.write(get(b"left") + get(b"now/1"))
    async with asyncio.timeout(5):
        while "/left" not in application.begun:
            await asyncio.sleep(0.01)
        writer.transport.abort()
        await application.left.wait()


@pytest.mark.parametrize(
    "how", [b"content-length: 3\r\n\r\nabc", b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
)
async def test_the_wish_for_another_protocol_changes_nothing(port: int, how: bytes) -> None:
    wish = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: x\r\n"

    said = await exchange(port, (POST + wish + how) * 2 + get(b"now/2", wish) + get(b"now/7"))

    assert sizes(said) == [1, 1, 2, 7]
    assert b"\r\n\r\n3HTTP" in said


async def test_trailers_are_no_headers(port: int, application: Application) -> None:
    body = b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-late: 1\r\nhost: y\r\n\r\n"

    assert sizes(await exchange(port, POST + body + get(b"now/3"))) == [1, 3]
    assert not any(name == b"x-late" for headers in application.headers for name, _ in headers)


async def test_an_address_with_a_host_is_that_hosts(port: int, application: Application) -> None:
    said = await exchange(port, b"GET http://other:81/now/4?a=b HTTP/1.1\r\nhost: x\r\n\r\n")

    assert sizes(said) == [4]
    assert [value for name, value in application.headers[0] if name == b"host"] == [b"other:81"]


async def test_empty_lines_keep_no_connection(port: int, server: uvicorn.Server) -> None:
    server.config.timeout_keep_alive = 0.5  # type: ignore[assignment]
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(get(b"now/1"))
    async with asyncio.timeout(10):
        while not server.server_state.total_requests:
            await asyncio.sleep(0.01)
        while server.server_state.connections:
            writer.write(b"\r\n")
            await asyncio.sleep(0.1)
    writer.transport.abort()
