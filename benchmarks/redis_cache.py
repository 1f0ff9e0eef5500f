"""What the cache in Redis brings when several hosts read the same names: CPU time a cold read, with it and without.

Each host is an API process with a run folder of its own, that keeps no answers itself; all read the same names at the same time, each in
an order of its own. In turns of both kinds, so that a round's runs saw the same machine.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from random import Random
from statistics import median

import msgspec
from redis.asyncio import Redis

from benchmarks import fill, load
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import PROJECT, Server, Stage, cpu_seconds, followers, service
from projections.redis.views import RedisViews
from store.log.log import head
from store.postgres.pool import connect

NAMES = 2_000
HOSTS = (1, 2, 4)
CONNECTIONS = 4  # of clients, to each host
FILL_WITHIN = 60.0  # seconds for the follower to be at the end of the log


class Cost(msgspec.Struct, frozen=True):
    """µs of CPU time a read."""

    api: float
    database: float
    redis: float

    @property
    def total(self) -> float:
        return self.api + self.database + self.redis


def run(on: Stage, plan: Plan) -> Table:
    table = Table(
        title=f"GET by name of {NAMES:,} skills by several hosts, cold in process: with the cache in Redis and without",
        head=("hosts", "API µs", "database µs", "Redis µs", "together", "without: API µs", "database µs", "together",
              "database", "all"),
        notes=[
            "A host is an API process that keeps no answers, with 4 connections of clients. Redis is empty before, but for the row `filled`: one more host",
            "after the others. µs: CPU time a read, medians. The last two: without the cache over with it, medians of the rounds and spread.",
        ],
    )  # fmt: skip
    project_id, key = asyncio.run(_project(on))
    on = msgspec.structs.replace(on, path=PROJECT.format(project_id=project_id), key=key)
    redis_pid = asyncio.run(_redis_pid(on))
    rows = [(str(count), count, True) for count in HOSTS] + [("1, filled", 1, False)]
    found: dict[str, list[tuple[Cost, Cost]]] = {name: [] for name, _, _ in rows}
    with ExitStack() as stack:
        stack.enter_context(followers(on))
        sharing, alone = (
            [
                stack.enter_context(service(on, workers=1, cached=False, redis=redis))
                for _ in range(max(HOSTS))
            ]
            for redis in (True, False)
        )

        def cost(hosts: list[Server]) -> Cost:
            return _cost(on, redis_pid, hosts)

        # What a process does for the first time counts for none.
        for hosts in (sharing, alone):
            cost(hosts)
        for turn in range(plan.rounds):
            for name, count, emptied in rows:
                if emptied:
                    asyncio.run(_empty(on))
                pair = (sharing[:count], alone[:count])
                costs = [cost(hosts) for hosts in (pair if turn % 2 == 0 else pair[::-1])]
                found[name].append((costs[0], costs[1]) if turn % 2 == 0 else (costs[1], costs[0]))
    for name, pairs in found.items():
        with_it, without = [one for one, _ in pairs], [other for _, other in pairs]
        table.add(
            name,
            *(_middle(with_it, of) for of in (_api, _database, _redis, _total)),
            *(_middle(without, of) for of in (_api, _database, _total)),
            _ratio(pairs, _database),
            _ratio(pairs, _total),
        )
    return table


def _api(cost: Cost) -> float:
    return cost.api


def _database(cost: Cost) -> float:
    return cost.database


def _redis(cost: Cost) -> float:
    return cost.redis


def _total(cost: Cost) -> float:
    return cost.total


def _middle(costs: list[Cost], of: Callable[[Cost], float]) -> str:
    return f"{median(of(cost) for cost in costs):.0f}"


def _ratio(pairs: list[tuple[Cost, Cost]], of: Callable[[Cost], float]) -> str:
    values = [of(without) / max(of(with_it), 1.0) for with_it, without in pairs]
    return f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def _cost(on: Stage, redis_pid: int, hosts: list[Server]) -> Cost:
    """Let every host read every name once."""

    def now() -> tuple[float, float, float]:
        return (
            sum(cpu_seconds(host.pid) for host in hosts),
            cpu_seconds(on.postgres_pid),
            cpu_seconds(redis_pid),
        )

    before = now()
    with ThreadPoolExecutor(len(hosts) * CONNECTIONS) as pool:
        jobs = []
        for number, host in enumerate(hosts):
            names = [fill.name_of(name) for name in range(NAMES)]
            Random(number).shuffle(names)
            jobs += [pool.submit(_read, on, host, names[part::CONNECTIONS]) for part in range(CONNECTIONS)]
        for job in jobs:
            job.result()
    reads = len(hosts) * NAMES
    return Cost(*((after - then) / reads * 1e6 for then, after in zip(before, now(), strict=True)))


def _read(on: Stage, host: Server, names: list[str]) -> None:
    with load.connect(host.port) as opened:
        for name in names:
            status, _, body = load.exchange(opened, load.get(f"{on.path}/name/{name}", on.key))
            if status != 200:
                raise RuntimeError(body.decode(errors="replace")[:2000])


async def _project(on: Stage) -> tuple[int, str]:
    async with await connect(on.database_url) as conn:
        project_id, key = await fill.project(conn, "Hosts")
        await fill.skills(conn, project_id, NAMES)
        await conn.execute("VACUUM ANALYZE")
    return project_id, key


async def _redis_pid(on: Stage) -> int:
    async with Redis.from_url(on.redis_url) as redis:
        found: int = (await redis.info("server"))["process_id"]
    return found


async def _empty(on: Stage) -> None:
    """Forget every value, and wait until the follower vouches for what comes."""
    async with (
        Redis.from_url(on.redis_url) as redis,
        await connect(on.database_url) as conn,
        asyncio.timeout(FILL_WITHIN),
    ):
        views, end = RedisViews(redis), await head(conn)
        await views.forget_all()
        while (await views.checkpoint() or 0) < end:
            await asyncio.sleep(0.05)
