"""Hearing notifications on a connection that runs queries, too."""

import psycopg

from store.connection import Connection


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
        pgconn = self.conn.pgconn
        if not self._heard and await self.conn.socket.readable(seconds):
            pgconn.consume_input()
            while notice := pgconn.notifies():
                self._heard.append((notice.relname.decode(), notice.extra.decode()))
        heard, self._heard = self._heard, []
        return heard

    def _keep(self, notice: psycopg.Notify) -> None:
        self._heard.append((notice.channel, notice.payload))
