"""The end of the log as an API process sees it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import psycopg
import pytest

from api.cache import log_follower as tailing
from api.cache.log_follower import LogFollower
from api.cache.positions import ALL_STREAMS, StreamPositions
from store.log.appender import Appender
from store.log.log import append
from store.postgres.listening import Listener
from store.postgres.pool import connect
from store.tables import identity
from tests.support.histories import created


@asynccontextmanager
async def following(url: str) -> AsyncIterator[tuple[StreamPositions, LogFollower]]:
    positions = StreamPositions()
    follower = LogFollower(url, positions)
    await follower.start()
    try:
        yield positions, follower
    finally:
        await follower.close()


async def until(condition: Callable[[], bool], what: str, timeout: float = 5) -> None:
    try:
        async with asyncio.timeout(timeout):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {timeout} s: {what}") from None


async def write(url: str, *names: str) -> list[int]:
    """Append skills as another host would; the slots of their streams."""
    appender = Appender(url)
    await appender.start()
    made = [created(name) for name in names]
    await asyncio.gather(*(appender.append(commit) for _, commit in made))
    await appender.close()
    return [StreamPositions.slot(skill.id) for skill, _ in made]


async def write_in_turn(appender: Appender, count: int) -> list[int]:
    """Append skills one after the other; the slots of their streams."""
    slots = []
    for number in range(count):
        skill, commit = created(f"name-{number}")
        await appender.append(commit)
        slots.append(StreamPositions.slot(skill.id))
    return slots


async def test_writes_of_others_are_marked(fresh_database_url: str) -> None:
    async with following(fresh_database_url) as (positions, follower):
        assert positions.healthy
        slots = await write(fresh_database_url, "a", "b", "c")
        await until(lambda: follower.seen == 3, "it has seen all")
        assert not any(positions.is_fresh(slot, 0) for slot in slots)
        assert all(positions.is_fresh(slot, 3) for slot in slots)
        assert positions.is_fresh(ALL_STREAMS, 0)


async def test_writes_that_follow_each_other_are_heard_together(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailing, "DEBOUNCE", 0.3)
    monkeypatch.setattr("store.log.appender.MIN_NOTIFY_INTERVAL", 0.0)
    heard: list[int] = []
    receive = Listener.receive

    async def counted(self: Listener, seconds: float) -> list[tuple[str, str]]:
        notices = await receive(self, seconds)
        heard.append(len(notices))
        return notices

    monkeypatch.setattr(Listener, "receive", counted)
    async with following(fresh_database_url) as (positions, follower):
        appender = Appender(fresh_database_url)
        await appender.start()
        slots = await write_in_turn(appender, 6)
        await appender.close()
        await until(lambda: follower.seen == 6, "it has seen all")

        assert sum(heard) == 6
        assert max(heard) > 1
        assert not any(positions.is_fresh(slot, 0) for slot in slots)


async def test_a_writer_of_this_host_may_show_what_it_wrote_before_it_is_marked(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailing, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(tailing, "LOOKS", 100_000)
    async with following(fresh_database_url) as (positions, follower):
        [slot] = await write(fresh_database_url, "a")
        await asyncio.sleep(0.1)
        assert positions.is_fresh(slot, 0)
        assert follower.seen == 0
        # What the writer does when it has shown it, in whichever process.
        positions.advance_all([slot], 1)
        await until(lambda: follower.seen == 1, "it goes on")


async def test_a_writer_that_is_elsewhere_or_dead_is_not_waited_for(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailing, "LOOK_EVERY", 0.1)
    async with following(fresh_database_url) as (positions, follower):
        [slot] = await write(fresh_database_url, "a")
        assert positions.is_fresh(slot, 0)
        await until(lambda: not positions.is_fresh(slot, 0), "it is marked")
        await until(lambda: follower.seen == 1, "it goes on")


async def test_what_is_older_than_its_start_is_distrusted(fresh_database_url: str) -> None:
    await write(fresh_database_url, "a")
    async with following(fresh_database_url) as (positions, _):
        assert not positions.is_fresh(StreamPositions.slot(uuid4()), 0)
        assert positions.is_fresh(StreamPositions.slot(uuid4()), 1)


async def test_without_its_connection_nothing_counts_until_it_is_back(fresh_database_url: str) -> None:
    async with (
        following(fresh_database_url) as (positions, follower),
        await connect(fresh_database_url) as conn,
    ):
        slot = StreamPositions.slot(uuid4())
        assert positions.is_fresh(slot, 0)
        # Nobody may come back until we say so.
        await conn.execute("SET lock_timeout = '5s'")
        database = (await (await conn.execute("SELECT current_database()")).fetchone() or ("",))[0]
        with psycopg.connect(fresh_database_url, dbname="postgres", autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false".encode())
            await conn.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name = 'skald-log-follower' AND datname = current_database()"""
            )
            await until(lambda: not positions.healthy, "the loss is noticed", 1)
            assert not positions.is_fresh(slot, 100)
            await asyncio.sleep(0.2)
            assert not positions.is_fresh(slot, 100)
            admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true".encode())
        slots = await write(fresh_database_url, "meanwhile")
        await until(lambda: positions.healthy and follower.seen == 1, "it is back")
        assert not positions.is_fresh(slots[0], 0)
        assert positions.is_fresh(slots[0], 1)


