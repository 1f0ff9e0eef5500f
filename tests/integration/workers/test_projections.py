"""The lane of async projections: every event once, whatever happens to the worker, to its checkpoint or to the tables."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from cli.schema import migrate
from projections.declared import ACTIVITY, ASYNC, AsyncProjection
from projections.events.feed import read_named
from projections.rebuild.rebuild import rebuild, replay
from projections.rebuild.verify import verify
from store.log.appender import Appender
from store.log.log import head
from store.postgres.pool import connect
from store.tables import checkpoints
from store.tables.readiness import followers
from tests.support import invariants
from tests.support.following import following
from tests.support.histories import History
from tests.support.servers import ROOT
from workers.event_buffer import EventBuffer
from workers.main import run as run_worker
from workers.projections import ProjectionFollower


async def write(url: str, seed: int, events: int) -> None:
    """Random events of two projects that no other seed has."""
    history = History(seed, projects=(2 * seed, 2 * seed + 1))
    appender = Appender(url)
    await appender.start()
    for _ in range(events):
        await appender.append(history.next())
    await appender.close()


def activity(source: EventBuffer) -> ProjectionFollower:
    return ProjectionFollower(source, ACTIVITY)


def total(url: str) -> int:
    with psycopg.connect(url) as conn:
        row = conn.execute("SELECT coalesce(sum(publishes), 0)::int FROM activity").fetchone()
    assert row is not None
    return int(row[0])


def versions(url: str) -> int:
    with psycopg.connect(url) as conn:
        row = conn.execute("SELECT count(*) FROM versions").fetchone()
    assert row is not None
    return int(row[0])


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 60) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what}") from None


async def at_the_end(url: str) -> None:
    """The follower has seen all of the log, and what it wrote is what the log gives."""
    async with await connect(url) as conn:

        async def reached() -> bool:
            return (await checkpoints.positions(conn)).get("activity") == await head(conn)

        await until(reached, "the projection is at the end of the log")
    invariants.check(url)
    assert total(url) == versions(url)


async def test_it_follows_what_is_appended_and_tells_its_lag(fresh_database_url: str) -> None:
    await write(fresh_database_url, 31, 40)
    async with following(fresh_database_url, activity):
        await at_the_end(fresh_database_url)
        await write(fresh_database_url, 32, 40)
        await at_the_end(fresh_database_url)
    await write(fresh_database_url, 33, 30)
    async with await connect(fresh_database_url) as conn:
        assert (await followers(conn))["activity"].lag == 30
    assert (await verify(fresh_database_url)).sound, "behind is not wrong"


async def test_two_processes_count_nothing_twice(fresh_database_url: str) -> None:
    async with following(fresh_database_url, activity, processes=2):
        await write(fresh_database_url, 34, 120)
        await at_the_end(fresh_database_url)


async def test_when_the_leader_leaves_the_other_goes_on(fresh_database_url: str) -> None:
    async with following(fresh_database_url, activity):
        async with following(fresh_database_url, activity):
            await write(fresh_database_url, 35, 30)
            await at_the_end(fresh_database_url)
        await write(fresh_database_url, 36, 30)
        await at_the_end(fresh_database_url)


async def test_a_former_leader_writes_nothing(fresh_database_url: str) -> None:
    """Two that both think that they lead: the one that comes second takes nothing in, and goes on from where the first is."""
    await write(fresh_database_url, 37, 20)
    one, other = activity(EventBuffer()), activity(EventBuffer())
    async with await connect(fresh_database_url) as first, await connect(fresh_database_url) as second:
        assert await one.begin(first) == await other.begin(second) == 0
        events = await read_named(first, 0, limit=20)
        assert await one.handle(first, 0, events[:12]) == 12
        assert await other.handle(second, 0, events) == 12
        assert await other.handle(second, 12, events) == 12, "these do not follow"
        assert await other.handle(second, 12, events[12:]) == 20
        assert await one.skip(first, 12, events[12]) == 20
    invariants.check(fresh_database_url)


WORKER = """
import asyncio, sys
from workers import event_buffer, follower
from workers.main import run

