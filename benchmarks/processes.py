"""What more API processes bring: publishes and cached GETs by 1, 2 and 4 of one host, and by 3 hosts, on this machine."""

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

# Hosts, and processes of each. A host is a run folder of its own: nothing is shared with the others but the database and Redis.
PLACES = ((1, 1), (1, 2), (1, 4), (3, 1))
CONNECTIONS = 32
TARGET = 1.0  # of the publishes of one process
TARGET_HOSTS = 0.9


def run(on: Stage, plan: Plan) -> Table:
    """All services stand side by side and take turns, so that a round's runs saw the same machine."""
    table = Table(
        title=f"API processes and hosts: publishes and cached GETs by {CONNECTIONS} clients",
        head=("hosts", "processes of each", "publishes/s", "p50 ms", "p99 ms", "API µs", "of 1 process", "GETs/s", "p50 ms", "p99 ms",
              "API µs", "of 1 process"),
        notes=[
            f"The generator and PostgreSQL share {len(os.sched_getaffinity(0))} cores with them.",
            "µs: CPU time a request. of 1 process: times the requests a second.",
        ],
    )  # fmt: skip
    project_id, key = asyncio.run(_project(on))
    on = msgspec.structs.replace(on, path=PROJECT.format(project_id=project_id), key=key)
    with ExitStack() as stack:
        places = [
            [stack.enter_context(service(on, workers=count)) for _ in range(hosts)] for hosts, count in PLACES
        ]
        publish.create(on, places[0][0], CONNECTIONS)
        skill, *_ = get.prepare(on, places[0][0])
        publishes = [Summary([], {"api": [], "database": []}) for _ in places]
        gets = [Summary([], {"api": []}) for _ in places]
        for turn in range(plan.rounds):
            order = list(range(len(places)))
            for number in order if turn % 2 == 0 else reversed(order):
                first, *others = places[number]
                publish.publish(on, first, CONNECTIONS, plan, publishes[number], others=others)
                get.fetch(on, first, skill.path, CONNECTIONS, plan, gets[number], others=others)
    for (hosts, count), published, fetched in zip(PLACES, publishes, gets, strict=True):
        target = TARGET_HOSTS if hosts > 1 else TARGET if count > 1 else None
        table.add(
            str(hosts), str(count),
            published.rate, published.p50, published.p99, published.cpu_of("api"),
            show_ratio(ratios(published, publishes[0]), target),
            fetched.rate, fetched.p50, fetched.p99, fetched.cpu_of("api"), show_ratio(ratios(fetched, gets[0]), None),
        )  # fmt: skip
    return table


async def _project(on: Stage) -> tuple[int, str]:
    """One of its own: other tables use the same names."""
    async with await connect(on.database_url) as conn:
        return await fill.project(conn, "Processes")
