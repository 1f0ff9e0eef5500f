"""Reads of the past: what a query would have found when the log ended at a position.

They use the spans in which names and labels were held and the positions of versions; no event is replayed. The author of a
version is shown as now: people are not part of the log.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from projections import sizes
from projections.encoding import AUTHOR, JOIN_AUTHOR
from projections.read import renames, suggestions, versions
from projections.read.kinds import KINDS
from projections.read.renames import NAMED_AT, PACKAGE_AT
from projections.read.versions import (
    COLUMNS,
    CONTENT,
    IS_TEXT,
    IS_YANKED,
    MARKS_SIZED,
    MAX_VERSION,
    STAYING,
    THEN,
    PageQuery,
    Pick,
    Row,
    Version,
    VersionLine,
    line_of,
    marks,
    row_marks,
    row_of,
    version_of,
)
from projections.sizes import fitting, size_of
from projections.write.artifacts import search_fold
from projections.write.labels import Label, label_of
from store.postgres.connection import Connection

# events_pkey; positions have no gaps and times never run backwards, so halving finds the place.
POSITION_AT = """
WITH RECURSIVE search (low, high) AS (
    SELECT 0::bigint, coalesce(max(position), 0) FROM events
    UNION ALL
    SELECT CASE WHEN events.recorded_at <= %(instant)s THEN middle ELSE low END,
           CASE WHEN events.recorded_at <= %(instant)s THEN high ELSE middle - 1 END
    FROM (SELECT low, high, (low + high + 1) / 2 AS middle FROM search WHERE low < high) AS step
    JOIN events ON events.position = middle
)
SELECT low FROM search WHERE low >= high
"""

# events_pkey
RECORDED_AT = "SELECT recorded_at FROM events WHERE position = %s"

# name_spans_of_name
HELD = """
SELECT stream_id, name FROM name_spans
WHERE project_id = %(project)s AND kind = %(kind)s AND name = %(name)s
  AND since_position <= %(at)s AND (until_position IS NULL OR until_position > %(at)s)
"""

# versions_id, name_spans_pkey
NAME_OF_ID = """
SELECT spans.name FROM versions JOIN name_spans AS spans ON spans.stream_id = versions.stream_id
WHERE versions.id = %(id)s AND versions.position <= %(at)s
  AND spans.project_id = %(project)s AND spans.kind = %(kind)s
  AND since_position <= %(at)s AND (until_position IS NULL OR until_position > %(at)s)
"""

# versions_by_position, yanks_pkey
KEPT_THEN = f"NOT {IS_YANKED.format(held=THEN)}"
LATEST_THEN = f"""
SELECT number FROM versions
WHERE versions.stream_id = {{stream}} AND versions.position <= %(at)s AND {KEPT_THEN} ORDER BY position DESC LIMIT 1
"""

PACKAGE_THEN = PACKAGE_AT.format(position="%(at)s")
VERSION_THEN = f"""
versions.number, versions.id, versions.stream_version, versions.position, versions.created_at,
{", ".join((*STAYING, CONTENT.format(digest=PACKAGE_THEN)))}, {marks(THEN, "latest.number")}, {AUTHOR}
"""

BY_NAME = f"""
SELECT artifacts.stream_id, held.name, latest.number, artifacts.created_at, %(at)s::bigint, {VERSION_THEN}
FROM ({HELD}) AS held
JOIN artifacts ON artifacts.stream_id = held.stream_id
CROSS JOIN LATERAL ({LATEST_THEN.format(stream="held.stream_id")}) AS latest
LEFT JOIN labels AS wanted ON %(label)s::text IS NOT NULL
    AND wanted.stream_id = held.stream_id AND wanted.name = %(label)s
    AND wanted.since_position <= %(at)s AND (wanted.until_position IS NULL OR wanted.until_position > %(at)s)
