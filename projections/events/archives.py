"""What is archived: all that can be restored, now or as of a position of the log, and what a name was that nothing has any more."""

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from projections import sizes
from projections.encoding import AUTHOR, JOIN_AUTHOR, OWNERS, timestamp
from projections.events.history import people_of
from projections.read.past import LATEST_THEN, PACKAGE_THEN
from projections.read.renames import NOW as END
from projections.read.versions import HIDDEN, NOW, THEN, Row, row_of
from projections.sizes import fitting, size_of
from store.postgres.connection import Connection

# artifacts_archived
COUNT = """
SELECT count(*) FROM artifacts
WHERE project_id = %(project)s AND kind = %(kind)s AND archived_position IS NOT NULL
"""

# artifacts_archived, contents_pkey
ENDED = f"""
SELECT page.*, details.bytes AS details_bytes, outline.bytes AS outline_bytes, package.bytes AS package_bytes,
       body.bytes AS body_bytes, {size_of("details.bytes", "outline.bytes", "package.bytes", "body.bytes")} AS size
FROM (
    SELECT * FROM artifacts
    WHERE project_id = %(project)s AND kind = %(kind)s AND archived_position IS NOT NULL
    ORDER BY archived_position DESC LIMIT %(limit)s OFFSET %(offset)s
) AS page
JOIN contents AS details ON details.digest = page.details
LEFT JOIN contents AS body ON body.digest = page.body AND %(body)s
LEFT JOIN contents AS outline ON outline.digest = page.outline
LEFT JOIN contents AS package ON package.digest = page.package
"""
# events_pkey, active_names_pkey
ARCHIVED = f"""
SELECT page.name, page.latest_version, page.created_at, page.latest_version, page.latest_id, page.latest_at,
       details_bytes, outline_bytes, package_bytes, body_bytes, '[]'::bytea, {OWNERS.format(stream="page.stream_id", held=NOW)}, '{{}}'::text[], {HIDDEN.format(stream="page.stream_id", latest="page.latest_version", held=NOW)}, {AUTHOR},
       page.archived_at, archive.actor_id, active_names.stream_id IS NOT NULL
FROM ({fitting(ENDED, "archived_position DESC")}) AS page
JOIN events AS archive ON archive.position = page.archived_position
LEFT JOIN active_names ON active_names.project_id = page.project_id AND active_names.kind = page.kind
                      AND active_names.name = page.name
{JOIN_AUTHOR} page.latest_by
ORDER BY page.nth
"""

# name_spans_of_name, name_spans_pkey. An archive ends the last span of a stream; a name that was changed begins the next one where it ends.
ENDED_THEN = """
SELECT stream_id, kind, name, until_position AS archived_position FROM name_spans
WHERE project_id = %(project)s AND kind = %(kind)s AND until_position <= %(at)s AND NOT EXISTS (
    SELECT FROM name_spans AS later
    WHERE later.stream_id = name_spans.stream_id
      AND later.since_position >= name_spans.until_position AND later.since_position <= %(at)s)
"""
COUNT_THEN = f"SELECT count(*) FROM ({ENDED_THEN}) AS ended"

# name_spans_of_name
TAKEN_THEN = f"""EXISTS (
    SELECT FROM name_spans
    WHERE project_id = %(project)s AND kind = %(kind)s AND name_spans.name = {{name}} AND {THEN})"""

# artifacts_pkey, versions_by_position, contents_pkey
TEXTS_THEN = f"""
SELECT ended.*, artifacts.created_at AS first_at, versions.number, versions.id, versions.created_at, versions.created_by,
       details.bytes AS details_bytes, outline.bytes AS outline_bytes, package.bytes AS package_bytes,
       {size_of("details.bytes", "outline.bytes", "package.bytes")} AS size
FROM ({ENDED_THEN} ORDER BY until_position DESC LIMIT %(limit)s OFFSET %(offset)s) AS ended
JOIN artifacts ON artifacts.stream_id = ended.stream_id
CROSS JOIN LATERAL ({LATEST_THEN.format(stream="ended.stream_id")}) AS latest
JOIN versions ON versions.stream_id = ended.stream_id AND versions.number = latest.number
JOIN contents AS details ON details.digest = versions.details
LEFT JOIN contents AS outline ON outline.digest = versions.outline
LEFT JOIN contents AS package ON package.digest = {PACKAGE_THEN}
"""
# events_pkey
ARCHIVED_THEN = f"""
SELECT page.name, page.number, page.first_at, page.number, page.id, page.created_at,
       details_bytes, outline_bytes, package_bytes, NULL::bytea, '[]'::bytea, {OWNERS.format(stream="page.stream_id", held=THEN)}, '{{}}'::text[], {HIDDEN.format(stream="page.stream_id", latest="page.number", held=THEN)}, {AUTHOR},
       archive.recorded_at, archive.actor_id, {TAKEN_THEN.format(name="page.name")}
FROM ({fitting(TEXTS_THEN, "archived_position DESC")}) AS page
JOIN events AS archive ON archive.position = page.archived_position
{JOIN_AUTHOR} page.created_by
ORDER BY page.nth
"""

