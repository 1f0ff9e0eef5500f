"""GETs by name a second: the service, warm, against an application that sends the same bytes without looking."""

from benchmarks import document
from benchmarks.figures import Load, Summary, ratios, show_ratio
from benchmarks.floor import Fixed
from benchmarks.load import Job
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import Server, Stage, client, cpu_seconds, measured, service

CONNECTIONS = (1, 8, 32)
TARGET = 0.25  # of the floor
NAME = "get"


def run(on: Stage, plan: Plan) -> Table:
    """One API process each, so that the generator has a core of its own and a request's CPU time is plain."""
    table = Table(
        title="GET by name, cached: one API process against a raw ASGI application under the same server",
        head=("connections", "Skald/s", "p50 ms", "p99 ms", "CPU µs", "generator", "floor/s", "floor p50 ms",
              "floor p99 ms", "floor CPU µs", "floor generator", "ratio", "CPU ratio"),
        notes=[
            "Skald checks key, scope and project, counts, measures and logs each request.",
            "CPU µs: CPU time of the server a request. CPU ratio: the floor's over Skald's.",
        ],
    )  # fmt: skip
    with service(on, workers=1) as server:
        fixed = prepare(on, server)
        with service(on, workers=1, answer=fixed) as floor:
            for connections in CONNECTIONS:
                ours, theirs = Summary([], {"api": []}), Summary([], {"api": []})
                for turn in range(plan.rounds):
                    pair = [(server, ours), (floor, theirs)]
                    for target, into in pair if turn % 2 == 0 else reversed(pair):
                        fetch(on, target, connections, plan, into)
                cpu = [mine / other for mine, other in zip(theirs.cpu["api"], ours.cpu["api"], strict=True)]
                table.add(
                    str(connections), ours.rate, ours.p50, ours.p99, ours.cpu_of("api"), ours.busy,
                    theirs.rate, theirs.p50, theirs.p99, theirs.cpu_of("api"), theirs.busy,
                    show_ratio(ratios(ours, theirs), TARGET), show_ratio(cpu, None),
                )  # fmt: skip
    return table


def prepare(on: Stage, server: Server) -> Fixed:
    """Make the skill and take down the service's whole answer for the floor."""
    with client(on, server) as http:
        body = {"name": NAME, "description": "A document of common size.", "body": document.body(1)}
        http.post(f"{on.path}/", json=body).raise_for_status()
        found = http.get(f"{on.path}/name/{NAME}").raise_for_status()
    headers = [(name, value) for name, value in found.headers.items() if name not in ("server", "date")]
    return Fixed(headers, found.content)


def fetch(on: Stage, server: Server, connections: int, plan: Plan, into: Summary) -> None:
    job = Job(
        port=server.port,
        key=on.key,
        path=f"{on.path}/name/{NAME}",
        connections=connections,
        warmup=plan.warmup,
        seconds=plan.seconds,
    )
    before = cpu_seconds(server.pid)
    load = measured("benchmarks.load", job, Load, timeout=plan.patience)
    into.loads.append(load)
    into.cpu["api"].append((cpu_seconds(server.pid) - before) / load.answered)
