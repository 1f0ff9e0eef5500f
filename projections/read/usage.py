"""What was read, out of the table ``usage``: of one artifact, of a project, and by whom in one hour."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from store.postgres.connection import Connection
from store.tables.usage import NOBODY

MAX_ROWS = 1000  # of an answer; some 200 KB
MAX_SERIES = 4  # versions that a chart tells apart
MAX_READERS = 1000  # that are looked through for who has an old version

# Of a row that is the reader's: its id, None for none, as a key or as a share.
KEY_ID = f"CASE WHEN NOT is_share AND reader <> '{NOBODY}' THEN reader END"
SHARE_ID = "CASE WHEN is_share THEN reader END"

# The columns that tell a row, and which rows come first: hours and days in their order, the last ones when there are too many.
BY = {
    "version": ("version", "version DESC"),
    "key": (f"{KEY_ID} AS key, {SHARE_ID} AS share", "reads DESC, last_at DESC, key, share"),
    "door": ("door", "reads DESC, door"),
    "hour": ("hour", "hour DESC"),
    "day": ("(hour AT TIME ZONE 'UTC')::date AS day", "day DESC"),
}
IN_ORDER = ("hour", "day")


def _query(columns: str, order: str) -> str:
    keys = ", ".join(str(number) for number in range(1, 3 if "share" in columns else 2))
    # usage_of_artifact
    return f"""
    SELECT *, sum(reads) OVER ()::bigint, count(*) OVER () FROM (
        SELECT {columns}, sum(reads)::bigint AS reads, sum(revalidated)::bigint AS revalidated,
               min(first_at) AS first_at, max(last_at) AS last_at
        FROM usage WHERE stream_id = %s AND hour BETWEEN %s AND %s GROUP BY {keys}
    ) AS counted ORDER BY {order} LIMIT {MAX_ROWS}
    """


QUERIES = {by: _query(*parts) for by, parts in BY.items()}

# usage_pkey, artifacts_pkey
READ = """
SELECT kind, name, reads, revalidated, last_at, readers, count(*) OVER () FROM (
    SELECT stream_id, sum(reads)::bigint AS reads, sum(revalidated)::bigint AS revalidated, max(last_at) AS last_at,
           count(DISTINCT reader) AS readers
    FROM usage WHERE project_id = %(project)s AND hour BETWEEN %(since)s AND %(until)s GROUP BY stream_id
) AS counted
JOIN artifacts USING (stream_id)
WHERE archived_position IS NULL AND kind = ANY(%(kinds)s)
ORDER BY reads DESC, kind, name LIMIT %(limit)s OFFSET %(offset)s
"""

# artifacts_by_name, usage_of_artifact. A client that was answered 304 has the version, and uses it.
UNUSED = """
SELECT kind, name, 0, 0, (SELECT max(last_at) FROM usage WHERE usage.stream_id = artifacts.stream_id) AS last_at, 0,
       count(*) OVER ()
FROM artifacts
WHERE project_id = %(project)s AND archived_position IS NULL AND kind = ANY(%(kinds)s)
  AND NOT EXISTS (SELECT FROM usage WHERE usage.stream_id = artifacts.stream_id AND hour >= %(since)s)
ORDER BY last_at NULLS FIRST, kind, name LIMIT %(limit)s OFFSET %(offset)s
"""

# usage_pkey, artifacts_pkey, keys_pkey, labels_of_version. What a key read last, of those that still open something.
BEHIND = f"""
SELECT artifacts.kind, artifacts.name, reader, version, latest_version,
       (SELECT min(labels.name) FROM labels
        WHERE labels.stream_id = artifacts.stream_id AND number = version AND until_position IS NULL),
       count(*) OVER ()
