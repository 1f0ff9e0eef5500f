"""Budgets per key, counted together by several processes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import monotonic, perf_counter, time
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import ConnectionPool, Redis

from api.access import rate_limit
from api.access.rate_limit import RateLimiter
from api.http.errors import RateLimited, render


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator["Redis"]:
    client: Redis = Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture(autouse=True)
async def away_from_the_turn_of_the_minute() -> None:
    """A window that ends in the middle of a test would begin a new budget."""
    left = 60 - time() % 60
    if left < 8:
        await asyncio.sleep(left + 0.1)


async def admitted(limiter: RateLimiter, key_id: UUID, requests: int) -> int:
    count = 0
    for _ in range(requests):
        try:
            if not limiter.admit_now(key_id):
                await limiter.admit(key_id)
            count += 1
        except RateLimited:
            pass
    return count


async def test_a_small_limit_is_exact_over_two_processes(redis: "Redis") -> None:
    key_id = uuid4()
    one, two = (RateLimiter(redis, per_minute=5, per_hour=100) for _ in range(2))

    passed = [await admitted((one, two)[n % 2], key_id, 1) for n in range(8)]

    assert passed == [1, 1, 1, 1, 1, 0, 0, 0]


async def test_a_small_limit_is_exact_when_requests_come_at_once(redis: "Redis") -> None:
    key_id = uuid4()
    limiters = [RateLimiter(redis, per_minute=20, per_hour=0, timeout=5) for _ in range(3)]

    counts = await asyncio.gather(*(admitted(limiter, key_id, 1) for limiter in limiters for _ in range(20)))

    assert sum(counts) == 20


async def test_four_processes_stay_within_five_percent_of_a_large_limit(redis: "Redis") -> None:
    key_id = uuid4()
    limit = 2000
    async with AsyncExitStack() as stack:
        limiters = [RateLimiter(redis, per_minute=limit, per_hour=0, timeout=5) for _ in range(4)]
        for limiter in limiters:
            limiter.start()
            stack.push_async_callback(limiter.close)
        counts = await asyncio.gather(*(admitted(limiter, key_id, limit) for limiter in limiters))

    assert limit <= sum(counts) <= limit * 1.05


class CountingRedis(Redis):
    """Counts its round trips."""

    calls = 0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


async def test_most_requests_cost_no_round_trip(redis_url: str) -> None:
    redis = CountingRedis(connection_pool=ConnectionPool.from_url(redis_url))
    limiter = RateLimiter(redis, per_minute=100_000, per_hour=0)

    assert await admitted(limiter, uuid4(), 5_000) == 5_000

    assert redis.calls <= 10
    await redis.aclose()
    await redis.connection_pool.disconnect()


async def test_what_is_left_over_is_told_in_the_background(redis: "Redis") -> None:
    key_id = uuid4()
    one, two = (RateLimiter(redis, per_minute=1000, per_hour=0) for _ in range(2))
    one.start()
    assert await admitted(one, key_id, 9) == 9
    await asyncio.sleep(0.3)

    names = [name async for name in redis.scan_iter(match=f"*{key_id.hex}*")]

    assert [await redis.get(name) for name in names] == [b"9"]
    assert 0 < await redis.ttl(names[0]) <= 120
    await two.close()
    await one.close()


async def test_a_request_refused_by_the_minute_does_not_count_for_the_hour(redis: "Redis") -> None:
    key_id = uuid4()
    one, two = (RateLimiter(redis, per_minute=3, per_hour=50) for _ in range(2))
    assert await admitted(one, key_id, 3) == 3

    assert await admitted(two, key_id, 5) == 0

    counts = {await redis.get(name) async for name in redis.scan_iter(match=f"*{key_id.hex}*")}
    assert counts == {b"3"}


async def test_a_new_minute_is_a_new_budget_and_the_hour_goes_on(
    redis: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = uuid4()
    limiter = RateLimiter(redis, per_minute=3, per_hour=5)
    start = time() // 3600 * 3600
    monkeypatch.setattr(rate_limit, "time", lambda: start)
    assert await admitted(limiter, key_id, 4) == 3

    monkeypatch.setattr(rate_limit, "time", lambda: start + 60)

    assert await admitted(limiter, key_id, 4) == 2
    with pytest.raises(RateLimited, match="per hour") as refused:
        await limiter.admit(key_id)
    assert refused.value.retry_after == 3540


async def test_the_refusal_says_how_long_to_wait(redis: "Redis") -> None:
    key_id = uuid4()
    limiter = RateLimiter(redis, per_minute=1, per_hour=0)
    await limiter.admit(key_id)

    with pytest.raises(RateLimited) as refused:
        await limiter.admit(key_id)

    answer = render(refused.value)
    headers = dict(answer.headers)
    assert answer.status == 429
    assert 1 <= int(headers[b"retry-after"]) <= 60
    assert headers[b"ratelimit-reset"] == headers[b"retry-after"]
    assert (headers[b"ratelimit-limit"], headers[b"ratelimit-remaining"]) == (b"1", b"0")
    assert headers[b"ratelimit-policy"] == b"1;w=60"


async def test_a_limit_of_zero_is_no_limit() -> None:
    assert await admitted(RateLimiter(None, per_minute=0, per_hour=0), uuid4(), 1000) == 1000


async def test_without_redis_the_process_counts_alone_and_nobody_waits() -> None:
    key_id = uuid4()
    gone: Redis = Redis.from_url("unix:///nonexistent/valkey.sock")
    limiter = RateLimiter(gone, per_minute=50, per_hour=0, timeout=0.1)
    limiter.start()
    started = perf_counter()

    assert await admitted(limiter, key_id, 60) == 50

    assert perf_counter() - started < 60 * 0.1 / 2, "each request waited its time-out"
    await limiter.close()
    await gone.aclose()


async def test_a_redis_that_hangs_delays_a_request_by_one_time_out() -> None:
    asked = 0

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(5)
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    stuck: Redis = Redis(host="127.0.0.1", port=port)
    limiter = RateLimiter(stuck, per_minute=50, per_hour=0, timeout=0.1)

    assert await admitted(limiter, uuid4(), 60) == 50

    assert asked == 1, "each request waited for it"
    server.close()
    await stuck.aclose()


async def test_what_was_counted_alone_is_told_when_redis_is_back(
    redis: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "RETRY_EVERY", 0.2)
    key_id = uuid4()
    limiter = RateLimiter(redis, per_minute=50, per_hour=0)
    limiter._away_until = monotonic() + 0.2
    assert await admitted(limiter, key_id, 10) == 10
    limiter.start()

    await asyncio.sleep(0.6)

    assert await admitted(RateLimiter(redis, per_minute=50, per_hour=0), key_id, 60) == 40
    await limiter.close()
