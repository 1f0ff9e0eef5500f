"""Yanks at a position of the log, and lists of versions that have the yanked ones, too."""

from datetime import datetime
from uuid import UUID

import msgspec

from projections.encoding import AUTHOR, JOIN_AUTHOR, YANKED, author, yanked
from projections.read.versions import THEN
from store.postgres.connection import Connection

# yanks_pkey. Whether a row of ``versions`` is yanked there.
YANKED_AT = """EXISTS (
    SELECT FROM yanks
    WHERE yanks.stream_id = versions.stream_id AND yanks.number = versions.number
      AND yanks.since_position <= {position} AND (yanks.until_position IS NULL OR yanks.until_position > {position}))"""

# versions_pkey
LINES = f"""
SELECT number, versions.created_at, {YANKED.format(held=THEN)}, {AUTHOR}
FROM versions {JOIN_AUTHOR} versions.created_by
WHERE stream_id = %(stream)s AND position <= %(at)s ORDER BY number DESC LIMIT %(limit)s
"""


class Line(msgspec.Struct, frozen=True):
    """One version, with ``yanked`` as answers show it."""

    author: bytes
    number: int
    created_at: datetime
    yanked: bytes


async def lines(conn: Connection, stream_id: UUID, *, at: int, limit: int) -> tuple[list[Line], bool]:
    """The versions as of a position, newest first, and whether there are more after them."""
    params = {"stream": stream_id, "at": at, "limit": limit + 1}
    rows = await (await conn.execute(LINES, params, binary=True)).fetchall()
    return [Line(author(row[3:]), row[0], row[1], yanked(row[2])) for row in rows[:limit]], len(rows) > limit
