"""Several statements sent at once, as one transaction, on psycopg's own libpq connection.

``Connection.execute`` in psycopg's pipeline costs some 50 µs of Python a statement, most of it for finding the types of
values that are always the same; here a value is encoded by the type that its statement names, in PostgreSQL's binary
format. Everything is encoded before anything is sent, and all of it takes effect or nothing does.
"""

import asyncio
import re
import struct
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import psycopg
from psycopg import abc
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult

from store.postgres.connection import Connection

PLACEHOLDER = re.compile(r"%s(?:::([a-z]+)(\[\])?)?")
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
CANCEL_WITHIN = 5.0  # seconds for telling the server to stop a statement

_header = struct.Struct(">iiIii")
_empty = struct.Struct(">iiI")
_length = struct.Struct(">i").pack
_smallint = struct.Struct(">ih").pack
_int = struct.Struct(">ii").pack
_bigint = struct.Struct(">iq").pack
_bool = struct.Struct(">i?").pack
NULL = _length(-1)
UUID_LENGTH = _length(16)

T = TypeVar("T")
Values = Iterable[Any]


# Each gives a value's length and bytes for all values of a column in one go: a call for each value would cost as much again.
def _booleans(values: Values) -> list[bytes]:
    return [NULL if value is None else _bool(1, value) for value in values]


def _smallints(values: Values) -> list[bytes]:
    return [NULL if value is None else _smallint(2, value) for value in values]


def _ints(values: Values) -> list[bytes]:
    return [NULL if value is None else _int(4, value) for value in values]


def _bigints(values: Values) -> list[bytes]:
    return [NULL if value is None else _bigint(8, value) for value in values]


