"""Endpoints that take their time delay no other project, and no attempt lasts longer than its time-out."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from store.postgres.pool import connect
from store.tables import identity
from tests.integration.workers.test_webhooks import Stage, stage
from tests.support.receiver import Reply, receiving
from workers import webhooks as working
from workers.outbound import open_client

__all__ = ["stage"]

HOOKS = 20  # of the project whose endpoints are slow; each may have PER_ENDPOINT under way


@asynccontextmanager
async def second(stage: Stage) -> AsyncIterator[Stage]:
    """Another project of the same service."""
    async with await connect(stage.url) as conn:
        project = await identity.create_project(conn, "Other")
        yield Stage(stage.url, conn, project.id, stage.appender)


async def test_a_tarpit_of_one_project_delays_no_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    # As many places as the slow project could fill all by itself, and far less time than it would hold them.
    monkeypatch.setattr(working, "MAX_CONCURRENT", 12)
    monkeypatch.setattr(working, "PER_PROJECT", 8)
    async with receiving() as slow, receiving() as quick, second(stage) as other:
        slow.reply = lambda _: Reply(delay=3600)
        for number in range(HOOKS):
            await stage.hook(slow.url(f"/{number}"))
        await other.hook(quick.url())
        async with stage.worker(timeout=3600.0):
            await stage.write("one")
            async with asyncio.timeout(20):
                while slow.under_way < 8:
                    await asyncio.sleep(0.01)
            await other.write("one", "two", "three")
            await quick.got(3, timeout=20)
            assert slow.most_at_once == 8, "and it has used what it may"


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)
    writer.close()


@pytest.mark.parametrize(
    ("head", "outcome"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", "delivered"),
        (b"HTTP/1.1 500 No\r\ncontent-length: 100000\r\n\r\n", "pending"),
        # Not even the head comes to an end.
        (b"HTTP/1.1 200 OK\r\nx-slow: ", "pending"),
        (b"", "pending"),
    ],
)
async def test_an_answer_that_comes_byte_by_byte_ends_with_the_time_out(
    stage: Stage, head: bytes, outcome: str
) -> None:
    server = await asyncio.start_server(lambda reader, writer: trickle(reader, writer, head), "127.0.0.1", 0)
    hook, _ = await stage.hook(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    async with stage.worker(timeout=0.5):
        await stage.write("one")

        async def tried() -> Any:
            return [one for one in await stage.deliveries(hook) if one.attempts]

        [delivery, *_] = await stage.until(tried)
    server.close()
    assert delivery.duration_ms is not None
    assert 400 <= delivery.duration_ms < 5000
    assert delivery.status == outcome


async def test_an_endpoint_that_takes_the_request_byte_by_byte_ends_with_the_time_out(stage: Stage) -> None:
    # It reads nothing, so a body larger than the buffers of the sockets never leaves.
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    held: list[socket.socket] = []
    threading.Thread(target=lambda: held.append(listener.accept()[0]), daemon=True).start()
    sender = working.Sender(
        pool=None,  # type: ignore[arg-type]
        client=open_client(allow_private=True),
        sealer=None,  # type: ignore[arg-type]
        options=working.Options(timeout=0.5),
    )
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    async with asyncio.timeout(10):
        attempt = await sender._attempt(url, "evt_1", b"x" * 50_000_000, [])
    assert attempt.error == "no answer within 0.5 s"
    assert attempt.status is None
    listener.close()
