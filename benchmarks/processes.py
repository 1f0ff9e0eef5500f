"""What more API processes bring: publishes and cached GETs by 1, 2 and 4 of them on this machine."""

import asyncio
import os
from contextlib import ExitStack

import msgspec

from benchmarks import fill, get, publish
from benchmarks.figures import Summary, ratios, show_ratio
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import PROJECT, Stage, service
from store.postgres.pool import connect

PROCESSES = (1, 2, 4)
CONNECTIONS = 32


def run(on: Stage, plan: Plan) -> Table:
    """All services stand side by side and take turns, so that a round's runs saw the same machine."""
    table = Table(
        title=f"API processes: publishes and cached GETs by {CONNECTIONS} clients",
        head=("processes", "publishes/s", "p50 ms", "p99 ms", "API µs", "of 1 process", "GETs/s", "p50 ms", "p99 ms",
              "API µs", "of 1 process"),
        notes=[
            f"The generator and PostgreSQL share {len(os.sched_getaffinity(0))} cores with them.",
            "µs: CPU time a request. of 1 process: times the requests a second.",
        ],
    )  # fmt: skip
    project_id, key = asyncio.run(_project(on))
    on = msgspec.structs.replace(on, path=PROJECT.format(project_id=project_id), key=key)
    with ExitStack() as stack:
        servers = [stack.enter_context(service(on, workers=count)) for count in PROCESSES]
        publish.create(on, servers[0], CONNECTIONS)
        skill, *_ = get.prepare(on, servers[0])
        publishes = [Summary([], {"api": [], "database": []}) for _ in servers]
        gets = [Summary([], {"api": []}) for _ in servers]
        for turn in range(plan.rounds):
            order = list(range(len(servers)))
            for number in order if turn % 2 == 0 else reversed(order):
                publish.publish(on, servers[number], CONNECTIONS, plan, publishes[number])
                get.fetch(on, servers[number], skill.path, CONNECTIONS, plan, gets[number])
    for count, published, fetched in zip(PROCESSES, publishes, gets, strict=True):
        table.add(
            str(count),
            published.rate, published.p50, published.p99, published.cpu_of("api"),
            show_ratio(ratios(published, publishes[0]), None),
            fetched.rate, fetched.p50, fetched.p99, fetched.cpu_of("api"), show_ratio(ratios(fetched, gets[0]), None),
        )  # fmt: skip
    return table


async def _project(on: Stage) -> tuple[int, str]:
    """One of its own: other tables use the same names."""
    async with await connect(on.database_url) as conn:
        return await fill.project(conn, "Processes")
