"""The events of one project in the order of the log, with the names that they are about."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import msgspec

from domain.artifacts import mirrors, policies
from domain.errors import LogWentBack
from domain.maintenance import LogRewound
from projections import sizes
from projections.events.policies import subject_of
from projections.read.renames import NAMED_AT
from projections.sizes import fitting, size_of
from store.log.history import FIRST_LATER
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
# name_spans_of_name, and events_stream for every time that a stream held the name: by position, the planner would look through the
# log. An archive ends a span and is about its name still; what a rename brings begins the next one.
FOUND_OF_SUBJECT = f"""
    SELECT {COLUMNS}, {size_of("state")} AS size
    FROM (
        SELECT stream_id, since_position, (
            SELECT min(since_position) FROM name_spans AS later
            WHERE later.stream_id = spans.stream_id AND later.since_position > spans.since_position
        ) FROM name_spans AS spans WHERE project_id = %(project)s AND kind = %(kind)s AND name = %(name)s
    ) AS held (stream, since, next)
    CROSS JOIN LATERAL (
        SELECT * FROM events WHERE stream_id = held.stream AND {WANTED}
            AND position >= held.since AND (held.next IS NULL OR position < held.next)
        ORDER BY stream_version LIMIT %(limit)s
    ) AS events
    ORDER BY position LIMIT %(limit)s
"""
# events_stream: the stream of the policies of a project is short.
FOUND_OF_POLICY = f"""
    SELECT {COLUMNS}, {size_of("state")} AS size FROM events
    WHERE stream_id = %(policies)s AND convert_from(state, 'UTF8')::jsonb ->> 'label' = %(name)s AND {WANTED}
    ORDER BY position LIMIT %(limit)s
"""
# events_stream, likewise: what the project is a mirror of, by the number of the project.
FOUND_OF_MIRROR = f"""
    SELECT {COLUMNS}, {size_of("state")} AS size FROM events
    WHERE stream_id = %(mirror)s AND project_id::text = %(name)s AND {WANTED} ORDER BY position LIMIT %(limit)s
"""
HEAD = "SELECT coalesce(max(position), 0) AS position FROM events"
# events_of_project: the end of what a page looks through, when there is more.
LOOKED = f"""
SELECT position - 1 FROM events WHERE project_id = %(project)s AND position > %(after)s
ORDER BY position OFFSET {MAX_LOOKED} LIMIT 1
"""
SELECT_END = f"SELECT ({HEAD}), (SELECT max(begins) FROM histories)"
END = f"SELECT coalesce(({LOOKED}), ({HEAD})) AS position"
PAGE = """
SELECT head.position, (SELECT max(begins) FROM histories), page.listed, page.*, named.kind, named.name
FROM ({end}) AS head
LEFT JOIN LATERAL ({found}) AS page ON true
LEFT JOIN LATERAL ({named}) AS named ON true
ORDER BY page.position
"""
# What an event is about is named as it was then.
OF_PAGE = NAMED_AT.format(stream="page.stream_id", position="page.position")
WHOLE = PAGE.format(end=HEAD, found=fitting(FOUND, "position"), named=OF_PAGE)
BOUNDED = PAGE.format(end=END, found=fitting(FOUND, "position"), named=OF_PAGE)
OF_SUBJECT = PAGE.format(end=HEAD, found=fitting(FOUND_OF_SUBJECT, "position"), named=OF_PAGE)
OF_POLICY = PAGE.format(end=HEAD, found=fitting(FOUND_OF_POLICY, "position"), named=OF_PAGE)
OF_MIRROR = PAGE.format(end=HEAD, found=fitting(FOUND_OF_MIRROR, "position"), named=OF_PAGE)

# events_pkey, name_spans_pkey
AFTER = f"""
SELECT page.*, named.kind, named.name
FROM ({SELECT_AFTER}) AS page
LEFT JOIN LATERAL ({OF_PAGE}) AS named ON true
ORDER BY page.position
"""

# events_pkey, name_spans_pkey
ONE = f"""
SELECT page.*, named.kind, named.name
FROM (SELECT {COLUMNS} FROM events WHERE position = %s AND project_id = %s) AS page
LEFT JOIN LATERAL ({OF_PAGE}) AS named ON true
"""

# histories_pkey, events_pkey. Where a position is that no reader of this log has, if it is one: in what a history has lost.
SELECT_SHARED = "SELECT min(shared) FROM histories WHERE begins > %s AND shared < %s"
SELECT_MARKS = f"""
SELECT {COLUMNS} FROM events JOIN histories ON begins = position
WHERE position > %s AND position <= %s AND topic = '{LogRewound.TOPIC}' ORDER BY position LIMIT %s
"""
SELECT_MARK = f"SELECT {COLUMNS} FROM events WHERE position = %s AND topic = '{LogRewound.TOPIC}'"
SELECT_BEGINS = "SELECT begins FROM histories WHERE begins > 0 AND begins <= %s ORDER BY begins"

# What the beginning of a history is about, in the feed of every project.
LOG, HISTORY = "log", "history"


class Named(Recorded, frozen=True):
    """An event of the log with the name that it is about; what belongs to no feed (keys, users) has none.

    ``history``: the position with which its history begins, 0 for the first one.
    """

    kind: str | None
    name: str | None
    history: int = 0


class Item(msgspec.Struct, frozen=True):
    """An event and what it is about; ``history`` as with ``Named``."""

    recorded: Recorded
    kind: str
    name: str
    history: int = 0

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
    be before that, above ``after`` in any case. Where a history begins is in every page, whatever its filter. Raises
    LogWentBack when ``after`` is not in this log.
    """
    kind, name = subject or (None, None)
    params = {
        "project": project_id,
        "after": after,
        "limit": limit,
        "topics": None if topics is None else list(topics),
        "kind": kind,
        "name": name,
        "policies": policies.stream_of(project_id),
        "mirror": mirrors.stream_of(project_id),
        "max_bytes": max_bytes or sizes.MAX_ANSWER,
    }
    if kind == policies.KIND:
        sql = OF_POLICY
    elif kind == mirrors.KIND:
        sql = OF_MIRROR
    else:
        sql = OF_SUBJECT if subject else BOUNDED if bounded and topics is not None else WHOLE
    rows = await (await conn.execute(sql, params, binary=True)).fetchall()
    head, begins, listed = rows[0][:3]
    await _check(conn, after, head, begins or 0)
    items = [_item(Recorded(*row[3:14]), *row[-2:]) for row in rows if row[3] is not None]
    is_cut = items and (listed == limit or len(items) < listed)
    complete = items[-1].recorded.position if is_cut else head
    if begins and head > after:
        # A later history than the first one.
        return await _with_marks(conn, project_id, items, after, complete, limit)
    return items, complete


