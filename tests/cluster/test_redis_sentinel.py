"""Redis behind Sentinels: a primary that is killed, frozen, or replaced by one that knows less."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from projections.redis.client import open_redis
from projections.redis.streams import CHECKPOINT, stream_key
from projections.redis.views import RedisViews
from store.log.appender import Appender
from store.postgres.pool import connect
from store.tables import identity
from tests.support.following import following
from tests.support.histories import History
from tests.support.redis_nodes import Watched, watched
from tests.support.servers import eventually
from tests.support.service import MakeService
from workers.cache import CacheFollower
from workers.streams import StreamsFollower

TIMEOUT = 0.5
WITHIN = 15.0  # seconds
PROJECT = 1


@pytest.fixture
def nodes() -> Iterator[Watched]:
    with watched() as found:
        yield found


class Log:
    def __init__(self, url: str) -> None:
        self.url = url
        self._history = History(3, projects=(PROJECT,))

    async def write(self, events: int) -> None:
        appender = Appender(self.url)
        await appender.start()
        for _ in range(events):
            await appender.append(self._history.next())
        await appender.close()

    async def positions(self) -> list[int]:
        async with await connect(self.url) as conn:
            cursor = await conn.execute(
                "SELECT position FROM events WHERE project_id = %s ORDER BY position", (PROJECT,)
            )
            return [row[0] for row in await cursor.fetchall()]


@pytest.fixture
async def log(fresh_database_url: str) -> Log:
    async with await connect(fresh_database_url) as conn:
        await identity.create_project(conn, "Test")
    return Log(fresh_database_url)


@asynccontextmanager
async def followed(log: Log, nodes: Watched) -> AsyncIterator[Redis]:
    async with (
        open_redis(nodes.url, timeout=TIMEOUT) as redis,
        following(
            log.url, lambda news: StreamsFollower(news, redis), lambda news: CacheFollower(news, redis)
        ),
    ):
        yield redis


async def published(client: Any) -> list[int]:
    """What a server has of the stream, asked of itself."""
    entries = await asyncio.to_thread(client.xrange, stream_key(PROJECT))
    return [int(entry.split(b"-")[0]) for entry, _ in entries]


async def whole(log: Log, client: Any) -> None:
    """Wait until the stream of a server has every event, each once and in order."""
    expected = await log.positions()
    async with asyncio.timeout(WITHIN):
        while await published(client) != expected:
            await asyncio.sleep(0.05)


async def test_the_streams_go_on_when_the_primary_dies(log: Log, nodes: Watched) -> None:
    async with followed(log, nodes):
        await log.write(20)
        await whole(log, nodes.primary.client)
        nodes.primary.kill()
        await log.write(20)
        await asyncio.to_thread(nodes.wait_switched)
        await whole(log, nodes.replica.client)
        await log.write(5)
        await whole(log, nodes.replica.client)


async def test_a_replica_that_is_promoted_with_loss_is_filled_up(log: Log, nodes: Watched) -> None:
    async with followed(log, nodes):
        await log.write(20)
        await whole(log, nodes.replica.client)
        await asyncio.to_thread(nodes.hold_back)
        await log.write(20)
        await whole(log, nodes.primary.client)
        assert len(await published(nodes.replica.client)) < 40
        nodes.primary.kill()
        await asyncio.to_thread(nodes.wait_switched)
        await whole(log, nodes.replica.client)


async def test_a_primary_that_thaws_gets_no_more_writes(log: Log, nodes: Watched) -> None:
    async with followed(log, nodes) as redis:
        await log.write(10)
        await whole(log, nodes.replica.client)
        nodes.primary.freeze()
        await log.write(10)
        await asyncio.to_thread(nodes.wait_switched)
        await whole(log, nodes.replica.client)
        # It takes itself for the primary until a Sentinel has told it otherwise.
        nodes.primary.go_on()
        await log.write(10)
        await whole(log, nodes.replica.client)
        end = (await log.positions())[-1]
        assert int(await redis.get(CHECKPOINT) or 0) == end


async def test_connections_leave_a_primary_that_was_replaced_and_still_answers(nodes: Watched) -> None:
    async with open_redis(nodes.url, timeout=TIMEOUT) as redis:
        await redis.set("where", "old")
        # As for a client that the Sentinels' own connections to the primary do not share their fate with.
        for sentinel in nodes.sentinels:
            sentinel.client.execute_command("SENTINEL", "REMOVE", "skald")
            sentinel.client.execute_command(
                "SENTINEL", "MONITOR", "skald", "127.0.0.1", nodes.replica.port, 2
            )
        nodes.replica.client.replicaof("NO", "ONE")
        async with asyncio.timeout(WITHIN):
            while nodes.replica.client.get("where") != b"new":
                await redis.set("where", "new")
                await asyncio.sleep(0.05)
        await redis.set("only", "there")
        assert nodes.primary.client.get("only") is None


async def test_a_value_that_the_replica_never_lost_is_not_shown_when_it_is_old(
    log: Log, nodes: Watched
) -> None:
    stream_id, etag = UUID(int=7), b'"e"'
    async with followed(log, nodes) as redis:
        await log.write(3)
        await whole(log, nodes.replica.client)
        views = RedisViews(redis, timeout=TIMEOUT)
        at = (await log.positions())[-1]
        views.offer(PROJECT, "skill", "old", stream_id, at, etag, b"old")
        async with asyncio.timeout(WITHIN):
            while await views.get(PROJECT, "skill", "old") is None:
                await asyncio.sleep(0.05)
        await asyncio.to_thread(nodes.hold_back)
        # On the primary it is removed; the replica keeps it, with a checkpoint that says until when it was true.
        await redis.delete(*await redis.keys("skald:v*:skill:old"))
        nodes.primary.kill()
        await asyncio.to_thread(nodes.wait_switched)
        found = None
        async with asyncio.timeout(WITHIN):
            while (found := await views.get(PROJECT, "skill", "old")) is None:
                await asyncio.sleep(0.05)
        assert found.as_of == at


async def test_a_frozen_sentinel_keeps_no_client_from_the_primary(nodes: Watched) -> None:
    nodes.sentinels[0].freeze()
    async with open_redis(nodes.url, timeout=TIMEOUT) as redis, asyncio.timeout(WITHIN):
        while True:
            try:
                await redis.set("key", "value")
                break
            except (RedisError, OSError):
                await asyncio.sleep(0.05)
    nodes.sentinels[0].go_on()


def test_a_service_answers_right_through_a_failover(
    make_service: MakeService, fresh_database_url: str, nodes: Watched
) -> None:
    service = make_service(database_url=fresh_database_url, redis_url=nodes.url, followers=True)
    name = f"prompt-{uuid4().hex}"
    with service.client() as client:
        assert client.post("llm_prompts/", json={"name": name, "prompt": "0"}).status_code == 201
        for number in range(1, 30):
            if number == 10:
                nodes.hold_back()
            if number == 15:
                nodes.primary.kill()
            if number == 25:
                nodes.wait_switched()
            changed = client.patch(
                f"llm_prompts/name/{name}/", json={"prompt": str(number), "base_version": number}
            )
            assert changed.status_code == 200, changed.text
            assert client.get(f"llm_prompts/name/{name}/").json()["prompt"] == str(number)
        eventually(
            lambda: client.get(f"{service.base_url}/readyz").json()["redis"] == "ok", "Redis is well again"
        )
