"""Connections to PostgreSQL, and what ends one whose other end is cut off, frozen or gone.

A process that is cut off in the middle of a transaction keeps its locks until the server ends its connection, and a server
that is frozen never answers: both ends need limits of their own.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from psycopg_pool import AsyncConnectionPool

from store.postgres.connection import Connection

Pool = AsyncConnectionPool[Connection]

OPTIONS: dict[str, Any] = {
    "autocommit": True,
    # Every statement text is constant, so each is worth preparing at its first use.
    "prepare_threshold": 0,
    "connect_timeout": 5,  # seconds; the server may be tried again; a host that is gone must not hold a caller longer
    "tcp_user_timeout": 10_000,  # milliseconds after which a peer that acknowledges nothing is gone
    # Seconds: a peer that is silent for 5 is asked every 2, and gone after 3 questions. The system waits two hours.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}

# The same at the other end, for connections by TCP, and a look now and then whether a client has left a statement that waits.
PEER_GONE = {
    "client_connection_check_interval": "1s",
    "tcp_user_timeout": "10s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}

# A setting that the server does not know is left out (transaction_timeout came with PostgreSQL 17), and so is one that its
# operator has made, for the server, the role or in the address.
APPLY = """
SELECT set_config(name, value, false) FROM (SELECT unnest(%s::text[]) AS name, unnest(%s::text[]) AS value) AS wanted
JOIN pg_settings USING (name) WHERE source = 'default'
"""


class Limits(msgspec.Struct, frozen=True):
    """``answer``: seconds that one exchange with the server may take, then the connection is cut; None: any time.

    ``settings`` are those of the server, for the session.
    """

    answer: float | None = None
    settings: Mapping[str, str] = {}


# Commands of operators work for hours, and think in the middle of transactions.
UNLIMITED = Limits()
# A request is answered 503 after at most this and the wait for a connection.
REQUESTS = Limits(10.0, {"idle_in_transaction_session_timeout": "10s"})
# The appender has a limit of its own, and when its callers get a 503 depends on these: see ``store.log.appender.SETTLED``.
APPENDS = Limits(None, {"transaction_timeout": "8s", "idle_in_transaction_session_timeout": "8s"})
# A leader has its lock by the session: one that is frozen loses it, and another takes over.
FOLLOWERS = Limits(30.0, {"idle_session_timeout": "10s", "idle_in_transaction_session_timeout": "10s"})


async def connect(dsn: str, *, application_name: str = "skald", limits: Limits = UNLIMITED) -> Connection:
    """One autocommit connection; the caller closes it. Raises psycopg.OperationalError."""
    conn = await Connection.connect(dsn, **OPTIONS, application_name=application_name)
    try:
        await limit(conn, limits)
    except BaseException:
        await conn.close()
        raise
    return conn


async def limit(conn: Connection, limits: Limits) -> None:
    """Set what ends the connection, at both ends."""
    conn.limit = limits.answer
    settings = {**PEER_GONE, **limits.settings}
    await conn.execute(APPLY, (list(settings), list(settings.values())), prepare=False)


async def open_pool(dsn: str, *, size: int, timeout: float = 5.0, limits: Limits = REQUESTS) -> Pool:
    """An open pool of autocommit connections; after a restart of the server, call its ``check``.

    ``timeout`` is in seconds: how long a request waits for a connection before it is answered 503.
    """

    async def configure(conn: Connection) -> None:
        await limit(conn, limits)

    pool: Pool = AsyncConnectionPool(
        dsn,
        connection_class=Connection,
        min_size=min(2, size),
        max_size=size,
        timeout=timeout,
        max_waiting=size * 64,
        reconnect_timeout=0,
        kwargs={**OPTIONS, "application_name": "skald-api"},
        configure=configure,
        open=False,
    )
    await pool.open()
    return pool
