"""What a commit costs the followers of a worker process, and that none of them misses anything for it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from redis.asyncio import Redis

from projections.events.feed import AFTER, Named
from projections.redis.streams import CHECKPOINT as STREAMS
from projections.redis.views import CHECKPOINT as CACHE
from store.log.appender import Appender
from store.log.log import append
from store.postgres.connection import Connection
from store.postgres.pool import connect
from tests.support.following import following
from tests.support.histories import created, published
from workers import event_buffer, follower
from workers.cache import CacheFollower
from workers.follower import RECORD, Follower
from workers.streams import StreamsFollower

COMMITS = 30


class Ledger(Follower):
    """Writes down what it is told, and keeps it when its connection is lost. It cannot stand the name ``poison``."""

    name = "ledger"

    def __init__(self, source: event_buffer.EventBuffer) -> None:
        super().__init__(source)
        self.seen: list[int] = []
        self.skipped: list[int] = []

    async def begin(self, conn: Connection) -> int:
        return self.seen[-1] if self.seen else 0

    async def handle(self, conn: Connection, after: int, events: Sequence[Named]) -> int:
        if any(event.name == "poison" for event in events):
            raise ValueError("cannot be written")
        self.seen += [event.position for event in events]
        return events[-1].position

    async def skip(self, conn: Connection, after: int, event: Named) -> int:
        self.skipped.append(event.position)
        return event.position


async def until(condition: Any, what: str) -> None:
    try:
        async with asyncio.timeout(10):
            while not await condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within 10 s: {what}") from None


async def test_a_commit_is_read_once_for_all_and_the_followers_commit_nothing_for_it(
    fresh_database_url: str, redis: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: Counter[str] = Counter()
    execute = psycopg.AsyncConnection.execute

    async def spy(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        statements[query] += 1
        return await execute(self, query, *args, **options)

    async def both_at(position: int) -> bool:
        return await redis.mget(CACHE, STREAMS) == [b"%d" % position] * 2

    async with (
        following(
            fresh_database_url,
            lambda source: CacheFollower(source, redis),
            lambda source: StreamsFollower(source, redis),
        ),
        await connect(fresh_database_url) as conn,
    ):
        await until(lambda: both_at(0), "both have begun")
        monkeypatch.setattr(psycopg.AsyncConnection, "execute", spy)
        started = asyncio.get_running_loop().time()
        for number in range(COMMITS):
            await append(conn, [created(f"skill-{number}")[1]])
            await until(lambda last=number + 1: both_at(last), "both have seen it")
        halves = (asyncio.get_running_loop().time() - started) / 0.5
        monkeypatch.undo()
    assert statements[AFTER] <= COMMITS + 2 * (halves + 1)
    assert statements[RECORD] <= 2 * (halves + 1)


async def test_whoever_is_far_behind_reads_the_log_itself(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_buffer, "BATCH", 3)
    monkeypatch.setattr(follower, "BATCH", 3)
    monkeypatch.setattr(event_buffer, "KEPT", 5)
    source = event_buffer.EventBuffer()
    ledger = Ledger(source)
    appender = Appender(fresh_database_url)
    await appender.start()
    stop = asyncio.Event()
    running = [asyncio.create_task(task.run(fresh_database_url, stop)) for task in (source, ledger)]
    for number in range(40):
        await appender.append(created(f"skill-{number}")[1])
        if number % 10 == 9:
            with psycopg.connect(fresh_database_url, autocommit=True) as conn:
                conn.execute(
                    """SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
                       AND application_name = %s""",
                    (("skald-news", "skald-ledger")[number // 10 % 2],),
                )

    async def complete() -> bool:
        return len(ledger.seen) >= 40

    await until(complete, "it has seen all")
    stop.set()
    await asyncio.gather(*running)
    await appender.close()
    assert ledger.seen == list(range(1, 41))
    with psycopg.connect(fresh_database_url) as conn:
        assert conn.execute("SELECT position FROM checkpoints WHERE follower = 'ledger'").fetchone() == (40,)


async def test_what_nobody_told_is_found(fresh_database_url: str) -> None:
    made: list[Ledger] = []

    def make(source: event_buffer.EventBuffer) -> Ledger:
        made.append(Ledger(source))
        return made[0]

    async with following(fresh_database_url, make), await connect(fresh_database_url) as conn:
        await conn.execute(
            """INSERT INTO events (position, stream_id, stream_version, topic, state, recorded_at, command_id)
               VALUES (1, gen_random_uuid(), 1, 'skill.archived', '{}', now(), gen_random_uuid())"""
        )

        async def seen(*positions: int) -> bool:
            return made[0].seen == list(positions)

        await until(lambda: seen(1), "the poll has found it")
        await append(conn, [created("later")[1]])
        await until(lambda: seen(1, 2), "what comes later is told again")


async def test_a_poison_event_is_parked_and_the_rest_goes_on(fresh_database_url: str) -> None:
    made: list[Ledger] = []

    def make(source: event_buffer.EventBuffer) -> Ledger:
        made.append(Ledger(source))
        return made[0]

    skill, first = created("poison")
    commits = [created("before")[1], first, created("after")[1], published(skill)[1]]
    async with following(fresh_database_url, make), await connect(fresh_database_url) as conn:
        await append(conn, commits)

        async def done() -> bool:
            return (made[0].seen, made[0].skipped) == ([1, 3], [2, 4])

        await until(done, "the rest has gone on")
    with psycopg.connect(fresh_database_url) as after:
        rows = after.execute(
            "SELECT follower, position, error FROM dead_letters ORDER BY position"
        ).fetchall()
    assert rows == [
        ("ledger", 2, "ValueError: cannot be written"),
        ("ledger", 4, "waits behind an earlier event of its stream"),
    ]
