"""Mixed traffic for minutes over `skald serve`: memory of the API processes, and what is true at the end.

``python -m benchmarks.soak`` is the traffic, in a process of its own: a few clients, each doing one thing after the other.
"""

import asyncio
import contextlib
import json
import os
import random
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, perf_counter

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks import document, feed, fill
from benchmarks.figures import milliseconds
from benchmarks.load import SILENCE
from benchmarks.plan import Plan
from benchmarks.pressure import Client, at
from benchmarks.report import Table
from benchmarks.stage import START_TIMEOUT, Stage, free_port, measured
from cli.process.child import Child
from cli.schema import migrate
from cli.server.serve import is_ready
from cli.settings import Settings
from store.postgres.pool import connect
from store.tables import identity

FLAT = 0.10  # of the memory at the start
CLIENTS = 8
SKILLS = 400  # that are there from the start and stay
WARM = 0.25  # of the minutes, until caches are full and every path has been taken
SAMPLES = 12
MIB = 1024 * 1024
# Small enough to be full when the warm-up ends, so that what grows later is no cache.
CACHE_BYTES = 4 * MIB

# What a client does next, by weight.
MIX = {
    "get": 50,
    "get old": 10,
    "list": 6,
    "search": 6,
    "resolve": 4,
    "get prompt": 6,
    "publish": 10,
    "create": 3,
    "archive": 2,
    "label": 3,
}
RIGHT = {200, 201, 204}


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """``path`` is that of the project."""

    port: int
    key: str
    path: str
    seconds: float


