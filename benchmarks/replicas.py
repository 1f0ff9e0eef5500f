"""What replicas take from the primary: the same reads with none, one and two of them, beside a writer who publishes on."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Thread

import httpx
import msgspec
from psycopg.conninfo import make_conninfo

from benchmarks import document, fill
from benchmarks.figures import Load, Summary, ratios, show_ratio
from benchmarks.load import Job
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import PROJECT, Server, Stage, client, cpu_seconds, measured, service
from cli.embedded.postgres import DATABASE, ROLE, EmbeddedPostgres
from store.postgres.pool import connect
from tests.support.cluster import with_standby

REPLICAS = (0, 1, 2)
SKILLS, QUICK_SKILLS = 1_500, 100
CONNECTIONS = 8
PAUSE = 0.05  # seconds between two publishes of the writer

READS = {
    "list of 20": "/?limit=20",
    "search, a 64th": f"/?search={fill.TOPICS[0]}",
    "history of a name": f"/name/{fill.name_of(7)}/history",
    "cold read by name": f"/name/{fill.name_of(8)}",
}


def run(on: Stage, plan: Plan) -> Table:
    """One API process each that keeps no answers; all stand side by side and take turns."""
    table = Table(
        title=f"Reads with replicas: {CONNECTIONS} clients, beside 20 publishes a second",
        head=("read", "replicas", "reads/s", "p50 ms", "p99 ms", "of none", "API µs", "primary µs", "replicas µs", "by a replica"),
        notes=[
            "µs: CPU time a read, that of the publishes is in it. of none: times the reads a second.",
            "by a replica: its statements a read; cold reads that wait for the same name share one.",
            "Primary, replicas, API process and generator share the cores of one machine: more replicas bring no more reads here, but "
            "the primary is left alone.",
        ],
    )  # fmt: skip
    project_id, key = asyncio.run(_fill(on, SKILLS if plan.seconds >= 1 else QUICK_SKILLS))
    on = msgspec.structs.replace(on, path=PROJECT.format(project_id=project_id), key=key)
    with ExitStack() as stack:
        standbys = [stack.enter_context(with_standby(on.postgres)).standby for _ in range(max(REPLICAS))]
        servers = [
            stack.enter_context(service(on, workers=1, cached=False, redis=False, replicas=_url(standbys[:count])))
            for count in REPLICAS
        ]  # fmt: skip
        stack.enter_context(_writing(on, servers[0]))
        for name, path in READS.items():
            found = [
                Summary([], {part: [] for part in ("api", "primary", "replicas", "hits")}) for _ in servers
            ]
            for turn in range(plan.rounds):
                order = list(range(len(servers)))
                for number in order if turn % 2 == 0 else reversed(order):
                    _read(on, servers[number], standbys, path, plan, found[number])
            for count, summary in zip(REPLICAS, found, strict=True):
                hits = sum(summary.cpu["hits"]) / sum(load.answered for load in summary.loads)
                table.add(
                    name, str(count), summary.rate, summary.p50, summary.p99,
                    show_ratio(ratios(summary, found[0]), None), summary.cpu_of("api"), summary.cpu_of("primary"),
                    summary.cpu_of("replicas"), f"{hits:.0%}",
                )  # fmt: skip
    return table


def _url(standbys: list[EmbeddedPostgres]) -> str | None:
    if not standbys:
        return None
    return make_conninfo(
        host=",".join(str(standby.sockets) for standby in standbys),
        port=",".join("5432" for _ in standbys),
        user=ROLE,
        dbname=DATABASE,
        load_balance_hosts="random",
    )


async def _fill(on: Stage, count: int) -> tuple[int, str]:
    async with await connect(on.database_url) as conn:
        project_id, key = await fill.project(conn, "Replicas")
        await fill.skills(conn, project_id, count)
        await conn.execute("VACUUM (ANALYZE)")
    return project_id, key


@contextmanager
def _writing(on: Stage, server: Server) -> Iterator[None]:
    """Publishes to one skill, some 20 a second."""
    ended = Event()

    def write() -> None:
        with client(on, server) as http:
            body = {"name": "written", "description": "Is written all the time.", "body": document.body(1)}
            http.post(f"{on.path}/", json=body).raise_for_status()
            version = 1
            while not ended.wait(PAUSE):
                change = {"body": document.body(version + 1), "base_version": version}
                http.patch(f"{on.path}/name/written", json=change).raise_for_status()
                version += 1

    thread = Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _read(
    on: Stage, server: Server, standbys: list[EmbeddedPostgres], path: str, plan: Plan, into: Summary
) -> None:
    roots = {
        "api": [server.pid],
        "primary": [on.postgres_pid],
        "replicas": [standby.child.pid for standby in standbys if standby.child is not None],
    }
    job = Job(
        port=server.port,
        key=on.key,
        path=f"{on.path}{path}",
        connections=CONNECTIONS,
        warmup=plan.warmup,
        seconds=plan.seconds,
    )
    before = {part: sum(map(cpu_seconds, pids)) for part, pids in roots.items()}
    hits = _hits(server)
    load = measured("benchmarks.load", job, Load, timeout=plan.timeout)
    into.loads.append(load)
    into.cpu["hits"].append(_hits(server) - hits)
    for part, pids in roots.items():
        into.cpu[part].append((sum(map(cpu_seconds, pids)) - before[part]) / load.answered)


def _hits(server: Server) -> float:
    """Reads that a replica has answered since the start."""
    line = 'skald_cache_requests_total{cache="replica",result="hit"} '
    text = httpx.get(f"http://127.0.0.1:{server.port}/metrics", timeout=10).text
    return sum(float(found.removeprefix(line)) for found in text.splitlines() if found.startswith(line))