follower.BATCH = event_buffer.BATCH = 7
asyncio.run(run(database_url=sys.argv[1], redis_url=None, stop=asyncio.Event(), ready=lambda: None))
"""


@pytest.mark.timeout(180)
async def test_a_worker_that_is_killed_between_batches_loses_nothing_and_doubles_nothing(
    fresh_database_url: str,
) -> None:
    """Each worker process is killed as soon as its first batches are in, at no place of its choice."""
    await write(fresh_database_url, 38, 250)
    stops = 0
    async with await connect(fresh_database_url) as conn:

        async def moved_on() -> bool:
            return (await checkpoints.positions(conn)).get("activity", 0) > before

        for turn in range(4):
            before = (await checkpoints.positions(conn)).get("activity", 0)
            worker = subprocess.Popen(  # noqa: ASYNC220 - it is watched and killed by hand
                [sys.executable, "-c", WORKER, fresh_database_url], cwd=ROOT, stderr=subprocess.DEVNULL
            )
            try:
                if before < 250:
                    await until(moved_on, "a batch is in")
            finally:
                os.kill(worker.pid, signal.SIGKILL)
                worker.wait()
            reached = (await checkpoints.positions(conn))["activity"]
            stops += 0 < reached < 250
            invariants.check(fresh_database_url)
            await write(fresh_database_url, 40 + turn, 30)
    assert stops, "no worker was killed on its way"
    async with following(fresh_database_url, activity):
        await at_the_end(fresh_database_url)
    assert (await rebuild(fresh_database_url)).equal


async def test_a_replay_gives_the_same_rows_and_ends_at_the_head(fresh_database_url: str) -> None:
    await write(fresh_database_url, 39, 60)
    async with following(fresh_database_url, activity):
        await at_the_end(fresh_database_url)
    await write(fresh_database_url, 40, 20)
    report = await replay(fresh_database_url, only="activity")
    assert (report.differences, report.position, report.events) == ((), 60, 60), (
        "it is compared as far as it was"
    )
    await at_the_end(fresh_database_url)


async def test_a_replay_mends_rows_beside_a_follower_that_goes_on(fresh_database_url: str) -> None:
    async with following(fresh_database_url, activity):
        await write(fresh_database_url, 41, 60)
        await at_the_end(fresh_database_url)
        with psycopg.connect(fresh_database_url) as conn:
            conn.execute("UPDATE activity SET publishes = publishes + 1")
        broken = [check for check in (await verify(fresh_database_url)).checks if not check.holds]
        assert ["activity:" in str(check.findings) for check in broken] == [True]
        report = await replay(fresh_database_url)
        assert [found.table for found in report.differences] == ["activity"]
        appender, history = Appender(fresh_database_url), History(42, projects=(3,))
        await appender.start()
        for number in range(60):
            await appender.append(history.next())
            if number % 20 == 10:
                await replay(fresh_database_url, only="activity")
        await appender.close()
        await at_the_end(fresh_database_url)
    with psycopg.connect(fresh_database_url) as conn:
        row = conn.execute("SELECT count(*) FROM events WHERE topic = 'models.replaced'").fetchone()
    assert row == (0,), "caches hold nothing of this table"


async def test_a_database_of_an_earlier_release_fills_it_from_the_start_of_the_log(
    fresh_database_url: str,
) -> None:
    await write(fresh_database_url, 43, 80)
    with psycopg.connect(fresh_database_url) as conn:
        conn.execute("DROP TABLE activity")
        conn.execute("DELETE FROM checkpoints")
        conn.execute("DELETE FROM schema_migrations WHERE name LIKE '%_activity'")
    assert [name[5:] for name in await migrate(fresh_database_url)] == ["activity.sql"]
    stop, ready = asyncio.Event(), asyncio.Event()
    worker = asyncio.create_task(
        run_worker(database_url=fresh_database_url, redis_url=None, stop=stop, ready=ready.set)
    )
    await at_the_end(fresh_database_url)
    stop.set()
    await worker


async def test_an_event_that_it_cannot_take_is_parked_and_told(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(fresh_database_url, 44, 30)

    def fold(events: object) -> object:
        if any(event.position == 12 for event in events):  # type: ignore[attr-defined]
            raise ValueError("not this one")
        return ACTIVITY.fold(events)  # type: ignore[arg-type]

    broken = AsyncProjection(
        name=ACTIVITY.name,
        about="",
        tables=ACTIVITY.tables,
        statements=ACTIVITY.statements,
        fold=fold,  # type: ignore[arg-type]
    )
    async with await connect(fresh_database_url) as conn:

        async def at_the_end() -> bool:
            return (await followers(conn)).get("activity") is not None and (await followers(conn))[
                "activity"
            ].lag == 0

        async with following(fresh_database_url, lambda source: ProjectionFollower(source, broken)):
            await until(at_the_end, "it goes on behind it")
        assert (await followers(conn))["activity"].parked > 0
    assert any(
        "parked" in check.name for check in (await verify(fresh_database_url)).checks if not check.holds
    )


def test_each_has_a_follower_in_a_worker() -> None:
    made = [ProjectionFollower(EventBuffer(), projection) for projection in ASYNC]
    assert [one.name for one in made] == [one.name for one in ASYNC] == ["activity", "search"]
