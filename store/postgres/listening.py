"""Hearing notifications on a connection that runs queries, too."""

import asyncio

import psycopg

from store.postgres.connection import Connection


class Listener:
    """What ``conn``, which belongs to one task, is told on the channels that it listens to."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self._heard: list[tuple[str, str]] = []
        # What comes in the middle of a query.
        conn.add_notify_handler(self._keep)

    async def hear(self, seconds: float) -> list[tuple[str, str]]:
        """Channel and payload of each notification that has come; none when nothing comes for ``seconds``.

        Raises psycopg.OperationalError when the connection is lost.
        """
        # What has come during a pause is there without a wait.
        self._take()
        if not self._heard and await self.conn.socket.readable(seconds):
            self._take()
        heard, self._heard = self._heard, []
        return heard

    async def pause(self, seconds: float) -> None:
        """Not be woken for a while: what comes is heard together, afterwards."""
        self.conn.socket.release()
        await asyncio.sleep(seconds)

    def _take(self) -> None:
        pgconn = self.conn.pgconn
        pgconn.consume_input()
        while notice := pgconn.notifies():
            self._heard.append((notice.relname.decode(), notice.extra.decode()))

    def _keep(self, notice: psycopg.Notify) -> None:
        self._heard.append((notice.channel, notice.payload))
