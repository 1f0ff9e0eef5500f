"""The peer: the same aggregate saved by the library's own ``Application.save`` in threads, in a process of its own.

It has the easier task. Its aggregates stay in memory, no HTTP, keys or JSON are in its way, and it writes the event
alone: no contents, no read models, no names.
"""

import resource
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any
from uuid import UUID, uuid4

import msgspec
from eventsourcing.application import Application
from psycopg.conninfo import conninfo_to_dict

from benchmarks import document
from benchmarks.figures import Load
from domain.artifacts.skills import Changes, Skill, SkillFields


class PeerJob(msgspec.Struct, frozen=True, kw_only=True):
    database_url: str
    threads: int
    warmup: float
    seconds: float


class Peer(Application[UUID]):
    """The library's application."""


def environment(database_url: str, threads: int) -> dict[str, str]:
    """The library's settings: a connection for each thread, so that none waits for another's."""
    address = conninfo_to_dict(database_url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        # The events in our encoding.
        "MAPPER_TOPIC": "store.eventsourcing.mapper:EventMapper",
        "POSTGRES_HOST": str(address["host"]),
        "POSTGRES_PORT": str(address.get("port", 5432)),
        "POSTGRES_DBNAME": str(address["dbname"]),
        "POSTGRES_USER": str(address["user"]),
        # The library wants one; the embedded server asks for none.
        "POSTGRES_PASSWORD": str(address.get("password", "none")),
        "POSTGRES_POOL_SIZE": str(threads),
        "POSTGRES_MAX_OVERFLOW": "0",
    }


def saves(peer: Peer) -> Iterator[None]:
    """Publish and save one version at each step, on an aggregate of its own."""
    skill, contents = Skill.create(
        id=uuid4(),
        version_id=uuid4(),
        name="bench",
        fields=SkillFields("A document of common size."),
        body=document.body(1),
    )
    peer.save(skill)
    revision = 1
    while True:
        texts = {skill.body.digest: contents[0].data}
        contents = skill.publish(
            Changes(edits=(document.edit(revision),)),
            version_id=uuid4(),
            base_version=skill.number,
            texts=texts,
        )
        peer.save(skill)
        revision += 1
        yield


def work(peer: Peer, started: float, job: PeerJob) -> tuple[int, list[float]]:
    """One thread's part: how many were saved, and the seconds of those after the warm-up."""
    warm, deadline = started + job.warmup, started + job.warmup + job.seconds
    latencies = []
    saved = 0
    before = perf_counter()
    for _ in saves(peer):
        now = perf_counter()
        saved += 1
        if now >= deadline:
            break
        if now >= warm:
            latencies.append(now - before)
        before = perf_counter()
    return saved, latencies


def run(job: PeerJob) -> Load:
    peer = Peer(env=environment(job.database_url, job.threads))
    try:
        started = perf_counter()
        with ThreadPoolExecutor(job.threads) as pool:
            results: list[Any] = list(pool.map(lambda _: work(peer, started, job), range(job.threads)))
        took = perf_counter() - started
    finally:
        peer.close()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Load.of(
        [latency for _, latencies in results for latency in latencies],
        seconds=job.seconds,
        answered=sum(saved for saved, _ in results),
        busy=(usage.ru_utime + usage.ru_stime) / took,
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(
        msgspec.json.encode(run(msgspec.json.decode(sys.stdin.buffer.read(), type=PeerJob)))
    )
