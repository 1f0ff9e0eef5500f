"""GETs by name a second: the service, warm, against an application that sends the same bytes without looking, and 304 against 200."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from benchmarks import document
from benchmarks.figures import Load, Summary, ratios, show_most, show_ratio
from benchmarks.floor import Fixed
from benchmarks.load import Job
from benchmarks.plan import Plan
from benchmarks.publish import cpu_of
from benchmarks.report import Table
from benchmarks.stage import Server, Stage, client, measured, service

CONNECTIONS = (1, 8, 32)
TARGET = 0.5  # of the floor's requests a second
MOST_P99 = 4.0  # times the floor's p99
TARGET_304 = 1.0  # of the 200s a second
NAME = "get"


class Warm(NamedTuple):
    """What is fetched: its address, its entity tag, and the whole answer for the floor."""

    kind: str
    path: str
    etag: str
    answer: Fixed


def run(on: Stage, plan: Plan) -> Table:
    """One API process each, so that the generator has a core of its own and a request's CPU time is plain."""
    table = Table(
        title="GET by name, warm: one API process against a raw ASGI application under the same server",
        head=("request", "connections", "Skald/s", "p50 ms", "p99 ms", "CPU µs", "generator", "against", "its/s",
              "its p50 ms", "its p99 ms", "its CPU µs", "its generator", "ratio", "p99 ratio", "CPU ratio"),
        notes=[
            "Skald checks key, scope and project, counts, measures and logs each request, and sends an entity tag.",
            "Floor: the same bytes and headers without looking. A 304 is compared with the 200 of the same round.",
            "CPU µs: CPU time of the server a request. CPU ratio: the other's over Skald's.",
        ],
    )  # fmt: skip
    unchanged: list[float] = []
    with service(on, workers=1) as server:
        for warm in prepare(on, server):
            with service(on, workers=1, answer=warm.answer) as floor:
                # A short run shows that it works: prompts at one count of connections.
                for connections in CONNECTIONS if plan.seconds >= 1 or warm.kind == "skill" else (8,):
                    unchanged += compare(on, server, floor, warm, connections, plan, table)
    # Row by row it is chance which of the two is ahead.
    table.notes.append(
        f"Times the 200s of its round, all 304s together: {show_ratio(unchanged, TARGET_304)}."
    )
    return table


def compare(
    on: Stage, server: Server, floor: Server, warm: Warm, connections: int, plan: Plan, table: Table
) -> list[float]:
    """Rows of one thing at one count of connections: 200 against the floor, 304 against 200; the latter's ratios."""
    whole, unchanged, bare = (Summary([], {"api": []}) for _ in range(3))
    runs = ((server, whole, ""), (floor, bare, ""), (server, unchanged, warm.etag))
    for turn in range(plan.rounds):
        for target, into, known in runs if turn % 2 == 0 else reversed(runs):
            fetch(on, target, warm.path, connections, plan, into, known)
    for request, ours, against, theirs in (
        (warm.kind, whole, "floor", bare),
        (f"{warm.kind}, 304", unchanged, "200", whole),
    ):
        cpu = [mine / other for mine, other in zip(theirs.cpu["api"], ours.cpu["api"], strict=True)]
        slower = [mine.p99 / other.p99 for mine, other in zip(ours.loads, theirs.loads, strict=True)]
        table.add(
            request, str(connections), ours.rate, ours.p50, ours.p99, ours.cpu_of("api"), ours.busy,
            against, theirs.rate, theirs.p50, theirs.p99, theirs.cpu_of("api"), theirs.busy,
            show_ratio(ratios(ours, theirs), TARGET if against == "floor" else None),
            show_most(slower, MOST_P99) if against == "floor" else f"{median(slower):.2f}",
            show_ratio(cpu, None),
        )  # fmt: skip
    return ratios(unchanged, whole)


def prepare(on: Stage, server: Server) -> list[Warm]:
    """Make a skill and a prompt of common size, and take down the service's whole answers for the floor."""
    prompts = on.path.replace("llm_skills", "llm_prompts")
    skill = {"name": NAME, "description": "A document of common size.", "body": document.body(1)}
    prompt = {"name": NAME, "prompt": document.body(1)}
    made = []
    with client(on, server) as http:
        for kind, root, body in (("skill", on.path, skill), ("prompt", prompts, prompt)):
            http.post(f"{root}/", json=body).raise_for_status()
            path = f"{root}/name/{NAME}"
            found = http.get(path).raise_for_status()
            headers = [
                (name, value) for name, value in found.headers.items() if name not in ("server", "date")
            ]
            made.append(Warm(kind, path, found.headers["etag"], Fixed(headers, found.content)))
    return made


def fetch(
    on: Stage,
    server: Server,
    path: str,
    connections: int,
    plan: Plan,
    into: Summary,
    known: str = "",
    others: Sequence[Server] = (),
) -> None:
    """The connections spread over ``server`` and ``others``."""
    job = Job(
        port=server.port,
        key=on.key,
        path=path,
        known=known,
        connections=connections,
        warmup=plan.warmup,
        seconds=plan.seconds,
        others=tuple(other.port for other in others),
    )
    pids = [server.pid, *(other.pid for other in others)]
    before = cpu_of(pids)
    load = measured("benchmarks.load", job, Load, timeout=plan.timeout)
    into.loads.append(load)
    into.cpu["api"].append((cpu_of(pids) - before) / load.answered)
