"""Which version each label points to, now and at any position of the log: the table ``labels``."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain.artifacts.labels import LabelRemoved, LabelSet
from projections.encoding import AUTHOR, JOIN_AUTHOR, author, timestamp
from store.log.statements import Row, SetStatement, arrays
from store.postgres.connection import Connection

LATEST = 2**63 - 1  # a position beyond every log

ENDED = SetStatement(
    "labels.end",
    83,
    f"""
    UPDATE labels SET until_position = position
    FROM {arrays("stream_id uuid, name text, stream_version int")} AS new
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    WHERE labels.stream_id = new.stream_id AND labels.name = new.name AND labels.until_position IS NULL
    """,
)

SET = SetStatement(
    "labels.set",
    85,
    f"""
    INSERT INTO labels (stream_id, name, number, since_position, until_position, set_at, set_by, promotion_id)
    SELECT new.stream_id, new.name, number, since.position, until.position, since.recorded_at, set_by, promotion_id
    FROM {
        arrays(
            "stream_id uuid, name text, number int, since_version int, until_version int, set_by bigint, promotion_id uuid"
        )
    } AS new
    JOIN events AS since ON since.stream_id = new.stream_id AND since.stream_version = new.since_version
    LEFT JOIN events AS until ON until.stream_id = new.stream_id AND until.stream_version = new.until_version
    """,
)

ALL_ENDED = SetStatement(
    "labels.end_all",
    84,
    f"""
    UPDATE labels SET until_position = position
    FROM {arrays("stream_id uuid, stream_version int")} AS new
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    WHERE labels.stream_id = new.stream_id AND labels.until_position IS NULL
    """,
)

# labels_pkey, events_pkey; ``at`` is beyond the log for the present.
PAST = f"""
SELECT number, set_at, until.recorded_at, promotion_id, {AUTHOR}
FROM labels {JOIN_AUTHOR} set_by
LEFT JOIN events AS until ON until.position = until_position AND until_position <= %(at)s
WHERE labels.stream_id = %(stream)s AND labels.name = %(name)s AND since_position <= %(at)s
ORDER BY since_position DESC LIMIT %(limit)s OFFSET %(offset)s
"""
# labels_pkey
COUNT_PAST = """
SELECT count(*) FROM labels WHERE stream_id = %(stream)s AND name = %(name)s AND since_position <= %(at)s
"""

# labels_now
ALL = f"""
SELECT labels.name, number, set_at, since_position, {AUTHOR}
FROM labels {JOIN_AUTHOR} set_by
WHERE stream_id = %s AND until_position IS NULL ORDER BY labels.name
"""

# labels_pkey
AT = f"""
SELECT labels.name, number, set_at, since_position, {AUTHOR}
FROM labels {JOIN_AUTHOR} set_by
WHERE stream_id = %s AND labels.name = %s AND since_position <= %s
ORDER BY since_position DESC LIMIT 1
"""


class Pointers:
    """The rows that label events bring: of several moves of one label in a batch, each but the last has its end."""

    def __init__(self) -> None:
        self._ended: list[Row] = []
        self._set: list[Row] = []
        self._all_ended: list[Row] = []
        self._open: dict[tuple[UUID, str], int | None] = {}
        self._streams: set[UUID] = set()

    def end_all(self, stream: UUID, version: int) -> None:
        """The archive of a stream ends its labels: those of this batch here, earlier ones by their statement."""
        for key, place in self._open.items():
            if key[0] == stream and place is not None:
                self._end(place, version)
                self._open[key] = None
        if stream not in self._streams:
            self._streams.add(stream)
            self._all_ended.append((stream, version))

    def _end(self, place: int, version: int) -> None:
        stream, name, number, since, _, *rest = self._set[place]
        self._set[place] = (stream, name, number, since, version, *rest)

    def follow(self, event: LabelSet | LabelRemoved, actor_id: int | None) -> None:
        key = (event.originator_id, event.label)
        before = self._open.get(key)
        if before is not None:
            self._end(before, event.originator_version)
        elif key not in self._open and event.originator_id not in self._streams:
            self._ended.append((*key, event.originator_version))
        self._open[key] = None
        if isinstance(event, LabelSet):
            self._open[key] = len(self._set)
            row = (event.number, event.originator_version, None, actor_id, event.promotion_id)
            self._set.append((*key, *row))

    def rows(self) -> dict[SetStatement, list[Row]]:
        return {ENDED: self._ended, SET: self._set, ALL_ENDED: self._all_ended}


class Label(msgspec.Struct, frozen=True):
    """Where a label points, since when (UTC and log position) and by whom (encoded user)."""

    author: bytes
    name: str
    number: int
    set_at: datetime
    position: int


def label_of(row: tuple[Any, ...]) -> Label:
    return Label(author(row[4:]), *row[:4])


async def of_stream(conn: Connection, stream_id: UUID) -> list[Label]:
    """The labels that a stream has now, by name."""
    rows = await (await conn.execute(ALL, (stream_id,), binary=True)).fetchall()
    return [label_of(row) for row in rows]


async def at(conn: Connection, stream_id: UUID, name: str, position: int) -> Label:
    """Where a label pointed at a position of the log, at which it is known to have pointed somewhere."""
    row = await (await conn.execute(AT, (stream_id, name, position), binary=True)).fetchone()
    if row is None:
        raise LookupError(f"{stream_id} had no label {name} at {position}")
    return Label(author(row[4:]), *row[:4])


def label_json(label: Label) -> bytes:
    """``{name, version, created_by, created_at}``."""
    return (
        f'{{"name":"{label.name}","version":{label.number},"created_by":'.encode()
        + label.author
        + f',"created_at":"{timestamp(label.set_at)}"}}'.encode()
    )


async def past(
    conn: Connection, stream_id: UUID, name: str, *, limit: int, offset: int, position: int | None = None
) -> tuple[int, list[bytes]]:
    """How many versions a label has pointed to, and a page of ``{version, from, until, set_by, promotion_id}``, newest first.

    As it was when the log ended at ``position``.
    """
    params = {
        "stream": stream_id,
        "name": name,
        "at": LATEST if position is None else position,
        "limit": limit,
        "offset": offset,
    }
    counted = await (await conn.execute(COUNT_PAST, params)).fetchone()
    rows = await (await conn.execute(PAST, params, binary=True)).fetchall()
    return counted[0] if counted else 0, [_past_json(row) for row in rows]


def _past_json(row: tuple[Any, ...]) -> bytes:
    number, since, until, promotion, *person = row
    entry: dict[str, Any] = {
        "version": number,
        "from": timestamp(since),
        "until": None if until is None else timestamp(until),
        "set_by": msgspec.Raw(author(person)),
        "promotion_id": promotion,
    }
    return msgspec.json.encode(entry)
