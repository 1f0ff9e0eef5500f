"""Appending to the log and reading it.

An append is one pipeline that PostgreSQL runs as one implicit transaction: the contents, then all the rest as one call,
which begins with the order lock. So the lock is held neither while this process thinks nor while its bytes are under way.
"""

from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from eventsourcing.persistence import StoredEvent
from psycopg.errors import NotNullViolation
from psycopg.pq.abc import PGresult

from domain.content import Content
from domain.maintenance import LogRewound
from store.errors import AppendError, CommandRepeated, NameConflict, StreamConflict
from store.log.statements import SetStatement, Writes, arrays, merge
from store.postgres.connection import Connection
from store.postgres.pipeline import execute_pipeline, read_bigint, read_timestamptz
from store.postgres.routines import Call, Routine, routine_of, together

CHANNEL = "skald_log"
STREAM_BATCH = 500  # events of a stream that are read at a time
NOTIFY_MAX_STREAMS = 150  # a payload is under 8,000 bytes, a stream id is 32 of them
EVENT = """stream_id uuid, stream_version int, topic text, state bytea, project_id bigint, actor_id bigint, key_id uuid,
           command_id uuid, correlation_id text"""
COMMAND = "key_id uuid, idempotency_key text, fingerprint bytea, status smallint, stream_id uuid, stream_version int"


class Idempotency(msgspec.Struct, frozen=True):
    """The row that makes a repeated request recognisable; ``fingerprint`` is a digest of the request."""

    key: str
    fingerprint: bytes
    status: int


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """What must become true together: events of one or more streams and all that follows from them.

    ``claims`` names what may not stand twice in one batch beside the streams: skill names, idempotency keys.
    """

    events: tuple[StoredEvent, ...]
    command_id: UUID
    project_id: int | None = None
    actor_id: int | None = None
    key_id: UUID | None = None
    correlation_id: str | None = None
    contents: tuple[Content, ...] = ()
    writes: Writes = {}
    idempotency: Idempotency | None = None
    claims: tuple[Hashable, ...] = ()
    # The position of the event before the first one in its stream, None when its writer has not seen it, and the digests of
    # contents that are not sent again. The append is refused when they are not in the log.
    follows: int | None = None
    relied: tuple[bytes, ...] = ()


class Appended(msgspec.Struct, frozen=True):
    """Where a commit stands in the log: ``first`` to ``last`` position, all recorded at the same instant (UTC)."""

    first: int
    last: int
    recorded_at: datetime


class Recorded(msgspec.Struct, frozen=True):
    """An event as read from the log, with its envelope."""

    position: int
    stream_id: UUID
    stream_version: int
    topic: str
    state: bytes
    recorded_at: datetime
    project_id: int | None
    actor_id: int | None
    key_id: UUID | None
    command_id: UUID
    correlation_id: str | None


# One writer at a time in the whole database: positions are gapless and become visible in their order.
LOCK = "SELECT pg_advisory_xact_lock(7203014)"

# Those that others are storing, too, are waited for while the lock is free.
STORE_CONTENTS = """
INSERT INTO contents (digest, bytes)
SELECT {rows}
ON CONFLICT DO NOTHING
"""
CONTENT = "digest bytea, bytes bytea"
STORE = STORE_CONTENTS.format(rows=f"digest, bytes FROM {arrays(CONTENT)} AS new")
# A content without bytes is one that has to be there (contents_pkey); else the table refuses it.
STORE_RELIED = STORE_CONTENTS.format(
    rows=f"""new.digest, CASE WHEN stored.digest IS NULL THEN new.bytes ELSE '' END
    FROM {arrays(CONTENT)} AS new LEFT JOIN contents AS stored ON stored.digest = new.digest AND new.bytes IS NULL"""
)

