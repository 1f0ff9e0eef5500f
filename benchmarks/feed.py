"""How fast one consumer reads a project's events, and how soon a committed one reaches it.

``python -m benchmarks.feed`` is the consumer, in a process of its own: it decodes every event, as a real one would.
"""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from statistics import median
from time import perf_counter, sleep, time
from typing import Literal
from uuid import uuid4

import httpx
import msgspec

from benchmarks import document
from benchmarks.figures import milliseconds
from benchmarks.load import SILENCE
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import Server, Stage, client, cpu_seconds, measured, service
from domain.artifacts.skills import Changes, Skill, SkillFields
from projections.read.skills import SkillKind
from projections.write.artifacts import AppliedEvent, fold
from store.log.log import Commit, append
from store.log.mapper import to_stored
from store.postgres.pool import connect
from store.tables import identity

PAGE = 1000
STREAM = 500  # events of one skill, in one commit
TARGET = 20_000.0  # events a second
TARGET_MS = 10.0  # from commit to arrival, p50


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Read ``events`` events after ``after`` by pages or by the stream, each decoded."""

    port: int
    key: str
    path: str
    way: Literal["page", "stream"]
    after: int
    events: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """``lags`` are seconds from each event's own time, which is just before its commit, to its arrival."""

    seconds: float
    lags: list[float]


class Event(msgspec.Struct):
    """What is looked at; the rest is decoded, too."""

    position: int
    time: str
    data: dict[str, object]


class Page(msgspec.Struct):
    results: list[Event]
    position: int


