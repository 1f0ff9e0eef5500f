"""GETs by name that this process has not cached: read from Redis, or from PostgreSQL, against the bare driver in the same loop.

``python -m benchmarks.cold`` measures, in a process of its own: ``RepresentationCache.get`` with a cache that holds nothing, so that each
call goes out, wired as in an API process; and the drivers alone, fetching the same bytes by one key. What both lack is HTTP.
"""

import asyncio
import gc
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any

import msgspec
import uvloop
from redis.asyncio import Redis

from api.app import redis_of
from api.cache.log_follower import LogFollower
from api.cache.positions import StreamPositions
from api.cache.reader import RepresentationCache
from api.cache.reads import Reads
from api.config import GC_THRESHOLD, ApiConfig
from benchmarks import document
from benchmarks.figures import Load, Summary, ratios, show_ratio
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import Stage, client, cpu_seconds, followers, measured, service
from projections.read.kinds import KINDS
from projections.redis.views import RedisViews, key_of
from store.log.log import head
from store.postgres.pool import connect, open_pool

CONCURRENT = (1, 8, 32)
NAMES = 400
TARGET = 0.6  # of the driver's gets a second
KIND = "skill"
FILL_WITHIN = 30.0  # seconds for the followers and the fills to catch up

Get = Callable[[str], Awaitable[Any]]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    database_url: str
    redis_url: str
    postgres_pid: int
    run_dir: str
    project_id: int
    names: int
    concurrent: tuple[int, ...]
    rounds: int
    warmup: float
    seconds: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One row: ``read`` is ``RepresentationCache.get``, ``bare`` the driver."""

    source: str
    concurrent: int
    read: Summary
    bare: Summary


def run(on: Stage, plan: Plan) -> Table:
    table = Table(
        title="GET by name, cold in process: Reader.get against the bare driver in the same event loop, without HTTP",
        head=("from", "at once", "Reader/s", "p50 ms", "p99 ms", "process µs", "database µs", "driver/s", "its p50 ms",
              "its p99 ms", "its process µs", "its database µs", "ratio", "CPU ratio"),
        notes=[
            f"{NAMES} skills in turn, uvloop, a cache of 0 bytes; each read of the row was checked to come from where it says.",
            "Redis: against GET of the same value by the same client. PostgreSQL: against SELECT of the answer's bytes by a primary key,",
            "prepared and binary, on as many connections as the pool has. µs: CPU time a read. CPU ratio: the driver's over ours.",
        ],
    )  # fmt: skip
    with service(on, workers=1) as server, client(on, server) as http:
        for number in range(NAMES):
            body = {
                "name": name_of(number),
                "description": "A document of common size.",
                "body": document.body(1),
            }
            http.post(f"{on.path}/", json=body).raise_for_status()
    job = Job(
        database_url=on.database_url,
        redis_url=on.redis_url,
        postgres_pid=on.postgres_pid,
        run_dir=str(on.folder),
        project_id=int(on.path.split("/")[3]),
        names=NAMES,
        concurrent=CONCURRENT,
        rounds=plan.rounds,
        warmup=plan.warmup,
        seconds=plan.seconds,
    )
    runs = 4 * len(CONCURRENT) * plan.rounds
    with followers(on):
        rows = measured("benchmarks.cold", job, list[Measured], timeout=runs * plan.timeout)
    for row in rows:
        ours, theirs = row.read, row.bare
        cpu = [bare / read for bare, read in zip(theirs.cpu["process"], ours.cpu["process"], strict=True)]
        table.add(
            row.source, str(row.concurrent), ours.rate, ours.p50, ours.p99, ours.cpu_of("process"),
            ours.cpu_of("database"), theirs.rate, theirs.p50, theirs.p99, theirs.cpu_of("process"),
            theirs.cpu_of("database"), show_ratio(ratios(ours, theirs), TARGET), show_ratio(cpu, None),
        )  # fmt: skip
    return table


def name_of(number: int) -> str:
    return f"cold-{number}"


# The process -----------------------------------------------------------------------------------------------------


async def measure(job: Job) -> list[Measured]:
    config = ApiConfig(
        database_url=job.database_url, redis_url=job.redis_url, run_dir=Path(job.run_dir), cache_bytes=0
    )
    rows = []
    names = [name_of(number) for number in range(job.names)]
    Random(1).shuffle(names)
    async with (
        redis_of(config) as redis,
        reader_of(config, redis) as (shared, counted),
        reader_of(config, None) as (alone, _),
    ):

        async def get(name: str) -> None:
            await shared.get(job.project_id, KIND, name)

        async def get_alone(name: str) -> None:
            await alone.get(job.project_id, KIND, name)

        async def get_bare(name: str) -> None:
            await redis.get(key_of(job.project_id, KIND, name))

        await fill(job, redis, shared, names)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)
        counted.clear()
        for concurrent in job.concurrent:
            rows.append(await compare(job, "Redis", concurrent, names, get, get_bare))
        if set(counted) != {("process", "miss"), ("redis", "hit")}:
            raise RuntimeError(f"not every read came from Redis: {counted}")
        async with selects(job, config.pool_size, shared, names) as select:
            for concurrent in job.concurrent:
                rows.append(await compare(job, "PostgreSQL", concurrent, names, get_alone, select))
    return rows


@asynccontextmanager
async def reader_of(
    config: ApiConfig, redis: Redis | None
) -> AsyncIterator[tuple[RepresentationCache, "Counter[tuple[str, str]]"]]:
    """A reader as the service wires it, and what it counted; without Redis it has PostgreSQL only."""
    counted: Counter[tuple[str, str]] = Counter()

    def count(cache: str, result: str) -> None:
        counted[cache, result] += 1

    positions = StreamPositions()
    pool = await open_pool(config.database_url, size=config.pool_size, timeout=config.pool_timeout)
    log_follower = LogFollower(config.database_url, positions)
    await log_follower.start()
    views = RedisViews(redis) if redis is not None else None
    try:
        yield (
            RepresentationCache(
                pool, Reads(pool), positions, views, KINDS, capacity=config.cache_bytes, count=count
            ),
            counted,
        )
    finally:
        await log_follower.close()
        await pool.close()
        positions.close()


async def fill(job: Job, redis: Redis, reader: RepresentationCache, names: list[str]) -> None:
    """Read until Redis has every value and its follower has seen the whole log."""
    keys = [key_of(job.project_id, KIND, name) for name in names]
    views = RedisViews(redis)
    async with await connect(job.database_url) as conn, asyncio.timeout(FILL_WITHIN):
        end = await head(conn)
        while (await views.checkpoint() or 0) < end:
            await asyncio.sleep(0.05)
        while await redis.exists(*keys) < len(keys):
            for name in names:
                await reader.get(job.project_id, KIND, name)
            await asyncio.sleep(0.05)


@asynccontextmanager
async def selects(
    job: Job, connections: int, reader: RepresentationCache, names: list[str]
) -> AsyncIterator[Get]:
    """The driver alone: one row by its primary key, the answer's own bytes in it."""
    idle: asyncio.Queue[Any] = asyncio.Queue()
    conns = [await connect(job.database_url) for _ in range(connections)]
    try:
        await conns[0].execute("DROP TABLE IF EXISTS bench_floor")
        await conns[0].execute("CREATE TABLE bench_floor (name text PRIMARY KEY, bytes bytea NOT NULL)")
        for name in names:
            body = (await reader.get(job.project_id, KIND, name)).body
            await conns[0].execute("INSERT INTO bench_floor VALUES (%s, %s)", (name, body))
        await conns[0].execute("VACUUM ANALYZE bench_floor")
        for conn in conns:
            idle.put_nowait(conn)

        async def select(name: str) -> None:
            conn = await idle.get()
            cursor = await conn.execute("SELECT bytes FROM bench_floor WHERE name = %s", (name,), binary=True)
            await cursor.fetchone()
            idle.put_nowait(conn)

        yield select
        await conns[0].execute("DROP TABLE bench_floor")
    finally:
        for conn in conns:
            await conn.close()


