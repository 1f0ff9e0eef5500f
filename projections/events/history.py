"""What happened to a name: its events in all streams that held it, and what each changed."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from domain.artifacts.kinds import KINDS
from domain.artifacts.versioned import source_of
from projections import sizes
from projections.encoding import AUTHOR, JOIN_AUTHOR, author, timestamp
from projections.events.changes import Changes, changes
from projections.events.cloudevents import type_of
from projections.events.states import walk
from projections.read.versions import MAX_VERSION, VersionLine, line_of
from projections.sizes import fitting, size_of
from store.log.log import COLUMNS, Recorded
from store.postgres.connection import Connection

MAX_POSITION = 2**63 - 1

# name_spans_of_name, name_spans_pkey, events_pkey; a stream that was restored or renamed has held the name more than once.
# Without a later span, the name is the one that the stream has still, or had to its end: then all its events are of it.
SPANS = """
SELECT spans.stream_id, CASE WHEN later.since_position IS NULL THEN 1 ELSE first.stream_version END, next.stream_version - 1
FROM name_spans AS spans
LEFT JOIN LATERAL (
    SELECT since_position FROM name_spans AS later
    WHERE later.stream_id = spans.stream_id AND later.since_position > spans.since_position
    ORDER BY since_position LIMIT 1
) AS later ON true
JOIN events AS first ON first.position = spans.since_position
LEFT JOIN events AS next ON next.position = later.since_position
WHERE spans.project_id = %(project)s AND spans.kind = %(kind)s AND spans.name = %(name)s
  AND (%(all)s OR spans.until_position IS NULL)
