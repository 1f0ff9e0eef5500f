"""Aggregates of this process: loaded from their streams, kept while the positions say that they are current."""

import logging
import sys
from contextlib import aclosing
from datetime import datetime
from functools import cache
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
import psycopg

from api.cache.lru import LRU
from api.cache.positions import StreamPositions
from domain.artifacts.versioned import Versioned
from projections.encoding import OWNERS, owners
from projections.read.versions import NOW
from store.log.log import read_stream
from store.log.mapper import decode
from store.postgres.connection import Connection
from store.postgres.pool import Pool

logger = logging.getLogger(__name__)

A = TypeVar("A", bound=Versioned)

CAPACITY = 2_000  # aggregates kept; some 10 KB each with a few files
SNAPSHOT_EVERY = 500  # events; loading 100 of them costs about 0.3 ms

HELD_OWNERS = OWNERS.format(stream="artifacts.stream_id", held=NOW)

# active_names_pkey, artifacts_pkey, snapshots_pkey; the head is that of the same snapshot
FIND = f"""
SELECT active_names.stream_id, artifacts.created_at, (SELECT coalesce(max(position), 0) FROM events),
       snapshots.state, {HELD_OWNERS}
FROM active_names
JOIN artifacts ON artifacts.stream_id = active_names.stream_id
LEFT JOIN snapshots ON snapshots.stream_id = active_names.stream_id AND snapshots.schema = %s
WHERE active_names.project_id = %s AND active_names.kind = %s AND active_names.name = %s
"""

# name_spans_of_name, artifacts_pkey, versions_id, snapshots_pkey
FIND_ARCHIVED = f"""
SELECT artifacts.stream_id, artifacts.created_at, (SELECT coalesce(max(position), 0) FROM events), snapshots.state,
       {HELD_OWNERS}
FROM artifacts
LEFT JOIN snapshots ON snapshots.stream_id = artifacts.stream_id AND snapshots.schema = %s
WHERE artifacts.stream_id IN (SELECT stream_id FROM name_spans WHERE project_id = %s AND kind = %s AND name = %s)
  AND artifacts.name = %s AND archived_position IS NOT NULL
  AND (%s::uuid IS NULL OR artifacts.stream_id IN (SELECT stream_id FROM versions WHERE id = %s UNION ALL SELECT %s))
ORDER BY archived_position DESC LIMIT 1
"""

# events_pkey. Only as of an event of this log: a server that knows less may have taken the place of the one it was appended to.
SAVE_SNAPSHOT = """
INSERT INTO snapshots (stream_id, stream_version, schema, state)
SELECT stream_id, stream_version, %s, %s FROM events WHERE position = %s AND stream_id = %s
ON CONFLICT (stream_id) DO UPDATE
    SET stream_version = excluded.stream_version, schema = excluded.schema, state = excluded.state
    WHERE snapshots.stream_version < excluded.stream_version OR snapshots.schema <> excluded.schema
"""


class Owners(msgspec.Struct, frozen=True):
    """The owners of an artifact as answers show them, read at position ``as_of``: no event of its stream tells who was erased since."""

    json: bytes
    as_of: int


NO_OWNERS = Owners(b"[]", sys.maxsize)


class Loaded(msgspec.Struct, Generic[A], frozen=True):
    """An aggregate with the time of its first version and the position of its last event, as of a position of the log.

    ``stored`` are contents, by digest, that this process knows to be in the database: parts of the latest version.
    """

    aggregate: A
    first_at: datetime
    as_of: int
    position: int
    owners: Owners
    from_cache: bool = False
    stored: frozenset[bytes] = frozenset()


