"""The table ``usage``: hours that are long over become days."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from store.log.log import append
from store.postgres.connection import Connection
from store.postgres.pool import connect
from store.tables import usage
from store.tables.usage import NOBODY, Count
from tests.support.histories import created

ROWS = "SELECT hour, whole_day, door, reads::int, revalidated::int, first_at, last_at FROM usage ORDER BY hour, door"
OLD = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=420)
WRITER = UUID(int=1)


@pytest.fixture
async def conn(fresh_database_url: str) -> AsyncIterator[Connection]:
    async with await connect(fresh_database_url) as connection:
        await append(connection, [created("pdf-forms")[1]])
        yield connection


async def add(conn: Connection, batch: int, *hours: datetime, door: str = "api") -> None:
    row = await (await conn.execute("SELECT id FROM versions")).fetchone()
    assert row is not None
    counts = [
        Count(row[0], hour.timestamp(), door, NOBODY, False, 2, 1, hour.timestamp() + 1, hour.timestamp() + 9)
        for hour in hours
    ]
    await usage.add(conn, WRITER, batch, counts)


async def rows(conn: Connection) -> list[tuple[Any, ...]]:
    return list(await (await conn.execute(ROWS)).fetchall())


def at(day: datetime, hours: int, seconds: int = 0) -> datetime:
    return day + timedelta(hours=hours, seconds=seconds)


async def test_hours_that_are_long_over_become_days_and_no_read_is_lost(conn: Connection) -> None:
    other, recent = OLD + timedelta(days=1), OLD + timedelta(days=30)
    hours = [at(OLD, 0), at(OLD, 9), at(OLD, 23), at(other, 5), at(recent, 9)]
    await add(conn, 1, *hours)
    await add(conn, 2, at(OLD, 9), door="git")
    await usage.sweep(conn)
    assert await rows(conn) == [
        (OLD, True, "api", 6, 3, at(OLD, 0, 1), at(OLD, 23, 9)),
        (OLD, True, "git", 2, 1, at(OLD, 9, 1), at(OLD, 9, 9)),
        (other, True, "api", 2, 1, at(other, 5, 1), at(other, 5, 9)),
        (at(recent, 9), False, "api", 2, 1, at(recent, 9, 1), at(recent, 9, 9)),
    ]
    before = await rows(conn)
    await usage.sweep(conn)
    assert await rows(conn) == before
    await add(conn, 3, at(OLD, 9))
    await usage.sweep(conn)
    assert (await rows(conn))[0] == (OLD, True, "api", 8, 4, at(OLD, 0, 1), at(OLD, 23, 9)), "what comes late"


async def test_a_batch_is_added_once_and_by_number(conn: Connection) -> None:
    hour = at(OLD, 9)
    for batch, reads in ((1, 2), (1, 2), (2, 4), (1, 4), (3, 6)):
        await add(conn, batch, hour)
        assert [row[3] for row in await rows(conn)] == [reads]


async def test_processes_that_have_ended_are_forgotten(conn: Connection) -> None:
    await add(conn, 1, at(OLD, 9))
    await usage.sweep(conn)
    count = "SELECT count(*)::int FROM usage_writers"
    assert await (await conn.execute(count)).fetchone() == (1,)
    await conn.execute("UPDATE usage_writers SET added_at = clock_timestamp() - interval '8 days'")
    await usage.sweep(conn)
    assert await (await conn.execute(count)).fetchone() == (0,)