FROM (
    SELECT DISTINCT ON (stream_id, reader) stream_id, reader, version FROM usage
    WHERE project_id = %(project)s AND hour BETWEEN %(since)s AND %(until)s AND NOT is_share AND reader <> '{NOBODY}'
    ORDER BY stream_id, reader, last_at DESC, version DESC
) AS last
JOIN artifacts ON artifacts.stream_id = last.stream_id AND archived_position IS NULL AND version < latest_version
JOIN keys ON keys.id = reader AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
WHERE artifacts.kind = ANY(%(kinds)s)
ORDER BY artifacts.kind, artifacts.name, reader LIMIT %(limit)s OFFSET %(offset)s
"""

# usage_pkey, artifacts_pkey. Of an hour that has become a part of its day, the day.
READERS = f"""
SELECT kind, name, {KEY_ID} AS key_id, {SHARE_ID} AS share_id, version, sum(reads)::bigint AS reads,
       sum(revalidated)::bigint, count(*) OVER ()
FROM usage JOIN artifacts USING (stream_id)
WHERE usage.project_id = %(project)s
  AND (hour = %(hour)s OR (whole_day AND hour = date_trunc('day', %(hour)s::timestamptz, 'UTC')))
  AND kind = ANY(%(kinds)s) AND (%(stream)s::uuid IS NULL OR stream_id = %(stream)s)
  AND (%(reader)s::uuid IS NULL OR reader = %(reader)s)
GROUP BY stream_id, kind, name, reader, is_share, version
ORDER BY kind, name, reads DESC, reader, version DESC LIMIT %(limit)s OFFSET %(offset)s
"""

# usage_of_artifact. Of the versions that were read most; the others together, as NULL.
DAYS = f"""
WITH counted AS (
    SELECT version, (hour AT TIME ZONE 'UTC')::date AS day, sum(reads)::bigint AS reads
    FROM usage WHERE stream_id = %s AND hour BETWEEN %s AND %s GROUP BY 1, 2
), most AS (
    SELECT version FROM counted GROUP BY version ORDER BY sum(reads) DESC, version DESC LIMIT {MAX_SERIES}
)
SELECT day, CASE WHEN version IN (SELECT version FROM most) THEN version END AS series, sum(reads)::bigint
FROM counted GROUP BY 1, 2 HAVING sum(reads) > 0 ORDER BY 1, 2
"""

# usage_of_artifact, keys_pkey, users_pkey, shares_pkey. A client that was answered 304 has the version, and uses it.
LAST_OF_READERS = f"""
SELECT CASE WHEN is_share THEN 'share' WHEN reader = '{NOBODY}' THEN 'public' ELSE 'key' END,
       coalesce(keys.label, shares.label, ''), coalesce(keys.prefix, shares.prefix, ''),
       coalesce(nullif(trim(first_name || ' ' || last_name), ''), email, ''),
       version, reads, last_at, count(*) OVER ()
FROM (
    SELECT DISTINCT ON (reader) reader, is_share, version, max(last_at) OVER (PARTITION BY reader) AS last_at,
           sum(reads + revalidated) OVER (PARTITION BY reader)::bigint AS reads
    FROM usage WHERE stream_id = %s AND hour BETWEEN %s AND %s
    ORDER BY reader, usage.last_at DESC, version DESC
) AS last
LEFT JOIN keys ON keys.id = reader AND NOT is_share
LEFT JOIN users ON users.id = keys.user_id
LEFT JOIN shares ON shares.id = reader AND is_share
WHERE keys.revoked_at IS NULL AND (keys.expires_at IS NULL OR keys.expires_at > clock_timestamp())
  AND shares.revoked_at IS NULL AND (shares.expires_at IS NULL OR shares.expires_at > clock_timestamp())