# name_spans_of_name, name_spans_pkey, events_pkey. What held a name last, if it is archived, under the name that it had then.
LAST_OF_NAME = f"""
SELECT ended.name, ended.until_position, archive.recorded_at, archive.actor_id, {TAKEN_THEN.format(name="ended.name")}
FROM (
    SELECT stream_id FROM name_spans
    WHERE project_id = %(project)s AND kind = %(kind)s AND name = %(name)s AND since_position <= %(at)s
    ORDER BY since_position DESC LIMIT 1
) AS last
CROSS JOIN LATERAL (
    SELECT name, until_position FROM name_spans
    WHERE stream_id = last.stream_id AND since_position <= %(at)s ORDER BY since_position DESC LIMIT 1
) AS ended
JOIN events AS archive ON archive.position = ended.until_position
WHERE ended.until_position <= %(at)s
"""


class ArchivedRow(msgspec.Struct, frozen=True):
    """The latest version of an archived stream, and when it was archived."""

    row: Row
    archived_at: str
    archived_by: bytes
    name_taken: bool


class Ended(NamedTuple):
    """What held a name until it was archived at ``position``; ``name`` is the one that it had then."""

    name: str
    position: int
    at: datetime
    by: bytes
    name_taken: bool


async def page(
    conn: Connection, project_id: int, kind: str, *, limit: int, offset: int, with_body: bool
) -> tuple[int, list[ArchivedRow]]:
    """How many archived streams there are, and a page of them, the last archived first."""
    params: dict[str, Any] = {"project": project_id, "kind": kind}
    counted = await (await conn.execute(COUNT, params)).fetchone()
    params |= {"limit": limit, "offset": offset, "body": with_body, "max_bytes": sizes.MAX_ANSWER}
    return await _rows(conn, counted, ARCHIVED, params)


async def page_then(
    conn: Connection, project_id: int, kind: str, position: int, *, limit: int, offset: int
) -> tuple[int, list[ArchivedRow]]:
    """The same as it was when the log ended at a position, without bodies."""
    params: dict[str, Any] = {"project": project_id, "kind": kind, "at": position}
    counted = await (await conn.execute(COUNT_THEN, params)).fetchone()
    params |= {"limit": limit, "offset": offset, "max_bytes": sizes.MAX_ANSWER}
    return await _rows(conn, counted, ARCHIVED_THEN, params)


async def last_of_name(
    conn: Connection, project_id: int, kind: str, name: str, position: int | None = None
) -> Ended | None:
    """What had a name before it was archived, now or as of a position; None when the last that had it is not archived."""
    if "\0" in name:
        return None
    params = {"project": project_id, "kind": kind, "name": name, "at": END if position is None else position}
    row = await (await conn.execute(LAST_OF_NAME, params)).fetchone()
    if row is None:
        return None
    people = await people_of(conn, [row[3]] if row[3] is not None else [])
    return Ended(row[0], row[1], row[2], people.get(row[3] or 0, b"null"), row[4])


async def _rows(
    conn: Connection, counted: Any, sql: str, params: dict[str, Any]
) -> tuple[int, list[ArchivedRow]]:
    rows = await (await conn.execute(sql, params, binary=True)).fetchall()
    people = await people_of(conn, {row[23] for row in rows if row[23] is not None})
    found = [
        ArchivedRow(row_of(row[:22]), timestamp(row[22]), people.get(row[23] or 0, b"null"), row[24])
        for row in rows
    ]
    return counted[0] if counted else 0, found