# The head is read in the statement after the lock, so by a snapshot that sees every earlier append (READ COMMITTED).
# recorded_at never runs backwards, whatever the clock does, so that an instant names one position.
# An event whose predecessor is not in its stream (events_stream) gets no position, which the table refuses: whatever its
# writer has read, of a server that has been replaced by one that knows less too.
# RESULTS.md: "three statements an append instead of six"
APPENDED = f"""
WITH head AS MATERIALIZED (
    SELECT coalesce(last.position, 0) AS position, greatest(clock_timestamp(), last.recorded_at) AS now
    FROM (SELECT) AS always
    LEFT JOIN (SELECT position, recorded_at FROM events ORDER BY position DESC LIMIT 1) AS last ON true
), appended AS (
    INSERT INTO events (position, stream_id, stream_version, topic, state, recorded_at,
                        project_id, actor_id, key_id, command_id, correlation_id)
    SELECT CASE WHEN after_version IS NULL OR before.position = coalesce(after_position, before.position)
                THEN head.position + ordinal END,
           new.stream_id, new.stream_version, new.topic, new.state, head.now, new.project_id, new.actor_id, new.key_id,
           new.command_id, new.correlation_id
    FROM head, {arrays(f"{EVENT}, ordinal int, after_version int, after_position bigint")} AS new
    LEFT JOIN events AS before ON before.stream_id = new.stream_id AND before.stream_version = after_version
    RETURNING position, recorded_at
)
"""
# Notifies "<last position> <number of events> <stream of each event> …": a follower at the position before needs no query.
INSERT_EVENTS = f"""
{APPENDED} SELECT min(position), min(recorded_at), pg_notify('{CHANNEL}', max(position)::text || %s::text) FROM appended
"""
# The same behind the lock, in one call with what else the commits write: see ``store.postgres.routines``. Without the text it
# notifies of nothing.
APPEND = Routine(
    f"""
    {LOCK.replace("SELECT", "PERFORM")};
    {APPENDED} SELECT min(position), min(recorded_at), max(position) INTO first_position, recorded, last_position FROM appended;
    PERFORM pg_notify('{CHANNEL}', last_position::text || text) FROM (SELECT %s::text) AS given (text) WHERE text IS NOT NULL
    """,
    out=("first_position bigint", "recorded timestamptz", "last_position bigint"),
)
# For events that were inserted without a notification; it names no stream, so each follower that has not seen them reads the log.
NOTIFY_HEAD = f"SELECT pg_notify('{CHANNEL}', max(position)::text || ' 0') FROM events"

INSERT_COMMANDS = f"""
INSERT INTO commands (key_id, idempotency_key, fingerprint, status, stream_id, stream_version)
SELECT * FROM {arrays(COMMAND)} AS new
"""

# Bytes of events that a reader holds at a time: a batch ends before its ``limit`` where its events are large. The one that
# goes beyond it still comes, so a batch is never empty while there are events.
MAX_BATCH = 8 * 2**20

COLUMNS = """position, stream_id, stream_version, topic, state, recorded_at, project_id, actor_id, key_id, command_id,
             correlation_id"""

# The size of a state is known without reading it, so what is not sent is not read either.
BATCH = f"""
SELECT {COLUMNS} FROM (
    SELECT found.*, sum(octet_length(state)) OVER (ORDER BY {{order}} ROWS UNBOUNDED PRECEDING) - octet_length(state) AS ahead
    FROM (SELECT {COLUMNS} FROM events WHERE {{where}} ORDER BY {{order}} LIMIT %s) AS found
) AS sized WHERE ahead < %s ORDER BY {{order}}
"""

# events_stream
SELECT_STREAM = BATCH.format(where="stream_id = %s AND stream_version > %s", order="stream_version")

# events_pkey
SELECT_AFTER = BATCH.format(where="position > %s", order="position")

SELECT_HEAD = "SELECT coalesce(max(position), 0) FROM events"

# events_stream
SELECT_COMMITTED = """
SELECT min(position), max(position), max(recorded_at) FROM events
WHERE stream_id = %s AND stream_version = ANY(%s) AND command_id = %s
"""

