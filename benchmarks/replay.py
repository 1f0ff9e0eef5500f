"""How fast the log is folded and the read models are made anew, and what an export of a long log keeps in memory.

``python -m benchmarks.replay URL FILE`` is one export in a process of its own, whose peak memory is looked at.
"""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from uuid import UUID

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.feed import fill
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import Stage
from cli.operator.memory import collect_seldom
from cli.schema import migrate
from domain.artifacts.skills import Skill, SkillCreated, SkillPublished
from domain.content import Ref
from projections.read import contents
from projections.read.kinds import KINDS
from projections.rebuild.rebuild import BATCH, replay
from projections.write.artifacts import AppliedEvent, fold
from store.log import archive
from store.log.log import Recorded, read_after
from store.log.mapper import decode
from store.postgres.pool import connect

TARGET = 50_000.0  # events a second through the fold

# Streams of one event each: for an export only the number and the size of the rows count.
LONG_LOG = """
INSERT INTO events (position, stream_id, stream_version, topic, state, recorded_at, project_id, actor_id, command_id)
SELECT number, gen_random_uuid(), 1, 'skill.published', %s, now(), 1, 1, gen_random_uuid()
FROM generate_series(1, %s) AS number
"""


class Exported(msgspec.Struct, frozen=True):
    """Seconds that it took, the peak of the process's memory and the size of the file in bytes."""

    seconds: float
    peak: int
    size: int


def run(on: Stage, plan: Plan) -> Table:
    full = plan.seconds >= 1
    size = 50_000 if full else 10_000
    asyncio.run(fill(on, size))
    events, bodies = asyncio.run(skill_events(on, size))
    table = Table(
        title="Replay and export",
        head=("what", "events", "events/s", "µs an event", "peak memory MiB", "target"),
        notes=[
            "fold: decoding, states and rows of every event, by CPU time of one core, without the database."
        ],
    )
    # As `skald replay` does.
    collect_seldom()
    folds = [fold_all(events, bodies) for _ in range(plan.rounds)]
    rate = len(events) / median(folds)
    met = "≥ 50,000" if rate >= TARGET else "MISSES 50,000"
    table.add("fold", f"{len(events):,}", f"{rate:,.0f}", f"{1e6 / rate:.1f}", "", met)
    started = perf_counter()
    report = asyncio.run(replay(on.database_url))
    seconds = perf_counter() - started
    table.add(
        "replay",
        f"{report.events:,}",
        f"{report.events / seconds:,.0f}",
        f"{seconds * 1e6 / report.events:.1f}",
        "",
        "",
    )
    peaks = []
    for count in (100_000, 1_000_000) if full else (10_000, 100_000):
        found = export_of(on, count, events[-1].state)
        peaks.append(found.peak)
        table.add(
            "export", f"{count:,}", f"{count / found.seconds:,.0f}", f"{found.seconds * 1e6 / count:.1f}",
            f"{found.peak / 2**20:.0f}", "",
        )  # fmt: skip
    table.notes.append(
        f"Ten times the events take {peaks[1] / peaks[0]:.2f} times the memory of the exporting process."
    )
    return table


async def skill_events(on: Stage, count: int) -> tuple[list[Recorded], Mapping[bytes, bytes]]:
    """The last ``count`` events of the log, of whole streams of skills, and the bodies by digest."""
    async with await connect(on.database_url) as conn:
        events = await read_after(conn, 0, limit=10 * count)
        begun = {event.stream_id for event in events if event.topic == "skill.created"}
        events = [event for event in events if event.stream_id in begun]
        decoded = [decode(event.topic, event.state) for event in events]
        refs = {event.body for event in decoded if isinstance(event, SkillCreated | SkillPublished)}
        read = await contents.read(conn, {ref.digest for ref in refs if isinstance(ref, Ref)})
    return events[-count:], read


def fold_all(events: list[Recorded], bodies: Mapping[bytes, bytes]) -> float:
    """CPU seconds for decoding and folding all events into rows."""
    states: dict[UUID, Skill] = {}
    started = process_time()
    for begin in range(0, len(events), BATCH):
        steps = []
        for recorded in events[begin : begin + BATCH]:
            before = states.get(recorded.stream_id)
            state = (
                before.fork() if before else Skill(id=recorded.stream_id, version=recorded.stream_version - 1)
            )
            event = decode(recorded.topic, recorded.state)
            state.evolve(event)
            states[recorded.stream_id] = state
            steps.append(AppliedEvent(state, event, recorded.project_id or 0, recorded.actor_id, bodies))
        fold(steps, KINDS)
    return process_time() - started


def export_of(on: Stage, count: int, state: bytes) -> Exported:
    """Export a log of ``count`` events from a database made for it."""
    name = f"long_{count}"
    url = make_conninfo(on.database_url, dbname=name)
    with psycopg.connect(on.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    asyncio.run(migrate(url))
    with psycopg.connect(url) as connection:
        connection.execute(LONG_LOG, (state, count))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.replay", url, str(Path(folder) / "log.tar.gz")]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return msgspec.json.decode(answer, type=Exported)


def export(url: str, file: Path) -> Exported:
    started = perf_counter()
    archive.export(url, file)
    seconds = perf_counter() - started
    # Not ru_maxrss: that remembers the process which this one was forked from.
    [peak] = [
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")
    ]
    return Exported(seconds, int(peak.split()[1]) * 1024, file.stat().st_size)


if __name__ == "__main__":
    print(msgspec.json.encode(export(sys.argv[1], Path(sys.argv[2]))).decode())
