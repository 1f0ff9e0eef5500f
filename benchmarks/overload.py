"""Four times what the service can do: which requests are admitted, how long they wait, and how soon the service recovers."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from statistics import median
from time import perf_counter

import httpx
import msgspec

from benchmarks import fill
from benchmarks.figures import milliseconds
from benchmarks.plan import Plan
from benchmarks.pressure import RETRYABLE, Push, Pushed, at
from benchmarks.report import Table
from benchmarks.stage import Server, Stage, measured, service
from store.postgres.pool import connect

TIMES = 4.0  # the capacity
CONNECTIONS = 32  # by which the capacity is measured, with all of them busy
CLIENTS = 600  # whose requests may wait at once while there is too much: more than the processes take on
VERSIONS = 500  # of each of the skills that are read: each is read once, so that no cache of a process has it
SLICE = 0.5  # seconds of one look at the pace, before and after
LOOKS = 5  # before; their medians are the capacity, because one look may be a fifth off on a noisy machine
RECOVERED = 0.9  # of the rate before, with the p50 within as much
STEPS = 16  # parts of what is read: each probe reads a part that was not read yet
RECOVERY_TIMEOUT = 15.0  # seconds
PROBES = ("/healthz", "/readyz", "/metrics")


class Pace(msgspec.Struct, frozen=True):
    """Answers a second, and seconds that half of them take at most."""

    rate: float
    p50: float


class Probes(msgspec.Struct):
    """What the probes answered meanwhile, and the longest time that each took."""

    statuses: dict[str, Counter[int]]
    longest: dict[str, float]

    def shown(self) -> str:
        parts = []
        for path in PROBES:
            answers = ", ".join(
                f"{number} × {status}" for status, number in sorted(self.statuses[path].items())
            )
            parts.append(f"{path} {answers or 'nothing'} (longest {milliseconds(self.longest[path])} ms)")
        return "; ".join(parts)


def run(on: Stage, plan: Plan) -> Table:
    """The API processes as they are set by default, without limits of rate."""
    seconds = max(3.0, plan.seconds * 3)
    table = Table(
        title=f"Overload: {TIMES:g} times the capacity for {seconds:g} s, {plan.workers} API processes",
        head=("requests", "capacity/s", "p50 ms", "asked/s", "200/s", "of capacity", "p50 ms", "p99 ms",
              "503 or 429/s", "their p99 ms", "others", "without Retry-After", "not sent", "back after s"),
        notes=[
            f"capacity: {CONNECTIONS} connections, each asking again when answered, median of {LOOKS} looks of {SLICE:g} s. Then {CLIENTS:,} clients ask at their own times.",
            "not sent: at that moment all clients waited for an answer.",
            f"back after: seconds until the rate of a look is ≥ {RECOVERED:g} of the capacity and the p50 within {1 / RECOVERED:.2f} of its own, on the same {CONNECTIONS} connections.",
        ],
    )  # fmt: skip
    project_id, key = asyncio.run(_fill(on, plan))
    path = f"/api/projects/{project_id}/llm_skills"
    for what in ("publishes", "reads, not cached"):
        paths = () if what == "publishes" else _old_versions(path, _readable(plan))
        with service(on, workers=plan.workers) as server:
            few = Push(
                port=server.port,
                key=key,
                path=path,
                rate=0,
                seconds=SLICE,
                names=tuple(map(fill.name_of, range(CONNECTIONS))),
                paths=paths,
            )
            looks = _looks(few, plan)
            # What is prepared by the first one is there in the others.
            next(looks)
            several = [next(looks) for _ in range(LOOKS)]
            before = Pace(median(one.rate for one in several), median(one.p50 for one in several))
            many = msgspec.structs.replace(
                few,
                rate=before.rate * TIMES,
                seconds=seconds,
                names=tuple(fill.name_of(CLIENTS + number) for number in range(CLIENTS)),
                first=len(paths) * (LOOKS + 1) // STEPS,
                fresh=True,
            )
            with _probing(server) as probes:
                found = _push(many, plan)
            back = _recovery(_looks(few, plan, STEPS - 3), before)
        _add(table, what, before, many, found, back)
        table.notes.append(f"Meanwhile, at {what}: {probes.shown()}.")
    return table


def _push(job: Push, plan: Plan) -> Pushed:
    return measured("benchmarks.pressure", job, Pushed, timeout=job.seconds + plan.timeout)


def _looks(few: Push, plan: Plan, step: int = 0) -> Iterator[Pace]:
    """The pace, again and again."""
    for number in count(step):
        first = len(few.paths) * (number % STEPS) // STEPS
        found = _push(msgspec.structs.replace(few, first=first), plan)
        yield Pace(found.rate, found.latency(50))


def _add(table: Table, what: str, before: Pace, many: Push, found: Pushed, back: float | None) -> None:
    others = sum(number for status, number in found.statuses.items() if int(status) not in (200, *RETRYABLE))
    if found.first_other:
        table.notes.append(f"The first other answer: {found.first_other.splitlines()[0]}")
    table.add(
        what, f"{before.rate:,.0f}", milliseconds(before.p50), f"{many.rate:,.0f}",
        f"{found.rate:,.0f}", f"{found.rate / before.rate:.2f}",
        milliseconds(found.latency(50)), milliseconds(found.latency(99)),
        f"{len(found.refused) / found.seconds:,.0f}", milliseconds(at(found.refused, 99)) if found.refused else "–",
        f"{others:,}", f"{found.hasty:,}", f"{found.unsent:,}",
        f"{back:.1f}" if back is not None else f"MISSES {RECOVERY_TIMEOUT:g}",
    )  # fmt: skip


def _recovery(looks: Iterator[Pace], before: Pace) -> float | None:
    """Seconds until one look is as good as those before; None when none is in time."""
    started = perf_counter()
    for found in looks:
        if found.rate >= RECOVERED * before.rate and found.p50 * RECOVERED <= before.p50:
            return perf_counter() - started
        if perf_counter() - started > RECOVERY_TIMEOUT:
            break
    return None


@contextmanager
def _probing(server: Server) -> Iterator[Probes]:
    """Asks the probes on connections of their own, as an orchestrator does, as long as the block runs."""
    probes = Probes({path: Counter() for path in PROBES}, dict.fromkeys(PROBES, 0.0))
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.25):
            for path in PROBES:
                started = perf_counter()
                try:
                    status = httpx.get(f"http://127.0.0.1:{server.port}{path}", timeout=10).status_code
                except httpx.HTTPError:
                    status = 0
                probes.statuses[path][status] += 1
                probes.longest[path] = max(probes.longest[path], perf_counter() - started)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield probes
    finally:
        stop.set()
        thread.join()


def _readable(plan: Plan) -> int:
    return 100 if plan.seconds >= 1 else 4


async def _fill(on: Stage, plan: Plan) -> tuple[int, str]:
    """Skills to read old versions of, to measure the capacity by, and one for each client."""
    async with await connect(on.database_url) as conn:
        project_id, key = await fill.project(conn, "Overload")
        await fill.skills(conn, project_id, CONNECTIONS)
        await fill.skills(conn, project_id, CLIENTS, first=CLIENTS)
        await fill.skills(conn, project_id, _readable(plan), versions=VERSIONS, first=2 * CLIENTS)
    return project_id, key


def _old_versions(path: str, count: int) -> tuple[str, ...]:
    return tuple(
        f"{path}/name/{fill.name_of(2 * CLIENTS + number)}?version={version}"
        for version in range(1, VERSIONS + 1)
        for number in range(count)
    )
