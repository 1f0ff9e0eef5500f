"""The feed in Redis Streams: each event once and in order, whatever happens to Redis or to the follower."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from projections.events import feed
from projections.events.cloudevents import Cloudevent, cloudevent_json
from projections.redis.streams import CHECKPOINT, RedisStreams, StreamEntry, stream_key
from store.log.appender import Appender
from store.postgres.pool import connect
from store.tables import identity
from tests.support.following import following as at_work
from tests.support.histories import History
from workers import streams
from workers.streams import Replay, StreamsFollower

PROJECTS = (1, 2)


class Writer:
    """Random events of two projects."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._history = History(7, projects=PROJECTS)

    async def write(self, events: int) -> None:
        appender = Appender(self.url)
        await appender.start()
        for _ in range(events):
            await appender.append(self._history.next())
        await appender.close()

    async def expected(self, project_id: int) -> list[Cloudevent]:
        async with await connect(self.url) as conn:
            items, _ = await feed.page(conn, project_id, after=0, limit=10_000)
        return [
            msgspec.json.decode(cloudevent_json(item.recorded, item.kind, item.name), type=Cloudevent)
            for item in items
        ]

    async def head(self) -> int:
        async with await connect(self.url) as conn:
            row = await (await conn.execute("SELECT max(position) FROM events")).fetchone()
        assert row is not None
        return int(row[0])


@pytest_asyncio.fixture
async def writer(fresh_database_url: str) -> Writer:
    async with await connect(fresh_database_url) as conn:
        for _ in PROJECTS:
            await identity.create_project(conn, "Test")
    return Writer(fresh_database_url)


@asynccontextmanager
async def following(url: str, redis: Redis, *, maxlen: int = 0, replay: Replay = "0") -> AsyncIterator[None]:
    async with at_work(url, lambda news: StreamsFollower(news, redis, maxlen=maxlen, replay=replay)):
        yield


async def reached(redis: Redis, position: int) -> None:
    async with asyncio.timeout(15):
        while int(await redis.get(CHECKPOINT) or -1) != position:
            await asyncio.sleep(0.02)


