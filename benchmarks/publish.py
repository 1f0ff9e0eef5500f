"""Publishes a second: the whole service against the library's own ``Application.save``, on one PostgreSQL, round by round."""

from collections.abc import Iterator

from benchmarks import document
from benchmarks.figures import Load, Summary, ratios, show_ratio
from benchmarks.load import Job
from benchmarks.peer import PeerJob
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import Server, Stage, client, cpu_seconds, measured, service

CLIENTS = (1, 8, 32)
TARGETS = {8: 3.0}  # times the peer


def run(on: Stage, plan: Plan) -> Table:
    """Each client publishes to a skill of its own by a one-line edit and waits for the answer."""
    table = Table(
        title=f"Publish: HTTP service, {plan.workers} API processes, against Application.save in threads",
        head=("clients", "Skald/s", "p50 ms", "p99 ms", "API µs", "database µs", "generator", "peer/s", "peer p50 ms",
              "peer p99 ms", "ratio", "peer over HTTP/s", "its p50 ms", "ratio over HTTP"),
        notes=[
            "µs: CPU time a publish. generator: the share of one core that the client process took.",
            "The peer writes the event alone, without HTTP, contents and read models.",
            "The peer over HTTP is the same in a handler of Litestar, by as many API processes of the same server.",
        ],
    )  # fmt: skip
    with service(on, workers=plan.workers) as server, service(on, workers=plan.workers, peer=True) as other:
        create(on, server, max(CLIENTS))
        for clients in CLIENTS:
            ours, theirs = Summary([], {"api": [], "database": []}), Summary([], {})
            served = Summary([], {"api": [], "database": []})
            for turn in range(plan.rounds):
                # Who goes first alternates, so that nobody always finds another's checkpoint.
                for who in (0, 1, 2) if turn % 2 == 0 else (2, 1, 0):
                    if who == 0:
                        publish(on, server, clients, plan, ours)
                    elif who == 1:
                        theirs.loads.append(save(on, clients, plan))
                    else:
                        publish(on, other, clients, plan, served)
            target = TARGETS.get(clients)
            table.add(
                str(clients), ours.rate, ours.p50, ours.p99, ours.cpu_of("api"), ours.cpu_of("database"), ours.busy,
                theirs.rate, theirs.p50, theirs.p99, show_ratio(ratios(ours, theirs), target),
                served.rate, served.p50, show_ratio(ratios(ours, served), target),
            )  # fmt: skip
    return table


def names(count: int) -> Iterator[str]:
    return (f"publish-{number}" for number in range(count))


def create(on: Stage, server: Server, count: int) -> None:
    with client(on, server) as http:
        for name in names(count):
            body = {"name": name, "description": "A document of common size.", "body": document.body(1)}
            http.post(f"{on.path}/", json=body).raise_for_status()


def publish(on: Stage, server: Server, clients: int, plan: Plan, into: Summary) -> None:
    job = Job(
        port=server.port,
        key=on.key,
        path=on.path,
        connections=clients,
        names=tuple(names(clients)),
        warmup=plan.warmup,
        seconds=plan.seconds,
    )
    pids = {"api": server.pid, "database": on.postgres_pid}
    before = {part: cpu_seconds(pid) for part, pid in pids.items()}
    load = measured("benchmarks.load", job, Load, timeout=plan.patience)
    into.loads.append(load)
    for part, pid in pids.items():
        into.cpu[part].append((cpu_seconds(pid) - before[part]) / load.answered)


def save(on: Stage, threads: int, plan: Plan) -> Load:
    job = PeerJob(database_url=on.peer_url, threads=threads, warmup=plan.warmup, seconds=plan.seconds)
    return measured("benchmarks.peer", job, Load, timeout=plan.patience)