def _timestamps(values: Values) -> list[bytes]:
    return [NULL if value is None else _bigint(8, (value - EPOCH) // MICROSECOND) for value in values]


def _uuids(values: Values) -> list[bytes]:
    return [NULL if value is None else UUID_LENGTH + value.int.to_bytes(16, "big") for value in values]


def _bytes(values: Values) -> list[bytes]:
    return [NULL if value is None else _length(len(value)) + value for value in values]


def _texts(values: Values) -> list[bytes]:
    return [NULL if value is None else _length(len(text := value.encode())) + text for value in values]


# For each type its oid and the function that encodes a column of it.
TYPES: dict[str, tuple[int, Callable[[Values], list[bytes]]]] = {
    "bool": (16, _booleans),
    "bytea": (17, _bytes),
    "bigint": (20, _bigints),
    "smallint": (21, _smallints),
    "int": (23, _ints),
    "text": (25, _texts),
    "timestamptz": (1184, _timestamps),
    "uuid": (2950, _uuids),
}


# RESULTS.md: "rows of an append encoded column by column"
class Statement:
    """SQL whose placeholders name their types (``%s::uuid[]``, ``%s::text``), ready to be prepared."""

    _count = 0

    def __init__(self, sql: str) -> None:
        Statement._count += 1
        self.name = b"skald_%d" % Statement._count
        self.types: list[tuple[int, Callable[[Values], list[bytes]], bool]] = []
        for kind, many in PLACEHOLDER.findall(sql):
            if kind not in TYPES:
                raise ValueError(f"a placeholder of the type {kind!r}; known are {', '.join(TYPES)}")
            self.types.append((*TYPES[kind], bool(many)))
        numbers = iter(range(1, len(self.types) + 1))
        self.query = PLACEHOLDER.sub(lambda found: f"${next(numbers)}" + found[0][2:], sql).encode()
        self.formats = [Format.BINARY] * len(self.types)

    def encode(self, values: Iterable[Any]) -> list[bytes | None]:
        """One value for each placeholder, for an array a sequence."""
        return [
            _array(oid, encode, value) if many else None if value is None else encode((value,))[0][4:]
            for (oid, encode, many), value in zip(self.types, values, strict=True)
        ]


def _array(oid: int, encode: Callable[[Values], list[bytes]], values: Sequence[Any]) -> bytes:
    if not values:
        return _empty.pack(0, 0, oid)
    # The flag that says whether there are nulls stays 0: the server looks for itself.
    return _header.pack(1, 0, oid, len(values), 1) + b"".join(encode(values))


_statements: dict[str, Statement] = {}


async def execute_pipeline(
    conn: Connection, batch: Sequence[tuple[str, Iterable[Any]]], sent: Callable[[], None] | None = None
) -> list[PGresult]:
    """Run the statements in order in one transaction and return their results, in binary format.

    ``conn`` is idle and in autocommit, or in a transaction, of which they are a part then. ``sent`` is called, once at
    most, when all has been sent and the server is at work. Raises the psycopg.Error of the first statement that fails:
    then nothing was written, unless it is an OperationalError, then that is unknown. A connection that is left in
    mid-pipeline, by a cancelled task too, is closed, so the server takes back what it has not committed.
    """
    sending = []
    for sql, values in batch:
        statement = _statement_of(sql)
        sending.append((statement, statement.encode(values)))
    try:
        return await _attempt(conn, sending, sent)
    except psycopg.errors.InvalidSqlStatementName:
        # psycopg drops all prepared statements of a connection after a rollback and after some DDL. What the first
        # attempt has prepared since would be in the way of the second.
        conn.prepared.clear()
        await conn.execute("DEALLOCATE ALL", prepare=False)
        return await _attempt(conn, sending)


async def select(conn: Connection, sql: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
    """The rows of one query as Python values, times in UTC; the rest is as with ``execute_pipeline``."""
    statement = _statement_of(sql)
    if statement.name in conn.prepared:
        # One query needs no pipeline, which would take a sixth of the time of a short one.
        result = await _guarded(conn, _query, statement, statement.encode(values))
        if result.status != ExecStatus.FATAL_ERROR:
            return load(conn.loaders, sql, result)
        error = error_from_result(result)
        if not isinstance(error, psycopg.errors.InvalidSqlStatementName):
            raise error
    [result] = await execute_pipeline(conn, [(sql, values)])
    return load(conn.loaders, sql, result)


def _statement_of(sql: str) -> Statement:
    statement = _statements.get(sql)
    if statement is None:
        statement = _statements[sql] = Statement(sql)
    return statement


def load(loaders: dict[str, abc.Transformer], sql: str, result: PGresult) -> list[tuple[Any, ...]]:
    """The rows of a result of ``sql``; ``loaders`` are those of the connection, this one is kept there."""
    # To find what loads a row, column by column, takes longer than to load it.
    rows = loaders.get(sql)
    if rows is None:
        # It does not know the connection: times are in UTC, texts in UTF-8.
        rows = loaders[sql] = Transformer()
        rows.set_pgresult(result)
    else:
        rows.set_pgresult(result, set_loaders=False)
    loaded = rows.load_rows(0, result.ntuples, tuple)
    rows.set_pgresult(None, set_loaders=False)
    return loaded


async def _attempt(
    conn: Connection,
    sending: Sequence[tuple[Statement, list[bytes | None]]],
    sent: Callable[[], None] | None = None,
) -> list[PGresult]:
    fresh = {statement.name: statement for statement, _ in sending if statement.name not in conn.prepared}
    results = await _guarded(conn, _pipeline, fresh.values(), sending, sent)
    conn.prepared.update(
        name for name, result in zip(fresh, results, strict=False) if result.status == ExecStatus.COMMAND_OK
    )
    _raise_first(results)
    return results[len(fresh) :]


async def _guarded(conn: Connection, work: Callable[..., Awaitable[T]], *args: Any) -> T:
    """What ``work`` returns, which has the connection for itself; a connection that it leaves in the middle is closed."""
    async with conn.lock:
        timer = conn.start_limit()
        try:
            return await work(conn, *args)
        except BaseException as error:
            with suppress(psycopg.Error):
                if isinstance(error, asyncio.CancelledError):
                    # Else the server goes on with what it has.
                    await conn.cancel_safe(timeout=CANCEL_WITHIN)
                await conn.close()
            raise
        finally:
            if timer is not None:
                timer.cancel()


async def _pipeline(
    conn: Connection,
    fresh: Iterable[Statement],
    sending: Sequence[tuple[Statement, list[bytes | None]]],
    sent: Callable[[], None] | None,
) -> list[PGresult]:
    """Prepare what is ``fresh``, and return its results and those of the statements, to the end of the transaction."""
    pgconn = conn.pgconn
    pgconn.enter_pipeline_mode()
    for statement in fresh:
        pgconn.send_prepare(statement.name, statement.query)
    for statement, parameters in sending:
        pgconn.send_query_prepared(statement.name, parameters, statement.formats, result_format=Format.BINARY)
    pgconn.pipeline_sync()
    results = await _communicate(conn, sent, ExecStatus.PIPELINE_SYNC)
    pgconn.exit_pipeline_mode()
    return results


async def _query(conn: Connection, statement: Statement, parameters: list[bytes | None]) -> PGresult:
    """The result of one statement that the server knows, which may be an error."""
    pgconn = conn.pgconn
    pgconn.send_query_prepared(statement.name, parameters, statement.formats, result_format=Format.BINARY)
    return (await _communicate(conn, None, None))[-1]


async def _communicate(
    conn: Connection, sent: Callable[[], None] | None, end: ExecStatus | None
) -> list[PGresult]:
    """Send what is queued and collect the results up to ``end``; None: up to the end of one statement's."""
    pgconn = conn.pgconn
    while pgconn.flush():
        # A server that answers before it has read everything waits for us to read.
        await conn.socket.writable_or_readable()
        pgconn.consume_input()
    if sent is not None:
        sent()
    results: list[PGresult] = []
    waited = False
    while True:
        while pgconn.is_busy():
            if waited:
                # Behind what has come there may be an error, of which uvloop tells once.
                conn.socket.release()
            await conn.socket.readable()
            waited = True
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            # The end of one statement's results; of everything when the server is gone.
            if pgconn.status == ConnStatus.BAD:
                _raise_first(results)
                raise psycopg.OperationalError("the connection was lost before the end of a transaction")
            if end is None:
                return results
        elif result.status == end:
            return results
        else:
            results.append(result)


def _raise_first(results: Sequence[PGresult]) -> None:
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(result)


def read_bigint(value: bytes | None) -> int:
    return int.from_bytes(value or b"", "big", signed=True)


def read_timestamptz(value: bytes | None) -> datetime:
    return EPOCH + read_bigint(value) * MICROSECOND
