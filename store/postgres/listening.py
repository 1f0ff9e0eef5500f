"""Notifications on a connection that runs queries, too."""

import asyncio

import psycopg

from store.postgres.connection import Connection


class Listener:
    """The notifications of the channels that ``conn``, which belongs to one task, listens to."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self._received: list[tuple[str, str]] = []
        # What comes in the middle of a query.
        conn.add_notify_handler(self._keep)

    async def receive(self, seconds: float) -> list[tuple[str, str]]:
        """Channel and payload of each notification that has come; none when nothing comes for ``seconds``.

        Raises psycopg.OperationalError when the connection is lost.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        # What has come during a pause is there without a wait.
        self._take()
        # The socket may be called readable with nothing to read: asyncio polls once more before a task reads what it waited for.
        while not self._received and await self.conn.socket.readable(max(0.0, deadline - loop.time())):
            self._take()
        received, self._received = self._received, []
        return received

    async def pause(self, seconds: float) -> None:
        """Sleep without being woken: what comes meanwhile is received together, afterwards."""
        self.conn.socket.release()
        await asyncio.sleep(seconds)

    def _take(self) -> None:
        pgconn = self.conn.pgconn
        pgconn.consume_input()
        while notice := pgconn.notifies():
            self._received.append((notice.relname.decode(), notice.extra.decode()))

    def _keep(self, notice: psycopg.Notify) -> None:
        self._received.append((notice.channel, notice.payload))
