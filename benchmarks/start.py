"""From the start of ``skald serve`` to its first answers, on a new data folder and on one that is there already."""

import contextlib
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

import msgspec

from benchmarks.figures import show_most
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import Stage, cpu_seconds, free_port
from cli.settings import default_workers

WARM, COLD = 2.0, 5.0  # seconds, at most
WITHIN = 60.0  # seconds after which a start is given up
LOOK_EVERY = 0.005


class Started(msgspec.Struct, frozen=True):
    """Seconds from exec until the database had its schema and key, /readyz was 200, and a GET with the key was 200."""

    database: float
    ready: float
    answered: float
    cpu: float


def run(on: Stage, plan: Plan) -> Table:
    """The service as users start it: embedded servers, followers and all."""
    workers = default_workers()
    table = Table(
        title=f"Start of `skald serve` with {workers} API processes, embedded servers and followers: seconds",
        head=("data folder", "schema and key", "first 200 of /readyz", "first 200 of a GET with the key", "CPU s",
              "target"),
        notes=["From exec, medians and spread. CPU: of all its processes until the last of these."],
    )  # fmt: skip
    cold, warm = [], []
    for _ in range(plan.rounds):
        with folder() as data:
            cold.append(start(data, workers))
            warm.append(start(data, workers))
    for name, starts, most in (("new", cold, COLD), ("there already", warm, WARM)):
        table.add(
            name,
            seconds([one.database for one in starts]),
            seconds([one.ready for one in starts]),
            seconds([one.answered for one in starts]),
            f"{median(one.cpu for one in starts):.2f}",
            show_most([max(one.ready, one.answered) for one in starts], most),
        )
    return table


def seconds(values: list[float]) -> str:
    """Median and spread."""
    return f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A place for a data folder, which is not there yet."""
    place = Path(tempfile.mkdtemp(prefix="skald-bench-start-"))
    # As root the servers run as another user, who must be able to pass.
    place.chmod(0o711)
    try:
        yield place / "data"
    finally:
        shutil.rmtree(place, ignore_errors=True)


def start(data: Path, workers: int) -> Started:
    """Start the service on the folder, and end it when it has answered. Raises RuntimeError when it does not."""
    port = free_port()
    shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
    env = {
        **shown,
        "SKALD_DATA_DIR": str(data),
        "SKALD_PORT": str(port),
        "SKALD_WORKERS": str(workers),
    }
    with tempfile.TemporaryFile() as log:
        began = perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "serve"],
            env=env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            times: list[float] = []
            steps = [
                lambda: (data / "servers.json").exists(),
                lambda: status(port, "/readyz") == 200,
                lambda: status(port, "/api/projects/@current/llm_skills/", key_in(data)) == 200,
            ]
            while len(times) < len(steps):
                if steps[len(times)]():
                    times.append(perf_counter() - began)
                    continue
                if process.poll() is not None or perf_counter() - began > WITHIN:
                    log.seek(0)
                    raise RuntimeError(f"the service did not start:\n{log.read()[-4000:].decode()}")
                sleep(LOOK_EVERY)
            cpu = cpu_seconds(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
    database, ready, answered = times
    return Started(database, ready, answered, cpu)


def status(port: int, path: str, key: str | None = None) -> int | None:
    """None while no server answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        headers = {"connection": "close", **({"authorization": f"Bearer {key}"} if key else {})}
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def key_in(data: Path) -> str:
    return (data / "first-key").read_text().strip()
