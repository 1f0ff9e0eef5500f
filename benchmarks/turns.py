"""``python -m benchmarks.turns CHECKOUT``: publishes and warm GETs of another checkout and of this one, in short turns.

Two runs of the tables on a machine that is busy with other things differ by more than a change of the code makes. Here both
services stand side by side, each with servers of its own, and take turns of half a second: what counts is the median of the
ratios of neighbouring turns. The other checkout needs its own ``.venv`` (``make install``).
"""

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median

import msgspec

from benchmarks import get, publish
from benchmarks.figures import Load
from benchmarks.load import Job
from benchmarks.report import Table, show, wide_console
from benchmarks.stage import cpu_seconds, measured, service, stage

HERE = Path(__file__).resolve().parents[1]
CLIENTS = (1, 8, 32)
REQUESTS = ("publish", "skill", "prompt", "304")
WARMUP = 0.05  # seconds; the services stay up between turns


class Turn(msgspec.Struct, frozen=True):
    """What one checkout is to do: ``publish``, ``skill`` or ``prompt`` (GETs by name), ``304``."""

    request: str
    clients: int
    seconds: float


class Cost(msgspec.Struct, frozen=True):
    """CPU seconds a request, and requests a second."""

    api: float
    database: float
    rate: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path, help="another checkout of this repository, with its .venv")
    parser.add_argument("--rounds", type=int, default=24, help="turns of each  [default: 24]")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn  [default: 0.5]")
    given = parser.parse_args()
    table = Table(
        title="This checkout against another, in turns",
        head=("request", "clients", "its API µs", "API µs", "ratio", "its database µs", "database µs"),
        notes=["µs: CPU time a request. ratio: the median (and quartiles) of this one's over the other's in turns next to each other."],
    )  # fmt: skip
    with contestant(given.checkout.resolve()) as other, contestant(HERE) as this:
        for request in REQUESTS:
            for clients in CLIENTS:
                turn = Turn(request, clients, given.seconds)
                pairs = []
                for number in range(given.rounds):
                    # The first one alternates.
                    first, second = (other, this) if number % 2 == 0 else (this, other)
                    costs = {first: take(first, turn), second: take(second, turn)}
                    pairs.append((costs[other], costs[this]))
                table.add(request, str(clients), *columns(pairs, request))
    show(table, wide_console())


def columns(pairs: list[tuple[Cost, Cost]], request: str) -> Iterator[str]:
    theirs, ours = zip(*pairs, strict=True)
    # The kernel counts ticks of 10 ms: what a turn takes of the database may be none.
    ratios = sorted(mine.api / max(other.api, 1e-9) for other, mine in pairs)
    yield from (f"{median(cost.api for cost in side) * 1e6:,.0f}" for side in (theirs, ours))
    yield f"{median(ratios):.2f} ({ratios[len(ratios) // 4]:.2f}–{ratios[len(ratios) * 3 // 4]:.2f})"
    for side in (theirs, ours):
        yield f"{mean(cost.database for cost in side) * 1e6:,.0f}" if request == "publish" else "–"


@contextlib.contextmanager
def contestant(checkout: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The service of a checkout, run by its own Python and driven by its own modules; it takes a ``Turn`` a line."""
    python = sys.executable if checkout == HERE else str(checkout / ".venv" / "bin" / "python")
    # Without -P, the folder of this file would come first on its path.
    command = [python, "-P", str(Path(__file__).resolve()), "--serve"]
    env = {**os.environ, "PYTHONPATH": str(checkout)}
    child = subprocess.Popen(command, cwd=checkout, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        if not child.stdout.readline():
            raise RuntimeError(f"the service of {checkout} did not start")
        yield child
    finally:
        assert child.stdin is not None
        child.stdin.close()
        child.wait()


def take(child: "subprocess.Popen[bytes]", turn: Turn) -> Cost:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(msgspec.json.encode(turn) + b"\n")
    child.stdin.flush()
    return msgspec.json.decode(child.stdout.readline(), type=Cost)


def serve() -> None:
    """Take turns until the input ends. What is imported is that of the checkout."""
    with stage() as on, service(on, workers=1) as server:
        publish.create(on, server, max(CLIENTS))
        warm = {each.kind: each for each in get.prepare(on, server)}
        print("ready", flush=True)
        for line in sys.stdin:
            turn = msgspec.json.decode(line, type=Turn)
            published = turn.request == "publish"
            fetched = warm["prompt" if turn.request == "prompt" else "skill"]
            job = Job(
                port=server.port,
                key=on.key,
                path=on.path if published else fetched.path,
                names=tuple(publish.names(turn.clients)) if published else (),
                known=fetched.etag if turn.request == "304" else "",
                connections=turn.clients,
                warmup=WARMUP,
                seconds=turn.seconds,
            )
            pids = (server.pid, on.postgres_pid)
            before = [cpu_seconds(pid) for pid in pids]
            load = measured("benchmarks.load", job, Load, timeout=60)
            api, database = (
                (cpu_seconds(pid) - since) / load.answered for pid, since in zip(pids, before, strict=True)
            )
            print(msgspec.json.encode(Cost(api, database, load.rate)).decode(), flush=True)


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--serve"] else main()