CONFLICTS: dict[str, type[AppendError]] = {
    "events_stream": StreamConflict,
    "active_names_pkey": NameConflict,
    "commands_once": CommandRepeated,
    "install_keys_pkey": StreamConflict,
}


# What an append leaves empty when it is to be refused: see APPENDED, STORE_RELIED, and the guards of ``Commit.writes``.
BUILT_ON = {("events", "position"), ("contents", "bytes"), ("prompt_references", "stream_id")}


def conflict(error: psycopg.Error) -> AppendError | None:
    """The append error behind a broken constraint; None when it is not one of the log's guards."""
    if isinstance(error, NotNullViolation) and (error.diag.table_name, error.diag.column_name) in BUILT_ON:
        return StreamConflict("what it builds on is not in the log")
    kind = CONFLICTS.get(error.diag.constraint_name or "")
    return kind() if kind else None


async def append(
    conn: Connection,
    commits: Sequence[Commit],
    sent: Callable[[], None] | None = None,
    *,
    notify: bool = True,
) -> list[Appended]:
    """Write all commits in one transaction, in order; return where each one stands.

    ``conn`` is idle and in autocommit; ``sent`` is as with ``execute_pipeline``. An append without ``notify`` needs a ``notify_pending`` soon.
    Raises psycopg.errors.IntegrityError (see ``conflict``), then nothing of any commit was written, and
    psycopg.OperationalError when the connection fails, then it is unknown (see ``find_committed``).
    """
    relied: dict[bytes, bytes | None] = {digest: None for commit in commits for digest in commit.relied}
    contents = {
        **relied,
        **{content.digest: content.data for commit in commits for content in commit.contents},
    }
    events = [row for commit in commits for row in rows_of(commit)]
    commands: list[tuple[Any, ...]] = []
    for commit in commits:
        if commit.idempotency is not None:
            last = commit.events[-1]
            mine = commit.idempotency
            commands.append(
                (
                    commit.key_id,
                    mine.key,
                    mine.fingerprint,
                    mine.status,
                    last.originator_id,
                    last.originator_version,
                )
            )
    batch: list[tuple[str, Any]] = []
    if contents:
        # By digest, so that two writers of the same contents cannot deadlock.
        digests = sorted(contents)
        batch.append((STORE_RELIED if relied else STORE, (digests, [contents[digest] for digest in digests])))
    calls: list[Call] = [(APPEND, arguments(events, notify=notify))]
    for statement, changed in merge([commit.writes for commit in commits]):
        calls.append((routine_of(statement.sql), SetStatement.columns(changed)))
    if commands:
        calls.append((routine_of(INSERT_COMMANDS), SetStatement.columns(commands)))
    batch.append(await together(conn, calls))
    first, now = _read_appended((await execute_pipeline(conn, batch, sent))[-1])
    answers = []
    for commit in commits:
        following = first + len(commit.events)
        answers.append(Appended(first, following - 1, now))
        first = following
    return answers


async def notify_pending(conn: Connection) -> None:
    """Notify of all that is in the log by now."""
    await execute_pipeline(conn, [(NOTIFY_HEAD, ())])


async def append_within(conn: Connection, commit: Commit) -> None:
    """Append the events of a commit, and nothing else of it, in the transaction that is open on ``conn``."""
    events = rows_of(commit)
    await conn.execute(LOCK)
    await conn.execute(INSERT_EVENTS, arguments(events))


def rows_of(commit: Commit) -> list[tuple[Any, ...]]:
    """The events of a commit as rows of ``INSERT_EVENTS``; behind each the position that it has to follow."""
    return [
        (
            event.originator_id,
            event.originator_version,
            event.topic,
            event.state,
            commit.project_id,
            commit.actor_id,
            commit.key_id,
            commit.command_id,
            commit.correlation_id,
            commit.follows if place == 0 else None,
        )
        for place, event in enumerate(commit.events)
    ]


