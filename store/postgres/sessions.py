"""Whether a connection keeps its session: locks of followers, settings, LISTEN and prepared statements hang on it, and so does what
a replica has, which is looked up before the read that rests on it.
"""

from psycopg.errors import ProtocolViolation

from store.postgres.connection import Connection
from store.postgres.pool import connect

SERVER = "SELECT pg_backend_pid()"


class SessionsNotKept(Exception):
    """A pooler gives each transaction whatever server process is free."""


REFUSED = (
    "the database is behind a pooler that gives each transaction another server connection; set pool_mode = session "
    "(PgBouncer), or let {setting} lead past it"
)


async def check_sessions(dsn: str, setting: str = "SKALD_DATABASE_URL") -> None:
    """Raises SessionsNotKept where two connections share a server process, or one does not stay with its own.

    ``setting`` is the one that gave the address.
    """
    try:
        kept = await _are_kept(dsn)
    except ProtocolViolation:  # a pooler by statement refuses transactions
        kept = False
    if not kept:
        raise SessionsNotKept(REFUSED.format(setting=setting))


async def _are_kept(dsn: str) -> bool:
    """The second transaction stays open, so that a pooler cannot give its process to the first connection again."""
    async with await connect(dsn, application_name="skald-migrate") as first:
        before = await _server(first)
        async with await connect(dsn, application_name="skald-migrate") as second, second.transaction():
            return await _server(second) != before and await _server(first) == before


async def _server(conn: Connection) -> int:
    row = await (await conn.execute(SERVER, prepare=False)).fetchone()
    assert row is not None
    return int(row[0])