ORDER BY last_at DESC, reader LIMIT {MAX_READERS}
"""


class Period(msgspec.Struct, frozen=True):
    """Hours, both included."""

    since: datetime
    until: datetime


class Count(msgspec.Struct, frozen=True):
    """``key``: what was counted by; the id of a key and that of a share, one of which is None, are two."""

    key: tuple[Any, ...]
    reads: int
    revalidated: int
    first_at: datetime
    last_at: datetime


class Counts(msgspec.Struct, frozen=True):
    """``rows`` are the first MAX_ROWS; ``total`` and ``found`` count also what is behind them."""

    total: int
    found: int
    rows: list[Count]


class Read(msgspec.Struct, frozen=True):
    """An artifact with its reads in a period, and how many keys and shares read it."""

    kind: str
    name: str
    reads: int
    revalidated: int
    last_at: datetime | None
    readers: int


class Behind(msgspec.Struct, frozen=True):
    """What a key read last, which is not the latest; ``label`` points to it, if one does."""

    kind: str
    name: str
    key_id: UUID
    version: int
    latest_version: int
    label: str | None


class Reader(msgspec.Struct, frozen=True):
    """What a key, a share, or without either the public, read in an hour."""

    kind: str
    name: str
    key_id: UUID | None
    share_id: UUID | None
    version: int
    reads: int
    revalidated: int


class Day(msgspec.Struct, frozen=True):
    """Reads of a version on a day in UTC; None are all versions that are not told apart."""

    day: date
    version: int | None
    reads: int


class LastRead(msgspec.Struct, frozen=True):
    """What a reader got last of those that still open something: a ``key``, a ``share``, or without either the ``public``.

    ``reads`` are all of the period, of any version, those that were answered 304 too.
    """

    kind: str
    label: str
    prefix: str
    person: str
    version: int
    reads: int
    last_at: datetime


class Page(msgspec.Struct, frozen=True):
    """Which artifacts of a project, and which part of the list."""

    project_id: int
    kinds: Sequence[str]
    limit: int
    offset: int

    @property
    def params(self) -> dict[str, Any]:
        return {
            "project": self.project_id,
            "kinds": list(self.kinds),
            "limit": self.limit,
            "offset": self.offset,
        }


async def counts(conn: Connection, stream_id: UUID, period: Period, by: str) -> Counts:
    """The reads of an artifact; ``by`` is one of BY."""
    cursor = await conn.execute(QUERIES[by].encode(), (stream_id, period.since, period.until), binary=True)
    rows = await cursor.fetchall()
    if not rows:
        return Counts(0, 0, [])
    total, found = rows[0][-2:]
    counted = [Count(tuple(row[:-6]), *row[-6:-2]) for row in rows]
    if by in IN_ORDER:
        counted.reverse()
    return Counts(total, found, counted)


async def days(conn: Connection, stream_id: UUID, period: Period) -> list[Day]:
    """The reads of an artifact by day and version, at most ``MAX_SERIES`` and the others together."""
    cursor = await conn.execute(DAYS.encode(), (stream_id, period.since, period.until), binary=True)
    return [Day(*row) for row in await cursor.fetchall()]


async def last_of_readers(conn: Connection, stream_id: UUID, period: Period) -> tuple[int, list[LastRead]]:
    """How many read an artifact, and the last ``MAX_READERS`` of them with what they got last."""
    return await _listed(conn, LAST_OF_READERS, LastRead, (stream_id, period.since, period.until))


async def read(conn: Connection, page: Page, period: Period) -> tuple[int, list[Read]]:
    """What was read in the period, the most read first, and how many there are."""
    return await _listed(conn, READ, Read, {**page.params, **_bounds(period)})


async def unused(conn: Connection, page: Page, since: datetime) -> tuple[int, list[Read]]:
    """What was not read since then, and how many there are; what was never read comes first."""
    return await _listed(conn, UNUSED, Read, {**page.params, "since": since})


async def behind(conn: Connection, page: Page, period: Period) -> tuple[int, list[Behind]]:
    """Keys that have read an earlier version than the latest when they last read, and how many there are."""
    return await _listed(conn, BEHIND, Behind, {**page.params, **_bounds(period)})


async def readers(
    conn: Connection, page: Page, hour: datetime, *, stream_id: UUID | None = None, reader: UUID | None = None
) -> tuple[int, list[Reader]]:
    """Who read what in the hour, also of what is archived now; of one artifact, or by one key or share."""
    params = {**page.params, "hour": hour, "stream": stream_id, "reader": reader}
    return await _listed(conn, READERS, Reader, params)


def _bounds(period: Period) -> dict[str, datetime]:
    return {"since": period.since, "until": period.until}


async def _listed(conn: Connection, sql: str, row: Any, params: Any) -> tuple[int, list[Any]]:
    rows = await (await conn.execute(sql.encode(), params, binary=True)).fetchall()
    return (rows[0][-1] if rows else 0), [row(*found[:-1]) for found in rows]
