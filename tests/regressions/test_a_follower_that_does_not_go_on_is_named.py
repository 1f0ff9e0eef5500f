"""/readyz and the metrics say which follower fails, since when and why; an event that one cannot take stops nothing."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from redis.asyncio import Redis

from api.app import MIGRATIONS
from api.server.health import Health, Readiness
from api.server.metrics import open_metrics
from projections.events.feed import Named
from projections.rebuild.verify import PARKED
from projections.redis.views import RedisViews
from store.log.appender import Appender
from store.postgres.connection import Connection
from store.postgres.pool import Pool, connect, open_pool
from tests.integration.workers.test_webhooks import Stage, stage
from tests.support.following import following
from tests.support.histories import created, published
from tests.support.receiver import receiving
from workers.cache import CacheFollower
from workers.event_buffer import EventBuffer
from workers.follower import Follower, is_outage
from workers.streams import StreamsFollower

__all__ = ["stage"]


@pytest.fixture
async def pool(fresh_database_url: str) -> Any:
    opened = await open_pool(fresh_database_url, size=1)
    yield opened
    await opened.close()


@pytest.fixture
def health(pool: Pool, tmp_path: Path) -> Health:
    return Health(pool=pool, redis=None, migrations=MIGRATIONS, metrics=open_metrics(tmp_path))


async def until(health: Health, condition: Callable[[Readiness], bool]) -> Readiness:
    async with asyncio.timeout(20):
        while not condition(found := await health.readiness()):
            await asyncio.sleep(0.05)
    return found


async def write(url: str, *names: str) -> None:
    appender = Appender(url)
    await appender.start()
    for name in names:
        await appender.append(created(name, project_id=1)[1])
    await appender.close()


async def test_the_error_of_a_follower_is_shown_until_it_goes_on(
    fresh_database_url: str, health: Health, private_servers: Callable[..., Any]
) -> None:
    redis = Redis.from_url(private_servers(database=False).redis_url)
    async with following(fresh_database_url, lambda news: StreamsFollower(news, redis)):
        await write(fresh_database_url, "one")
        await until(health, lambda found: found.followers.get("streams") == 0)
        # Full, and with nothing of the streams that could give way.
        await redis.config_set("maxmemory", 1)
        await write(fresh_database_url, "two")
        found = await until(health, lambda found: "streams" in found.failing)
        assert (found.status, found.failing["streams"].lag) == ("degraded", 1)
        assert "maxmemory" in found.failing["streams"].error
        assert 'skald_follower_failing{follower="streams"} 1.0' in (await health.scrape()).decode()
        await redis.config_set("maxmemory", 0)
        found = await until(health, lambda found: found.followers["streams"] == 0)
        found = await until(health, lambda found: not found.failing)
        assert found.status == "ok"
        assert 'skald_follower_failing{follower="streams"} 0.0' in (await health.scrape()).decode()
    await redis.aclose()


async def test_a_silent_follower_is_shown_when_the_log_has_gone_on_without_it(
    fresh_database_url: str, health: Health
) -> None:
    await write(fresh_database_url, "one", "two")
    async with await connect(fresh_database_url) as conn:
        await conn.execute(
            "INSERT INTO checkpoints (follower, position, updated_at) VALUES ('idle', 1, now() - interval '1 hour')"
        )
        # What it has not seen is new: it may be about to take it.
        assert not (await health.readiness()).failing
        await conn.execute("ALTER TABLE events DISABLE TRIGGER USER")
        await conn.execute("UPDATE events SET recorded_at = now() - interval '10 minutes'")
        found = (await health.readiness()).failing["idle"]
        assert (found.lag, found.seconds >= 590) == (1, True)
        await conn.execute("UPDATE checkpoints SET updated_at = now()")
        assert not (await health.readiness()).failing, "it has moved a moment ago"
        await conn.execute("UPDATE checkpoints SET position = 2, updated_at = now() - interval '1 hour'")
        assert not (await health.readiness()).failing, "it is at the end"


class Divider(Follower):
    """Cannot write what is about a stream that the test names."""

    name = "divider"

    def __init__(self, news: EventBuffer, poison: set[Any]) -> None:
        super().__init__(news)
        self.poison = poison
        self.seen: list[int] = []

    async def begin(self, conn: Connection) -> int:
        return 0

    async def handle(self, conn: Connection, after: int, events: Sequence[Named]) -> int:
        for event in events:
            await conn.execute("SELECT 1 / %s::int", (int(event.stream_id not in self.poison),))
        self.seen += [event.position for event in events]
        return events[-1].position

    async def skip(self, conn: Connection, after: int, event: Named) -> int:
        return event.position


async def test_an_event_that_the_database_refuses_is_left_out_and_counted(
    fresh_database_url: str, health: Health
) -> None:
    bad, first = created("bad", project_id=1)
    appender = Appender(fresh_database_url)
    await appender.start()
    for commit in (
        created("one", project_id=1)[1],
        first,
        created("two", project_id=1)[1],
        published(bad, project_id=1)[1],
    ):
        await appender.append(commit)
    await appender.close()
    made: list[Divider] = []
    async with following(
        fresh_database_url,
        lambda news: made.append(Divider(news, {bad.id})) or made[0],  # type: ignore[func-returns-value]
    ):
        found = await until(health, lambda found: found.followers.get("divider") == 0)
    assert made[0].seen == [1, 3]
    assert found.parked == {"divider": 2}
    assert 'skald_follower_parked_events{follower="divider"} 2.0' in (await health.scrape()).decode()
    async with await connect(fresh_database_url) as conn:
        rows = await (await conn.execute(PARKED.encode(), (5,))).fetchall()
    assert [row[0].split(":")[0] for row in rows] == ["divider 2", "divider 4"], "skald verify lists them"


def test_a_server_that_is_away_is_no_event_that_cannot_be_taken() -> None:
    assert is_outage(psycopg.OperationalError())
    assert is_outage(psycopg.errors.UndefinedTable())
    assert is_outage(ConnectionError())
    assert not is_outage(psycopg.errors.NumericValueOutOfRange())
    assert not is_outage(ValueError())


async def test_an_event_of_an_unknown_type_does_not_stop_a_webhook(stage: Stage) -> None:
    [first] = await stage.write("one")
    await stage.conn.execute(
        """INSERT INTO events (position, stream_id, stream_version, topic, state, recorded_at, project_id, command_id)
           SELECT position + 1, stream_id, stream_version + 1, 'skill.unheard_of', '{}', now(), project_id, gen_random_uuid()
           FROM events WHERE position = %s""",
        (first,),
    )
    async with receiving() as receiver:
        await stage.hook(receiver.url(), after=0)
        async with stage.worker():
            await receiver.got(1)
            await stage.write("two")
            await receiver.got(2)
    assert receiver.positions == [first, first + 2]
    rows = await (await stage.conn.execute("SELECT follower, position FROM dead_letters")).fetchall()
    assert rows == [("webhooks", first + 1)]


async def test_what_the_cache_cannot_take_leaves_nothing_cached(
    fresh_database_url: str, redis: Redis
) -> None:
    await write(fresh_database_url, "one")
    views = RedisViews(redis)
    await views.apply(None, 1, {})
    views.offer(1, "skill", "one", uuid4(), 1, b'"e"', b"{}")
    async with asyncio.timeout(10):
        while await views.get(1, "skill", "one") is None:
            await asyncio.sleep(0.01)
    async with await connect(fresh_database_url) as conn:
        event: Any = None
        assert await CacheFollower(EventBuffer(), redis).skip(conn, 1, event) == 1
    assert await views.get(1, "skill", "one") is None