def arguments(events: Sequence[tuple[Any, ...]], *, notify: bool = True) -> list[Any]:
    """What ``INSERT_EVENTS`` and ``APPEND`` take for these rows."""
    *columns, positions = SetStatement.columns(events)
    text = notification(columns[0], columns[4]) if notify else None
    return [*columns, list(range(1, len(events) + 1)), _versions_before(events), positions, text]


def _read_appended(result: PGresult) -> tuple[int, datetime]:
    """The first position and the time, out of the row that ``APPEND`` returns: behind their number, each with type and length."""
    row = result.get_value(0, 0) or b""
    return read_bigint(row[12:20]), read_timestamptz(row[28:36])


def _versions_before(events: Sequence[tuple[Any, ...]]) -> list[int | None]:
    """For each event the version of its stream that has to be in the log before it; None for the first, and for what follows here."""
    reached: dict[UUID, int] = {}
    before: list[int | None] = []
    for stream, version, *_ in events:
        before.append(version - 1 if version > 1 and reached.get(stream) != version - 1 else None)
        reached[stream] = version
    return before


def notification(streams: Sequence[UUID], projects: Sequence[int | None]) -> str:
    """What follows the position in a notification: how many events, and the stream of each in their order.

    Events of no project need a look at their topic, so none is named then.
    """
    named = [] if len(streams) > NOTIFY_MAX_STREAMS or None in projects else [id.hex for id in streams]
    return " ".join(["", str(len(streams)), *named])


async def find_committed(conn: Connection, commit: Commit) -> Appended | None:
    """Whether a commit of unknown fate is in the log.

    Takes the order lock first: while the lost connection's transaction still runs, its fate is open.
    """
    first_event = commit.events[0]
    versions = [
        event.originator_version
        for event in commit.events
        if event.originator_id == first_event.originator_id
    ]
    async with conn.pipeline():
        await conn.execute(LOCK)
        found = await conn.execute(SELECT_COMMITTED, (first_event.originator_id, versions, commit.command_id))
    row = await found.fetchone()
    if row is None or row[0] is None:
        return None
    return Appended(row[0], row[0] + len(commit.events) - 1, row[2])


async def read_stream(
    conn: Connection, stream_id: UUID, *, after: int = 0, upto: int | None = None
) -> AsyncGenerator[list[Recorded], None]:
    """The events of one stream with versions above ``after``, up to ``upto``, in order, in batches that memory holds."""
    while upto is None or after < upto:
        limit = STREAM_BATCH if upto is None else min(STREAM_BATCH, upto - after)
        cursor = await conn.execute(SELECT_STREAM, (stream_id, after, limit, MAX_BATCH), binary=True)
        events = [Recorded(*row) for row in await cursor.fetchall()]
        if events:
            yield events
            after = events[-1].stream_version
        if len(events) < limit and sum(len(event.state) for event in events) < MAX_BATCH:
            return


async def read_after(conn: Connection, position: int, *, limit: int) -> list[Recorded]:
    """Up to ``limit`` events of all streams after ``position``, in order, without gaps, as many as ``MAX_BATCH`` holds."""
    rows = await (await conn.execute(SELECT_AFTER, (position, limit, MAX_BATCH), binary=True)).fetchall()
    return [Recorded(*row) for row in rows]


async def head(conn: Connection) -> int:
    """The last position, 0 for an empty log."""
    row = await (await conn.execute(SELECT_HEAD)).fetchone()
    return int(row[0]) if row else 0


class GapInLog(Exception):
    """Positions are not contiguous: the log is damaged; stop and look, never skip."""


def check_gapless(events: Sequence[Recorded], after: int) -> None:
    """Raise GapInLog unless the events follow ``after`` one by one; the first of a later history stands above that."""
    for event in events:
        if event.position != after + 1 and (event.topic != LogRewound.TOPIC or event.position <= after):
            raise GapInLog(f"expected position {after + 1}, found {event.position}")
        after = event.position