class Repository:
    """Finds the aggregate that holds a name. What it hands out must be forked before it is changed."""

    def __init__(self, pool: Pool, positions: StreamPositions) -> None:
        self._pool = pool
        self._positions = positions
        self._cache: LRU[tuple[int, str, str], Loaded[Any]] = LRU(CAPACITY)

    async def find(
        self, project_id: int, cls: type[A], name: str, *, cached: bool = True
    ) -> Loaded[A] | None:
        """The aggregate; None when the name is free. ``cached=False`` always reads the log."""
        key = (project_id, cls.KIND, name)
        kept: Loaded[A] | None = self._cache.get(key)
        if (
            cached
            and kept is not None
            and self._positions.is_fresh(StreamPositions.slot(kept.aggregate.id), kept.as_of)
            and self._positions.all_streams <= kept.owners.as_of
        ):
            return msgspec.structs.replace(kept, from_cache=True)
        if "\0" in name:
            return None
        async with self._pool.connection() as conn:
            cursor = await conn.execute(FIND, (schema_of(cls), project_id, cls.KIND, name), binary=True)
            row = await cursor.fetchone()
            if row is None:
                self._cache.drop(key)
                return None
            stream_id, first_at, as_of, state, people = row
            known = kept if kept is not None and kept.aggregate.id == stream_id else None
            aggregate, position = await self._load(conn, cls, stream_id, known, state)
        loaded = Loaded(aggregate, first_at, as_of, position, Owners(owners(people), as_of))
        self._cache.put(key, loaded)
        return loaded

    async def find_archived(
        self, project_id: int, cls: type[A], name: str, id: UUID | None = None
    ) -> Loaded[A] | None:
        """The archived stream of a name that has this id or a version with it, else the last one; None without one."""
        if "\0" in name:
            return None
        async with self._pool.connection() as conn:
            params = (schema_of(cls), project_id, cls.KIND, name, name, id, id, id)
            row = await (await conn.execute(FIND_ARCHIVED, params, binary=True)).fetchone()
            if row is None:
                return None
            stream_id, first_at, as_of, state, people = row
            aggregate, position = await self._load(conn, cls, stream_id, None, state)
            return Loaded(aggregate, first_at, as_of, position, Owners(owners(people), as_of))

    def keep(
        self,
        project_id: int,
        aggregate: Versioned,
        first_at: datetime,
        as_of: int,
        people: Owners,
        stored: frozenset[bytes] = frozenset(),
    ) -> None:
        """Remember an aggregate whose events have just been appended (see ``Loaded``)."""
        key = (project_id, aggregate.KIND, aggregate.name)
        if aggregate.archived:
            self._cache.drop(key)
        else:
            found = Loaded(aggregate, first_at, as_of, as_of, people, stored=stored)
            self._cache.put(key, found)

    async def save(self, aggregate: Versioned, position: int) -> None:
        """Keep a snapshot as of its last event, which is at ``position``. It may fail: it only saves time."""
        try:
            async with self._pool.connection() as conn:
                await self._save(conn, aggregate, position)
        except (psycopg.Error, OSError) as error:
            logger.warning("no snapshot of %s: %s", aggregate.id, type(error).__name__)

    @staticmethod
    async def _save(conn: Connection, aggregate: Versioned, position: int) -> None:
        state = msgspec.json.encode(aggregate)
        await conn.execute(SAVE_SNAPSHOT, (schema_of(type(aggregate)), state, position, aggregate.id))

    async def _load(
        self, conn: Connection, cls: type[A], stream_id: UUID, kept: Loaded[A] | None, state: bytes | None
    ) -> tuple[A, int]:
        """The aggregate from its stream, and the position of its last event.

        It starts from what is ``kept`` or from the snapshot ``state``, whose last event is read once more: it is not in a log
        that went back.
        """
        if kept is not None:
            aggregate = kept.aggregate.fork()
        elif state is not None:
            aggregate = msgspec.json.decode(state, type=cls)
        else:
            aggregate = cls(id=stream_id)
        known = aggregate.version
        position = 0
        async with aclosing(read_stream(conn, stream_id, after=max(0, known - 1))) as batches:
            async for events in batches:
                for event in events:
                    if event.stream_version > known:
                        aggregate.evolve(decode(event.topic, event.state), event.actor_id)
                    elif kept is not None and event.position != kept.position:
                        return await self._load(conn, cls, stream_id, None, state)
                    position = event.position
        if known and not position:
            return await self._load(conn, cls, stream_id, None, None if kept is None else state)
        if aggregate.version - known >= SNAPSHOT_EVERY:
            await self._save(conn, aggregate, position)
        return aggregate, position


def is_long(aggregate: Versioned, appended: int) -> bool:
    """Whether ``appended`` events have just brought a stream across a multiple of SNAPSHOT_EVERY: then it is time for one.

    So no process that starts has more than that many events to fold.
    """
    return aggregate.version // SNAPSHOT_EVERY != (aggregate.version - appended) // SNAPSHOT_EVERY


@cache
def schema_of(cls: type[Versioned]) -> str:
    """Names the shape of a snapshot: one that other code wrote in another shape is not read."""
    return f"{cls.KIND}:{_shape_of(cls)}"


def _shape_of(struct: type[msgspec.Struct]) -> str:
    """The names of all fields, those of structs within in brackets."""
    return ",".join(
        f"{field.name}({_shape_of(field.type)})" if _is_struct(field.type) else field.name
        for field in msgspec.structs.fields(struct)
    )


def _is_struct(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, msgspec.Struct)
