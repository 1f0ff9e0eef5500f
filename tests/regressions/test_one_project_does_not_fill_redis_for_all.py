"""Redis Streams are bounded in bytes, give way when Redis is full, and a lost one is made whole without stopping the others."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from redis.asyncio import Redis

from domain.artifacts.skills import Changes
from projections.events import feed
from projections.events.cloudevents import cloudevent_json, without_data
from projections.redis.streams import (
    CHECKPOINT,
    ENDS,
    RedisStreams,
    StreamEntry,
    fair_sizes,
    stream_key,
)
from projections.redis.views import RedisViews
from store.log.appender import Appender
from store.postgres.pool import connect
from store.tables import identity
from tests.support.following import following
from tests.support.histories import commit_of, created
from tests.support.space import NewSpace
from workers import streams
from workers.streams import MAX_EVENT, StreamsFollower

MIB = 1024 * 1024
EVENT = b"x" * 10_000


async def publish(to: RedisStreams, project_id: int, positions: range) -> None:
    before = await to.checkpoint()
    entries = [StreamEntry(project_id, position, EVENT, "t", "s") for position in positions]
    assert await to.apply(before, positions[-1], entries) is not None


async def length_and_last(redis: Redis, project_id: int) -> tuple[int, int]:
    positions = await positions_of(redis, project_id)
    return len(positions), positions[-1]


async def size_of(redis: Redis, project_id: int) -> int:
    return int(await redis.memory_usage(stream_key(project_id), samples=0) or 0)


async def reached(redis: Redis, position: int) -> None:
    async with asyncio.timeout(20):
        while int(await redis.get(CHECKPOINT) or -1) != position:
            await asyncio.sleep(0.02)


async def entries_of(redis: Redis, project_id: int) -> list[dict[bytes, bytes]]:
    found: Any = await redis.xrange(stream_key(project_id))
    return [fields for _, fields in found]


async def positions_of(redis: Redis, project_id: int) -> list[int]:
    return [int(fields[b"position"]) for fields in await entries_of(redis, project_id)]


class Log:
    """Writes events of two projects."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def write(self, *projects: int) -> list[int]:
        appender = Appender(self.url)
        await appender.start()
        commits = [created(f"skill-{uuid4().hex}", project_id=project)[1] for project in projects]
        written = [(await appender.append(commit)).last for commit in commits]
        await appender.close()
        return written


@pytest.fixture
async def log(fresh_database_url: str) -> Log:
    async with await connect(fresh_database_url) as conn:
        for _ in range(2):
            await identity.create_project(conn, "Test")
    return Log(fresh_database_url)


# Bounds ----------------------------------------------------------------------------------------------------------


async def test_a_stream_is_bounded_in_bytes(redis: Redis) -> None:
    to = RedisStreams(redis, maxlen=0, whole=True, max_bytes=MIB)
    await publish(to, 2, range(1, 11))
    for start in range(11, 1011, 100):
        await publish(to, 1, range(start, start + 100))
        assert await size_of(redis, 1) <= MIB
    kept, last = await length_and_last(redis, 1)
    assert kept > 60
    assert last == 1010
    assert await redis.xlen(stream_key(2)) == 10


async def test_all_streams_leave_room_for_what_lives_beside_them(private_servers: Callable[..., Any]) -> None:
    redis = Redis.from_url(private_servers(database=False).redis_url)
    await redis.config_set("maxmemory", 20 * MIB)
    await redis.set("skald:v1:value", b"v" * MIB, ex=1000)
    await redis.set("skald:rate:counter", 1, ex=60)
    to = RedisStreams(redis, maxlen=0, whole=True, max_total_bytes=100 * MIB)
    await to.measure()
    await publish(to, 3, range(1, 11))
    for start in range(11, 4011, 200):
        await publish(to, 1 + start % 2, range(start, start + 200))
    assert sum([await size_of(redis, project) for project in (1, 2, 3)]) <= 10 * MIB
    assert await redis.xlen(stream_key(3)) == 10, "the large ones give way to the small one"
    assert await redis.exists("skald:v1:value")
    assert await redis.incr("skald:rate:counter") == 2
    await redis.aclose()


async def test_a_full_redis_makes_the_streams_smaller_and_they_go_on(
    private_servers: Callable[..., Any],
) -> None:
    redis = Redis.from_url(private_servers(database=False).redis_url)
    to = RedisStreams(redis, maxlen=0, whole=True)
    await to.measure()
    for start in range(1, 801, 100):
        await publish(to, 1, range(start, start + 100))
    await publish(to, 2, range(801, 811))
    # As if something else of this Redis had grown.
    await redis.config_set("maxmemory", int((await redis.info("memory"))["used_memory"]) - MIB)
    with pytest.raises(Exception, match="maxmemory"):
        await redis.set("anything", "x")
    await publish(to, 2, range(811, 821))
    kept, last = await length_and_last(redis, 1)
    assert 100 < kept < 800
    assert last == 800
    assert await positions_of(redis, 2) == list(range(801, 821))
    await redis.aclose()