class Driven(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered: latencies in seconds by what was done; ``wrong`` are answers that should not be, with one of them."""

    seconds: float
    latencies: dict[str, list[float]]
    wrong: int
    example: str


class Memory(msgspec.Struct, frozen=True):
    """Bytes of a process: resident, and its own alone."""

    rss: int
    uss: int

    @classmethod
    def of(cls, pid: int) -> "Memory":
        fields: Counter[str] = Counter()
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, value, *_ = line.split()
            fields[name.rstrip(":")] += int(value) * 1024
        return cls(fields["Rss"], fields["Private_Clean"] + fields["Private_Dirty"])


def run(on: Stage, plan: Plan) -> list[Table]:
    seconds = plan.minutes * 60
    url, redis_url = asyncio.run(_database(on)), f"{on.redis_url}?db=1"
    project_id, key = asyncio.run(_fill(url))
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=on.folder))
    settings = Settings(
        database_url=url,
        redis_url=redis_url,
        data_dir=folder,
        port=free_port(),
        workers=plan.workers,
        rate_limit_per_minute=0,
        rate_limit_per_hour=0,
        cache_bytes=CACHE_BYTES,
    )
    shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
    env = {**shown, **settings.to_env()}
    path = f"/api/projects/{project_id}"
    with _serving(settings, env) as pid, _following(settings.port, key, path, url) as consumer:
        pids = api_processes(pid)
        traffic = Traffic(port=settings.port, key=key, path=path, seconds=seconds)
        with _sampling(pids, seconds) as samples:
            driven = measured("benchmarks.soak", traffic, Driven, timeout=seconds + plan.timeout)
        if alive := set(pids) - set(api_processes(pid)):
            raise RuntimeError(f"API processes ended meanwhile: {alive}")
        seen, expected = consumer(project_id)
        verified = subprocess.run(
            [sys.executable, "-m", "cli.main", "verify"], env=env, capture_output=True, check=False, text=True
        )
    return [
        _traffic_table(plan, driven, seen, expected, verified),
        _memory_table(plan, pids, samples),
    ]


def _traffic_table(
    plan: Plan,
    driven: Driven,
    seen: list[int],
    expected: list[int],
    verified: "subprocess.CompletedProcess[str]",
) -> Table:
    table = Table(
        title=f"Soak: {CLIENTS} clients for {plan.minutes:g} min over `skald serve`, {plan.workers} API processes",
        head=("what", "answers", "a second", "p50 ms", "p99 ms"),
        notes=[],
    )
    for what in MIX:
        latencies = driven.latencies.get(what, [])
        if latencies:
            table.add(
                what, f"{len(latencies):,}", f"{len(latencies) / driven.seconds:,.1f}",
                milliseconds(at(latencies, 50)), milliseconds(at(latencies, 99)),
            )  # fmt: skip
    table.notes.append(
        f"Answers that should not be: {driven.wrong}{f', such as {driven.example[:300]}' if driven.wrong else ''}."
    )
    feed_is_right = "every event once and in order" if seen == expected else "MISSES: events lost or doubled"
    table.notes.append(
        f"A consumer of the stream saw {len(seen):,} of {len(expected):,} events: {feed_is_right}."
    )
    last = (verified.stdout + verified.stderr).strip().splitlines()[-1:]
    table.notes.append(
        f"`skald verify` {'is clean' if verified.returncode == 0 else 'MISSES'}: {' '.join(last)}"
    )
    return table


def _memory_table(plan: Plan, pids: list[int], samples: list[tuple[float, list[Memory]]]) -> Table:
    table = Table(
        title="Soak: MiB of each API process, resident (its own alone)",
        head=("after s", *(f"process {number}" for number in range(1, len(pids) + 1))),
        notes=[
            f"Caches hold {CACHE_BYTES // MIB} MiB here, so that they are full when the warm-up, the first {WARM:.0%}, is over.",
            "Take at least 10 minutes for the target; short runs still fill what is bounded by number.",
        ],
    )
    for after, memory in samples:
        table.add(f"{after:,.0f}", *(f"{one.rss / MIB:.1f} ({one.uss / MIB:.1f})" for one in memory))
    warm = [memory for after, memory in samples if after >= plan.minutes * 60 * WARM] or [samples[-1][1]]
    changes = []
    for first, last in zip(warm[0], warm[-1], strict=True):
        change = max(last.rss / first.rss, last.uss / first.uss) - 1
        changes.append(f"{'≤' if abs(change) <= FLAT else 'MISSES'} {FLAT:.0%} ({change:+.1%})")
    table.add("from warm to the end", *changes)
    return table


# What it stands on ------------------------------------------------------------------------------------------------


async def _database(on: Stage) -> str:
    """One of its own, so that what is verified is what the soak wrote."""
    name = f"soak_{os.getpid()}_{time.time_ns()}"
    async with await connect(on.database_url) as conn:
        await conn.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    url = make_conninfo(on.database_url, dbname=name)
    await migrate(url)
    return url


async def _fill(url: str) -> tuple[int, str]:
    async with await connect(url) as conn:
        await identity.create_user(conn, email=fill.EMAIL, first_name="Bench")
        project_id, key = await fill.project(conn, "Soak")
        await fill.skills(conn, project_id, SKILLS, versions=5)
    return project_id, key


@contextmanager
def _serving(settings: Settings, env: dict[str, str]) -> Iterator[int]:
    """The whole service; its pid."""
    output = settings.data_dir / "output"
    with output.open("wb") as log:
        child = Child("service", [sys.executable, "-m", "cli.main", "serve"], env=env, output=log)
    try:
        deadline = monotonic() + START_TIMEOUT
        while not is_ready("127.0.0.1", settings.port):
            if child.exit_code() is not None or monotonic() > deadline:
                raise RuntimeError(f"the service did not start:\n{output.read_text()[-4000:]}")
            time.sleep(0.05)
        yield child.pid
    finally:
        child.stop(timeout=30)


def api_processes(serve: int) -> list[int]:
    """The processes that answer: children of the master, itself a child of `skald serve`."""
    parents, masters = {}, set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                pid = int(entry.name)
                parents[pid] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parents[pid] == serve and b"cli.server.http" in (entry / "cmdline").read_bytes():
                    masters.add(pid)
    return sorted(pid for pid, parent in parents.items() if parent in masters)


@contextmanager
def _sampling(pids: list[int], seconds: float) -> Iterator[list[tuple[float, list[Memory]]]]:
    """Takes the memory of each process now and then, first and last at the ends."""
    samples: list[tuple[float, list[Memory]]] = []
    stop = threading.Event()
    started = monotonic()

    def sample() -> None:
        while True:
            with contextlib.suppress(OSError):
                samples.append((monotonic() - started, [Memory.of(pid) for pid in pids]))
            if stop.wait(seconds / SAMPLES):
                return

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


@contextmanager
def _following(port: int, key: str, path: str, url: str) -> Iterator["_Consumer"]:
    consumer = _Consumer(port, key, path, url)
    consumer.start()
    try:
        yield consumer
    finally:
        consumer.stop()


class _Consumer:
    """Follows the stream of the project from the end of what is there, and keeps the positions as they come."""

    def __init__(self, port: int, key: str, path: str, url: str) -> None:
        self._url = url
        with psycopg.connect(url) as conn:
            [self._after] = conn.execute("SELECT max(position) FROM events").fetchone() or (0,)
        self._job = feed.Job(port=port, key=key, path=path, way="stream", after=self._after, events=0)
        self._positions: list[int] = []
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._thread = threading.Thread(target=self._follow)

    def start(self) -> None:
        self._thread.start()

    def _follow(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            for event in feed.read_stream(self._connection, self._job):
                self._positions.append(event.position)

    def __call__(self, project_id: int) -> tuple[list[int], list[int]]:
        """What came, when all that is in the log has had time to, and what should have."""
        with psycopg.connect(self._url) as conn:
            query = "SELECT position FROM events WHERE project_id = %s AND position > %s ORDER BY position"
            expected = [row[0] for row in conn.execute(query, (project_id, self._after))]
        deadline = monotonic() + SILENCE
        while len(self._positions) < len(expected) and monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
        return list(self._positions), expected

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._connection.close()


# The traffic ------------------------------------------------------------------------------------------------------


class _Person:
    """One client: what it has made, and what it does next. It publishes to skills that no other one touches."""

    def __init__(self, job: Traffic, number: int) -> None:
        self.client = Client(job.port)
        self.what = ""
        self._job = job
        self._number = number
        self._chance = random.Random(number)
        self._own = dict.fromkeys(map(fill.name_of, range(number, SKILLS, CLIENTS)), 5)
        self._revisions = dict.fromkeys(self._own, 1)
        self._made: list[str] = []
        self._count = 0
        self._target = ""
        self._prompt = f"soak-{number}"
        self._prompt_version = 0

    def next(self) -> None:
        """Send the next request."""
        chance = self._chance
        what = chance.choices(list(MIX), list(MIX.values()))[0]
        if self._prompt_version == 0 and what in ("get prompt", "label"):
            what = "create"
        if what == "archive" and not self._made:
            what = "create"
        self.what = what
        self.client.ask(self._request(what))

    def _request(self, what: str) -> bytes:
        chance, skills, prompts = self._chance, "llm_skills/", "llm_prompts/"
        some = fill.name_of(chance.randrange(SKILLS))
        if what == "get":
            return self._get(f"{skills}name/{some}")
        if what == "get old":
            return self._get(f"{skills}name/{some}?version={chance.randint(1, 5)}")
        if what == "list":
            return self._get(f"{skills}?offset={chance.choice((0, 0, 0, 100))}")
        if what == "search":
            return self._get(f"{skills}?search={chance.choice(fill.TOPICS)}")
        if what == "resolve":
            return self._get(f"{skills}resolve/name/{some}")
        if what == "get prompt":
            return self._get(f"{prompts}name/{self._prompt}")
        if what == "label":
            body = {"version": chance.randint(1, self._prompt_version)}
            return self._send("PUT", f"{prompts}name/{self._prompt}/labels/{chance.choice('abc')}", body)
        if what == "archive":
            self._target = self._made[0]
            return self._send("POST", f"{skills}name/{self._target}/archive", {})
        if what == "create":
            return self._create()
        self._target = chance.choice(list(self._own))
        edit = document.edit(self._revisions[self._target])
        edits = [{"old": edit.old, "new": edit.new}]
        change = {"base_version": self._own[self._target], "edits": edits}
        return self._send("PATCH", f"{skills}name/{self._target}", change)

    def _create(self) -> bytes:
        self._count += 1
        if self._prompt_version == 0:
            self._target = ""
            return self._send("POST", "llm_prompts/", {"name": self._prompt, "prompt": "You are patient."})
        self._target = f"soak-{self._number}-{self._count}"
        body = {
            "name": self._target,
            "description": "Made to be archived.",
            "body": document.body(self._count),
        }
        return self._send("POST", "llm_skills/", body)

    def take(self) -> bool:
        """The answer is here; whether it is as it should be."""
        if self.client.status not in RIGHT:
            return False
        if self.what == "publish":
            self._own[self._target] += 1
            self._revisions[self._target] += 1
        elif self.what == "archive":
            self._made.remove(self._target)
        elif self.what == "create" and self._target:
            self._made.append(self._target)
        elif self.what == "create":
            self._prompt_version = 1
        return True

    def _get(self, path: str) -> bytes:
        return f"GET {self._job.path}/{path} HTTP/1.1\r\n{self._head()}\r\n".encode()

    def _send(self, method: str, path: str, body: object) -> bytes:
        text = json.dumps(body)
        head = f"{self._head()}content-type: application/json\r\ncontent-length: {len(text)}\r\n"
        return f"{method} {self._job.path}/{path} HTTP/1.1\r\n{head}\r\n{text}".encode()

    def _head(self) -> str:
        return f"host: bench\r\nauthorization: Bearer {self._job.key}\r\n"


def drive(job: Traffic) -> Driven:
    people = {
        person.client.fileno(): person for person in (_Person(job, number) for number in range(CLIENTS))
    }
    latencies: dict[str, list[float]] = {what: [] for what in MIX}
    wrong, example = 0, ""
    started = perf_counter()
    with select.epoll() as poll:
        for number, person in people.items():
            poll.register(number, select.EPOLLIN)
            person.next()
        waiting = len(people)
        while waiting:
            ready = poll.poll(SILENCE)
            if not ready:
                raise RuntimeError(f"no answer within {SILENCE:.0f} s")
            for number, _ in ready:
                person = people[number]
                latency = person.client.receive()
                if latency is None:
                    continue
                latencies[person.what].append(latency)
                if not person.take():
                    wrong += 1
                    answer = person.client.answer.partition(b"\r\n\r\n")
                    example = example or f"{person.what}: {answer[0][:12]!r} {answer[2][:250]!r}"
                if perf_counter() < started + job.seconds:
                    person.next()
                else:
                    waiting -= 1
    return Driven(seconds=perf_counter() - started, latencies=latencies, wrong=wrong, example=example)


def main() -> None:
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Traffic)
    sys.stdout.buffer.write(msgspec.json.encode(drive(job)))


if __name__ == "__main__":
    main()