async def compare(job: Job, source: str, concurrent: int, names: list[str], read: Get, bare: Get) -> Measured:
    ours, theirs = (Summary([], {"process": [], "database": []}) for _ in range(2))
    for turn in range(job.rounds):
        pair = ((read, ours), (bare, theirs))
        for get, into in pair if turn % 2 == 0 else reversed(pair):
            await drive(job, concurrent, names, get, into)
    return Measured(source=source, concurrent=concurrent, read=ours, bare=theirs)


async def drive(job: Job, concurrent: int, names: list[str], get: Get, into: Summary) -> None:
    """Keep so many reads under way; what ends in the warm-up does not count, but for CPU time."""
    following = cycle(names)
    latencies: list[float] = []
    answered = 0
    cpu, database = process_time(), cpu_seconds(job.postgres_pid)
    warm = perf_counter() + job.warmup
    deadline = warm + job.seconds

    async def keep_on() -> None:
        nonlocal answered
        now = perf_counter()
        while now < deadline:
            began = now
            await get(next(following))
            now = perf_counter()
            answered += 1
            if warm <= now < deadline:
                latencies.append(now - began)

    await asyncio.gather(*(keep_on() for _ in range(concurrent)))
    # Before the look at PostgreSQL, which takes a while itself.
    spent = process_time() - cpu
    into.loads.append(Load.of(latencies, seconds=job.seconds, answered=answered, busy=0.0))
    into.cpu["process"].append(spent / answered)
    into.cpu["database"].append((cpu_seconds(job.postgres_pid) - database) / answered)


def main() -> None:
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows = runner.run(measure(job))
    sys.stdout.buffer.write(msgspec.json.encode(rows))


if __name__ == "__main__":
    main()
