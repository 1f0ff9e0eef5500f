"""GETs by name through two API processes while a writer publishes to the same names, against the same without a writer; and
whether any process shows an old version after a publish was answered.

``python -m benchmarks.beside_writer read`` and ``… write`` are the clients, in processes of their own.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from statistics import median
from threading import Thread
from time import perf_counter, sleep
from typing import Any, Literal

import msgspec

from benchmarks import document
from benchmarks.figures import Load, Summary, ratios, show_ratio
from benchmarks.load import Connection, connect, drive, exchange, get
from benchmarks.places import processes_of, spread
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import Server, Stage, client, cpu_seconds, followers, measured, service

WORKERS = 2
CONNECTIONS = (8, 32)
NAMES = 8  # hot skills, and as many hot prompts
RATE = 50.0  # publishes a second
WRITERS = 4  # connections of the writer: one cannot keep the rate where an answer takes longer than 20 ms
TARGET = 0.8  # of the requests a second without a writer


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Read on ``connections``, spread evenly over the API ``processes``, or publish ``RATE`` a second."""

    port: int
    processes: list[int]
    key: str
    paths: list[str]
    connections: int
    warmup: float
    seconds: float


class Written(msgspec.Struct):
    """``checks`` are the reads after answered publishes, ``stale`` those that showed less than was answered."""

    publishes: int
    seconds: float
    checks: int = 0
    stale: int = 0


def run(on: Stage, plan: Plan) -> Table:
    """The followers run all the time, as they do in production."""
    table = Table(
        title=f"GET by name, warm, beside a writer of {RATE:g}/s to the same names: {WORKERS} API processes against themselves alone",
        head=("connections", "beside/s", "p50 ms", "p99 ms", "API µs", "generator", "alone/s", "p50 ms", "p99 ms",
              "API µs", "generator", "ratio", "publishes/s", "checked reads", "stale"),
        notes=[
            f"{NAMES} skills and {NAMES} prompts, each connection reads all in turn; as many connections on each process.",
            "API µs: CPU time of the API processes a GET; beside the writer that of its publishes is in it.",
            "Checked: after each answered publish a GET through each process, every other one with the old entity tag.",
        ],
    )  # fmt: skip
    with service(on, workers=WORKERS) as server, followers(on):
        paths = prepare(on, server)
        for connections in CONNECTIONS:
            job = Job(
                port=server.port,
                processes=processes_of(server.pid),
                key=on.key,
                paths=paths,
                connections=connections,
                warmup=plan.warmup,
                seconds=plan.seconds,
            )
            alone, beside = Summary([], {"api": []}), Summary([], {"api": []})
            written: list[Written] = []
            for turn in range(plan.rounds):
                for writes in (False, True) if turn % 2 == 0 else (True, False):
                    if writes:
                        with writing(job) as told:
                            read(server, job, plan, beside)
                        written.append(told[0])
                    else:
                        read(server, job, plan, alone)
            stale = sum(one.stale for one in written)
            table.add(
                str(connections), beside.rate, beside.p50, beside.p99, beside.cpu_of("api"), beside.busy,
                alone.rate, alone.p50, alone.p99, alone.cpu_of("api"), alone.busy,
                show_ratio(ratios(beside, alone), TARGET),
                f"{median(one.publishes / one.seconds for one in written):.0f}",
                f"{sum(one.checks for one in written):,}", f"{stale} {'≤' if stale == 0 else 'MISSES'} 0",
            )  # fmt: skip
    return table


def prepare(on: Stage, server: Server) -> list[str]:
    """Make what is hot; the addresses of all."""
    prompts = on.path.replace("llm_skills", "llm_prompts")
    paths = []
    with client(on, server) as http:
        for number in range(NAMES):
            name = f"hot-{number}"
            skill = {"name": name, "description": "A document of common size.", "body": document.body(1)}
            http.post(f"{on.path}/", json=skill).raise_for_status()
            http.post(f"{prompts}/", json={"name": name, "prompt": document.body(1)}).raise_for_status()
            paths += [f"{on.path}/name/{name}", f"{prompts}/name/{name}"]
    return paths


def read(server: Server, job: Job, plan: Plan, into: Summary) -> None:
    before = cpu_seconds(server.pid)
    load = measured("benchmarks.beside_writer", job, Load, timeout=plan.timeout, arguments=("read",))
    into.loads.append(load)
    into.cpu["api"].append((cpu_seconds(server.pid) - before) / load.answered)