async def test_a_gap_in_the_notifications_is_read_from_the_log(fresh_database_url: str) -> None:
    async with (
        following(fresh_database_url) as (positions, follower),
        await connect(fresh_database_url) as conn,
    ):
        stream = uuid4()
        # Two events of which no notification tells, as if it were lost.
        await conn.execute(
            """INSERT INTO events (position, stream_id, stream_version, topic, state, recorded_at, command_id)
               SELECT n, %s, n, 'skill.published', '{}', now(), gen_random_uuid() FROM generate_series(1, 2) AS n""",
            (stream,),
        )
        await write(fresh_database_url, "later")
        await until(lambda: follower.seen == 3, "it has seen all")
        assert not positions.is_fresh(StreamPositions.slot(stream), 1)


async def test_what_was_appended_silently_is_marked_when_it_is_announced(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailing, "POLL", 60.0)
    monkeypatch.setattr("store.log.appender.MIN_NOTIFY_INTERVAL", 0.2)
    async with following(fresh_database_url) as (positions, follower):
        appender = Appender(fresh_database_url)
        await appender.start()
        slots = await write_in_turn(appender, 6)
        await until(lambda: follower.seen == 6, "it has seen all")
        await appender.close()

        assert not any(positions.is_fresh(slot, 0) for slot in slots)


async def test_the_poll_finds_what_nobody_told(fresh_database_url: str) -> None:
    async with (
        following(fresh_database_url) as (positions, follower),
        await connect(fresh_database_url) as conn,
    ):
        stream = uuid4()
        await conn.execute(
            """INSERT INTO events (position, stream_id, stream_version, topic, state, recorded_at, command_id)
               VALUES (1, %s, 1, 'skill.archived', '{}', now(), gen_random_uuid())""",
            (stream,),
        )
        await until(lambda: follower.seen == 1, "the poll has found it", 3)
        assert not positions.is_fresh(StreamPositions.slot(stream), 0)


async def test_an_erased_person_empties_the_caches(fresh_database_url: str) -> None:
    async with (
        following(fresh_database_url) as (positions, follower),
        await connect(fresh_database_url) as conn,
    ):
        await identity.create_user(conn, email="ada@example.com")
        await identity.erase_user(conn, "ada@example.com")
        await until(lambda: follower.seen == 1, "it has seen the erasure")
        assert not positions.is_fresh(StreamPositions.slot(uuid4()), 0)
        assert positions.is_fresh(StreamPositions.slot(uuid4()), 1)


async def test_far_behind_it_marks_everything_at_once(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailing, "CATCH_UP", 2)
    positions = StreamPositions()
    follower = LogFollower(fresh_database_url, positions)
    await write(fresh_database_url, "a", "b", "c", "d")
    async with await connect(fresh_database_url) as conn:
        follower._take(*await follower._looked_up(conn))
    assert follower.seen == 4
    positions.confirm()
    assert not positions.is_fresh(StreamPositions.slot(uuid4()), 3)


async def test_what_the_process_itself_appends_is_marked_before_it_is_answered(
    fresh_database_url: str,
) -> None:
    async with following(fresh_database_url) as (positions, follower):
        appender = Appender(fresh_database_url, committed=follower.committed)
        await appender.start()
        made = [created(name) for name in ("a", "b", "c")]

        async def append(number: int) -> bool:
            skill, commit = made[number]
            appended = await appender.append(commit)
            slot = StreamPositions.slot(skill.id)
            return not positions.is_fresh(slot, appended.last - 1) and positions.is_fresh(slot, appended.last)

        assert all(await asyncio.gather(*(append(number) for number in range(3))))
        assert follower.seen == 3
        await appender.close()


async def test_what_a_process_appends_behind_what_it_has_not_seen_hides_nothing(
    fresh_database_url: str,
) -> None:
    async with following(fresh_database_url) as (positions, follower):
        other, unseen = created("other")
        mine, commit = created("mine")
        appender = Appender(fresh_database_url, committed=follower.committed)
        await appender.start()
        async with await connect(fresh_database_url) as conn:
            # Another host's append whose notification has not been heard yet.
            await append(conn, [unseen])
            follower.seen = 0
            await appender.append(commit)

        await until(lambda: follower.seen == 2, "it has looked")
        assert not positions.is_fresh(StreamPositions.slot(other.id), 0)
        assert not positions.is_fresh(StreamPositions.slot(mine.id), 1)
        await appender.close()
