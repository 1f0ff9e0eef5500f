"""Counts of reads on their way into the database: none twice, none lost while it is away, and bounded."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.cache.shared_memory import Encoded
from api.counting import reads
from api.counting.reads import ReadCounter
from api.http.context import RequestRecord
from api.http.state import RECORD
from store.log.log import append
from store.postgres.connection import Connection
from store.postgres.pool import Pool, connect, open_pool
from store.tables.identity import Principal, User
from tests.support.histories import created
from tests.support.proxy import Proxy, proxy

KEY = UUID(int=1)
TOTALS = "SELECT coalesce(sum(reads), 0)::int, coalesce(sum(revalidated), 0)::int FROM usage"


@pytest.fixture
async def conn(fresh_database_url: str) -> AsyncIterator[Connection]:
    async with await connect(fresh_database_url) as connection:
        yield connection


@pytest.fixture
async def through(fresh_database_url: str, conn: Connection) -> AsyncIterator[Proxy]:
    async with proxy(fresh_database_url) as found:
        yield found


@pytest.fixture
async def pool(through: Proxy) -> AsyncIterator[Pool]:
    pool = await open_pool(through.url, size=1, timeout=1.0)
    await pool.wait()
    yield pool
    await pool.close()


async def version(conn: Connection, name: str = "pdf-forms") -> UUID:
    await append(conn, [created(name)[1]])
    row = await (await conn.execute("SELECT latest_id FROM artifacts WHERE name = %s", (name,))).fetchone()
    assert row is not None
    found: UUID = row[0]
    return found


async def totals(conn: Connection) -> tuple[int, int]:
    row = await (await conn.execute(TOTALS)).fetchone()
    assert row is not None
    return row[0], row[1]


def request(reader: UUID | None = KEY) -> dict[str, Any]:
    return {"headers": [], "state": {RECORD: RequestRecord(key_id=reader, project_id=1)}}


def count(counter: ReadCounter, version_id: UUID, times: int = 1, reader: UUID | None = KEY) -> None:
    for _ in range(times):
        counter.count(request(reader), "skill", version_id)


async def test_a_batch_whose_answer_is_lost_is_added_once(
    pool: Pool, through: Proxy, conn: Connection
) -> None:
    counter, version_id = ReadCounter(pool), await version(conn)
    count(counter, version_id)
    assert await counter.add(), "the statement is prepared by now"
    count(counter, version_id, 3)
    through.cut_after_commit = True
    assert not await counter.add(), "nobody knows whether it is there"
    assert await totals(conn) == (4, 0)
    count(counter, version_id, 2)
    assert await counter.add()
    assert await totals(conn) == (6, 0)
    assert await counter.add(), "with nothing to add"
    assert await totals(conn) == (6, 0)


async def test_what_is_counted_while_the_database_is_away_is_added_when_it_is_back(
    pool: Pool, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, ...]] = []
    counter, version_id = ReadCounter(pool, observe=lambda *one: seen.append(one)), await version(conn)
    await conn.execute("ALTER TABLE usage RENAME TO away")
    for _ in range(3):
        count(counter, version_id, 2)
        assert not await counter.add()
    await conn.execute("ALTER TABLE away RENAME TO usage")
    assert await counter.add()
    assert await totals(conn) == (6, 0)
    assert sum(one[2] for one in seen) == 6


async def test_several_processes_add_up(pool: Pool, conn: Connection) -> None:
    version_id = await version(conn)
    counters = [ReadCounter(pool) for _ in range(3)]
    for counter in counters:
        count(counter, version_id, 2)
        count(counter, version_id, 1, reader=None)
    await asyncio.gather(*(counter.add() for counter in counters))
    assert await totals(conn) == (9, 0)
    row = await (await conn.execute("SELECT count(*)::int FROM usage")).fetchone()
    assert row == (2,)


async def test_the_end_of_a_process_adds_what_is_left(pool: Pool, conn: Connection) -> None:
    counter, version_id = ReadCounter(pool), await version(conn)
    counter.start()
    await asyncio.sleep(0)
    count(counter, version_id, 4)
    await counter.close()
    assert await totals(conn) == (4, 0)


async def test_a_process_that_ends_without_its_database_says_how_many_are_lost(
    pool: Pool, conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    counter, version_id = ReadCounter(pool), await version(conn)
    await conn.execute("ALTER TABLE usage RENAME TO away")
    count(counter, version_id, 4)
    await counter.add()
    count(counter, version_id, 3)
    with caplog.at_level(logging.ERROR):
        await counter.close()
    assert "7 reads are not counted" in caplog.text


async def test_memory_is_bounded_and_what_is_too_much_is_told(
    pool: Pool, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "MAX_CELLS", 3)
    monkeypatch.setattr(reads, "BATCH", 2)
    lost: list[int] = []
    counter, version_id = ReadCounter(pool, lost=lost.append), await version(conn)
    for _ in range(2):
        for number in range(5):
            count(counter, version_id, 2, reader=UUID(int=number + 1))
    for number in range(5):
        entry = Encoded(b'{"id":"%b"}' % str(version_id).encode(), b'"x"', 0, 0)
        counter.count_cached(entry, "skill", principal(number + 1), None, unchanged=True)
    assert await counter.add()
    assert await totals(conn) == (12, 3), "what was known already goes on"
    assert lost == [10]
    count(counter, version_id, 1, reader=UUID(int=9))
    assert await counter.add()
    assert await totals(conn) == (13, 3)


def principal(number: int) -> Principal:
    return Principal(
        key_id=UUID(int=number),
        digest=number.to_bytes(32, "big"),
        user=User(1, UUID(int=0), "", "Ada", "", "ada@example.com", False, ""),
        scopes=frozenset(),
        project_ids=None,
        expires_at=None,
        current_project_id=None,
        organization_id=UUID(int=0),
        as_of=0,
    )


async def test_many_different_counts_are_added_before_the_time(
    pool: Pool, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "FULL", 3)
    counter, version_id = ReadCounter(pool), await version(conn)
    counter.start()
    for number in range(5):
        count(counter, version_id, 1, reader=UUID(int=number + 1))
    async with asyncio.timeout(5):
        while await totals(conn) != (5, 0):
            await asyncio.sleep(0.01)
    await counter.close()


async def test_an_hour_has_its_own_count(
    pool: Pool, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter, version_id = ReadCounter(pool), await version(conn)
    entry = Encoded(b'{"id":"%b"}' % str(version_id).encode(), b'"x"', 0, 0)
    for now, times in ((7199.5, 1), (7200.0, 2), (7300.0, 1), (10800.0, 1)):
        monkeypatch.setattr(reads, "time", lambda now=now: now)
        for _ in range(times):
            count(counter, version_id)
            counter.count_cached(entry, "skill", principal(1), None, unchanged=False)
    assert await counter.add()
    found = await (
        await conn.execute(
            "SELECT extract(epoch FROM hour)::int, reads::int, extract(epoch FROM first_at)::float8, "
            "extract(epoch FROM last_at)::float8 FROM usage ORDER BY hour"
        )
    ).fetchall()
    assert found == [(3600, 2, 7199.5, 7199.5), (7200, 6, 7200.0, 7300.0), (10800, 2, 10800.0, 10800.0)]


async def test_a_version_that_the_log_has_lost_holds_up_no_other(pool: Pool, conn: Connection) -> None:
    counter, version_id = ReadCounter(pool), await version(conn)
    count(counter, uuid4())
    count(counter, version_id)
    assert await counter.add()
    assert await totals(conn) == (1, 0)
