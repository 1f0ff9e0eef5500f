"""Several statements sent at once, as one transaction, on psycopg's own libpq connection.

``Connection.execute`` in psycopg's pipeline costs some 50 µs of Python a statement, most of it for finding the types of
values that are always the same; here a value is encoded by the type that its statement names, in PostgreSQL's binary
format. Everything is encoded before anything is sent, and all of it takes effect or nothing does.
"""

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.errors import error_from_result
from psycopg.generators import fetch_many, send
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

PLACEHOLDER = re.compile(r"%s(?:::([a-z]+)(\[\])?)?")
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

_header = struct.Struct(">iiIii")
_empty = struct.Struct(">iiI")
_length = struct.Struct(">i").pack
_smallint = struct.Struct(">ih").pack
_int = struct.Struct(">ii").pack
_bigint = struct.Struct(">iq").pack
_bool = struct.Struct(">i?").pack
NULL = _length(-1)


def _sized(data: bytes) -> bytes:
    return _length(len(data)) + data


# For each type its oid and the function that gives a value's length and bytes.
TYPES: dict[str, tuple[int, Callable[[Any], bytes]]] = {
    "bool": (16, lambda value: _bool(1, value)),
    "bytea": (17, _sized),
    "bigint": (20, lambda value: _bigint(8, value)),
    "smallint": (21, lambda value: _smallint(2, value)),
    "int": (23, lambda value: _int(4, value)),
    "text": (25, lambda value: _sized(value.encode())),
    "timestamptz": (1184, lambda value: _bigint(8, (value - EPOCH) // MICROSECOND)),
    "uuid": (2950, lambda value: _sized(value.bytes)),
}


class Statement:
    """SQL whose placeholders name their types (``%s::uuid[]``, ``%s::text``), ready to be prepared."""

    _count = 0

    def __init__(self, sql: str) -> None:
        Statement._count += 1
        self.name = b"skald_%d" % Statement._count
        self.types: list[tuple[int, Callable[[Any], bytes], bool]] = []
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
            _array(oid, encode, value) if many else None if value is None else encode(value)[4:]
            for (oid, encode, many), value in zip(self.types, values, strict=True)
        ]


def _array(oid: int, encode: Callable[[Any], bytes], values: Sequence[Any]) -> bytes:
    if not values:
        return _empty.pack(0, 0, oid)
    parts = [NULL if value is None else encode(value) for value in values]
    return _header.pack(1, None in values, oid, len(values), 1) + b"".join(parts)


_statements: dict[str, Statement] = {}
_prepared: "WeakKeyDictionary[AsyncConnection[Any], set[bytes]]" = WeakKeyDictionary()


async def flush(conn: AsyncConnection[Any], batch: Sequence[tuple[str, Iterable[Any]]]) -> list[PGresult]:
    """Run the statements in order in one transaction and return their results, in binary format.

    ``conn`` is idle and in autocommit. Raises the psycopg.Error of the first statement that fails: then nothing was
    written, unless it is an OperationalError, then that is unknown. A connection that is left in mid-flush, by a
    cancelled task too, is closed, so the server takes back what it has not committed.
    """
    sending = []
    for sql, values in batch:
        statement = _statements.get(sql)
        if statement is None:
            statement = _statements[sql] = Statement(sql)
        sending.append((statement, statement.encode(values)))
    try:
        return await _attempt(conn, sending)
    except psycopg.errors.InvalidSqlStatementName:
        # psycopg drops all prepared statements of a connection after a rollback and after some DDL. What the first
        # attempt has prepared since would be in the way of the second.
        _prepared.pop(conn, None)
        await conn.execute("DEALLOCATE ALL", prepare=False)
        return await _attempt(conn, sending)


async def _attempt(
    conn: AsyncConnection[Any], sending: Sequence[tuple[Statement, list[bytes | None]]]
) -> list[PGresult]:
    known = _prepared.setdefault(conn, set())
    fresh = {statement.name: statement for statement, _ in sending if statement.name not in known}
    async with conn.lock:
        pgconn = conn.pgconn
        try:
            pgconn.enter_pipeline_mode()
            for statement in fresh.values():
                pgconn.send_prepare(statement.name, statement.query)
            for statement, parameters in sending:
                pgconn.send_query_prepared(
                    statement.name, parameters, statement.formats, result_format=Format.BINARY
                )
            pgconn.pipeline_sync()
            results = await conn.wait(_communicate(pgconn))
            pgconn.exit_pipeline_mode()
        except BaseException:
            with suppress(psycopg.Error):
                await conn.close()
            raise
    known.update(
        name for name, result in zip(fresh, results, strict=False) if result.status == ExecStatus.COMMAND_OK
    )
    _raise_first(results)
    return results[len(fresh) :]


def _communicate(pgconn: PGconn) -> PQGen[list[PGresult]]:
    """Send what is queued and collect the results up to the end of the transaction."""
    yield from send(pgconn)
    results: list[PGresult] = []
    while True:
        found = yield from fetch_many(pgconn)
        if not found:
            # The server is gone; it may have said why.
            _raise_first(results)
            raise psycopg.OperationalError("the connection was lost before the end of a transaction")
        for result in found:
            if result.status == ExecStatus.PIPELINE_SYNC:
                return results
            results.append(result)


def _raise_first(results: Sequence[PGresult]) -> None:
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(result)


def read_bigint(value: bytes | None) -> int:
    return int.from_bytes(value or b"", "big", signed=True)


def read_timestamptz(value: bytes | None) -> datetime:
    return EPOCH + read_bigint(value) * MICROSECOND