def _item(recorded: Recorded, kind: str | None, name: str | None, history: int = 0) -> Item:
    kind, name = subject_of(recorded, kind, name)
    assert kind is not None
    assert name is not None
    return Item(recorded, kind, name, history)


def _named(row: Sequence[Any], history: int) -> Named:
    named = Named(*(*row, history))
    if named.kind is not None:
        return named
    kind, name = subject_of(named, None, None)
    return msgspec.structs.replace(named, kind=kind, name=name)


async def check(conn: Connection, after: int) -> None:
    """Raises LogWentBack when ``after`` is not in this log."""
    row = await (await conn.execute(SELECT_END)).fetchone()
    assert row is not None
    await _check(conn, after, row[0], row[1] or 0)


async def _check(conn: Connection, after: int, head: int, begins: int) -> None:
    if after > head:
        raise LogWentBack(after, head)
    if 0 < after < begins:
        row = await (await conn.execute(SELECT_SHARED, (after, after))).fetchone()
        if row is not None and row[0] is not None:
            raise LogWentBack(after, row[0])


async def _with_marks(
    conn: Connection, project_id: int, items: list[Item], after: int, complete: int, limit: int
) -> tuple[list[Item], int]:
    """The items with the beginnings of histories between them, each with its history."""
    rows = await (await conn.execute(SELECT_MARKS, (after, complete, limit), binary=True)).fetchall()
    items += [_mark(Recorded(*row), project_id) for row in rows]
    items.sort(key=lambda item: item.recorded.position)
    if len(items) > limit:
        items = items[:limit]
        complete = items[-1].recorded.position
    begun = await _begun(conn, complete)
    return [
        msgspec.structs.replace(item, history=_history_of(item.recorded.position, begun)) for item in items
    ], complete


def _mark(recorded: Recorded, project_id: int) -> Item:
    """The beginning of a history as an event of one project: it is news in all of them."""
    return Item(
        msgspec.structs.replace(recorded, project_id=project_id), LOG, HISTORY, history=recorded.position
    )


async def _begun(conn: Connection, position: int) -> list[int]:
    """Where the later histories begin, up to ``position``."""
    if position < FIRST_LATER:
        return []
    return [row[0] for row in await (await conn.execute(SELECT_BEGINS, (position,))).fetchall()]


def _history_of(position: int, begun: Sequence[int]) -> int:
    place = bisect_right(begun, position)
    return begun[place - 1] if place else 0


async def read_named(conn: Connection, position: int, *, limit: int) -> list[Named]:
    """Up to ``limit`` events of all streams after ``position``, as many as ``MAX_BATCH`` holds, in order, without gaps."""
    rows = await (await conn.execute(AFTER, (position, limit, MAX_BATCH), binary=True)).fetchall()
    begun = await _begun(conn, rows[-1][0]) if rows else []
    return [_named(row, _history_of(row[0], begun)) for row in rows]


async def one(conn: Connection, project_id: int, position: int) -> Item | None:
    """The event at a position, None when it is not in the feed of the project."""
    row = await (await conn.execute(ONE, (position, project_id), binary=True)).fetchone()
    if row is not None:
        begun = await _begun(conn, position)
        return _item(Recorded(*row[:11]), row[11], row[12], _history_of(position, begun))
    row = await (await conn.execute(SELECT_MARK, (position,), binary=True)).fetchone()
    return None if row is None else _mark(Recorded(*row), project_id)
