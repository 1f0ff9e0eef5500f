"""Which version each label points to, now and at any position of the log: the table ``labels``."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from domain.labels import LabelRemoved, LabelSet
from projections.encoding import AUTHOR, JOIN_AUTHOR, author, timestamp
from store.statements import Row, SetStatement

ENDED = SetStatement(
    "labels.end",
    84,
    """
    UPDATE labels SET until_position = position
    FROM unnest(%s::uuid[], %s::text[], %s::int[]) AS new (stream_id, name, stream_version)
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    WHERE labels.stream_id = new.stream_id AND labels.name = new.name AND labels.until_position IS NULL
    """,
)

SET = SetStatement(
    "labels.set",
    85,
    """
    INSERT INTO labels (stream_id, name, number, since_position, until_position, set_at, set_by)
    SELECT new.stream_id, new.name, number, since.position, until.position, since.recorded_at, set_by
    FROM unnest(%s::uuid[], %s::text[], %s::int[], %s::int[], %s::int[], %s::bigint[])
        AS new (stream_id, name, number, since_version, until_version, set_by)
    JOIN events AS since ON since.stream_id = new.stream_id AND since.stream_version = new.since_version
    LEFT JOIN events AS until ON until.stream_id = new.stream_id AND until.stream_version = new.until_version
    """,
)

ALL_ENDED = SetStatement(
    "labels.end_all",
    86,
    """
    UPDATE labels SET until_position = position
    FROM unnest(%s::uuid[], %s::int[]) AS new (stream_id, stream_version)
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    WHERE labels.stream_id = new.stream_id AND labels.until_position IS NULL
    """,
)

# labels_now
ALL = f"""
SELECT labels.name, number, set_at, since_position, {AUTHOR}
FROM labels {JOIN_AUTHOR} set_by
WHERE stream_id = %s AND until_position IS NULL ORDER BY labels.name
"""


class Pointers:
    """The rows that label events bring: of several moves of one label in a batch, each but the last has its end."""

    def __init__(self) -> None:
        self.ended: list[Row] = []
        self.set: list[Row] = []
        self._open: dict[tuple[UUID, str], int | None] = {}

    def follow(self, event: LabelSet | LabelRemoved, actor_id: int | None) -> None:
        key = (event.originator_id, event.label)
        if key not in self._open:
            self.ended.append((*key, event.originator_version))
        elif (before := self._open[key]) is not None:
            stream, name, number, since, _, set_by = self.set[before]
            self.set[before] = (stream, name, number, since, event.originator_version, set_by)
        self._open[key] = None
        if isinstance(event, LabelSet):
            self._open[key] = len(self.set)
            self.set.append((*key, event.number, event.originator_version, None, actor_id))


class Label(msgspec.Struct, frozen=True):
    """Where a label points, since when (UTC and log position) and by whom (encoded user)."""

    author: bytes
    name: str
    number: int
    set_at: datetime
    position: int


async def of_stream(conn: AsyncConnection[Any], stream_id: UUID) -> list[Label]:
    """The labels that a stream has now, by name."""
    rows = await (await conn.execute(ALL, (stream_id,), binary=True)).fetchall()
    return [Label(author(row[4:]), *row[:4]) for row in rows]


def label_json(label: Label) -> bytes:
    """``{name, version, created_by, created_at}``."""
    return (
        f'{{"name":"{label.name}","version":{label.number},"created_by":'.encode()
        + label.author
        + f',"created_at":"{timestamp(label.set_at)}"}}'.encode()
    )
