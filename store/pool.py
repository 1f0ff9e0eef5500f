"""Connections to PostgreSQL."""

from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

type_row = tuple[Any, ...]
Pool = AsyncConnectionPool[AsyncConnection[type_row]]

# Every statement text is constant, so each is worth preparing at its first use.
OPTIONS = {"autocommit": True, "prepare_threshold": 0}


async def connect(dsn: str, *, application_name: str = "skald") -> AsyncConnection[type_row]:
    """One autocommit connection; the caller closes it. Raises psycopg.OperationalError."""
    return await AsyncConnection.connect(
        dsn, autocommit=True, prepare_threshold=0, application_name=application_name
    )


async def open_pool(dsn: str, *, size: int, timeout: float = 5.0) -> Pool:
    """An open pool of autocommit connections, checked before use so that a restarted server is not noticed by requests.

    ``timeout`` is in seconds: how long a request waits for a connection before it is answered 503.
    """
    pool: Pool = AsyncConnectionPool(
        dsn,
        min_size=min(2, size),
        max_size=size,
        timeout=timeout,
        max_waiting=size * 64,
        reconnect_timeout=0,
        kwargs=dict(OPTIONS, application_name="skald-api"),
        open=False,
    )
    await pool.open()
    return pool