"""

# Parts of streams, by versions of the stream.
HELD = "unnest(%(streams)s::uuid[], %(first)s::int[], %(last)s::int[]) AS held (stream_id, first, last)"

# events_stream, once for each stream
COUNT = f"""
SELECT coalesce(sum(latest - first + 1), 0)::bigint FROM {HELD}
CROSS JOIN LATERAL (
    SELECT max(stream_version) AS latest FROM events
    WHERE stream_id = held.stream_id AND stream_version BETWEEN held.first AND held.last AND position <= %(upto)s
) AS counted
"""

# events_stream: in one stream versions and positions have the same order, so each gives its newest few
NEWEST = f"""
SELECT newest.*, {size_of("state")} AS size FROM {HELD}
CROSS JOIN LATERAL (
    SELECT {COLUMNS} FROM events
    WHERE stream_id = held.stream_id AND stream_version BETWEEN held.first AND held.last AND position <= %(upto)s
    ORDER BY stream_version DESC LIMIT %(limit)s::bigint + %(offset)s
) AS newest
ORDER BY newest.position DESC LIMIT %(limit)s OFFSET %(offset)s
"""
EVENTS = f"{fitting(NEWEST, 'position DESC')} ORDER BY nth"

# name_spans_pkey
NAME_AT = """
SELECT name FROM name_spans WHERE stream_id = %s AND project_id = %s AND since_position <= %s
ORDER BY since_position DESC LIMIT 1
"""

# users_pkey
PEOPLE = f"SELECT {AUTHOR} FROM users WHERE erased_at IS NULL AND id = ANY(%s)"

# versions_pkey
LINES = f"""
SELECT number, versions.id, versions.created_at, {AUTHOR}
FROM versions {JOIN_AUTHOR} versions.created_by WHERE stream_id = %s AND number = ANY(%s)
"""


class HistoryEntry(msgspec.Struct, frozen=True):
    """One event of a name. The versions are the latest before and after it; null before the first."""

    position: int
    time: str
    type: str
    stream_id: UUID
    actor: msgspec.Raw
    key_id: UUID | None
    request_id: str | None
    version_before: int | None
    version_after: int
    changes: Changes


class Held(NamedTuple):
    """The events of a stream that are about a name, by their versions in the stream."""

    stream_id: UUID
    first: int
    last: int


async def streams_of(
    conn: Connection, project_id: int, kind: str, name: str, *, archived: bool
) -> list[Held]:
    """The stream that holds the name, with what came before it had the name; with ``archived`` also what others did under it."""
    if "\0" in name:
        return []
    params = {"project": project_id, "kind": kind, "name": name, "all": archived}
    rows = await (await conn.execute(SPANS, params)).fetchall()
    whole = {stream_id for stream_id, _, last in rows if last is None}
    return [
        Held(stream_id, first, last or MAX_VERSION)
        for stream_id, first, last in rows
        if last is None or stream_id not in whole
    ]


async def page(
    conn: Connection,
    project_id: int,
    kind: str,
    streams: Sequence[Held],
    *,
    limit: int,
    offset: int,
    upto: int = MAX_POSITION,
) -> tuple[int, list[bytes]]:
    """How many events the streams have up to a position, and a page of them as JSON, newest first, that ends where an answer does.

    The states around each event are folded from its stream: a page costs as much as the stream up to its newest event.
    """
    params: dict[str, Any] = {
        "streams": [held.stream_id for held in streams],
        "first": [held.first for held in streams],
        "last": [held.last for held in streams],
        "upto": upto,
    }
    counted = await (await conn.execute(COUNT, params)).fetchone()
    params |= {"limit": limit, "offset": offset, "max_bytes": sizes.MAX_ANSWER}
    rows = await (await conn.execute(EVENTS, params, binary=True)).fetchall()
    listed = [Recorded(*row[:11]) for row in rows]
    people = await people_of(conn, {one.actor_id for one in listed if one.actor_id is not None})
    newest = _Newest(sizes.MAX_ANSWER)
    wanted: dict[UUID, set[int]] = {}
    for one in listed:
        wanted.setdefault(one.stream_id, set()).add(one.stream_version)
    for stream_id, versions in wanted.items():
        async for recorded, event, before, after in walk(conn, KINDS[kind], stream_id, upto=max(versions)):
            if recorded.stream_version not in versions:
                continue
            names: Mapping[UUID, str] = {}
            if (source := source_of(event)) is not None:
                names = await _name_at(conn, project_id, source.stream_id, recorded.position)
            entry = HistoryEntry(
                recorded.position,
                timestamp(recorded.recorded_at),
                type_of(recorded.topic),
                stream_id,
                msgspec.Raw(people.get(recorded.actor_id or 0, b"null")),
                recorded.key_id,
                recorded.correlation_id,
                before.number or None,
                after.number,
                changes(before, event, after, names),
            )
            newest.add(recorded.position, msgspec.json.encode(entry))
    return counted[0] if counted else 0, newest.all


class _Newest:
    """JSON by position, of which the newest that fit into ``max_bytes`` are kept, at least one.

    What an event changes may be far larger than the event: a revert to another set of files names them all.
    """

    def __init__(self, max_bytes: int) -> None:
        self._room = max_bytes
        self._kept: dict[int, bytes] = {}
        self._lowest = 0  # what is older would leave a gap

    def add(self, position: int, json: bytes) -> None:
        if position < self._lowest:
            return
        self._kept[position] = json
        self._room -= len(json)
        while self._room < 0 and len(self._kept) > 1:
            oldest = min(self._kept)
            self._room += len(self._kept.pop(oldest))
            self._lowest = oldest

    @property
    def all(self) -> list[bytes]:
        """The newest first."""
        return [self._kept[position] for position in sorted(self._kept, reverse=True)]


async def people_of(conn: Connection, ids: Collection[int]) -> dict[int, bytes]:
    """Users by id as answers show them; erased ones are not there."""
    if not ids:
        return {}
    rows = await (await conn.execute(PEOPLE, (list(ids),), binary=True)).fetchall()
    return {row[0]: author(row) for row in rows}


async def _name_at(conn: Connection, project_id: int, stream_id: UUID, position: int) -> dict[UUID, str]:
    """The name that a stream of the project had at a position, by its id."""
    row = await (await conn.execute(NAME_AT, (stream_id, project_id, position))).fetchone()
    return {stream_id: row[0]} if row else {}


async def lines(conn: Connection, stream_id: UUID, numbers: Collection[int]) -> dict[int, VersionLine]:
    """Versions by number, with author and time."""
    cursor = await conn.execute(LINES, (stream_id, list(numbers)), binary=True)
    return {row[0]: line_of(row) for row in await cursor.fetchall()}
