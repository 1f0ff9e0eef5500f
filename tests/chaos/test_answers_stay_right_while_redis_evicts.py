"""A Redis that is far too small, and evicts whatever it likes: every answer is right, on two hosts, while skills change."""

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from redis import Redis

from api.config import ApiConfig
from store.postgres.pool import connect
from tests.support.servers import StartServers
from tests.support.space import Space, open_space, running
from tests.support.working import working

SCOPES = ("llm_skill:write", "event:read")
SKILLS = 60
BODY = 8_000  # bytes, which hardly pack
ROOM = 256 * 1024  # bytes for a cache of twice as much
CHANGES = 150
WITHIN = 30.0  # seconds for what happens by itself, on a busy machine


async def test_no_answer_is_wrong_while_redis_evicts_whatever_it_likes(
    fresh_database_url: str, private_servers: StartServers, tmp_path: Path
) -> None:
    servers = private_servers(database=False)
    redis: Redis = Redis.from_url(servers.redis_url)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(working(fresh_database_url, servers.redis_url))
        one = await host(stack, fresh_database_url, servers.redis_url, tmp_path / "one")
        two = await host(stack, fresh_database_url, servers.redis_url, tmp_path / "two", of=one)
        for number in range(SKILLS):
            await one.create(name_of(number), body=body_of(number, 1))
        used = redis.info("memory")["used_memory"]
        redis.config_set("maxmemory-policy", "allkeys-lru")
        redis.config_set("maxmemory", used + ROOM)
        evicted = redis.info("stats")["evicted_keys"]
        await change_and_read(one, two)
        assert redis.info("stats")["evicted_keys"] - evicted > SKILLS
        assert await hits(one) > 0, "Redis was of no use at all"
        # With room again, the cache is filled and counts.
        redis.config_set("maxmemory", 0)
        before = await hits(two)
        async with asyncio.timeout(WITHIN):
            while await hits(two) - before < SKILLS:
                await asyncio.gather(*(two.show(name_of(number)) for number in range(SKILLS)))
    redis.close()


async def host(
    stack: AsyncExitStack, dsn: str, redis_url: str, run_dir: Path, of: Space | None = None
) -> Space:
    """It keeps no answers of its own, so that all come from Redis or the database."""
    config = ApiConfig(
        database_url=dsn,
        redis_url=redis_url,
        run_dir=run_dir,
        rate_limit_per_minute=10**6,
        access_log=False,
        cache_bytes=0,
    )
    app = await stack.enter_async_context(running(config))
    if of is None:
        conn = await stack.enter_async_context(await connect(dsn))
        space = await open_space(app, conn, scopes=SCOPES)
    else:
        space = Space(app, of.conn, of.project, of.user, of.key)
    stack.push_async_callback(space.client.aclose)
    return space


async def change_and_read(one: Space, two: Space) -> None:
    """Changes are made on one host; the other one may show them two seconds later, but no version goes back."""
    acknowledged, shown = dict.fromkeys(range(SKILLS), 1), dict.fromkeys(range(SKILLS), 1)
    chance, writing = Random(1), True

    async def write() -> None:
        nonlocal writing
        for _ in range(CHANGES):
            number = chance.randrange(SKILLS)
            version = acknowledged[number] + 1
            await one.publish(name_of(number), version - 1, body=body_of(number, version))
            acknowledged[number] = version
        writing = False

    async def read(space: Space, *, own: bool) -> None:
        while writing:
            number = chance.randrange(SKILLS)
            least = acknowledged[number] if own else shown[number]
            found = await space.show(name_of(number))
            assert found["version"] >= least, (number, own)
            assert found["body"] == body_of(number, found["version"])
            if not own:
                shown[number] = max(shown[number], found["version"])

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        for space in (one, one, two):
            group.create_task(read(space, own=space is one))
    async with asyncio.timeout(WITHIN):
        for number, version in acknowledged.items():
            while (await two.show(name_of(number)))["version"] != version:
                await asyncio.sleep(0.05)


def name_of(number: int) -> str:
    return f"skill-{number:03d}"


def body_of(number: int, version: int) -> str:
    return f"# {number} {version}\n" + Random(number * 1_000 + version).randbytes(BODY // 2).hex() + "\n"


async def hits(space: Space) -> int:
    text = (await space.client.get("/metrics")).text
    found = re.search(r'skald_cache_requests_total\{cache="redis",result="hit"\} (\d+)', text)
    return int(found[1]) if found else 0
