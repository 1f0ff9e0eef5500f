"""All read models once more, from the log alone, beside the live ones: the proof that these are what the events say.

``rebuild`` proves it and leaves the live tables alone; ``replay`` puts the new tables in their place.

The rows are folded by the code that an append runs, and written by the same statements into tables of the schema
``rebuild``, to which ``search_path`` leads them. Writers are never held up: most of the log is folded in batches first,
then one snapshot brings its last events and the live tables of the same snapshot. An async projection is compared with a
fold up to its checkpoint, which stands in the same snapshot.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from psycopg import errors, sql

from domain.artifacts.kinds import kind_of
from domain.artifacts.versioned import Versioned
from domain.content import Ref
from domain.maintenance import ReadModelsReplaced
from projections.declared import (
    ASYNC,
    INLINE,
    PROJECTIONS,
    TABLES,
    ArtifactProjection,
    AsyncProjection,
    fold_inline,
)
from projections.encoding import RENDERING
from projections.git import history as git_history
from projections.read import contents
from projections.read.kinds import KINDS
from projections.rebuild.folding import Folder
from projections.write.artifacts import AppliedEvent
from projections.write.search import ContentLost
from store.ids import new_id
from store.log.log import LOCK, Commit, GapInLog, Recorded, append_within, check_gapless, head, read_after
from store.log.mapper import decode, to_stored
from store.log.statements import SetStatement, Writes, merge
from store.postgres.connection import Connection
from store.postgres.pipeline import execute_pipeline
from store.postgres.pool import connect
from store.tables import checkpoints

# What a replay may be limited to: a table, or a projection, which is all of its tables.
NAMES = tuple(dict.fromkeys((*(one.name for one in PROJECTIONS), *TABLES)))

# Called after each batch with the position reached and the last one.
Progress = Callable[[int, int], None]

SCHEMA = "rebuild"
BATCH = 1_000  # events; the rows of one batch are in memory at once
WAIT = 0.5  # seconds between two looks at a replay of another process
MAX_BATCH_BYTES = 64_000_000  # bytes of contents that are in memory at once, unless one event needs more
SAMPLE = 5  # rows of each kind of difference that a report shows
REBUILD_LOCK = 7_203_017  # of two rebuilds the second is refused: they would share the schema

MAKE = """
DROP SCHEMA IF EXISTS rebuild CASCADE;
CREATE SCHEMA rebuild;
"""
COPY_SHAPE = "CREATE TABLE {copy} (LIKE {live} INCLUDING ALL)"

# contents_pkey
STORE = """
INSERT INTO contents (digest, bytes) SELECT * FROM unnest(%s::bytea[], %s::bytea[]) ON CONFLICT (digest) DO NOTHING
"""

# contents_pkey
MISSING = """
SELECT digest FROM unnest(%s::bytea[]) AS part (digest)
WHERE NOT EXISTS (SELECT 1 FROM contents WHERE contents.digest = part.digest)
"""

RENDERED = (
    f"SELECT position FROM rendered WHERE rendering = {RENDERING} AND versions_oid = 'versions'::regclass"
)

# Looks through all rows: an index would cost every publish.
OUTDATED = f"""
SELECT min(position), max(position), (SELECT coalesce(max(position), 0) FROM events) FROM versions WHERE rendering < {RENDERING}
"""

# events_pkey, versions_by_position: what hosts of an older release have written since.
OUTDATED_SINCE = f"""
SELECT min(position), max(position), (SELECT coalesce(max(position), 0) FROM events)
FROM events JOIN versions USING (stream_id, position) WHERE position > %(position)s AND rendering < {RENDERING}
"""

SET_RENDERED = f"""
INSERT INTO rendered (rendering, versions_oid, position) VALUES ({RENDERING}, 'versions'::regclass, %(position)s)
ON CONFLICT (rendering) DO UPDATE SET versions_oid = excluded.versions_oid, position = excluded.position
"""

# Notes and tables of a rebuild are made again when they are lost, so they wait neither for the disk nor for a standby: with no
# standby left to confirm a write, a host must start, and `skald verify` end. What takes the place of the live tables waits.
RELAXED = "SET synchronous_commit = off"
DURABLE = "SET LOCAL synchronous_commit TO DEFAULT"

INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = %s AND tablename = %s"

DIFFERENCE = """
SELECT count(*) OVER (), row_to_json(extra)::text FROM (TABLE {one} EXCEPT ALL TABLE {other}) AS extra LIMIT {limit}
"""


class RebuildRunning(Exception):
    """Another rebuild works on this database; wait until it ends."""


class LogDamaged(Exception):
    """The log, or a content that it names, is not whole: no read model can be made of it that would be right."""

    def __init__(self, damages: Sequence[str]) -> None:
        more = f", and {len(damages) - 1} more" if len(damages) > 1 else ""
        super().__init__(f"the log is damaged: {damages[0]}{more}")


class Difference(msgspec.Struct, frozen=True):
    """Rows by which a table is not what the log says: how many, and the first few of them as JSON."""

    table: str
    only_live: int
    only_rebuilt: int
    live: tuple[str, ...] = ()
    rebuilt: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """What a rebuild found. ``missing_parts`` are rendered parts (SHA-256, hex) that no content row holds.

    ``damages`` are sentences on what could not be folded; the rest of such a stream is left out of the new tables.
    """

    position: int
    events: int
    streams: int
    differences: tuple[Difference, ...]
    missing_parts: tuple[str, ...]
    damages: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        return not self.differences and not self.missing_parts and not self.damages


async def rebuild(dsn: str, *, progress: Progress | None = None) -> Report:
    """Fold the whole log into new tables, compare them row by row with the live ones, drop them again.

    The live tables are only read, and the service may go on writing. What is damaged is reported. Raises RebuildRunning.
    """
    async with _workplace(dsn) as conn:
        build = Build(conn, tuple(TABLES), progress)
        await build.run()
        return await _report(conn, build)


async def replay(
    dsn: str, *, only: str | None = None, progress: Progress | None = None, notify: bool = True
) -> Report:
    """The same, and then the new tables (or those that ``only``, one of NAMES, names) take the place of the live ones.

    The service goes on; during the swap, writers and readers wait. An interrupted replay leaves the live
    tables as they were and can be run again. Rendered parts that no content row holds are stored. When there was any
    difference, an event makes every cache distrust what it holds (``notify``). Raises what ``rebuild`` raises, LogDamaged, and
    ValueError for a table that does not exist.
    """
    tables = tuple(TABLES) if only is None else tables_of(only)
    async with _workplace(dsn) as conn:
        build = Build(conn, tables, progress, store=True)
        await build.run()
        report = await _report(conn, build)
        if report.damages:
            raise LogDamaged(report.damages)
        # What a follower has not come to yet is much of the log after an upgrade, and writers wait for the swap.
        await build.run(to_the_end=True)
        await _swap(conn, build, report, notify=notify)
        return report


def tables_of(name: str) -> tuple[str, ...]:
    """The tables of a projection, or the one table of that name. Raises ValueError when there is neither."""
    if name in TABLES:
        return (name,)
    for projection in PROJECTIONS:
        if projection.name == name:
            return projection.tables
    raise ValueError(f"there is no read model {name!r}; they are {', '.join(NAMES)}")


async def complete(dsn: str) -> bool:
    """Replay if an older release rendered versions otherwise than this one does; whether it did.

    Safe to call from several processes at once: one works, the others wait. Raises what ``replay`` raises.
    """
    replayed = False
    found = await outdated(dsn)
    # What a host of an older release goes on writing is left for later: a start would never end.
    until = found.newest if found else 0
    while found and found.oldest <= until:
        try:
            await replay(dsn)
            replayed = True
        except RebuildRunning:
            await asyncio.sleep(WAIT)
        found = await outdated(dsn)
    return replayed


class Outdated(NamedTuple):
    """The positions between which an older release has rendered versions, both included."""

    oldest: int
    newest: int


async def outdated(dsn: str) -> Outdated | None:
    """Which versions an older release rendered; notes how far there is none, so that the next look is short."""
    conn = await connect(dsn, application_name="skald-rebuild")
    async with conn:
        await conn.execute(RELAXED)
        known = await (await conn.execute(RENDERED)).fetchone()
        start = {"position": known[0]} if known else {}
        row = await (await conn.execute(OUTDATED_SINCE if known else OUTDATED, start)).fetchone()
        assert row is not None
        oldest, newest, head = row
        if newest is None and (known is None or head > known[0]):
            # A database that takes no writes is looked through at each start.
            with suppress(errors.ReadOnlySqlTransaction, errors.InsufficientPrivilege):
                await conn.execute(SET_RENDERED, {"position": head})
        return None if newest is None else Outdated(oldest, newest)


@asynccontextmanager
async def _workplace(dsn: str) -> AsyncIterator[Connection]:
    """A connection that writes to empty tables of the schema ``rebuild``, dropped at the end."""
    conn = await connect(dsn, application_name="skald-rebuild")
    async with conn:
        await conn.execute(RELAXED)
        locked = await (await conn.execute("SELECT pg_try_advisory_lock(%s)", (REBUILD_LOCK,))).fetchone()
        if not locked or not locked[0]:
            raise RebuildRunning("another rebuild is running on this database")
        await _make_tables(conn)
        try:
            yield conn
        finally:
            if not conn.closed:
                await conn.execute("DROP SCHEMA rebuild CASCADE")
                # A backend may outlive its connection for a while, and the next rebuild would be refused.
                await conn.execute("SELECT pg_advisory_unlock(%s)", (REBUILD_LOCK,))


async def _report(conn: Connection, build: "Build") -> Report:
    """Catch up, then compare, both in one snapshot."""
    async with conn.transaction():
        # From here on, log and live tables stand still for us, and only for us.
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await build.run()
        differences = [await _compare(conn, table) for table in build.tables]
    position, events, streams = build.taken()
    return Report(
        position=position,
        events=events,
        streams=streams,
        differences=tuple(found for found in differences if found is not None),
        missing_parts=tuple(sorted(digest.hex() for digest in build.inline.missing)),
        damages=build.damages,
    )


async def _swap(conn: Connection, build: "Build", report: Report, *, notify: bool) -> None:
    # What caches and commits are made from; an async projection is read from its tables alone.
    inline = tuple(table for table in build.tables if TABLES[table] in INLINE)
    differs = bool(report.missing_parts) or any(found.table in inline for found in report.differences)
    async with conn.transaction():
        await conn.execute(DURABLE)
        if differs:
            # Its commits were made from the live tables. First, because who makes them holds its tables, then waits for ours.
            await git_history.forget(conn)
        for follower in build.followers:
            # Its follower locks this row, then its tables; afterwards it goes on from where we leave it.
            await checkpoints.begin(conn, follower.projection.name)
        # Writers wait from here on, so these are the last events that the new tables lack.
        await conn.execute(LOCK)
        await build.run(to_the_end=True)
        for table in build.tables:
            await _take_place(conn, table)
        for follower in build.followers:
            await checkpoints.move(conn, follower.projection.name, follower.position)
        if notify and differs:
            await _record(conn, inline)


async def _take_place(conn: Connection, table: str) -> None:
    """Put the new table where the live one is, with the names of its indexes, and drop the live one."""
    names = await _index_names(conn, "public", table)
    await conn.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier("public", table)), prepare=False)
    renames = await _index_names(conn, SCHEMA, table)
    for shape, old in renames.items():
        if (new := names.get(shape)) and new != old:
            rename = sql.SQL("ALTER INDEX {} RENAME TO {}").format(
                sql.Identifier(SCHEMA, old), sql.Identifier(new)
            )
            await conn.execute(rename, prepare=False)
    move = sql.SQL("ALTER TABLE {} SET SCHEMA public").format(sql.Identifier(SCHEMA, table))
    await conn.execute(move, prepare=False)


async def _index_names(conn: Connection, schema: str, table: str) -> dict[str, str]:
    """The indexes of a table by their definition without names."""
    rows = await (await conn.execute(INDEXES, (schema, table))).fetchall()
    return {
        shape.partition(" USING ")[2] + (" unique" if " UNIQUE " in shape else ""): name
        for name, shape in rows
    }


async def _record(conn: Connection, tables: tuple[str, ...]) -> None:
    """An event that says so: every cache follows the log, and must not trust what it read from the old tables."""
    stream = new_id()
    happened = ReadModelsReplaced(originator_id=stream, originator_version=1, tables=tables)
    await append_within(conn, Commit(events=(to_stored(happened),), command_id=new_id()))


class Build:
    """The new ``tables``, made by the fold of each projection that has one of them; all tables of such a projection are written."""

    def __init__(
        self, conn: Connection, tables: tuple[str, ...], progress: Progress | None, *, store: bool = False
    ) -> None:
        self._conn = conn
        self.tables = tables
        wanted = {TABLES[table].name for table in tables}
        self.inline = InlineBuilder(
            conn, progress, store=store, is_wanted=any(one.name in wanted for one in INLINE)
        )
        self.followers = [AsyncBuilder(conn, one) for one in ASYNC if one.name in wanted]

    async def run(self, *, to_the_end: bool = False) -> None:
        """Take in what the live tables have: inline all of the log, async up to the checkpoint, or ``to_the_end`` as well."""
        end = await head(self._conn)
        await self.inline.run(end)
        reached = await checkpoints.positions(self._conn)
        for follower in self.followers:
            await follower.run(end if to_the_end else min(end, reached.get(follower.projection.name, 0)))

    @property
    def damages(self) -> tuple[str, ...]:
        return tuple(self.inline.damages) or tuple(one for each in self.followers for one in each.damages)

    def taken(self) -> tuple[int, int, int]:
        """How far the tables go, and of how many events and streams they were made."""
        if self.inline.is_wanted:
            return self.inline.position, self.inline.events, len(self.inline.aggregates)
        follower = self.followers[0]
        return follower.position, follower.position, len(follower.streams)


class Builder(ABC):
    """Folds the log from position 0 on; what cannot be folded is noted, and its stream ends there."""

    def __init__(self, conn: Connection, progress: Progress | None = None) -> None:
        self._conn = conn
        self._progress = progress
        self.position = 0
        self.damages: list[str] = []
        self._damaged: set[UUID] = set()

    async def run(self, until: int) -> None:
        """Take in the events up to position ``until``."""
        while self.position < until:
            events = await read_after(self._conn, self.position, limit=min(BATCH, until - self.position))
            events = [event for event in events if event.position <= until]
            if not events:
                self.damages.append(f"the log ends before position {until}")
                self.position = until
                return
            try:
                check_gapless(events, self.position)
            except GapInLog as gap:
                self.damages.append(str(gap))
            await self._take(events)
            self.position = events[-1].position
            if self._progress is not None:
                self._progress(self.position, until)

    async def _take(self, events: Sequence[Recorded]) -> None:
        """All at once; when that fails one by one, without the streams whose event it is."""
        whole = [event for event in events if event.stream_id not in self._damaged]
        try:
            await self._apply_whole(whole)
        except psycopg.OperationalError:
            raise
        except Exception:
            await self._begin_again()
        else:
            return
        for event in whole:
            if event.stream_id in self._damaged:
                continue
            try:
                await self._apply_whole([event])
            except psycopg.OperationalError:
                raise
            except Exception as error:
                await self._begin_again()
                self._damaged.add(event.stream_id)
                reason = str(error).partition("\n")[0] or type(error).__name__
                self.damages.append(
                    f"position {event.position} ({event.topic} of {event.stream_id}): {reason}"
                )

    async def _apply_whole(self, events: Sequence[Recorded]) -> None:
        async with self._conn.transaction():
            await self._apply(events)

    async def _begin_again(self) -> None:
        # psycopg forgets its prepared statements with a rollback, and a pipeline inside a transaction cannot find out.
        await self._conn.execute("DEALLOCATE ALL", prepare=False)
        self._conn.prepared.clear()

    @abstractmethod
    async def _apply(self, events: Sequence[Recorded]) -> None:
        """Write the rows of the events; when it raises, nothing is changed here either."""


class AsyncBuilder(Builder):
    """Folds the log into the tables of one async projection."""

    def __init__(self, conn: Connection, projection: AsyncProjection | ArtifactProjection) -> None:
        super().__init__(conn)
        self.projection = projection
        self.streams: set[UUID] = set()
        self._folder = Folder(projection)

    async def _apply(self, events: Sequence[Recorded]) -> None:
        left = events
        try:
            while left:
                writes, taken = await self._folder.fold(self._conn, left)
                if statements := _statements(writes):
                    await execute_pipeline(self._conn, statements)
                left = left[taken:]
        except BaseException:
            self._folder.forget()
            raise
        self._folder.keep()
        self.streams.update(event.stream_id for event in events)


def _statements(writes: Writes) -> list[tuple[str, Any]]:
    return [(statement.sql, SetStatement.columns(rows)) for statement, rows in merge([writes])]


class InlineBuilder(Builder):
    """Folds the log into the tables of all inline projections; the states of all streams stay in memory."""

    def __init__(
        self,
        conn: Connection,
        progress: Progress | None = None,
        *,
        store: bool = False,
        is_wanted: bool = True,
    ) -> None:
        """``store``: rendered parts that are missing from the contents are stored, besides being reported.

        Not ``is_wanted``: only the position is kept.
        """
        super().__init__(conn, progress)
        self._store = store
        self.is_wanted = is_wanted
        self.events = 0
        self.aggregates: dict[UUID, Versioned] = {}
        self.missing: set[bytes] = set()

    async def run(self, until: int) -> None:
        if not self.is_wanted:
            self.position = until
        await super().run(until)

    async def _apply(self, events: Sequence[Recorded]) -> None:
        before = {event.stream_id: self.aggregates.get(event.stream_id) for event in events}
        try:
            steps = [self._step(event, kind) for event in events if (kind := kind_of(event.topic))]
            for some in _parted(steps):
                await self._fold(some)
        except BaseException:
            for stream_id, state in before.items():
                if state is None:
                    self.aggregates.pop(stream_id, None)
                else:
                    self.aggregates[stream_id] = state
            raise
        self.events += len(steps)

    async def _fold(self, steps: Sequence[AppliedEvent]) -> None:
        needed = {ref for step in steps for ref in _needs(step)}
        read = await contents.read(self._conn, {ref.digest for ref in needed})
        for ref in needed:
            if ref.digest not in read:
                raise ContentLost(ref.digest)
        folded = fold_inline([msgspec.structs.replace(step, contents=read) for step in steps], KINDS)
        batch = _statements(folded.writes)
        parts = {part.digest: part.data for part in folded.parts}
        batch.append((MISSING, (list(parts),)))
        found = (await execute_pipeline(self._conn, batch))[-1]
        missing = [found.get_value(row, 0) or b"" for row in range(found.ntuples)]
        self.missing.update(missing)
        if self._store and missing:
            await execute_pipeline(self._conn, [(STORE, (missing, [parts[digest] for digest in missing]))])

    def _step(self, recorded: Recorded, kind: str) -> AppliedEvent:
        """The event with the state right after it; later ones get copies of their own."""
        event = decode(recorded.topic, recorded.state)
        if (event.originator_id, event.originator_version) != (recorded.stream_id, recorded.stream_version):
            raise ValueError("its state is that of another event")
        before = self.aggregates.get(recorded.stream_id)
        state = before.fork() if before else KINDS[kind].aggregate(id=recorded.stream_id)
        state.evolve(event, recorded.actor_id)
        self.aggregates[recorded.stream_id] = state
        if recorded.project_id is None:
            raise ValueError("it belongs to no project")
        return AppliedEvent(state, event, recorded.project_id, recorded.actor_id, {})


def _needs(step: AppliedEvent) -> Sequence[Ref]:
    return KINDS[step.artifact.KIND].needs(step.artifact)


def _parted(steps: Sequence[AppliedEvent]) -> Iterator[Sequence[AppliedEvent]]:
    """The steps in order, parted where the contents that they need would be too much to hold."""
    first = size = 0
    for place, step in enumerate(steps):
        needed = sum(ref.size for ref in _needs(step))
        if place > first and size + needed > MAX_BATCH_BYTES:
            yield steps[first:place]
            first, size = place, 0
        size += needed
    if first < len(steps):
        yield steps[first:]


async def _make_tables(conn: Connection) -> None:
    await conn.execute(MAKE.encode(), prepare=False)
    for table in TABLES:
        shape = sql.SQL(COPY_SHAPE).format(
            copy=sql.Identifier(SCHEMA, table), live=sql.Identifier("public", table)
        )
        await conn.execute(shape, prepare=False)
    await conn.execute("SET search_path = rebuild, public")


async def _compare(conn: Connection, table: str) -> Difference | None:
    """How the live table differs from the rebuilt one, None when it does not."""
    live, rebuilt = sql.Identifier("public", table), sql.Identifier(SCHEMA, table)
    sides = []
    for one, other in ((live, rebuilt), (rebuilt, live)):
        query = sql.SQL(DIFFERENCE).format(one=one, other=other, limit=sql.Literal(SAMPLE))
        sides.append(await (await conn.execute(query, prepare=False)).fetchall())
    extra, lacking = sides
    if not extra and not lacking:
        return None
    return Difference(
        table=table,
        only_live=extra[0][0] if extra else 0,
        only_rebuilt=lacking[0][0] if lacking else 0,
        live=tuple(row[1] for row in extra),
        rebuilt=tuple(row[1] for row in lacking),
    )
