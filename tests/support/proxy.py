"""A proxy between a test's connections and PostgreSQL, for faults at a chosen instant of the wire protocol."""

import asyncio
import contextlib
import queue
import select
import shutil
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

SYNC = b"S\x00\x00\x00\x04"  # the end of a pipeline; psycopg sends a Flush behind it
READY = b"Z\x00\x00\x00\x05I"  # ReadyForQuery, idle: the transaction before it is decided and durable


class Proxy:
    """``url`` leads through the proxy. Only UNIX sockets, so it needs the servers of the tests.

    ``cut_after_commit`` makes the next answer that ends a transaction vanish together with its connection.
    ``withhold_answer`` makes the next answer to an append stay here: committed, and nobody knows.
    ``hold_and_cut`` makes the next request stay here while its client's connection is cut; ``release`` lets it go on
    to the server, as packets do that were under way when a client was lost.
    ``freeze`` lets the next pipeline go on to its last statement and nothing behind that, as when its client is cut off in
    the middle: the server waits for the rest. ``missing``: bytes of those statements that stay here, too.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.target = Path(str(conninfo_to_dict(url)["host"])) / ".s.PGSQL.5432"
        self.folder = folder
        self.url = make_conninfo(url, host=str(folder))
        self.cut_after_commit = False
        self.withhold_answer = False
        self.withheld = threading.Event()
        self.hold_and_cut = False
        self.freeze = False
        self.missing = 0
        self.frozen = asyncio.Event()
        self.cuts = 0
        self.connections = 0
        self.held = asyncio.Event()
        self._released = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def release(self) -> None:
        self._released.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        up_reader, up_writer = await asyncio.open_unix_connection(str(self.target))
        tasks = {
            asyncio.create_task(self._requests(reader, writer, up_writer)),
            asyncio.create_task(self._answers(up_reader, writer)),
        }
        self._tasks |= tasks
        try:
            await asyncio.wait(tasks)
        finally:
            for end in (writer, up_writer):
                end.close()

    async def _requests(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 20):
                if self.hold_and_cut:
                    self.hold_and_cut = False
                    while SYNC not in data[-16:]:
                        data += await reader.read(1 << 20)
                    client.close()
                    self.cuts += 1
                    self.held.set()
                    await self._released.wait()
                    server.write(data)
                    await server.drain()
                    # The server must not notice that nobody waits.
                    await asyncio.sleep(3600)
                if self.freeze and SYNC in data:
                    self.freeze = False
                    server.write(data[: data.index(SYNC) - self.missing])
                    await server.drain()
                    self.frozen.set()
                    await asyncio.sleep(3600)
                server.write(data)
                await server.drain()
            server.close()

    async def _answers(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        withheld = b""
        with contextlib.suppress(OSError):
            while data := await server.read(1 << 20):
                if self.cut_after_commit:
                    withheld += data
                    if withheld.endswith(READY):
                        self.cut_after_commit = False
                        self.cuts += 1
                        client.close()
                        return
                    continue
                if self.withhold_answer and b"INSERT 0 " in data:
                    self.withhold_answer = False
                    while not data.endswith(READY):
                        data += await server.read(1 << 20)
                    self.withheld.set()
                    await asyncio.sleep(3600)
                client.write(data)
                await client.drain()
        client.close()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.01)


@contextlib.contextmanager
def proxy_in_a_thread(url: str) -> Iterator[Proxy]:
    """The same for tests that block, such as those that start processes; use its flags and events, nothing else."""
    ready: queue.Queue[Proxy] = queue.Queue()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def run() -> None:
        async with proxy(url) as through:
            ready.put(through)
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), name="proxy", daemon=True)
    thread.start()
    try:
        yield ready.get(timeout=10)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)


@contextlib.asynccontextmanager
async def proxy(url: str) -> AsyncIterator[Proxy]:
    """A running proxy in front of the database at ``url``."""
    folder = Path(tempfile.mkdtemp(prefix="skald-proxy-"))
    through = Proxy(url, folder)
    server = await asyncio.start_unix_server(through.serve, str(folder / ".s.PGSQL.5432"))
    try:
        yield through
    finally:
        server.close()
        await through.stop()
        shutil.rmtree(folder)


@contextlib.contextmanager
def half_answered(url: str, mark: bytes) -> Iterator[str]:
    """An address for one connection, whose server dies when asked something with ``mark`` in it.

    It has sent half of its answer then and left a byte of the question unread, so the client's socket has the one and an
    error behind it.
    """
    target = str(Path(str(conninfo_to_dict(url)["host"])) / ".s.PGSQL.5432")

    def serve() -> None:
        client, _ = listening.accept()
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(target)
            while True:
                ready, _, _ = select.select([client, server], [], [])
                if server in ready:
                    client.sendall(server.recv(1 << 16))
                    continue
                asked = client.recv(1 << 16, socket.MSG_PEEK)
                dies = mark in asked
                client.recv(len(asked) - dies)
                if not asked:
                    return
                server.sendall(asked)
                if dies:
                    answer = server.recv(1 << 16)
                    client.sendall(answer[: len(answer) // 2])
                    return

    with (
        tempfile.TemporaryDirectory(prefix="skald-proxy-") as folder,
        socket.socket(socket.AF_UNIX) as listening,
    ):
        listening.bind(f"{folder}/.s.PGSQL.5432")
        listening.listen()
        threading.Thread(target=serve, name="half a server", daemon=True).start()
        yield make_conninfo(url, host=folder)
