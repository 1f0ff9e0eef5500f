"""Statements in one flush, and queries alone: values arrive as they were sent, and all of it holds or nothing does."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest

from store.postgres.connection import Connection
from store.postgres.pipeline import Statement, execute_pipeline, read_bigint, read_timestamptz, select
from store.postgres.pool import connect

NUMBER = "SELECT %s::bigint"
TABLE = "CREATE TABLE flushed (number bigint PRIMARY KEY)"
INSERT = "INSERT INTO flushed SELECT * FROM unnest(%s::bigint[])"
AT = datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)

VALUES = {
    "bool": [True, None, False],
    "bytea": [b"\0\xff", b"", None],
    "bigint": [-(2**63), 2**63 - 1, None],
    "smallint": [-(2**15), None, 7],
    "int": [2**31 - 1, -1, None],
    "text": ["", "a'b\"{},\\ ü 😀\n", None],
    "timestamptz": [AT, None, datetime(1970, 1, 1, tzinfo=UTC)],
    "uuid": [UUID(int=0), UUID(int=2**128 - 1), None],
}


@pytest.mark.parametrize("kind", VALUES)
async def test_a_column_of_any_type_arrives_as_it_was_sent(postgres_url: str, kind: str) -> None:
    async with await connect(postgres_url) as conn:
        await conn.execute(f"CREATE TEMPORARY TABLE arrived (place bigint, value {kind})")
        insert = f"INSERT INTO arrived SELECT o, v FROM unnest(%s::{kind}[]) WITH ORDINALITY AS new (v, o)"

        await execute_pipeline(conn, [(insert, [VALUES[kind]]), (insert, [[]])])

        rows = await (await conn.execute("SELECT value FROM arrived ORDER BY place")).fetchall()
        assert [value for (value,) in rows] == VALUES[kind]


async def test_results_are_those_of_the_statements_in_their_order(postgres_url: str) -> None:
    async with await connect(postgres_url) as conn:
        for _ in range(2):  # prepared in the first flush, known in the second
            one, at, two = await execute_pipeline(
                conn, [(NUMBER, [1]), ("SELECT %s::timestamptz", [AT]), (NUMBER, [2])]
            )

            assert [read_bigint(one.get_value(0, 0)), read_bigint(two.get_value(0, 0))] == [1, 2]
            assert read_timestamptz(at.get_value(0, 0)) == AT


async def test_a_refused_statement_takes_all_with_it_and_leaves_the_connection_usable(
    fresh_database_url: str,
) -> None:
    async with await connect(fresh_database_url) as conn:
        await conn.execute(TABLE)

        with pytest.raises(psycopg.errors.UniqueViolation) as refused:
            await execute_pipeline(
                conn, [(INSERT, [[1]]), (INSERT, [[2, 2]]), (INSERT, [[3]]), (NUMBER, [4])]
            )

        assert refused.value.diag.constraint_name == "flushed_pkey"
        assert await numbers(conn) == []
        await execute_pipeline(conn, [(INSERT, [[5]]), (NUMBER, [6])])
        assert await numbers(conn) == [5]


async def test_statements_that_the_connection_has_dropped_are_prepared_again(postgres_url: str) -> None:
    async with await connect(postgres_url) as conn:
        await execute_pipeline(conn, [(NUMBER, [1])])
        await conn.execute("DEALLOCATE ALL")

        [result] = await execute_pipeline(conn, [(NUMBER, [2])])

        assert read_bigint(result.get_value(0, 0)) == 2


async def test_a_value_of_the_wrong_type_is_noticed_before_anything_is_sent(fresh_database_url: str) -> None:
    async with await connect(fresh_database_url) as conn:
        await conn.execute(TABLE)

        with pytest.raises(Exception, match="required argument is not an integer"):
            await execute_pipeline(conn, [(INSERT, [[1]]), (INSERT, [["x"]])])

        assert await numbers(conn) == []


async def test_a_connection_that_the_server_ends_is_an_operational_error(fresh_database_url: str) -> None:
    async with await connect(fresh_database_url) as conn, await connect(fresh_database_url) as other:
        await conn.execute(TABLE)

        with pytest.raises(psycopg.OperationalError):
            await execute_pipeline(
                conn, [(INSERT, [[1]]), ("SELECT pg_terminate_backend(pg_backend_pid())", [])]
            )

        assert conn.closed
        assert await numbers(other) == []


async def test_a_cancelled_flush_leaves_nothing_behind(fresh_database_url: str) -> None:
    async with await connect(fresh_database_url) as conn, await connect(fresh_database_url) as other:
        await conn.execute(TABLE)
        await other.execute("SELECT pg_advisory_lock(1)")
        waiting = asyncio.create_task(
            execute_pipeline(conn, [(INSERT, [[1]]), ("SELECT pg_advisory_xact_lock(1)", [])])
        )
        while not await lock_is_awaited(other):
            await asyncio.sleep(0.01)

        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        assert conn.closed
        await other.execute("SELECT pg_advisory_unlock(1)")
        assert await numbers(other) == []


async def test_much_more_than_a_socket_holds_goes_through(postgres_url: str) -> None:
    async with await connect(postgres_url) as conn:
        data = bytes(2_000_000)

        results = await execute_pipeline(conn, [("SELECT unnest(%s::bytea[])", [[data, data]])] * 2)

        assert [result.get_value(1, 0) for result in results] == [data, data]


# What ``select`` sends: by the pipeline at first, for itself when the server knows the statement.
ECHO = "SELECT %s::bigint, %s::text, %s::uuid, timestamptz '2024-02-29 12:30:15.123456Z', NULL::bytea"
SERIES = "SELECT * FROM generate_series(1, %s::int) AS number"
INVERSE = "SELECT 12 / %s::int"
HELD = "SELECT pg_advisory_xact_lock(%s::bigint)"


async def test_the_rows_of_a_query_are_python_values(postgres_url: str) -> None:
    async with await connect(postgres_url) as conn:
        for text in ("", "a'b\"{},\\ ü 😀\n", None):
            assert await select(conn, ECHO, (-(2**63), text, UUID(int=5))) == [
                (-(2**63), text, UUID(int=5), AT, None)
            ]
        for count in (3, 1000, 0):
            rows = await select(conn, SERIES, (count,))
            assert rows == [(number,) for number in range(1, count + 1)]
        # Between others, and in a transaction of theirs.
        await execute_pipeline(conn, [(NUMBER, [1])])
        async with conn.transaction():
            assert await select(conn, NUMBER, [2]) == [(2,)]


async def test_a_query_that_the_server_refuses_leaves_the_connection_usable(postgres_url: str) -> None:
    async with await connect(postgres_url) as conn:
        for _ in range(2):
            assert await select(conn, INVERSE, (4,)) == [(3,)]
            with pytest.raises(psycopg.errors.DivisionByZero):
                await select(conn, INVERSE, (0,))
            with pytest.raises(UnicodeEncodeError):
                await select(conn, ECHO, (1, "\ud800", None))
        assert not conn.closed


async def test_a_query_that_the_connection_has_dropped_is_prepared_again(postgres_url: str) -> None:
    async with await connect(postgres_url) as conn:
        for value in range(3):
            assert await select(conn, NUMBER, [value]) == [(value,)]
            await conn.execute("DEALLOCATE ALL", prepare=False)


async def test_a_query_of_more_than_a_socket_holds_goes_through(postgres_url: str) -> None:
    async with await connect(postgres_url) as conn:
        data = bytes(20_000_000)
        for _ in range(2):
            assert await select(conn, "SELECT %s::bytea", [data]) == [(data,)]


@pytest.mark.parametrize("known", [False, True])
async def test_a_cancelled_query_ends_and_the_connection_with_it(
    fresh_database_url: str, known: bool
) -> None:
    async with await connect(fresh_database_url) as conn, await connect(fresh_database_url) as other:
        if known:
            await select(conn, HELD, [1])
        await other.execute("SELECT pg_advisory_lock(1)")
        waiting = asyncio.create_task(select(conn, HELD, [1]))
        while not await lock_is_awaited(other):
            await asyncio.sleep(0.01)

        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        assert conn.closed
        async with asyncio.timeout(5):
            while await lock_is_awaited(other):
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("known", [False, True])
async def test_a_query_whose_backend_ends_is_an_operational_error(
    fresh_database_url: str, known: bool
) -> None:
    async with await connect(fresh_database_url) as conn, await connect(fresh_database_url) as other:
        if known:
            await select(conn, HELD, [1])
        await other.execute("SELECT pg_advisory_lock(1)")
        waiting = asyncio.create_task(select(conn, HELD, [1]))
        while not await lock_is_awaited(other):
            await asyncio.sleep(0.01)

        await other.execute("SELECT pg_terminate_backend(%s)", [conn.pgconn.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            await waiting
        assert conn.closed


def test_a_placeholder_names_its_type() -> None:
    with pytest.raises(ValueError, match="placeholder of the type"):
        Statement("SELECT %s")


async def numbers(conn: Connection) -> list[int]:
    rows = await (await conn.execute("SELECT number FROM flushed ORDER BY number")).fetchall()
    return [number for (number,) in rows]


async def lock_is_awaited(conn: Connection) -> bool:
    row = await (
        await conn.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    ).fetchone()
    return row is not None and row[0] > 0