CROSS JOIN LATERAL (
    SELECT CASE WHEN %(label)s::text IS NOT NULL THEN wanted.number
                ELSE coalesce(%(number)s, latest.number) END AS number
) AS picked
LEFT JOIN LATERAL (
    SELECT * FROM versions
    WHERE versions.stream_id = held.stream_id AND versions.number >= picked.number
    ORDER BY versions.number LIMIT 1
) AS versions ON versions.number = picked.number AND versions.position <= %(at)s
{JOIN_AUTHOR} versions.created_by
"""

# versions_by_position, name_spans_pkey; archived streams too, for the answers to an archive and to a repeated request
BY_STREAM = f"""
SELECT artifacts.stream_id, named.name, latest.number, artifacts.created_at, %(at)s::bigint, {VERSION_THEN}
FROM artifacts
CROSS JOIN LATERAL ({LATEST_THEN.format(stream="artifacts.stream_id")}) AS latest
JOIN versions ON versions.stream_id = artifacts.stream_id AND versions.number = coalesce(%(number)s::int, latest.number)
CROSS JOIN LATERAL ({NAMED_AT.format(stream="artifacts.stream_id", position="%(at)s")}) AS named
{JOIN_AUTHOR} versions.created_by
WHERE artifacts.stream_id = %(stream)s
"""

# versions_pkey
NEWEST_NUMBERS = f"""
SELECT number FROM versions WHERE stream_id = %(stream)s AND position <= %(at)s AND {KEPT_THEN} ORDER BY number DESC LIMIT 20
"""

NUMBER_OF_ID = "SELECT number FROM versions WHERE id = %s AND stream_id = %s AND position <= %s"

LINES = f"""
SELECT number, versions.id, versions.created_at, {AUTHOR}
FROM versions {JOIN_AUTHOR} versions.created_by
WHERE stream_id = %(stream)s AND position <= %(at)s AND number < %(below)s AND {KEPT_THEN}
ORDER BY number DESC LIMIT %(limit)s OFFSET %(offset)s
"""

# labels_pkey
LABELS_OF_STREAM = f"""
SELECT labels.name, number, set_at, since_position, {AUTHOR}
FROM labels {JOIN_AUTHOR} set_by
WHERE stream_id = %(stream)s AND since_position <= %(at)s AND (until_position IS NULL OR until_position > %(at)s)
ORDER BY labels.name
"""

# name_spans_of_project. A search reads the texts of all rows: the index of texts knows only the present. As there, it is
# the latest version that is searched, also when a label picks the one that is shown.
LIST = """
SELECT alive.name, alive.latest_version, alive.first_at, versions.number, versions.id, versions.created_at,
       details.bytes, outline.bytes, package.bytes, body.bytes,
       convert_to(coalesce((
           SELECT json_agg(json_build_object('name', labels.name, 'version', labels.number) ORDER BY labels.name)
           FROM labels WHERE labels.stream_id = alive.stream_id
               AND since_position <= %(at)s AND (until_position IS NULL OR until_position > %(at)s)
       ), '[]')::text, 'UTF8'),
       marks.owners, marks.tags, marks.hidden, {author},
       sought.bytes,
       {size} AS size,
       versions.id AS version_id
FROM (
    SELECT spans.stream_id, spans.kind, spans.name, artifacts.created_at AS first_at, latest.number AS latest_version
    FROM name_spans AS spans
    JOIN artifacts ON artifacts.stream_id = spans.stream_id
    CROSS JOIN LATERAL ({latest}) AS latest
    WHERE spans.project_id = %(project)s AND spans.kind = %(kind)s
      AND since_position <= %(at)s AND (until_position IS NULL OR until_position > %(at)s)
) AS alive
CROSS JOIN LATERAL ({marks}) AS marks
LEFT JOIN labels AS wanted ON %(label)s::text IS NOT NULL
    AND wanted.stream_id = alive.stream_id AND wanted.name = %(label)s
    AND wanted.since_position <= %(at)s AND (wanted.until_position IS NULL OR wanted.until_position > %(at)s)
JOIN versions ON versions.stream_id = alive.stream_id
    AND versions.number = CASE WHEN %(label)s::text IS NOT NULL THEN wanted.number ELSE alive.latest_version END
    AND {kept}
