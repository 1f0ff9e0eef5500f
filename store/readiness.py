"""What an operator asks the database: is the schema complete, and how far behind is each follower."""

from collections.abc import Sequence
from pathlib import Path

from store.connection import Connection
from store.migrate import collect

# A new database has no such table yet; that is "not ready" and no error.
SELECT_HISTORY = "SELECT to_regclass('schema_migrations') IS NOT NULL"

SELECT_APPLIED = "SELECT number FROM schema_migrations"

SELECT_LAGS = """
SELECT follower, greatest(0, head.position - checkpoints.position)
FROM checkpoints, (SELECT coalesce(max(position), 0) AS position FROM events) AS head
ORDER BY follower
"""


async def missing_migrations(conn: Connection, folders: Sequence[Path]) -> list[str]:
    """The names of the migrations that this release brings and the database lacks."""
    history = await (await conn.execute(SELECT_HISTORY)).fetchone()
    applied = set()
    if history and history[0]:
        applied = {row[0] for row in await (await conn.execute(SELECT_APPLIED)).fetchall()}
    return [file.name for file in collect(folders) if int(file.name[:4]) not in applied]


async def follower_lags(conn: Connection) -> dict[str, int]:
    """How many events each follower has not seen yet."""
    return dict(await (await conn.execute(SELECT_LAGS)).fetchall())