def run(on: Stage, plan: Plan) -> Table:
    """One API process, one consumer. The writer publishes one after the other, with a short pause."""
    size = 100_000 if plan.seconds >= 1 else 20_000
    arrivals = 200 if plan.seconds >= 1 else 50
    project_id, key = asyncio.run(fill(on, size))
    path = f"/api/projects/{project_id}"
    table = Table(
        title=f"Feed: {size:,} events to one consumer, one API process",
        head=("consumer", "events/s", "API µs", "database µs", "arrival p50 ms", "p99 ms", "target"),
        notes=[
            "µs: CPU time an event.",
            "arrival: from the time in the event, just before its commit, until it is decoded.",
        ],
    )
    with service(on, workers=1) as server:

        def job(way: Literal["page", "stream"], after: int, events: int) -> Job:
            return Job(port=server.port, key=key, path=path, way=way, after=after, events=events)

        ways: list[tuple[Literal["page", "stream"], str]] = [
            ("page", f"pages of {PAGE:,}"),
            ("stream", "stream, catching up"),
        ]
        for way, name in ways:
            pids = (server.pid, on.postgres_pid)
            before = [cpu_seconds(pid) for pid in pids]
            rates = [
                size / measured("benchmarks.feed", job(way, 0, size), Result, timeout=plan.timeout).seconds
                for _ in range(plan.rounds)
            ]
            spent = [cpu_seconds(pid) - seconds for pid, seconds in zip(pids, before, strict=True)]
            table.add(
                name,
                f"{median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})",
                *(f"{seconds / size / plan.rounds * 1e6:.0f}" for seconds in spent),
                "–",
                "–",
                verdict(median(rates) >= TARGET, f"≥ {TARGET:,.0f}/s"),
            )
        with writing(on, server, key, path, arrivals) as after:
            lags = sorted(
                measured("benchmarks.feed", job("stream", after, arrivals), Result, timeout=plan.timeout).lags
            )
        p50, p99 = lags[len(lags) // 2], lags[len(lags) * 99 // 100]
        table.add(
            "stream, live",
            "–",
            "–",
            "–",
            milliseconds(p50),
            milliseconds(p99),
            verdict(p50 * 1000 <= TARGET_MS, f"≤ {TARGET_MS:g} ms"),
        )
    return table


def verdict(met: bool, target: str) -> str:
    return target if met else f"MISSES {target}"


async def fill(on: Stage, events: int) -> tuple[int, str]:
    """A project with that many events, and a key that may write and follow in it."""
    kinds = {Skill.KIND: SkillKind()}
    async with await connect(on.database_url) as conn:
        project = await identity.create_project(conn, "Feed")
        _, key = await identity.create_key(
            conn,
            email="bench@example.com",
            scopes=["llm_skill:write", "event:read"],
            project_ids=[project.id],
        )
        for number in range(events // STREAM):
            skill, contents = Skill.create(
                id=uuid4(),
                version_id=uuid4(),
                name=f"feed-{number}",
                fields=SkillFields("A document of common size."),
                body=document.body(number),
            )
            texts = {contents[0].digest: contents[0].data}
            steps = [AppliedEvent(skill.fork(), skill.pending[-1], project.id, 1, texts)]
            for version in range(1, STREAM):
                changes = Changes(fields={"description": f"Version {version} of a document of common size."})
                contents += skill.publish(changes, version_id=uuid4(), base_version=version, texts={})
                steps.append(AppliedEvent(skill.fork(), skill.pending[-1], project.id, 1, texts))
            pending = skill.collect_events()
            rows = fold(steps, kinds)
            commit = Commit(
                events=tuple(map(to_stored, pending)),
                command_id=uuid4(),
                project_id=project.id,
                actor_id=1,
                key_id=uuid4(),
                correlation_id=uuid4().hex,
                contents=(*contents, *rows.parts),
                writes=rows.writes,
            )
            await append(conn, [commit])
    return project.id, key


@contextmanager
def writing(on: Stage, server: Server, key: str, path: str, events: int) -> Iterator[int]:
    """Publishes in a process of its own until the consumer has seen enough; the position that they begin after."""
    with client(on, server) as http:
        http.headers["authorization"] = f"Bearer {key}"
        body = {"name": "live", "description": "A document.", "body": document.body(1)}
        answer = http.post(f"{path}/llm_skills/", json=body)
        after = int(answer.raise_for_status().headers["x-event-position"])
        with _in_background(server, key, path, events):
            yield after


@contextmanager
def _in_background(server: Server, key: str, path: str, events: int) -> Iterator[None]:
    job = msgspec.json.encode([server.port, key, path, events])
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.feed", "write"], stdin=subprocess.PIPE
    ) as writer:
        assert writer.stdin is not None
        writer.stdin.write(job)
        writer.stdin.close()
        yield


# The processes ---------------------------------------------------------------------------------------------------


def write(port: int, key: str, path: str, events: int) -> None:
    """Publishes, one after the other, when the consumer has had time to connect."""
    sleep(1.0)
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as http:
        for base in range(1, events + 1):
            body = {"base_version": base, "description": f"Version {base + 1}."}
            http.patch(f"{path}/llm_skills/name/live", json=body).raise_for_status()
            sleep(0.005)


def read_pages(connection: socket.socket, job: Job) -> Iterator[Event]:
    pages = msgspec.json.Decoder(Page)
    after, buffer = job.after, b""
    while True:
        connection.sendall(request(job, f"{job.path}/events/?after={after}&limit={PAGE}"))
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            buffer += receive(connection)
        head = buffer[:end].lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        parts, have = [buffer[end + 4 :]], len(buffer) - end - 4
        while have < length:
            parts.append(receive(connection))
            have += len(parts[-1])
        body = b"".join(parts)
        buffer = body[length:]
        page = pages.decode(body[:length])
        after = page.position
        yield from page.results


def read_stream(connection: socket.socket, job: Job) -> Iterator[Event]:
    decoder = msgspec.json.Decoder(Event)
    connection.sendall(request(job, f"{job.path}/events/stream?after={job.after}"))
    buffer = b""
    while True:
        # The frames of the chunked answer stand on lines of their own, which are no fields.
        *lines, buffer = (buffer + receive(connection)).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                yield decoder.decode(line[6:])


def request(job: Job, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {job.key}\r\n\r\n".encode()


def receive(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 20)
    if not data:
        raise RuntimeError("the server closed the connection")
    return data


def consume(job: Job) -> Result:
    lags: list[float] = []
    with socket.create_connection(("127.0.0.1", job.port), timeout=SILENCE) as connection:
        events = read_pages(connection, job) if job.way == "page" else read_stream(connection, job)
        started = perf_counter()
        for seen, event in enumerate(events, 1):
            if job.after:
                lags.append(time() - datetime.fromisoformat(event.time).timestamp())
            if seen == job.events:
                break
        return Result(seconds=perf_counter() - started, lags=lags)


def main() -> None:
    given = sys.stdin.buffer.read()
    if sys.argv[1:] == ["write"]:
        write(*msgspec.json.decode(given, type=tuple[int, str, str, int]))
    else:
        sys.stdout.buffer.write(msgspec.json.encode(consume(msgspec.json.decode(given, type=Job))))


if __name__ == "__main__":
    main()
