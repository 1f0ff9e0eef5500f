"""Connections to PostgreSQL."""

from typing import Any

from psycopg_pool import AsyncConnectionPool

from store.postgres.connection import Connection

Pool = AsyncConnectionPool[Connection]

OPTIONS: dict[str, Any] = {
    "autocommit": True,
    # Every statement text is constant, so each is worth preparing at its first use.
    "prepare_threshold": 0,
    "connect_timeout": 5,  # seconds; the server may be tried again; a host that is gone must not hold a caller longer
    "tcp_user_timeout": 10_000,  # milliseconds after which a peer that acknowledges nothing is gone
}


async def connect(dsn: str, *, application_name: str = "skald") -> Connection:
    """One autocommit connection; the caller closes it. Raises psycopg.OperationalError."""
    return await Connection.connect(dsn, **OPTIONS, application_name=application_name)


async def open_pool(dsn: str, *, size: int, timeout: float = 5.0) -> Pool:
    """An open pool of autocommit connections; after a restart of the server, call its ``check``.

    ``timeout`` is in seconds: how long a request waits for a connection before it is answered 503.
    """
    pool: Pool = AsyncConnectionPool(
        dsn,
        connection_class=Connection,
        min_size=min(2, size),
        max_size=size,
        timeout=timeout,
        max_waiting=size * 64,
        reconnect_timeout=0,
        kwargs={**OPTIONS, "application_name": "skald-api"},
        open=False,
    )
    await pool.open()
    return pool
