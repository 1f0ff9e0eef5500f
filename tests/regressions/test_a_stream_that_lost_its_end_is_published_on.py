"""A stream that has lost its newest entries is published on from where it ends: without a gap, and no entry twice."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from projections.redis.streams import CHECKPOINT, ENDS, stream_key
from tests.regressions.test_one_project_does_not_fill_redis_for_all import Log, log, positions_of, reached
from tests.support.following import following
from workers import streams
from workers.streams import StreamsFollower

__all__ = ["log"]


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOOK_EVERY", 0.1)


@asynccontextmanager
async def published(log: Log, redis: Redis, *, maxlen: int = 0) -> AsyncIterator[None]:
    async with following(log.url, lambda news: StreamsFollower(news, redis, maxlen=maxlen)):
        yield


async def copy_of(redis: Redis, *keys: str) -> dict[str, bytes]:
    return {key: await redis.dump(key) or b"" for key in keys}


async def put_back(redis: Redis, copies: dict[str, bytes]) -> None:
    for key, value in copies.items():
        await redis.restore(key, 0, value, replace=True)


async def has(redis: Redis, project_id: int, positions: Sequence[int]) -> None:
    async with asyncio.timeout(20):
        while await positions_of(redis, project_id) != list(positions):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("quiet", [False, True])
async def test_it_goes_on_from_where_it_ends(log: Log, redis: Redis, quiet: bool) -> None:
    async with published(log, redis):
        written = await log.write(1, 2, 1)
        await reached(redis, written[-1])
        copies = await copy_of(redis, stream_key(1))
        written += await log.write(1, 2, 1)
        await reached(redis, written[-1])
        await put_back(redis, copies)
        if not quiet:
            written += await log.write(1, 2)
            await reached(redis, written[-1])
        await has(redis, 1, one_of(written))
        assert await positions_of(redis, 2) == two_of(written)


PROJECTS = (1, 2, 1, 1, 2, 1, 1, 2)  # of the events, in the order that the tests write them in


def one_of(written: Sequence[int]) -> list[int]:
    return [at for at, project in zip(written, PROJECTS, strict=False) if project == 1]


def two_of(written: Sequence[int]) -> list[int]:
    return [at for at in written if at not in one_of(written)]


async def test_bookkeeping_that_is_behind_doubles_nothing(log: Log, redis: Redis) -> None:
    async with published(log, redis):
        written = await log.write(1, 2, 1)
        await reached(redis, written[-1])
        copies = await copy_of(redis, CHECKPOINT, ENDS)
        written += await log.write(1, 2, 1)
        await reached(redis, written[-1])
        await put_back(redis, copies)
        written += await log.write(1, 2)
        await reached(redis, written[-1])
        await has(redis, 1, one_of(written))
        assert await positions_of(redis, 2) == two_of(written)


@pytest.mark.parametrize("lost", [(), (CHECKPOINT,), (CHECKPOINT, ENDS), (ENDS,)])
async def test_what_is_too_old_to_be_kept_leaves_no_gap(log: Log, redis: Redis, lost: Sequence[str]) -> None:
    async with published(log, redis, maxlen=3):
        written = await log.write(1, 1)
        await reached(redis, written[-1])
    copies = await copy_of(redis, stream_key(1))
    async with published(log, redis, maxlen=3):
        written += await log.write(*[1] * 10)
        await reached(redis, written[-1])
    await put_back(redis, copies)
    for key in lost:
        await redis.delete(key)
    async with published(log, redis, maxlen=3):
        written += await log.write(1)
        await reached(redis, written[-1])
        async with asyncio.timeout(20):
            while (found := await positions_of(redis, 1))[-1:] != written[-1:]:
                await asyncio.sleep(0.02)
        assert found == written[-len(found) :]
        assert len(found) >= 3
