"""The read models after real appends: batches of many, lives after lives, and what queries find in them."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from projections.read import versions
from projections.write import names
from store.log.appender import Appender
from store.postgres.connection import Connection
from store.postgres.pool import connect
from tests.support import invariants
from tests.support.histories import History, commit_of, created, published


@pytest.fixture
async def conn(fresh_database_url: str) -> AsyncIterator[Connection]:
    conn = await connect(fresh_database_url)
    yield conn
    await conn.close()


@pytest.fixture
async def appender(fresh_database_url: str) -> AsyncIterator[Appender]:
    appender = Appender(fresh_database_url)
    await appender.start()
    yield appender
    await appender.close()


@pytest.mark.parametrize("seed", range(4))
async def test_random_histories_side_by_side(fresh_database_url: str, appender: Appender, seed: int) -> None:
    histories = [History(10 * seed + n, projects=(n + 1,)) for n in range(6)]

    async def live(history: History) -> None:
        for _ in range(50):
            await appender.append(history.next())

    await asyncio.gather(*map(live, histories))
    invariants.check(fresh_database_url)


async def test_a_name_lives_again(fresh_database_url: str, appender: Appender, conn: Connection) -> None:
    lives = []
    for _ in range(3):
        skill, commit = created("again")
        await appender.append(commit)
        assert await names.holder(conn, 1, "skill", "again") == skill.id
        skill.archive()
        await appender.append(commit_of(skill))
        assert await names.holder(conn, 1, "skill", "again") is None
        lives.append(skill.id)
    assert len(set(lives)) == 3
    invariants.check(fresh_database_url)


async def test_every_version_is_found_as_it_was(appender: Appender, conn: Connection) -> None:
    skill, commit = created("one", body="# 1\n")
    answers = [await appender.append(commit)]
    for number in (2, 3):
        skill, commit = published(skill, f"# {number}\n")
        answers.append(await appender.append(commit))
    for number in (1, 2, 3):
        found = await versions.find(conn, versions.Lookup(1, "skill", "one", number))
        assert found is not None
        version = found[1]
        assert version is not None
        assert (version.number, version.body) == (number, f"# {number}\n".encode())
        assert (version.position, version.created_at) == (
            answers[number - 1].last,
            answers[number - 1].recorded_at,
        )
        assert (version.latest_version, version.as_of) == (3, 3)
    assert await versions.find(conn, versions.Lookup(1, "skill", "one", 4)) == (skill.id, None)
    assert await versions.find(conn, versions.Lookup(2, "skill", "one")) is None
    assert await versions.find(conn, versions.Lookup(1, "prompt", "one")) is None
    lines, more = await versions.lines(conn, skill.id, before=3, limit=1, offset=0)
    assert ([line.number for line in lines], more) == ([2], True)


async def test_a_hundred_creations_at_once_are_one_batch_or_few(
    fresh_database_url: str, appender: Appender
) -> None:
    await asyncio.gather(*(appender.append(created(f"skill-{n}")[1]) for n in range(100)))
    with psycopg.connect(fresh_database_url) as look:
        assert look.execute("SELECT active FROM artifact_counts").fetchall() == [(100,)]
    invariants.check(fresh_database_url)