JOIN contents AS details ON details.digest = versions.details
LEFT JOIN contents AS outline ON outline.digest = versions.outline
LEFT JOIN contents AS package ON package.digest = {package}
LEFT JOIN contents AS body ON body.digest = versions.body AND %(body)s
LEFT JOIN versions AS newest ON %(search)s
    AND newest.stream_id = alive.stream_id AND newest.number = alive.latest_version
LEFT JOIN contents AS sought
    ON sought.digest = CASE alive.kind {searched} END
{join_author} versions.created_by
WHERE (%(author)s::bigint IS NULL OR versions.created_by = %(author)s)
  AND (NOT %(texts_only)s OR {is_text})
  AND (%(owner)s::bigint IS NULL OR alive.stream_id IN (
       SELECT stream_id FROM owners
       WHERE owners.project_id = %(project)s AND owners.kind = %(kind)s AND user_id = %(owner)s AND {then}))
  AND (cardinality(%(tags)s::text[]) = 0 OR marks.tags @> %(tags)s::text[])
ORDER BY {order}, versions.id DESC
"""

# What a search finds a row by, beside its name.
SEARCHED = " ".join(f"WHEN '{name}' THEN newest.{kind.searched}" for name, kind in KINDS.items())

ORDERS = {
    "name": "alive.name",
    "created_at": "versions.created_at",
    "number": "versions.number",
    "latest_version": "alive.latest_version",
    "latest_version + hidden": "alive.latest_version + marks.hidden",
}
LISTS = {
    sign + field: LIST.format(
        latest=LATEST_THEN.format(stream="spans.stream_id"),
        package=PACKAGE_THEN,
        searched=SEARCHED,
        author=AUTHOR,
        join_author=JOIN_AUTHOR,
        marks=row_marks("alive.stream_id", THEN, "alive.latest_version"),
        kept=KEPT_THEN,
        then=THEN,
        size=size_of("details.bytes", "outline.bytes", "package.bytes", "body.bytes", *MARKS_SIZED),
        is_text=IS_TEXT.format(table="versions"),
        order=f"{ORDERS[column]} {direction}",
    )
    for field, column in COLUMNS.items()
    for sign, direction in (("", "ASC"), ("-", "DESC"))
}
COUNTED = "SELECT count(*) FROM ({rows}) AS rows"
# The columns of a list that it is ordered by have the names that ``versions.ORDERS`` gives them.
PAGES = {
    order: f"{fitting(f'{LISTS[order]} LIMIT %(limit)s OFFSET %(offset)s', f'{by}, version_id DESC')} ORDER BY nth"
    for order, by in versions.ORDERS.items()
}
ROW_COLUMNS = (
    22  # of a list: those that ``row_of`` takes, after which come the text that is searched and sizes
)


async def position_at(conn: Connection, instant: datetime) -> int:
    """The position of the last event that was recorded at or before an instant; 0 before the first."""
    row = await (await conn.execute(POSITION_AT, {"instant": instant})).fetchone()
    return int(row[0]) if row else 0


async def at_position(
    conn: Connection, stream_id: UUID, position: int, number: int | None = None
) -> Version | None:
    """The version of a stream with this number, or that was the latest, as it was at a position of the log; of archived streams too."""
    params = {"stream": stream_id, "at": position, "number": number}
    row = await (await conn.execute(BY_STREAM, params, binary=True)).fetchone()
    return version_of(row) if row else None


async def recorded_at(conn: Connection, position: int) -> datetime | None:
    """When the event at a position was recorded, None without one there."""
    row = await (await conn.execute(RECORDED_AT, (position,))).fetchone()
    return row[0] if row else None


class AsOfReadModel:
    """The read models as they were when the log ended at position ``at``; see ``projections.read.models``."""

    def __init__(self, at: int) -> None:
        self.at = at

    async def find(
        self, conn: Connection, project_id: int, kind: str, name: str, pick: Pick = None
    ) -> tuple[UUID, Version | None] | None:
        if "\0" in name or (isinstance(pick, str) and "\0" in pick):
            return None
        params = {
            "at": self.at,
            "project": project_id,
            "kind": kind,
            "name": name,
            "number": pick if isinstance(pick, int) else None,
            "label": pick if isinstance(pick, str) else None,
        }
        row = await (await conn.execute(BY_NAME, params, binary=True)).fetchone()
        if row is None:
            return None
        return row[0], None if row[5] is None else version_of(row)

    async def newest_numbers(self, conn: Connection, stream_id: UUID) -> list[int]:
        rows = await (await conn.execute(NEWEST_NUMBERS, {"stream": stream_id, "at": self.at})).fetchall()
        return [row[0] for row in rows]

    async def number_of_id(self, conn: Connection, stream_id: UUID, version_id: UUID) -> int | None:
        row = await (await conn.execute(NUMBER_OF_ID, (version_id, stream_id, self.at))).fetchone()
        return row[0] if row else None

    async def name_of_id(self, conn: Connection, project_id: int, kind: str, version_id: UUID) -> str | None:
        params = {"id": version_id, "project": project_id, "kind": kind, "at": self.at}
        row = await (await conn.execute(NAME_OF_ID, params)).fetchone()
        return row[0] if row else None

    async def renamed_to(self, conn: Connection, project_id: int, kind: str, name: str) -> str | None:
        return await renames.renamed_to(conn, project_id, kind, name, self.at)

    async def close_names(self, conn: Connection, project_id: int, kind: str, name: str) -> list[str]:
        return await suggestions.close_names(conn, project_id, kind, name, self.at)

    async def lines(
        self, conn: Connection, stream_id: UUID, *, before: int | None, limit: int, offset: int
    ) -> tuple[list[VersionLine], bool]:
        below = MAX_VERSION if before is None else before
        params = {"stream": stream_id, "at": self.at, "below": below, "limit": limit + 1, "offset": offset}
        cursor = await conn.execute(LINES, params, binary=True)
        rows = await cursor.fetchall()
        return [line_of(row) for row in rows[:limit]], len(rows) > limit

    async def labels(self, conn: Connection, stream_id: UUID) -> list[Label]:
        cursor = await conn.execute(LABELS_OF_STREAM, {"stream": stream_id, "at": self.at}, binary=True)
        return [label_of(row) for row in await cursor.fetchall()]

    async def page(
        self, conn: Connection, project_id: int, kind: str, wanted: PageQuery
    ) -> tuple[int, list[Row]]:
        params: dict[str, Any] = {
            "at": self.at,
            "project": project_id,
            "kind": kind,
            "label": wanted.label,
            "author": wanted.author_id,
            "owner": wanted.owner_id,
            "tags": list(wanted.tags),
            "body": wanted.with_body,
            "search": wanted.search is not None,
            "texts_only": wanted.texts_only,
        }
        sql = LISTS[wanted.order]
        if wanted.search is None:
            counted = await (await conn.execute(COUNTED.format(rows=sql), params)).fetchone()
            params |= {"limit": wanted.limit, "offset": wanted.offset, "max_bytes": sizes.MAX_ANSWER}
            cursor = await conn.execute(PAGES[wanted.order], params, binary=True)
            return counted[0] if counted else 0, [
                row_of(row[:ROW_COLUMNS]) for row in await cursor.fetchall()
            ]
        needle = search_fold(wanted.search)
        found: list[Row] = []
        count = size = 0
        # Row by row, because all texts of a project need not fit into memory.
        async with conn.cursor() as rows:
            async for columns in rows.stream(sql, params, binary=True):
                row, text = row_of(columns[:ROW_COLUMNS]), columns[ROW_COLUMNS]
                if needle in search_fold(row.name) or needle in search_fold(KINDS[kind].searched_text(text)):
                    count += 1
                    if wanted.offset < count <= wanted.offset + wanted.limit:
                        size += columns[ROW_COLUMNS + 1]
                        # Once a row does not fit, none behind it does: its size counts on.
                        if not found or size <= sizes.MAX_ANSWER:
                            found.append(row)
        return count, found
