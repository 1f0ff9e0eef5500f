"""Server-Sent Events over sockets: positions, resuming, heartbeat, and every way in which a stream ends."""

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from itertools import count, pairwise
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import pytest

from api.cache.log_follower import POLL
from store.log.log import head
from store.postgres.pool import connect
from store.tables import identity
from tests.support.event_source import EventStream
from tests.support.histories import seed
from tests.support.service import MakeService, Service
from tests.unit.projections.events.test_cloudevents import VALID

HEARTBEAT = 0.3
SCOPES = ("llm_skill:write", "event:read")
MIB = 1 << 20

_names = (f"skill-{number}" for number in count(1))


@pytest.fixture(scope="module")
def service(postgres_url: str, redis_url: str) -> Iterator[Service]:
    service = Service(postgres_url, redis_url, settings={"SKALD_STREAM_HEARTBEAT": str(HEARTBEAT)})
    try:
        yield service.start()
    finally:
        service.close()


class Feed:
    """A project of one test, and a key that may write and follow in it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.id = service.make_project().id
        self.key = service.make_key(SCOPES, [self.id])
        self.client = service.async_client(self.key, self.id)

    async def write(self) -> int:
        """One more event; its position."""
        answer = await self.client.post(
            "llm_skills/", json={"name": next(_names), "description": "d", "body": "b"}
        )
        assert answer.status_code == 201, answer.text
        return int(answer.headers["x-event-position"])

    @contextlib.asynccontextmanager
    async def follow(self, after: int = 0, last: int | None = None) -> AsyncIterator["Stream"]:
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        async with self.client.stream(
            "GET", "events/stream", params={"after": after}, headers=headers
        ) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield Stream(answer)

    def open_socket(self, *, receive_buffer: int | None = None) -> socket.socket:
        """A reader that has asked and reads nothing yet."""
        reader = socket.socket()
        if receive_buffer is not None:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        reader.connect(("127.0.0.1", self.service.port))
        reader.sendall(
            f"GET /api/projects/{self.id}/events/stream HTTP/1.1\r\nhost: x\r\n"
            f"authorization: Bearer {self.key}\r\n\r\n".encode()
        )
        return reader


@pytest.fixture
async def feed(service: Service) -> AsyncIterator[Feed]:
    feed = Feed(service)
    yield feed
    await feed.client.aclose()


class Stream(EventStream):
    """Events one after the other."""

    async def event(self, within: float = 5) -> dict[str, Any]:
        """The next event; its id, its type and what it says of itself agree."""
        async with asyncio.timeout(within):
            await self.reads_until(lambda: bool(self.dispatched))
        kind, event, position = self.dispatched.pop(0)
        VALID.validate(event)
        assert position == str(event["position"])
        assert kind == event["type"]
        return event  # type: ignore[no-any-return]

    async def ends(self, within: float) -> None:
        async with asyncio.timeout(within):
            with contextlib.suppress(EOFError):
                await self.reads_until(lambda: False)


async def test_what_was_and_what_happens_comes_in_order(feed: Feed) -> None:
    before = [await feed.write(), await feed.write()]
    async with feed.follow() as stream:
        assert [(await stream.event())["position"] for _ in before] == before
        assert stream.retry == 1000
        found = []
        for _ in range(5):
            position = await feed.write()
            assert (await stream.event())["position"] == position
            found.append(perf_counter())
        # Each that the poll finds comes a whole turn of it after the one before.
        turn = min(after - before for before, after in pairwise(found))
        assert turn < POLL * 0.9, "it was the poll that found them"


async def test_a_reader_resumes_after_the_last_event_it_had(feed: Feed) -> None:
    positions = [await feed.write() for _ in range(3)]
    async with feed.follow(last=positions[1]) as stream:
        assert (await stream.event())["position"] == positions[2]
    # The id of the last event counts, not the address of the first connection.
    async with feed.follow(after=positions[2], last=positions[0]) as stream:
        assert (await stream.event())["position"] == positions[1]
    async with feed.follow(after=positions[0]) as stream:
        assert (await stream.event())["position"] == positions[1]


async def test_silence_is_filled_with_comments(feed: Feed) -> None:
    async with feed.follow(after=await feed.write()) as stream:
        await stream.reads_until(lambda: stream.retry is not None)
        started = monotonic()
        await stream.reads_until(lambda: stream.comments == 2)
        assert HEARTBEAT < monotonic() - started < HEARTBEAT * 2 + 2


async def test_a_filtered_stream_has_only_what_was_asked_for(feed: Feed) -> None:
    async with feed.client.stream(
        "GET", "events/stream", params={"type": "skald.skill.archived.v1"}
    ) as answer:
        stream = Stream(answer)
        await feed.write()
        name = next(_names)
        await feed.client.post("llm_skills/", json={"name": name, "description": "d", "body": "b"})
        await feed.client.post(f"llm_skills/name/{name}/archive")
        assert (await stream.event())["subject"] == f"skill/{name}"


async def test_a_stream_ends_when_its_key_is_revoked(feed: Feed) -> None:
    async with feed.follow() as stream:
        await stream.reads_until(lambda: stream.retry is not None)
        async with await connect(feed.service.database_url) as conn:
            for key in await identity.list_keys(conn):
                if key.prefix and feed.key.startswith(key.prefix):
                    await identity.revoke_key(conn, key.id)
        await stream.ends(within=HEARTBEAT + 2)
    assert (await feed.client.get("events/")).status_code == 401


async def test_a_reader_that_leaves_is_let_go(feed: Feed) -> None:
    ended = len(re.findall("events/stream", feed.service.output))
    readers = [feed.open_socket() for _ in range(5)]
    await asyncio.sleep(HEARTBEAT)
    for reader in readers:
        reader.close()
    async with asyncio.timeout(5):
        while len(re.findall("events/stream", feed.service.output)) < ended + 5:
            await asyncio.sleep(0.05)


async def test_head_does_not_follow(feed: Feed) -> None:
    answer = await feed.client.head("events/stream", timeout=3)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_a_reader_that_leaves_in_mid_query_costs_no_connection(feed: Feed) -> None:
    for _ in range(20):
        reader = feed.open_socket()
        await asyncio.sleep(0.003)
        reader.close()
    await feed.client.head("events/stream", timeout=3)
    await asyncio.sleep(0.1)
    assert "query cancellation" not in feed.service.output
    assert "discarding closed connection" not in feed.service.output


async def test_readers_that_do_not_read_cost_little_memory(feed: Feed) -> None:
    await seed(feed.service.database_url, feed.id, 12_000)
    [pid] = feed.service.api_pids()
    # So that the first stream's own needs do not count.
    async with feed.follow() as stream:
        await stream.event()
    before = resident(pid)
    readers = [feed.open_socket(receive_buffer=8192) for _ in range(10)]
    highest = 0
    for _ in range(20):
        await asyncio.sleep(0.1)
        highest = max(highest, resident(pid))
    for reader in readers:
        reader.close()
    # 10 readers times 12 MB of events would be 120 MB.
    assert highest - before < 25 * MIB


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    found = re.search(r"VmRSS:\s+([0-9]+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


async def test_open_streams_do_not_hold_up_the_end_of_the_service(make_service: MakeService) -> None:
    service = make_service()
    feed = Feed(service)
    await seed(service.database_url, feed.id, 8_000)
    stalled = [feed.open_socket(receive_buffer=8192) for _ in range(2)]
    reading = feed.open_socket()
    received = bytearray()

    def read() -> None:
        while data := reading.recv(1 << 16):
            received.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    async with await connect(service.database_url) as conn:
        end = await head(conn)
    waiting = asyncio.create_task(feed.client.get("events/", params={"after": end, "wait": 30}))
    async with asyncio.timeout(20):
        while received.count(b"\nid: ") < 8_000:
            await asyncio.sleep(0.05)
    started = monotonic()
    await asyncio.to_thread(service.stop)
    assert monotonic() - started < 6
    assert "refused to gracefully stop" not in service.output
    reader.join(5)
    # The last chunk of the answer, so nothing was cut; before it the end of a message.
    assert received.endswith(b"\n\n\r\n0\r\n\r\n")
    assert (await waiting).json()["results"] == []
    for one in stalled:
        one.close()
    reading.close()
    await feed.client.aclose()
