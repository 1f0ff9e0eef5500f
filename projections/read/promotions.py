"""Promotions as the API shows them, now or at a position of the log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from projections.encoding import AUTHOR, JOIN_AUTHOR, author, timestamp
from projections.write.labels import LATEST
from store.postgres.connection import Connection

STATUSES = ("open", "promoted", "rejected", "withdrawn", "outdated")

# A promotion that was decided later than ``at`` was open then, and what has it may have had another name (name_spans_pkey).
THEN = """
    SELECT promotions.*, coalesce(decided_position <= %(at)s, false) AS is_decided,
           CASE WHEN decided_position <= %(at)s THEN status ELSE 'open' END AS status_then,
           CASE WHEN %(at)s < 9223372036854775807 THEN (
               SELECT spans.name FROM name_spans AS spans
               WHERE spans.stream_id = promotions.stream_id AND since_position <= %(at)s
               ORDER BY since_position DESC LIMIT 1
           ) ELSE artifacts.name END AS name
    FROM promotions JOIN artifacts ON artifacts.stream_id = promotions.stream_id
    WHERE promotions.project_id = %(project)s AND requested_position <= %(at)s
"""
COLUMNS = f"""
    found.id, kind, found.name, label, number, from_number, note, status_then, requested_at,
    CASE WHEN is_decided THEN decided_at END, CASE WHEN is_decided THEN decided_position END, found.requested_by, stream_id,
    {AUTHOR}
"""
# A name leads to what held it last, whatever that is called now (name_spans_of_name).
WANTED = """
    kind = ANY(%(kinds)s)
    AND (%(status)s::text IS NULL OR status_then = %(status)s)
    AND (%(name)s::text IS NULL OR found.name = %(name)s OR found.stream_id = (
        SELECT last.stream_id FROM name_spans AS last
        WHERE last.project_id = %(project)s AND last.kind = found.kind AND last.name = %(name)s
          AND last.since_position <= %(at)s
        ORDER BY last.since_position DESC LIMIT 1))
    AND (%(label)s::text IS NULL OR label = %(label)s)
"""
COUNT = f"SELECT count(*) FROM ({THEN}) AS found WHERE {WANTED}"
# promotions_of_project
PAGE = f"""
SELECT {COLUMNS} FROM ({THEN}) AS found {JOIN_AUTHOR} found.requested_by
WHERE {WANTED} ORDER BY requested_position DESC LIMIT %(limit)s OFFSET %(offset)s
"""
# promotions_pkey
ONE = f"SELECT {COLUMNS} FROM ({THEN} AND promotions.id = %(id)s) AS found {JOIN_AUTHOR} found.requested_by"
# promotions_of_project
AT = f"""
SELECT {COLUMNS} FROM ({THEN} AND requested_position = %(at)s) AS found {JOIN_AUTHOR} found.requested_by
"""
# promotion_approvals_pkey
APPROVALS = f"""
SELECT promotion_id, approved_at, comment, {AUTHOR}
FROM promotion_approvals {JOIN_AUTHOR} approved_by
WHERE promotion_id = ANY(%s) AND position <= %s ORDER BY position
"""

# promotions_of_project. What is beyond MANY is not counted.
MANY = 100
OPEN = f"""
SELECT count(*) FROM (
    SELECT FROM promotions WHERE project_id = %s AND status = 'open' AND kind = ANY(%s) LIMIT {MANY}
) AS found
"""


class PromotionRow(msgspec.Struct, frozen=True):
    """A promotion at a position of the log, its people encoded; ``approvals`` are ``{by, at, comment}`` as JSON."""

    id: UUID
    kind: str
    name: str
    label: str
    number: int
    from_number: int | None
    note: str
    status: str
    requested_at: datetime
    decided_at: datetime | None
    decided_position: int | None
    requester_id: int
    stream_id: UUID
    requested_by: bytes
    approvals: list[msgspec.Raw]


class PromotionQuery(msgspec.Struct, frozen=True):
    """The filters of a list; None is everything."""

    kinds: Sequence[str]
    limit: int
    offset: int
    status: str | None = None
    name: str | None = None
    label: str | None = None


async def page(
    conn: Connection, project_id: int, wanted: PromotionQuery, position: int | None = None
) -> tuple[int, list[PromotionRow]]:
    """How many there are, and some of them, newest first."""
    params = {**_params(project_id, position), **msgspec.structs.asdict(wanted), "kinds": list(wanted.kinds)}
    counted = await (await conn.execute(COUNT, params)).fetchone()
    rows = await (await conn.execute(PAGE, params, binary=True)).fetchall()
    return counted[0] if counted else 0, await _rows(conn, rows, params["at"])


async def count_open(conn: Connection, project_id: int, kinds: Sequence[str]) -> int:
    """How many are open, up to MANY."""
    row = await (await conn.execute(OPEN, (project_id, list(kinds)))).fetchone()
    return int(row[0]) if row else 0


async def find(
    conn: Connection, project_id: int, id: UUID, position: int | None = None
) -> PromotionRow | None:
    params = {**_params(project_id, position), "id": id}
    found = await _rows(conn, await (await conn.execute(ONE, params, binary=True)).fetchall(), params["at"])
    return found[0] if found else None


async def requested_at(conn: Connection, project_id: int, position: int) -> PromotionRow:
    """The one that was requested by the event at a position, as it was then. Raises LookupError."""
    params = _params(project_id, position)
    found = await _rows(conn, await (await conn.execute(AT, params, binary=True)).fetchall(), position)
    if not found:
        raise LookupError(f"there is no promotion at {position}")
    return found[0]


def _params(project_id: int, position: int | None) -> dict[str, Any]:
    return {"project": project_id, "at": LATEST if position is None else position}


async def _rows(conn: Connection, rows: Sequence[tuple[Any, ...]], at: int) -> list[PromotionRow]:
    approvals: dict[UUID, list[msgspec.Raw]] = {row[0]: [] for row in rows}
    cursor = await conn.execute(APPROVALS, (list(approvals), at), binary=True)
    for id, when, comment, *person in await cursor.fetchall():
        entry = {"by": msgspec.Raw(author(person)), "at": timestamp(when), "comment": comment}
        approvals[id].append(msgspec.Raw(msgspec.json.encode(entry)))
    return [PromotionRow(*(*row[:13], author(row[13:]), approvals[row[0]])) for row in rows]


def promotion_json(row: PromotionRow, required: int) -> bytes:
    shown: dict[str, Any] = {
        "id": row.id,
        "kind": row.kind,
        "name": row.name,
        "label": row.label,
        "version": row.number,
        "from_version": row.from_number,
        "status": row.status,
        "note": row.note,
        "requested_by": msgspec.Raw(row.requested_by),
        "requested_at": timestamp(row.requested_at),
        "approvals": row.approvals,
        "required": required,
        "decided_at": None if row.decided_at is None else timestamp(row.decided_at),
    }
    return msgspec.json.encode(shown)