async def entries_of(redis: Redis, project_id: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
    found: Any = await redis.xrange(stream_key(project_id))
    return list(found)


async def positions(redis: Redis, project_id: int) -> list[int]:
    entries = await entries_of(redis, project_id)
    for entry_id, fields in entries:
        assert entry_id == fields[b"position"] + b"-0"
    return [int(fields[b"position"]) for _, fields in entries]


async def is_whole(redis: Redis, writer: Writer) -> None:
    for project_id in PROJECTS:
        expected = await writer.expected(project_id)
        assert await positions(redis, project_id) == [event.position for event in expected]


async def test_every_event_is_an_entry_with_the_cloudevent_and_what_to_filter_by(
    writer: Writer, redis: Redis
) -> None:
    await writer.write(60)
    async with following(writer.url, redis):
        await reached(redis, await writer.head())
        await writer.write(20)
        await reached(redis, await writer.head())
    await is_whole(redis, writer)
    for project_id in PROJECTS:
        entries = await entries_of(redis, project_id)
        for (_, fields), event in zip(entries, await writer.expected(project_id), strict=True):
            assert msgspec.json.decode(fields[b"event"], type=Cloudevent) == event
            assert (fields[b"type"].decode(), fields[b"subject"].decode()) == (event.type, event.subject)


async def test_redis_refuses_a_repeat(redis: Redis) -> None:
    published = RedisStreams(redis, maxlen=0, whole=True)
    entries = [StreamEntry(1, position, b"{}", "t", "s") for position in (3, 5, 9)]
    assert await published.apply(None, 9, entries) == (0, False)
    assert await published.apply(9, 9, entries) == (3, False)
    assert await published.apply(9, 12, [*entries, StreamEntry(1, 12, b"{}", "t", "s")]) == (3, False)
    assert await positions(redis, 1) == [3, 5, 9, 12]
    assert await published.apply(9, 13, [StreamEntry(1, 13, b"{}", "t", "s")]) is None, (
        "another moved the checkpoint"
    )
    assert await positions(redis, 1) == [3, 5, 9, 12]


async def test_a_restarted_follower_leaves_no_gap_and_doubles_nothing(writer: Writer, redis: Redis) -> None:
    writing = asyncio.create_task(writer.write(120))
    for _ in range(5):
        async with following(writer.url, redis):
            await asyncio.sleep(0.1)
    await writing
    async with following(writer.url, redis):
        await reached(redis, await writer.head())
    await is_whole(redis, writer)


async def test_two_followers_do_not_disturb_each_other(writer: Writer, redis: Redis) -> None:
    async with following(writer.url, redis), following(writer.url, redis):
        await writer.write(50)
        await reached(redis, await writer.head())
    await is_whole(redis, writer)


async def test_a_flushed_redis_is_filled_again_by_itself(writer: Writer, redis: Redis) -> None:
    await writer.write(40)
    async with following(writer.url, redis):
        await reached(redis, await writer.head())
        await redis.flushdb()
        await reached(redis, await writer.head())
        await is_whole(redis, writer)
        # And in mid-flight.
        writing = asyncio.create_task(writer.write(60))
        while not writing.done():
            await asyncio.sleep(0.05)
            await redis.flushdb()
        await reached(redis, await writer.head())
    await is_whole(redis, writer)


async def test_from_head_an_emptied_redis_begins_with_what_comes(writer: Writer, redis: Redis) -> None:
    await writer.write(20)
    before = await writer.head()
    async with following(writer.url, redis, replay="head"):
        await reached(redis, before)
        await writer.write(20)
        await reached(redis, await writer.head())
    for project_id in PROJECTS:
        expected = [event.position for event in await writer.expected(project_id) if event.position > before]
        assert await positions(redis, project_id) == expected


async def test_old_entries_are_trimmed_and_not_published_again(
    writer: Writer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await writer.write(350)
    read: list[int] = []
    handle = StreamsFollower.handle

    async def spy(self: StreamsFollower, conn: Any, after: int, events: Any) -> int:
        read.append(len(events))
        return await handle(self, conn, after, events)

    monkeypatch.setattr(streams.StreamsFollower, "handle", spy)
    async with following(writer.url, redis, maxlen=10):
        await reached(redis, await writer.head())
    assert sum(read) < 100, "what would be trimmed away is not read"
    # Redis removes whole nodes of 100 entries, so write beyond one.
    await redis.flushdb()
    async with following(writer.url, redis, maxlen=10):
        await writer.write(350)
        await reached(redis, await writer.head())
    for project_id in PROJECTS:
        expected = [event.position for event in await writer.expected(project_id)]
        kept = await positions(redis, project_id)
        assert 10 <= len(kept) < 150
        assert kept == expected[-len(kept) :]


async def test_a_stream_that_redis_has_evicted_comes_back_with_the_next_event(
    writer: Writer, redis: Redis
) -> None:
    await writer.write(30)
    async with following(writer.url, redis):
        await reached(redis, await writer.head())
        await redis.delete(stream_key(1))
        await writer.write(30)
        await reached(redis, await writer.head())
    await is_whole(redis, writer)


async def test_streams_of_another_log_are_dropped(writer: Writer, redis: Redis) -> None:
    other = RedisStreams(redis, maxlen=0, whole=True)
    await other.apply(
        None, 10_000, [StreamEntry(1, 9_999, b"{}", "t", "s"), StreamEntry(77, 10_000, b"{}", "t", "s")]
    )
    await writer.write(20)
    async with following(writer.url, redis):
        await reached(redis, await writer.head())
    await is_whole(redis, writer)
    assert not await redis.exists(stream_key(77))


async def test_a_lost_redis_is_waited_for(
    fresh_database_url: str, writer: Writer, private_servers: Callable[..., Any]
) -> None:
    servers = private_servers(database=False)
    client = Redis.from_url(servers.redis_url, socket_timeout=5)
    await writer.write(10)
    async with following(writer.url, client):
        await reached(client, await writer.head())
        servers.valkey.kill()
        await writer.write(10)
        servers.valkey.start()
        await reached(client, await writer.head())
    await is_whole(client, writer)
    await client.aclose()
