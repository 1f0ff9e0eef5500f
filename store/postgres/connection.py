"""psycopg's connection, and its state from one pipeline to the next."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import Transformer
from psycopg.pq.abc import PGconn

from store.postgres.waiting import SocketWaiter

# Seconds for an answer that has come while the event loop, or its whole process, stood still: its timers are due before it is read.
GRACE = 0.2


class Deadline:
    """Calls ``late`` after ``seconds``, unless it is cancelled."""

    __slots__ = ("_late", "_loop", "_timer")

    def __init__(self, seconds: float, late: Callable[[], None]) -> None:
        self._late = late
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(seconds, self._last)

    def _last(self) -> None:
        self._timer = self._loop.call_later(GRACE, self._late)

    def cancel(self) -> None:
        self._timer.cancel()


class Connection(AsyncConnection[tuple[Any, ...]]):
    """Made by ``store.postgres.pool``.

    ``prepared`` names the statements that the server knows from a pipeline, ``routines`` its functions (see
    ``store.postgres.routines``), ``loaders`` has for each query what loads its rows, and ``socket`` is what a pipeline waits for. ``limit``: seconds that one exchange with the server may take; a
    connection that takes longer is cut, and what waits for it gets an OperationalError.
    """

    limit: float | None = None

    def __init__(self, pgconn: PGconn, *args: Any, **kwargs: Any) -> None:
        super().__init__(pgconn, *args, **kwargs)
        self.prepared: set[bytes] = set()
        self.routines: set[str] = set()
        self.loaders: dict[str, Transformer] = {}
        self.socket = SocketWaiter(pgconn.socket)

    async def wait(self, *args: Any, **kwargs: Any) -> Any:
        # psycopg registers the socket for each wait of its own.
        self.socket.release()
        timer = self.start_limit()
        try:
            return await super().wait(*args, **kwargs)
        finally:
            if timer is not None:
                timer.cancel()

    def start_limit(self) -> "Deadline | None":
        """What cuts the connection after ``limit``, unless it is cancelled."""
        return None if self.limit is None else Deadline(self.limit, self.cut)

    def cut(self) -> None:
        """End the connection under what waits for it: to cancel that first would be another wait for the same server."""
        with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(self.fileno())) as copy:
            copy.shutdown(socket.SHUT_RDWR)
        self.socket.wake()

    async def close(self) -> None:
        # While the number is still that of this socket.
        self.socket.release()
        await super().close()
