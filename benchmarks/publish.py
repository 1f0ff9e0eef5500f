"""Publishes a second: the whole service against the library's own ``Application.save``, on one PostgreSQL, round by round."""

from collections.abc import Iterable, Iterator, Sequence

from benchmarks import document
from benchmarks.figures import Load, Summary, ratios, show_ratio
from benchmarks.load import Job
from benchmarks.peer import PeerJob
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import Server, Stage, client, cpu_seconds, measured, service

CLIENTS = (1, 8, 32)
# Times the peer in threads, and times the peer behind HTTP.
IN_THREADS = {8: 3.0}
OVER_HTTP = {1: 1.0, 8: 4.0, 32: 6.0}


def run(on: Stage, plan: Plan) -> Table:
    """Each client publishes to a skill of its own by a one-line edit and waits for the answer."""
    table = Table(
        title="Publish: the HTTP service against Application.save",
        head=("processes", "clients", "Skald/s", "p50 ms", "p99 ms", "API µs", "database µs", "generator", "peer/s",
              "peer p50 ms", "peer p99 ms", "ratio", "peer over HTTP/s", "its p50 ms", "ratio over HTTP"),
        notes=[
            "µs: CPU time a publish. generator: the share of one core that the client process took.",
            "The peer saves in threads of one process and writes the event alone: no HTTP, contents and read models.",
            "The peer over HTTP is the same in a handler of Litestar, by as many API processes of the same server.",
        ],
    )  # fmt: skip
    for processes in sorted({1, plan.workers}):
        # One after the other: idle processes are notified of every commit, too.
        with (
            service(on, workers=processes) as server,
            service(on, workers=processes, peer=True) as other,
        ):
            create(on, server, max(CLIENTS), f"by-{processes}")
            for clients in CLIENTS:
                add_row(table, on, plan, processes, clients, server, other)
    return table


def add_row(
    table: Table, on: Stage, plan: Plan, processes: int, clients: int, server: Server, other: Server
) -> None:
    ours, theirs = Summary([], {"api": [], "database": []}), Summary([], {})
    served = Summary([], {"api": [], "database": []})
    for turn in range(plan.rounds):
        # The first one alternates, so that none always runs into another's checkpoint.
        for who in (0, 1, 2) if turn % 2 == 0 else (2, 1, 0):
            if who == 0:
                publish(on, server, clients, plan, ours, f"by-{processes}")
            elif who == 1:
                theirs.loads.append(save(on, clients, plan))
            else:
                publish(on, other, clients, plan, served)
    table.add(
        str(processes), str(clients), ours.rate, ours.p50, ours.p99, ours.cpu_of("api"), ours.cpu_of("database"),
        ours.busy, theirs.rate, theirs.p50, theirs.p99, show_ratio(ratios(ours, theirs), IN_THREADS.get(clients)),
        served.rate, served.p50, show_ratio(ratios(ours, served), OVER_HTTP.get(clients)),
    )  # fmt: skip


def names(count: int, prefix: str = "publish") -> Iterator[str]:
    return (f"{prefix}-{number}" for number in range(count))


def create(on: Stage, server: Server, count: int, prefix: str = "publish") -> None:
    with client(on, server) as http:
        for name in names(count, prefix):
            body = {"name": name, "description": "A document of common size.", "body": document.body(1)}
            http.post(f"{on.path}/", json=body).raise_for_status()


def publish(
    on: Stage,
    server: Server,
    clients: int,
    plan: Plan,
    into: Summary,
    prefix: str = "publish",
    others: Sequence[Server] = (),
) -> None:
    """The clients spread over ``server`` and ``others``."""
    job = Job(
        port=server.port,
        key=on.key,
        path=on.path,
        connections=clients,
        names=tuple(names(clients, prefix)),
        warmup=plan.warmup,
        seconds=plan.seconds,
        others=tuple(other.port for other in others),
    )
    pids = {"api": [server.pid, *(other.pid for other in others)], "database": [on.postgres_pid]}
    before = {part: cpu_of(roots) for part, roots in pids.items()}
    load = measured("benchmarks.load", job, Load, timeout=plan.timeout)
    into.loads.append(load)
    for part, roots in pids.items():
        into.cpu[part].append((cpu_of(roots) - before[part]) / load.answered)


def cpu_of(roots: Iterable[int]) -> float:
    return sum(map(cpu_seconds, roots))


def save(on: Stage, threads: int, plan: Plan) -> Load:
    job = PeerJob(database_url=on.peer_url, threads=threads, warmup=plan.warmup, seconds=plan.seconds)
    return measured("benchmarks.peer", job, Load, timeout=plan.timeout)