@contextmanager
def writing(job: Job) -> Iterator[list[Written]]:
    """A writer in the background; the list holds what it tells when it has been stopped."""
    told: list[Written] = []
    command = [sys.executable, "-m", "benchmarks.beside_writer", "write"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        try:
            writer.stdin.write(msgspec.json.encode(job) + b"\n")
            writer.stdin.flush()
            if not writer.stdout.readline():  # it publishes now
                raise RuntimeError("the writer did not start")
            yield told
            output, _ = writer.communicate(timeout=job.seconds + 30)
            told.append(msgspec.json.decode(output, type=Written))
        finally:
            writer.kill()


# The processes ---------------------------------------------------------------------------------------------------


def reading(job: Job) -> Load:
    """All connections busy; neighbours begin at different names."""
    requests = [get(path, job.key) for path in job.paths]
    sockets = spread(job.port, job.processes, job.connections // len(job.processes))
    turns = [requests[number:] + requests[:number] for number in range(len(requests))]
    connections = [
        Connection(opened, cycle(turns[number % len(turns)]))
        for number, opened in enumerate(one for each in sockets for one in each)
    ]
    result = drive(connections, job.warmup, job.seconds)
    for connection in connections:
        connection.close()
    return result


class Writer:
    """Publishes to some of the names by one connection, and looks at each version through every process."""

    def __init__(self, job: Job, paths: Sequence[str], stop: "Stop") -> None:
        self._job, self._paths, self._stop = job, paths, stop
        self._own = connect(job.port)
        self._others = [opened for each in spread(job.port, job.processes, 1) for opened in each]
        self.count = Written(0, 0.0)
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self.error = error

    def _run(self) -> None:
        known = {path: self._current(path) for path in self._paths}
        started = perf_counter()
        for path in cycle(self._paths):
            # By the clock, so that a slow answer is made up for.
            sleep(max(0.0, started + self.count.publishes * WRITERS / RATE - perf_counter()))
            if self._stop.now:
                break
            version, tag = known[path]
            known[path] = self._publish(path, version, tag)
        self.count.seconds = perf_counter() - started

    def _current(self, path: str) -> tuple[int, str]:
        status, head, body = exchange(self._own, get(path, self._job.key))
        if status != 200:
            raise RuntimeError(body.decode())
        return msgspec.json.decode(body)["version"], etag_of(head)

    def _publish(self, path: str, version: int, tag: str) -> tuple[int, str]:
        field: Literal["prompt", "body"] = "prompt" if "/llm_prompts/" in path else "body"
        change: dict[str, Any] = {"base_version": version, field: document.body(version + 1)}
        sent = msgspec.json.encode(change)
        status, head, body = exchange(
            self._own,
            f"PATCH {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {self._job.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(sent)}\r\n\r\n".encode()
            + sent,
        )
        if status != 200:
            raise RuntimeError(body.decode())
        answered: int = msgspec.json.decode(body)["version"]
        self.count.publishes += 1
        for process in self._others:
            known = tag if self.count.publishes % 2 else ""
            status, head, body = exchange(process, get(path, self._job.key, known))
            self.count.checks += 1
            # A 304 says that the old version is the latest.
            if status == 304 or msgspec.json.decode(body)["version"] < answered:
                self.count.stale += 1
        # Of a read: what a publish of a prompt answers is another representation, with another tag.
        return answered, etag_of(head)


class Stop:
    """Set when the writers shall end."""

    now = False


def etag_of(head: bytes) -> str:
    return head.partition(b"\r\netag: ")[2].partition(b"\r\n")[0].decode()


def publishing(job: Job) -> Written:
    """Publish from the first line on standard output until standard input ends."""
    stop = Stop()
    writers = [Writer(job, job.paths[number::WRITERS], stop) for number in range(WRITERS)]
    threads = [Thread(target=writer.run, daemon=True) for writer in writers]
    for thread in threads:
        thread.start()
    sys.stdout.write("\n")
    sys.stdout.flush()
    sys.stdin.read()
    stop.now = True
    for thread in threads:
        thread.join(timeout=20)
    for writer in writers:
        if writer.error is not None:
            raise writer.error
    told = [writer.count for writer in writers]
    return Written(
        sum(one.publishes for one in told),
        max(one.seconds for one in told),
        sum(one.checks for one in told),
        sum(one.stale for one in told),
    )


def main() -> None:
    job = msgspec.json.decode(sys.stdin.readline(), type=Job)
    result = reading(job) if sys.argv[1] == "read" else publishing(job)
    sys.stdout.write(msgspec.json.encode(result).decode())


if __name__ == "__main__":
    main()
