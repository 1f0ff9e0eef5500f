"""The projection ``search`` under random histories: its rows are what the log says, whoever wrote them, and however often."""

import asyncio

import psycopg
import pytest

from projections.declared import SEARCH
from projections.rebuild import folding
from projections.rebuild.rebuild import rebuild, replay
from projections.rebuild.verify import verify
from store.log.log import head
from store.postgres.pool import connect
from store.tables import checkpoints
from tests.integration.workers.test_projections import until, write
from tests.support import invariants
from tests.support.following import following
from workers import projections
from workers.event_buffer import EventBuffer
from workers.projections import ProjectionFollower


def search(source: EventBuffer) -> ProjectionFollower:
    return ProjectionFollower(source, SEARCH)


async def at_the_end(url: str) -> None:
    async with await connect(url) as conn:

        async def reached() -> bool:
            return (await checkpoints.positions(conn)).get(SEARCH.name) == await head(conn)

        await until(reached, "the projection is at the end of the log")
    invariants.check(url)


@pytest.mark.parametrize("capacity", [1, 2_000])
async def test_given_random_histories_then_its_rows_are_those_of_a_replay(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch, capacity: int
) -> None:
    """With room for one artifact, all others are loaded from their streams."""
    monkeypatch.setattr(projections, "CAPACITY", capacity)
    # Steps of a few events, too.
    monkeypatch.setattr(folding, "MAX_STEP_BYTES", 2_000)
    await write(fresh_database_url, 71 + capacity, 150)
    async with following(fresh_database_url, search):
        await at_the_end(fresh_database_url)
    async with following(fresh_database_url, search):
        await write(fresh_database_url, 72 + capacity, 60)
        await at_the_end(fresh_database_url)
    assert (await rebuild(fresh_database_url)).equal
    with psycopg.connect(fresh_database_url) as conn:
        row = conn.execute(
            "SELECT count(*), count(*) FILTER (WHERE until IS NOT NULL) FROM search_entries"
        ).fetchone()
    assert row is not None
    assert min(row) > 0, "of the past, too"


async def test_a_replay_of_it_alone_mends_it_beside_the_follower(fresh_database_url: str) -> None:
    await write(fresh_database_url, 75, 80)
    async with following(fresh_database_url, search):
        await at_the_end(fresh_database_url)
        with psycopg.connect(fresh_database_url) as conn:
            conn.execute("UPDATE search_parts SET latest = NOT latest")
            conn.execute("DELETE FROM search_words")
        broken = [check for check in (await verify(fresh_database_url)).checks if not check.holds]
        assert [check.name for check in broken] == ["read models are the fold of the log"]
        report = await replay(fresh_database_url, only="search")
        assert {found.table for found in report.differences} == {"search_parts", "search_words"}
        await write(fresh_database_url, 76, 40)
        await at_the_end(fresh_database_url)
    assert (await verify(fresh_database_url)).sound


async def test_a_database_of_before_is_filled_while_the_service_writes(fresh_database_url: str) -> None:
    await write(fresh_database_url, 77, 60)
    async with following(fresh_database_url, search, processes=2):
        await asyncio.gather(*(write(fresh_database_url, seed, 30) for seed in (78, 79)))
        await at_the_end(fresh_database_url)
    assert (await rebuild(fresh_database_url)).equal
