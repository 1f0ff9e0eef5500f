"""The shared cache: an older value never replaces a newer one, and nothing in it claims to be true for longer than it is."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from projections.redis import views as redis_views
from projections.redis.views import RedisViews, key_of
from tests.support.servers import StartServers

STREAM = uuid4()
TAG = b'"' + b"a" * 32 + b'"'


@pytest.fixture
def views(redis: "Redis") -> RedisViews:
    return RedisViews(redis)


KEY = key_of(1, "skill", "x")


async def offer(views: RedisViews, as_of: int, body: bytes, name: str = "x") -> None:
    views.offer(1, "skill", name, STREAM, as_of, TAG, body)
    await asyncio.gather(*views._offers)


async def found(views: RedisViews, name: str = "x") -> tuple[bytes, int] | None:
    view = await views.get(1, "skill", name)
    return None if view is None else (view.body, view.as_of)


def is_away(views: RedisViews) -> bool:
    return not views.available


async def test_a_value_is_true_up_to_the_checkpoint(views: RedisViews) -> None:
    assert await views.apply(None, 4, {})
    await offer(views, 4, b"four")
    assert await views.apply(4, 5, {})
    view = await views.get(1, "skill", "x")
    assert view == (STREAM, TAG, b"four", 5)
    assert await views.apply(5, 9, {key_of(1, "skill", "y"): 7, key_of(2, "skill", "x"): 9})
    assert await found(views) == (b"four", 9)
    assert await found(views, "unknown") is None


async def test_a_value_may_be_newer_than_the_checkpoint(views: RedisViews) -> None:
    assert await views.apply(None, 5, {})
    await offer(views, 8, b"eight")
    assert await found(views) == (b"eight", 8)
    # The events that it was read after do not outdate it, the next one does.
    assert await views.apply(5, 9, {KEY: 8})
    assert await found(views) == (b"eight", 9)
    assert await views.apply(9, 12, {KEY: 10})
    assert await found(views) is None


async def test_nothing_is_taken_before_the_follower_has_begun(views: RedisViews) -> None:
    await offer(views, 5, b"five")
    assert await found(views) is None
    await views.apply(None, 5, {})
    await offer(views, 5, b"five")
    assert await found(views) == (b"five", 5)


async def test_an_offer_of_before_an_applied_event_is_refused(views: RedisViews) -> None:
    await views.apply(None, 5, {})
    # A reader has read at 5; the event at 6 is applied; only now the reader's value arrives.
    await views.apply(5, 6, {KEY: 6})
    await offer(views, 5, b"five")
    assert await found(views) is None
    # Nor may it come under a name that the event did not touch: nobody knows that it did not.
    await offer(views, 5, b"five", name="y")
    assert await found(views, "y") is None


async def test_the_newer_of_two_offers_stays(views: RedisViews) -> None:
    await views.apply(None, 5, {})
    await offer(views, 8, b"eight")
    await offer(views, 7, b"seven")
    assert await found(views) == (b"eight", 8)


async def test_two_followers_cannot_both_go_on(views: RedisViews) -> None:
    assert await views.apply(None, 5, {})
    assert await views.apply(5, 6, {})
    await offer(views, 6, b"six")
    assert not await views.apply(5, 7, {KEY: 7})
    assert not await views.apply(None, 1, {})
    assert await found(views) == (b"six", 6)
    assert await views.checkpoint() == 6


async def test_a_flushed_redis_has_nothing_and_takes_nothing(views: RedisViews, redis: "Redis") -> None:
    await views.apply(None, 5, {})
    await offer(views, 5, b"five")
    await redis.flushdb()
    assert await found(views) is None
    await offer(views, 9, b"nine")
    assert await found(views) is None
    assert not await views.apply(5, 6, {KEY: 6})
    assert await views.checkpoint() is None


async def test_an_older_snapshot_claims_no_more_than_it_knew(views: RedisViews, redis: "Redis") -> None:
    await views.apply(None, 5, {})
    await offer(views, 5, b"five")
    saved: dict[Any, Any] = {key: await redis.dump(key) for key in await redis.keys()}
    await views.apply(5, 6, {KEY: 6})
    await offer(views, 6, b"six")
    for key, dumped in saved.items():
        await redis.restore(key, 0, dumped, replace=True)
    assert await found(views) == (b"five", 5)
    # The follower notices, because the checkpoint is not where it left it, and goes on from there.
    assert not await views.apply(6, 7, {})
    assert await views.apply(5, 6, {KEY: 6})
    assert await found(views) is None


async def test_all_is_forgotten_and_nothing_else(views: RedisViews, redis: "Redis") -> None:
    await redis.set("another", "thing")
    await views.apply(None, 5, {})
    for n in range(50):
        await offer(views, 5, b"five", name=f"n{n}")
    assert len(await redis.keys()) == 52
    await views.forget_all()
    assert await redis.keys() == [b"another"]
    await offer(views, 5, b"five")
    assert await found(views) is None


class Commands:
    """Notes which keys each command fetches, and holds the commands back until ``opened``."""

    def __init__(self, views: RedisViews, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys: list[list[str]] = []
        self.opened = asyncio.Event()
        self.failing = False
        mget = views._redis.mget

        async def held(*keys: str) -> Any:
            self.keys.append([key for key in keys if key != redis_views.CHECKPOINT])
            await self.opened.wait()
            if self.failing:
                raise ConnectionError("cut")
            return await mget(*keys)

        monkeypatch.setattr(views._redis, "mget", held)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.keys) < count:
                await asyncio.sleep(0.005)


async def written(views: RedisViews, names: list[str]) -> None:
    await views.apply(None, 5, {})
    for name in names:
        await offer(views, 6, name.encode(), name)


async def test_what_is_asked_meanwhile_is_fetched_together(
    views: RedisViews, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"n{number}" for number in range(redis_views.MAX_BATCH + 5)]
    await written(views, names)
    commands = Commands(views, monkeypatch)
    first = []
    for name in names[: redis_views.MAX_CONCURRENT]:
        first.append(asyncio.create_task(found(views, name)))
        await commands.until(len(first))
    others = [asyncio.create_task(found(views, name)) for name in ("unknown", *names, *names)]
    await asyncio.sleep(0.05)
    assert len(commands.keys) == redis_views.MAX_CONCURRENT
    commands.opened.set()
    async with asyncio.timeout(5):
        expected: list[tuple[bytes, int] | None] = [(name.encode(), 6) for name in names]
        assert await asyncio.gather(*first) == expected[: redis_views.MAX_CONCURRENT]
        assert await asyncio.gather(*others) == [None, *expected, *expected]
    sizes = [len(keys) for keys in commands.keys]
    assert sizes == [1] * redis_views.MAX_CONCURRENT + [redis_views.MAX_BATCH, 6]
    # And a request after a pause is not forgotten.
    async with asyncio.timeout(5):
        assert await found(views, "n0") == (b"n0", 6)


async def test_a_reader_that_leaves_takes_no_other_along(
    views: RedisViews, monkeypatch: pytest.MonkeyPatch
) -> None:
    await written(views, ["x", "y"])
    commands = Commands(views, monkeypatch)
    asked = [asyncio.create_task(found(views, name)) for name in "xxyy"]
    await commands.until(1)
    asked[0].cancel()
    asked[3].cancel()
    await asyncio.sleep(0)
    commands.opened.set()
    async with asyncio.timeout(5):
        assert await asked[1] == (b"x", 6)
        assert await asked[2] == (b"y", 6)


async def test_a_failure_keeps_nobody_waiting(views: RedisViews, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_views, "RETRY", 0.1)
    await written(views, ["x", "y"])
    commands = Commands(views, monkeypatch)
    asked = []
    for count in range(1, redis_views.MAX_CONCURRENT + 1):
        asked.append(asyncio.create_task(found(views)))
        await commands.until(count)
    asked += [asyncio.create_task(found(views, name)) for name in "xyz"]
    await asyncio.sleep(0)
    commands.failing = True
    commands.opened.set()
    async with asyncio.timeout(5):
        assert await asyncio.gather(*asked) == [None] * len(asked)
    assert is_away(views)
    # Those who waited were not each sent to find out for themselves.
    assert len(commands.keys) == redis_views.MAX_CONCURRENT
    commands.failing = False
    await asyncio.sleep(0.15)
    async with asyncio.timeout(5):
        assert await found(views) == (b"x", 6)


async def test_what_an_earlier_release_left_for_an_archived_name_is_no_value(
    views: RedisViews, redis: "Redis"
) -> None:
    await views.apply(None, 5, {})
    await redis.set(KEY, (5).to_bytes(8, "big") + bytes(16) + b" " * 34)
    assert await found(views) is None


async def test_values_do_not_stay_for_ever(views: RedisViews, redis: "Redis") -> None:
    await views.apply(None, 5, {})
    await offer(views, 6, b"six")
    assert 0 < await redis.ttl(KEY) <= redis_views.TTL
    assert await redis.ttl(redis_views.CHECKPOINT) == -1


async def test_without_redis_reads_do_not_wait(
    private_servers: StartServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_views, "RETRY", 0.1)
    servers = private_servers(database=False)
    assert servers.valkey is not None
    client: Redis = Redis.from_url(
        servers.redis_url, socket_timeout=0.2, socket_connect_timeout=0.2, retry=None
    )
    views = RedisViews(client)
    await views.apply(None, 5, {})
    servers.valkey.stop()
    assert await found(views) is None
    assert is_away(views)
    views.offer(1, "skill", "x", STREAM, 9, TAG, b"nine")
    assert not views._offers
    servers.valkey.start()
    await asyncio.sleep(0.15)
    assert not is_away(views)
    await found(views)
    await asyncio.sleep(0.15)
    await views.apply(await views.checkpoint(), 6, {})
    await offer(views, 6, b"six")
    assert await found(views) == (b"six", 6)
    await client.aclose()
