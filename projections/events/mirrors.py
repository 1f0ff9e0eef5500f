"""Whether a project is a mirror, read from its stream: it is short, so there is no table of it."""

from contextlib import aclosing
from datetime import datetime

import msgspec

from domain.artifacts.mirrors import Mirror, MirrorBegun, stream_of
from projections.encoding import timestamp
from projections.events.history import people_of
from store.log.log import read_stream
from store.log.mapper import decode
from store.postgres.connection import Connection


class MirrorRow(msgspec.Struct, frozen=True):
    """What a project follows, and by whom and since when. ``position`` is that of the event that began it."""

    source: str
    writer_id: str
    begun_by: int | None
    begun_at: datetime
    position: int


async def load(conn: Connection, project_id: int) -> tuple[Mirror, int]:
    """The mirror, and the position of its last event; 0 when there is none."""
    mirror, position = Mirror.of_project(project_id), 0
    async with aclosing(read_stream(conn, mirror.id)) as batches:
        async for batch in batches:
            for recorded in batch:
                mirror.evolve(decode(recorded.topic, recorded.state))
                position = recorded.position
    return mirror, position


async def at(conn: Connection, project_id: int, position: int | None = None) -> MirrorRow | None:
    """What the project follows, now or when the log ended at a position; None when nothing."""
    found: MirrorRow | None = None
    async with aclosing(read_stream(conn, stream_of(project_id))) as batches:
        async for batch in batches:
            for recorded in batch:
                if position is not None and recorded.position > position:
                    break
                event = decode(recorded.topic, recorded.state)
                found = (
                    MirrorRow(
                        event.source,
                        str(event.writer_id),
                        recorded.actor_id,
                        recorded.recorded_at,
                        recorded.position,
                    )
                    if isinstance(event, MirrorBegun)
                    else None
                )
    return found


async def row_json(conn: Connection, row: MirrorRow) -> bytes:
    """``{source, key_id, begun_by, begun_at}``."""
    people = await people_of(conn, {row.begun_by} if row.begun_by is not None else set())
    return msgspec.json.encode(
        {
            "source": row.source,
            "key_id": row.writer_id,
            "begun_by": msgspec.Raw(people.get(row.begun_by or 0, b"null")),
            "begun_at": timestamp(row.begun_at),
        }
    )
