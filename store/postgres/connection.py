"""psycopg's connection, and its state from one pipeline to the next."""

from typing import Any

from psycopg import AsyncConnection
from psycopg.abc import Transformer
from psycopg.pq.abc import PGconn

from store.postgres.waiting import SocketWaiter


class Connection(AsyncConnection[tuple[Any, ...]]):
    """Made by ``store.postgres.pool``.

    ``prepared`` names the statements that the server knows from a pipeline, ``loaders`` has for each query what loads its
    rows, and ``socket`` is what a pipeline waits for.
    """

    def __init__(self, pgconn: PGconn, *args: Any, **kwargs: Any) -> None:
        super().__init__(pgconn, *args, **kwargs)
        self.prepared: set[bytes] = set()
        self.loaders: dict[str, Transformer] = {}
        self.socket = SocketWaiter(pgconn.socket)

    async def wait(self, *args: Any, **kwargs: Any) -> Any:
        # psycopg registers the socket for each wait of its own.
        self.socket.release()
        return await super().wait(*args, **kwargs)

    async def close(self) -> None:
        # While the number is still that of this socket.
        self.socket.release()
        await super().close()