async def test_a_value_that_a_full_redis_does_not_take_keeps_nobody_from_reading(
    private_servers: Callable[..., Any],
) -> None:
    redis = Redis.from_url(private_servers(database=False).redis_url)
    views = RedisViews(redis)
    await views.apply(None, 1, {})
    await redis.set("other", b"x" * 4 * MIB)
    await redis.config_set("maxmemory", MIB)
    views.offer(1, "skill", "pdf", uuid4(), 1, b'"e"', b"{}")
    async with asyncio.timeout(10):
        while views._offers:
            await asyncio.sleep(0.01)
    assert views.available
    await redis.aclose()


def test_the_largest_are_trimmed_to_one_size() -> None:
    assert fair_sizes({1: 10, 2: 500, 3: 900, 4: 40}, 450) == {1: 10, 4: 40, 2: 200, 3: 200}
    assert fair_sizes({1: 10, 2: 20}, 100) == {1: 10, 2: 20}


async def test_a_large_event_is_a_reference_to_its_place_in_the_feed(
    fresh_database_url: str, redis_url: str, new_space: NewSpace
) -> None:
    redis = Redis.from_url(redis_url)
    await redis.flushdb()
    space = await new_space(scopes=("llm_skill:write", "event:read"))
    await space.create("large", metadata={"notes": "n" * 3 * MAX_EVENT, "trap": '","data":{'})
    async with await connect(fresh_database_url) as conn:
        await identity.create_project(conn, "Test")
        appender = Appender(fresh_database_url)
        await appender.start()
        skill, commit = created("small", project_id=1)
        await appender.append(commit)
        fork = skill.fork()
        changes = Changes(body="# More\n", fields={"metadata": {"notes": "n" * 3 * MAX_EVENT}})
        contents = fork.publish(changes, version_id=uuid4(), base_version=1, texts={})
        await appender.append(commit_of(fork, contents, project_id=1))
        await appender.close()
    async with following(fresh_database_url, lambda news: StreamsFollower(news, redis)):
        await reached(redis, 2)
    small, large = [msgspec.json.decode(fields[b"event"]) for fields in await entries_of(redis, 1)]
    assert "data" in small
    assert "dataref" not in small
    assert "data" not in large
    assert large["dataref"] == "/api/projects/1/events/?after=1&limit=1"
    assert (large["subject"], large["position"]) == ("skill/small", 2)
    # What such an address gives is the event with its data.
    [item], _ = await feed.page(space.conn, space.id, after=0, limit=1)
    whole = cloudevent_json(item.recorded, item.kind, item.name)
    reference = msgspec.json.decode(without_data(whole, item.recorded))
    [found] = (await space.ok(200, await space.at("GET", reference["dataref"])))["results"]
    assert found["position"] == item.recorded.position
    assert found["data"] == msgspec.json.decode(whole)["data"]
    await redis.aclose()


# Loss ------------------------------------------------------------------------------------------------------------


async def test_a_stream_lost_with_its_bookkeeping_is_made_whole(
    log: Log, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = await log.write(1, 2, 1, 2)
    async with following(log.url, lambda news: StreamsFollower(news, redis)):
        await reached(redis, written[-1])
        await redis.delete(stream_key(1), ENDS)
        written += await log.write(1)
        await reached(redis, written[-1])
        async with asyncio.timeout(20):
            while await positions_of(redis, 1) != [written[0], written[2], written[4]]:
                await asyncio.sleep(0.02)
    assert await positions_of(redis, 2) == [written[1], written[3]]


async def test_a_lost_stream_of_a_quiet_project_is_made_whole(
    log: Log, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_EVERY", 0.1)
    written = await log.write(1, 2)
    async with following(log.url, lambda news: StreamsFollower(news, redis)):
        await reached(redis, written[-1])
        await redis.delete(stream_key(1))
        async with asyncio.timeout(20):
            while await positions_of(redis, 1) != written[:1]:
                await asyncio.sleep(0.02)


async def test_a_stream_that_is_lost_again_and_again_does_not_stop_the_others(log: Log, redis: Redis) -> None:
    written = await log.write(1, 2)
    async with following(log.url, lambda news: StreamsFollower(news, redis)):
        await reached(redis, written[-1])
        for _ in range(3):
            await redis.delete(stream_key(1))
            written += await log.write(1, 2)
            await reached(redis, written[-1])
        assert await positions_of(redis, 2) == written[1::2]
        # The lost one is whole or absent.
        assert await positions_of(redis, 1) in ([], written[0::2])


async def test_a_key_that_is_no_stream_does_not_stop_the_others(log: Log, redis: Redis) -> None:
    await redis.set(stream_key(1), "somebody wrote this")
    written = await log.write(1, 2, 1)
    async with following(log.url, lambda news: StreamsFollower(news, redis)):
        await reached(redis, written[-1])
    assert await positions_of(redis, 1) == [written[0], written[2]]
    assert await positions_of(redis, 2) == [written[1]]
