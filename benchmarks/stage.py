"""What the runs take place on: servers of our own with the product's settings, one project, one key, and their CPU time."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import sample
from typing import TypeVar

import httpx
import msgspec
import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.floor import ANSWER, Fixed
from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.servers import EmbeddedServers
from cli.process.child import Child
from cli.schema import migrate
from cli.server.serve import check_port, is_ready
from cli.settings import Settings
from store.postgres.pool import connect
from store.tables import identity

PROJECT = "/api/projects/{project_id}/llm_skills"
DEFAULT_CACHE = Settings().cache_bytes
START_TIMEOUT = 60.0  # seconds until a server must be ready
PORTS = range(18_400, 28_400)
TICKS = os.sysconf("SC_CLK_TCK")

R = TypeVar("R")


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Running servers. ``peer_url`` is a second database of the same PostgreSQL, ``postgres``."""

    folder: Path
    database_url: str
    peer_url: str
    redis_url: str
    postgres: EmbeddedPostgres
    postgres_pid: int
    key: str
    path: str


class Server(msgspec.Struct, frozen=True):
    """A running HTTP server."""

    port: int
    pid: int


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """PostgreSQL (fsync on) and Valkey in a temporary folder, with the schema, a project and a key that may write."""
    folder = Path(tempfile.mkdtemp(prefix="skald-bench-"))
    # As root the servers run as another user, who must be able to pass.
    folder.chmod(0o711)
    try:
        with EmbeddedServers(folder) as servers:
            asyncio.run(migrate(servers.database_url))
            with psycopg.connect(servers.database_url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE peer TEMPLATE template0")
            project_id, key = asyncio.run(first_key(servers.database_url))
            assert servers.postgres is not None
            child = servers.postgres.child
            assert child is not None
            yield Stage(
                folder=folder,
                database_url=servers.database_url,
                peer_url=make_conninfo(servers.database_url, dbname="peer"),
                redis_url=servers.redis_url,
                postgres=servers.postgres,
                postgres_pid=child.pid,
                key=key,
                path=PROJECT.format(project_id=project_id),
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def first_key(database_url: str) -> tuple[int, str]:
    async with await connect(database_url) as connection:
        project = await identity.create_project(connection, "Bench")
        await identity.create_user(connection, email="bench@example.com", first_name="Bench")
        _, key = await identity.create_key(
            connection,
            email="bench@example.com",
            scopes=["llm_skill:write", "llm_prompt:write"],
            project_ids=[project.id],
        )
    return project.id, key


@contextlib.contextmanager
def service(
    on: Stage,
    *,
    workers: int,
    answer: Fixed | None = None,
    peer: bool = False,
    cached: bool = True,
    redis: bool = True,
    replicas: str | None = None,
) -> Iterator[Server]:
    """The API processes without rate limits, their access log going to a file; they keep no answers unless ``cached``.

    In their place the floor, with ``answer``, or the peer behind HTTP.
    """
    port = free_port()
    run_dir = Path(tempfile.mkdtemp(prefix="run-", dir=on.folder))
    settings = Settings(
        database_url=on.database_url,
        read_database_url=replicas,
        redis_url=on.redis_url if redis else None,
        run_dir=run_dir,
        port=port,
        workers=workers,
        rate_limit_per_minute=0,
        rate_limit_per_hour=0,
        cache_bytes=DEFAULT_CACHE if cached else 0,
    )
    shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
    env = {**shown, **settings.to_env()}
    if answer is not None:
        env[ANSWER] = str(run_dir / "answer")
        (run_dir / "answer").write_bytes(msgspec.json.encode(answer))
    if peer:
        env["BENCH_PEER"] = on.peer_url
    module = "benchmarks.peer_http" if peer else "cli.server.http" if answer is None else "benchmarks.floor"
    with (run_dir / "log").open("wb") as log:
        child = Child(module, [sys.executable, "-m", module], env=env, output=log)
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while not is_ready("127.0.0.1", port):
            if child.exit_code() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{module} did not start:\n{(run_dir / 'log').read_text()[-4000:]}")
            time.sleep(0.02)
        yield Server(port, child.pid)
    finally:
        child.stop(timeout=15)


@contextlib.contextmanager
def followers(on: Stage) -> Iterator[int]:
    """The followers of the log, as `skald serve` runs them; their process id."""
    run_dir = Path(tempfile.mkdtemp(prefix="followers-", dir=on.folder))
    settings = Settings(database_url=on.database_url, redis_url=on.redis_url, run_dir=run_dir)
    shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
    with (run_dir / "log").open("wb") as log:
        command = [sys.executable, "-m", "cli.main", "worker"]
        child = Child("worker", command, env={**shown, **settings.to_env()}, output=log)
    try:
        yield child.pid
        if child.exit_code() is not None:
            raise RuntimeError(f"the followers ended:\n{(run_dir / 'log').read_text()[-4000:]}")
    finally:
        child.stop(timeout=15)


def free_port() -> int:
    """A free port. The API processes share theirs, so it has to be a number, not 0.

    By chance, because another benchmark on this machine would not notice that it shares a port with this one.
    """
    for port in sample(PORTS, 200):
        with contextlib.suppress(Exception):
            check_port("127.0.0.1", port)
            return port
    raise RuntimeError(f"no free port among {PORTS}")


def client(on: Stage, server: Server) -> httpx.Client:
    """For what is not measured."""
    return httpx.Client(
        base_url=f"http://127.0.0.1:{server.port}", headers={"authorization": f"Bearer {on.key}"}, timeout=30
    )


def measured(
    module: str, job: msgspec.Struct, result: type[R], *, timeout: float, arguments: Sequence[str] = ()
) -> R:
    """Run ``module`` in a process of its own with the job as its input; what it printed is the result."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        input=msgspec.json.encode(job),
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{module} failed:\n{done.stderr.decode(errors='replace')[-4000:]}")
    return msgspec.json.decode(done.stdout, type=result)


def cpu_seconds(root: int) -> float:
    """CPU time of a process and all its living children, with that of children already waited for."""
    parents: dict[int, int] = {}
    times: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
                times[int(entry.name)] = sum(map(int, fields[11:15])) / TICKS
    total, family = 0.0, {root}
    while family:
        total += sum(times.get(pid, 0.0) for pid in family)
        family = {pid for pid, parent in parents.items() if parent in family}
    return total
