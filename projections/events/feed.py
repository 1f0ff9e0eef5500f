"""The events of one project in the order of the log, with the names that they are about."""

from collections.abc import Sequence

import msgspec

from projections import sizes
from projections.sizes import fitting, size_of
from store.log.log import COLUMNS, MAX_BATCH, SELECT_AFTER, Recorded
from store.postgres.connection import Connection

# A filter may match nothing in millions of events: a page looks through no more than these, some 10 ms, and says how far it came.
MAX_LOOKED = 10_000

# events_of_project; the head is that of the same snapshot, so a reader who has seen all rows has seen up to it.
WANTED = """
    project_id = %(project)s AND position > %(after)s AND position <= head.position
    AND (%(topics)s::text[] IS NULL OR topic = ANY(%(topics)s))
"""
FOUND = f"""
    SELECT {COLUMNS}, {size_of("state")} AS size FROM events WHERE {WANTED} ORDER BY position LIMIT %(limit)s
"""
# name_spans_of_name, and events_stream for every stream that held the name: by position, the planner would look through the log.
FOUND_OF_SUBJECT = f"""
    SELECT {COLUMNS}, {size_of("state")} AS size
    FROM (
        SELECT DISTINCT stream_id FROM name_spans WHERE project_id = %(project)s AND kind = %(kind)s AND name = %(name)s
    ) AS held (stream)
    CROSS JOIN LATERAL (
        SELECT * FROM events WHERE stream_id = held.stream AND {WANTED} ORDER BY stream_version LIMIT %(limit)s
    ) AS events
    ORDER BY position LIMIT %(limit)s
"""
HEAD = "SELECT coalesce(max(position), 0) AS position FROM events"
# events_of_project: the end of what a page looks through, when there is more.
LOOKED = f"""
SELECT position - 1 FROM events WHERE project_id = %(project)s AND position > %(after)s
ORDER BY position OFFSET {MAX_LOOKED} LIMIT 1
"""
END = f"SELECT coalesce(({LOOKED}), ({HEAD})) AS position"
PAGE = """
SELECT head.position, page.listed, page.*, artifacts.kind, artifacts.name
FROM ({end}) AS head
LEFT JOIN LATERAL ({found}) AS page ON true
LEFT JOIN artifacts ON artifacts.stream_id = page.stream_id
ORDER BY page.position
"""
WHOLE = PAGE.format(end=HEAD, found=fitting(FOUND, "position"))
BOUNDED = PAGE.format(end=END, found=fitting(FOUND, "position"))
OF_SUBJECT = PAGE.format(end=HEAD, found=fitting(FOUND_OF_SUBJECT, "position"))

# events_pkey, artifacts_pkey
AFTER = f"""
SELECT page.*, artifacts.kind, artifacts.name
FROM ({SELECT_AFTER}) AS page
LEFT JOIN artifacts ON artifacts.stream_id = page.stream_id
ORDER BY page.position
"""

# events_pkey, artifacts_pkey
ONE = f"""
SELECT event.*, artifacts.kind, artifacts.name
FROM (SELECT {COLUMNS} FROM events WHERE position = %s AND project_id = %s) AS event
JOIN artifacts ON artifacts.stream_id = event.stream_id
"""


class Named(Recorded, frozen=True):
    """An event of the log with the name that it is about; what belongs to no feed (keys, users) has none."""

    kind: str | None
    name: str | None


class Item(msgspec.Struct, frozen=True):
    """An event and what it is about."""

    recorded: Recorded
    kind: str
    name: str

    @property
    def size(self) -> int:
        return len(self.recorded.state)


async def page(
    conn: Connection,
    project_id: int,
    *,
    after: int,
    limit: int,
    topics: Sequence[str] | None = None,
    subject: tuple[str, str] | None = None,
    max_bytes: int | None = None,
    bounded: bool = False,
) -> tuple[list[Item], int]:
    """Up to ``limit`` events after a position, as many as ``max_bytes`` hold, and the position up to which they are complete.

    With fewer events than either that is the end of the log, so that a filtered reader does not read it again; ``bounded``, it may
    be before that, above ``after`` in any case.
    """
    kind, name = subject or (None, None)
    params = {
        "project": project_id,
        "after": after,
        "limit": limit,
        "topics": None if topics is None else list(topics),
        "kind": kind,
        "name": name,
        "max_bytes": max_bytes or sizes.MAX_ANSWER,
    }
    sql = OF_SUBJECT if subject else BOUNDED if bounded and topics is not None else WHOLE
    rows = await (await conn.execute(sql, params, binary=True)).fetchall()
    items = [Item(Recorded(*row[2:13]), row[-2], row[-1]) for row in rows if row[2] is not None]
    head, listed = rows[0][:2]
    is_cut = items and (listed == limit or len(items) < listed)
    complete = items[-1].recorded.position if is_cut else max(head, after)
    return items, complete


async def read_named(conn: Connection, position: int, *, limit: int) -> list[Named]:
    """Up to ``limit`` events of all streams after ``position``, as many as ``MAX_BATCH`` holds, in order, without gaps."""
    rows = await (await conn.execute(AFTER, (position, limit, MAX_BATCH), binary=True)).fetchall()
    return [Named(*row) for row in rows]


async def one(conn: Connection, project_id: int, position: int) -> Item | None:
    """The event at a position, None when it is not in the feed of the project."""
    row = await (await conn.execute(ONE, (position, project_id), binary=True)).fetchone()
    return None if row is None else Item(Recorded(*row[:11]), row[11], row[12])
