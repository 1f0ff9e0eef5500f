"""Counts of what was published, out of the projection ``activity``, each with the position that it is true for."""

from collections.abc import Collection
from datetime import date, datetime
from typing import Any

import msgspec

from projections.declared import ACTIVITY
from projections.encoding import JOIN_AUTHOR
from store.postgres.connection import Connection

MAX_ROWS = 1000  # of an answer; some 100 KB

# The columns that tell a row, what they come from, and which rows come first: days in their order, the last ones when there are
# too many; of all else what has the most publishes.
BY = {
    "day": ("day", "", "day DESC"),
    # An erased user has no id here.
    "author": ("users.id AS author", f"{JOIN_AUTHOR} activity.author", "publishes DESC, author"),
    "name": (
        "artifacts.kind, artifacts.name",
        "JOIN artifacts USING (stream_id)",
        "publishes DESC, kind, name",
    ),
}


def _query(columns: str, joined: str, order: str) -> str:
    """The rows and the checkpoint of one snapshot."""
    keys = ", ".join(str(number) for number in range(1, columns.count(",") + 2))
    # activity_pkey; checkpoints_pkey; users_pkey or artifacts_pkey
    return f"""
    WITH counted AS (
        SELECT {columns}, sum(publishes)::bigint AS publishes, min(first_at) AS first_at, max(last_at) AS last_at
        FROM activity {joined}
        WHERE activity.project_id = %(project)s AND day BETWEEN %(since)s AND %(until)s
          AND activity.kind = ANY(%(kinds)s)
        GROUP BY {keys}
    ), shown AS (
        SELECT *, row_number() OVER (ORDER BY {order}) AS nth FROM counted ORDER BY nth LIMIT {MAX_ROWS}
    )
    SELECT reached.position, counts.total, counts.rows, shown.*
    FROM (SELECT coalesce(max(position), 0) AS position FROM checkpoints WHERE follower = '{ACTIVITY.name}') AS reached
    CROSS JOIN (SELECT coalesce(sum(publishes), 0)::bigint AS total, count(*) AS rows FROM counted) AS counts
    LEFT JOIN shown ON true
    ORDER BY nth
    """


QUERIES = {by: _query(*parts) for by, parts in BY.items()}


class Period(msgspec.Struct, frozen=True):
    """Days of UTC, both included."""

    since: date
    until: date


class Count(msgspec.Struct, frozen=True):
    """``key``: the day, the author's id or None, or kind and name."""

    key: tuple[Any, ...]
    publishes: int
    first_at: datetime
    last_at: datetime


class Counts(msgspec.Struct, frozen=True):
    """``rows`` are the first MAX_ROWS; ``total`` and ``found`` count also what is behind them."""

    position: int
    total: int
    found: int
    rows: list[Count]


async def counts(
    conn: Connection, project_id: int, kinds: Collection[str], period: Period, by: str
) -> Counts:
    """The publishes of a project, of these kinds; ``by`` is one of BY."""
    params = {
        "project": project_id,
        "since": period.since,
        "until": period.until,
        "kinds": list(kinds),
    }
    rows = await (await conn.execute(QUERIES[by].encode(), params, binary=True)).fetchall()
    position, total, found = rows[0][:3]
    counted = [Count(tuple(row[3:-4]), *row[-4:-1]) for row in rows if row[-1] is not None]
    if by == "day":
        counted.reverse()
    return Counts(position, total, found, counted)
