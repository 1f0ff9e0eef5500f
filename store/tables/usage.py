"""Which version was read how often, by hour, door and reader: a plain table beside the log.

It cannot be made from the log: no replay, `skald verify` or `skald export` knows it.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from store.postgres.connection import Connection

NOBODY = UUID(int=0)  # what a row has for a read without key and share

# Hours are told apart for thirteen months, so that a question about a day of the year before finds its hour; then days are.
KEEP_HOURS = "400 days"
# No process repeats a batch after that time.
KEEP_WRITERS = "7 days"

COLUMNS = {
    "version_id": "uuid",
    "hour": "float8",
    "door": "text",
    "reader": "uuid",
    "is_share": "bool",
    "reads": "bigint",
    "revalidated": "bigint",
    "first_at": "float8",
    "last_at": "float8",
}

# usage_writers_pkey, versions_id, artifacts_pkey, usage_pkey. Sorted, so that two processes take the locks of rows in one order.
# A batch that is there already adds nothing, and neither does a version that the log has lost.
ADD = f"""
WITH begun AS (
    INSERT INTO usage_writers (id, batch, added_at) VALUES (%s, %s, clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, added_at = excluded.added_at
    WHERE usage_writers.batch < excluded.batch
    RETURNING batch
)
INSERT INTO usage (project_id, hour, stream_id, version, door, reader, is_share, reads, revalidated, first_at, last_at)
SELECT project_id, to_timestamp(hour), versions.stream_id, number, door, reader, is_share,
       sum(reads), sum(revalidated), to_timestamp(min(first_at)), to_timestamp(max(last_at))
FROM begun
CROSS JOIN unnest({", ".join(f"%s::{type}[]" for type in COLUMNS.values())}) AS new ({", ".join(COLUMNS)})
JOIN versions ON versions.id = new.version_id
JOIN artifacts ON artifacts.stream_id = versions.stream_id
GROUP BY project_id, hour, versions.stream_id, number, door, reader, is_share
ORDER BY project_id, hour, versions.stream_id, number, door, reader
ON CONFLICT (project_id, hour, stream_id, version, door, reader) DO UPDATE
SET reads = usage.reads + excluded.reads, revalidated = usage.revalidated + excluded.revalidated,
    first_at = least(usage.first_at, excluded.first_at), last_at = greatest(usage.last_at, excluded.last_at)
"""

# usage_by_hour. The oldest day that has hours of its own; everything of it is removed before anything is put back.
FOLD = """
WITH oldest AS (
    SELECT date_trunc('day', min(hour), 'UTC') AS day FROM usage
    WHERE NOT whole_day AND hour < date_trunc('day', clock_timestamp() - %s::interval, 'UTC')
), hours AS (
    DELETE FROM usage USING oldest WHERE hour >= oldest.day AND hour < oldest.day + interval '1 day'
    RETURNING usage.*, oldest.day
)
INSERT INTO usage
    (project_id, hour, stream_id, version, door, reader, is_share, whole_day, reads, revalidated, first_at, last_at)
SELECT project_id, day, stream_id, version, door, reader, is_share, true,
       sum(reads), sum(revalidated), min(first_at), max(last_at)
FROM hours GROUP BY project_id, day, stream_id, version, door, reader, is_share
"""

# Reads the whole table, which this keeps small.
SWEEP_WRITERS = "DELETE FROM usage_writers WHERE added_at < clock_timestamp() - %s::interval"


class Count(msgspec.Struct, frozen=True):
    """Reads of one version in one hour by one reader. Times are in seconds since 1970."""

    version_id: UUID
    hour: float
    door: str
    reader: UUID
    is_share: bool
    reads: int
    revalidated: int
    first_at: float
    last_at: float


async def add(conn: Connection, writer: UUID, batch: int, counts: Sequence[Count]) -> None:
    """Add what ``writer`` has counted. The same batch again adds nothing; numbers of batches only grow."""
    columns = [[getattr(count, name) for count in counts] for name in COLUMNS]
    await conn.execute(ADD, (writer, batch, *columns))


async def added_at(conn: Connection) -> datetime | None:
    """When a process last added counts, None when none did for a week."""
    row = await (await conn.execute("SELECT max(added_at) FROM usage_writers")).fetchone()
    return row[0] if row else None


async def sweep(conn: Connection) -> None:
    """Make days of the hours that are long over, a day a statement, and forget processes that have ended."""
    while (await conn.execute(FOLD, (KEEP_HOURS,))).rowcount > 0:
        pass
    await conn.execute(SWEEP_WRITERS, (KEEP_WRITERS,))
