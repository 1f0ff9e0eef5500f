"""A connection for one query at a time: each gets its own answer, and a lost connection is told and replaced."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest

from store.postgres import quick
from store.postgres.pool import connect
from store.postgres.quick import QuickConnection

ECHO = "SELECT %s::bigint, %s::text, %s::uuid, timestamptz '2024-02-29 12:30:15.123456Z', NULL::bytea"
NUMBERS = "SELECT * FROM generate_series(1, %s::int) AS number"
LENGTH = "SELECT length(%s::text)"
REPEATED = "SELECT repeat('x', %s::int)"
INVERSE = "SELECT 12 / %s::int"
# Waits for a lock that the test holds.
HELD = "SELECT pg_advisory_xact_lock_shared(%s::bigint)"
LOCK = 7_000_001
# Other tests have theirs in other databases of the same server.
END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'skald-quick' AND datname = current_database()
"""

BIG = 20_000_000  # more than any socket takes at once


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def admin(fresh_database_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await connect(fresh_database_url) as conn:
        yield conn


@pytest.fixture
async def quickly(fresh_database_url: str) -> AsyncIterator[QuickConnection]:
    quickly = QuickConnection(fresh_database_url, (ECHO, NUMBERS, LENGTH, REPEATED, INVERSE, HELD))
    assert not quickly.ready()
    await until(quickly.ready)
    yield quickly
    await quickly.close()


async def test_rows_come_as_python_values(quickly: QuickConnection) -> None:
    at = datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)
    for text in ("", "a'b\"{},\\ ü 😀\n", None):
        assert await quickly.select(ECHO, (-(2**63), text, UUID(int=5))) == [
            (-(2**63), text, UUID(int=5), at, None)
        ]
    assert await quickly.select(NUMBERS, (1000,)) == [(number,) for number in range(1, 1001)]
    assert await quickly.select(NUMBERS, (0,)) == []


async def test_what_the_socket_does_not_take_at_once_arrives(quickly: QuickConnection) -> None:
    assert await quickly.select(LENGTH, ("x" * BIG,)) == [(BIG,)]
    assert await quickly.select(REPEATED, (BIG,)) == [("x" * BIG,)]
    assert await quickly.select(LENGTH, ("ü",)) == [(1,)]


async def test_an_error_is_that_of_its_query(quickly: QuickConnection) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        await quickly.select(INVERSE, (0,))
    with pytest.raises(UnicodeEncodeError):
        await quickly.select(LENGTH, ("\ud800",))

    assert quickly.ready()
    assert await quickly.select(INVERSE, (4,)) == [(3,)]


async def test_whoever_goes_away_leaves_the_answer_to_nobody(
    quickly: QuickConnection, admin: psycopg.AsyncConnection
) -> None:
    async with admin.transaction():
        await admin.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        gone = asyncio.create_task(quickly.select(HELD, (LOCK,)))
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.wait({gone})
        assert gone.cancelled()
        assert not quickly.ready()
        with pytest.raises(RuntimeError, match="one query at a time"):
            await quickly.select(NUMBERS, (1,))
    await until(quickly.ready)

    assert await quickly.select(NUMBERS, (2,)) == [(1,), (2,)]


async def test_a_connection_lost_under_way_is_told_and_replaced(
    quickly: QuickConnection, admin: psycopg.AsyncConnection
) -> None:
    async with admin.transaction():
        await admin.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        waiting = asyncio.create_task(quickly.select(HELD, (LOCK,)))
        await asyncio.sleep(0.05)
        await admin.execute(END)
        with pytest.raises(psycopg.OperationalError):
            await waiting

    assert not quickly.ready()
    await until(quickly.ready)
    assert await quickly.select(NUMBERS, (1,)) == [(1,)]


async def test_a_connection_lost_meanwhile_is_noticed_and_replaced(
    quickly: QuickConnection, admin: psycopg.AsyncConnection
) -> None:
    assert await quickly.select(NUMBERS, (1,)) == [(1,)]
    await admin.execute(END)
    await until(lambda: not quickly.ready())
    await until(quickly.ready)

    assert await quickly.select(NUMBERS, (1,)) == [(1,)]


async def test_a_server_that_is_away_is_tried_again_after_a_pause(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick, "RETRY", 0.05)
    attempts = 0

    async def refused(*args: object, **options: object) -> psycopg.AsyncConnection:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise psycopg.OperationalError("connection refused")
        return await connect(fresh_database_url)

    monkeypatch.setattr(quick, "connect", refused)
    quickly = QuickConnection(fresh_database_url, (NUMBERS,))
    began = asyncio.get_running_loop().time()
    await until(quickly.ready)

    assert attempts == 3
    assert asyncio.get_running_loop().time() - began >= 0.1
    assert await quickly.select(NUMBERS, (1,)) == [(1,)]
    await quickly.close()


async def test_closing_tells_who_waits(quickly: QuickConnection, admin: psycopg.AsyncConnection) -> None:
    async with admin.transaction():
        await admin.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        waiting = asyncio.create_task(quickly.select(HELD, (LOCK,)))
        await asyncio.sleep(0.05)
        await quickly.close()
        with pytest.raises(psycopg.OperationalError):
            await waiting
    assert not quickly.ready()
    await asyncio.sleep(0.05)
    assert not quickly.ready()


async def test_closing_ends_an_attempt_to_connect(
    fresh_database_url: str, admin: psycopg.AsyncConnection
) -> None:
    quickly = QuickConnection(fresh_database_url, (NUMBERS,))
    assert not quickly.ready()
    async with asyncio.timeout(5):
        await quickly.close()
    assert not quickly.ready()
