"""Real PostgreSQL and Valkey servers for the tests, as a pytest plugin.

Fixtures:

``postgres_url``        a migrated database of this test process (session); tests keep apart by project id
``redis_url``           a logical Valkey database of this test process (session)
``redis``               a client of it, empty
``fresh_database_url``  a migrated database for one test, with an empty log
``empty_database_url``  a database without tables for one test
``private_servers``     starts servers of a test's own, which it may stop, kill and start again
``start_service``       starts a whole `skald serve` of a test's own

One server pair serves all processes of a test run. It is run by a process of its own (``python -m tests.support.servers``) that
the first test process to need it starts, and that ends when the run does, however it does: the run holds a lock on a
file, and the kernel lets go of it.
"""

import asyncio
import contextlib
import fcntl
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

import msgspec
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from redis.asyncio import Redis

from cli.embedded.servers import EmbeddedServers
from cli.process.child import Child
from cli.schema import migrate

ROOT = Path(__file__).parents[2]
TEMPLATE = "migrated"
FOLDER = pytest.StashKey[Path]()
USERS = pytest.StashKey[int]()

# A crash of the machine in mid-run loses nothing of worth, and waiting for the disk is most of a small test.
# Tests of durability start private servers, which have the settings of the product.
SHARED_SETTINGS = {
    "max_connections": "300",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class Addresses(msgspec.Struct, frozen=True):
    """Where the shared servers are."""

    database_url: str
    redis_url: str


def make_folder() -> Path:
    """A new data folder, reachable for the user that the servers run as when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="skald-test-"))
    folder.chmod(0o711)
    return folder


# The life of the shared servers --------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    given = getattr(config, "workerinput", {}).get("skald_servers")
    if given:
        config.stash[FOLDER] = Path(given)
        return
    folder = config.stash[FOLDER] = make_folder()
    users = config.stash[USERS] = os.open(folder / "users", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(users, fcntl.LOCK_SH)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell each process of pytest-xdist where the servers are, or will be."""
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    node.workerinput["skald_servers"] = str(config.stash[FOLDER])  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    if USERS not in config.stash:
        return
    folder = config.stash[FOLDER]
    os.close(config.stash[USERS])
    if (folder / "started").exists():
        deadline = time.monotonic() + 20
        while folder.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    else:
        shutil.rmtree(folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "turn").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def shared_servers(pytestconfig: pytest.Config) -> Addresses:
    """The servers of this test run, started by whoever asks first."""
    folder = pytestconfig.stash[FOLDER]
    addresses = folder / "addresses"
    with _locked(folder):
        if not addresses.exists():
            (folder / "started").touch()
            with (folder / "output").open("wb") as output:
                holder = subprocess.Popen(
                    [sys.executable, "-m", "tests.support.servers", str(folder)],
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            deadline = time.monotonic() + 60
            while not addresses.exists():
                if holder.poll() is not None or time.monotonic() > deadline:
                    (folder / "started").unlink()
                    pytest.fail(f"the test servers did not start\n{(folder / 'output').read_text()}")
                time.sleep(0.02)
    return msgspec.json.decode(addresses.read_bytes(), type=Addresses)


def hold(folder: Path) -> None:
    """Run the servers until the test run that owns ``folder`` has ended, then remove it."""
    with (
        (folder / "users").open("r+") as users,
        EmbeddedServers(folder / "data", settings=SHARED_SETTINGS, cache_databases=64) as servers,
    ):
        temporary = folder / "addresses.new"
        temporary.write_bytes(msgspec.json.encode(Addresses(servers.database_url, servers.redis_url)))
        temporary.rename(folder / "addresses")
        fcntl.flock(users, fcntl.LOCK_EX)
    shutil.rmtree(folder)


# Databases -------------------------------------------------------------------------------------------------------

_numbers = itertools.count(1)


def address_of(database_url: str, name: str) -> str:
    """The address of another database on the same server."""
    return make_conninfo(database_url, dbname=name)


def _create(servers: Addresses, *, template: str = "template0") -> str:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return name


def _leave(servers: Addresses, name: str) -> None:
    """End what is still connected to a database; it goes with the servers.

    Not DROP DATABASE: that waits for every backend of the server, so also for one whose notifications nobody reads just
    then, such as the tail of an application whose event loop rests between two tests.
    """
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )


@pytest.fixture(scope="session")
def migrated_template(shared_servers: Addresses, pytestconfig: pytest.Config) -> str:
    """The name of a database with the schema, which others are copied from; migrated once per test run."""
    done = pytestconfig.stash[FOLDER] / "migrated"
    with _locked(pytestconfig.stash[FOLDER]):
        if not done.exists():
            with psycopg.connect(shared_servers.database_url, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {TEMPLATE}")
                connection.execute(f"CREATE DATABASE {TEMPLATE}")
            asyncio.run(migrate(address_of(shared_servers.database_url, TEMPLATE)))
            done.touch()
    return TEMPLATE


@pytest.fixture(scope="session")
def postgres_url(shared_servers: Addresses, migrated_template: str) -> str:
    """A migrated database of this test process. It goes with the servers."""
    return address_of(shared_servers.database_url, _create(shared_servers, template=migrated_template))


@pytest.fixture
def fresh_database_url(shared_servers: Addresses, migrated_template: str) -> Iterator[str]:
    """A migrated database for one test: its log is empty, its positions start at 1."""
    name = _create(shared_servers, template=migrated_template)
    yield address_of(shared_servers.database_url, name)
    _leave(shared_servers, name)


@pytest.fixture
def migrated_copy(shared_servers: Addresses, migrated_template: str) -> Iterator[str]:
    """One more migrated database for one test."""
    name = _create(shared_servers, template=migrated_template)
    yield address_of(shared_servers.database_url, name)
    _leave(shared_servers, name)


@pytest.fixture
def empty_database_url(shared_servers: Addresses) -> Iterator[str]:
    """A database without any table for one test."""
    name = _create(shared_servers)
    yield address_of(shared_servers.database_url, name)
    _leave(shared_servers, name)


@pytest.fixture(scope="session")
def redis_url(shared_servers: Addresses) -> str:
    """A logical Valkey database of this test process; ``FLUSHDB`` it freely, never ``FLUSHALL``."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return f"{shared_servers.redis_url}?db={number}"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator["Redis"]:
    """A client of it, empty."""
    client: Redis = Redis.from_url(redis_url)
    await client.flushdb()
    yield client
    await client.aclose()


# Servers of a test's own -----------------------------------------------------------------------------------------

StartServers = Callable[..., EmbeddedServers]


@pytest.fixture
def private_servers() -> Iterator[StartServers]:
    """``private_servers(database=True, cache=True, settings={...})`` starts servers with the product's settings.

    Stop, crash and restart them by ``servers.postgres.stop()`` / ``.kill()`` / ``.start()`` and the same of
    ``servers.valkey``, from the main thread (each start takes about 0.2 s). The database is empty; migrate it with
    ``cli.schema.migrate``. All is stopped and removed after the test.
    """
    with contextlib.ExitStack() as stack:

        def start(
            *, settings: Mapping[str, str] | None = None, database: bool = True, cache: bool = True
        ) -> EmbeddedServers:
            folder = make_folder()
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            return stack.enter_context(
                EmbeddedServers(folder, settings=settings, database=database, cache=cache)
            )

        yield start


# A service of a test's own ----------------------------------------------------------------------------------------


class RunningService:
    """One `skald serve` and all its children; it dies with the tests."""

    def __init__(
        self, data_dir: Path, *arguments: str, env: Mapping[str, str] | None = None, port: int = 0
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self._output = data_dir / f"output-{next(_numbers)}"
        # No limits and no settings of whoever runs the tests, unless the test says so.
        shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
        self._env = {
            **shown,
            "SKALD_RATE_LIMIT_PER_MINUTE": "0",
            "SKALD_RATE_LIMIT_PER_HOUR": "0",
            "SKALD_FAILED_ATTEMPTS_PER_MINUTE": "0",
            **(env or {}),
        }
        self._command = [
            *SKALD,
            "serve",
            f"--data-dir={data_dir}",
            f"--port={self.port}",
            *arguments,
        ]
        self.child = self._start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        """The first key, for everything."""
        return (self.data_dir / "first-key").read_text().strip()

    @property
    def output(self) -> str:
        """What it has printed in this run, on both streams."""
        return self._output.read_text()

    def wait_ready(self, timeout: float = 60) -> Self:
        deadline = time.monotonic() + timeout
        while "Skald is ready at" not in self.output:
            if self.child.exit_code() is not None or time.monotonic() > deadline:
                pytest.fail(f"the service did not start\n{self.output}")
            time.sleep(0.02)
        return self

    def restart(self) -> Self:
        """Start it again after ``stop`` or ``kill``, on the same folder and port."""
        self._output = self.data_dir / f"output-{next(_numbers)}"
        self.child = self._start()
        return self.wait_ready()

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 40) -> int:
        """End it as an operator would; its exit code."""
        self.child.send(number)
        if not self.child.wait(timeout):
            pytest.fail(f"the service did not stop within {timeout} s\n{self.output}")
        code = self.child.exit_code()
        assert code is not None
        return code

    def kill(self) -> None:
        """End the parent alone, by SIGKILL."""
        self.child.kill()

    def descendants(self) -> dict[int, str]:
        """The command lines of all its running child processes, by pid."""
        return descendants(self.child.pid)

    def pid_of(self, part: str) -> int:
        """The pid of its direct child whose command line has ``part``, such as ``bin/postgres`` or ``cli.server.http``."""
        [pid] = [
            pid for pid, (parent, line) in _processes().items() if parent == self.child.pid and part in line
        ]
        return pid

    def _start(self) -> Child:
        with self._output.open("wb") as output:
            return Child(
                "service",
                self._command,
                env=self._env,
                output=output,
                on_parent_death=signal.SIGTERM,
                cwd=ROOT,
            )


SKALD = (sys.executable, "-m", "cli.main")
StartService = Callable[..., RunningService]


@pytest.fixture
def start_service() -> Iterator[StartService]:
    """``start_service("--workers=2", env={...})`` runs `skald serve` on a fresh folder and waits until it is ready."""
    started: list[RunningService] = []

    def start(*arguments: str, env: Mapping[str, str] | None = None) -> RunningService:
        service = RunningService(make_folder(), *arguments, env=env)
        started.append(service)
        return service.wait_ready()

    yield start
    for service in started:
        if service.child.exit_code() is None:
            service.stop()
        shutil.rmtree(service.data_dir, ignore_errors=True)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def descendants(pid: int) -> dict[int, str]:
    """The command lines of all running processes below ``pid``."""
    processes = _processes()
    found: dict[int, str] = {}
    parents = {pid}
    while parents:
        children = {child: line for child, (parent, line) in processes.items() if parent in parents}
        found.update(children)
        parents = set(children)
    return found


def is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    return pid in _processes()


def eventually(condition: Callable[[], bool], what: str, timeout: float = 15) -> None:
    """Wait until ``condition`` holds; fail after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout} s: {what}")
        time.sleep(0.02)


def _processes() -> dict[int, tuple[int, str]]:
    """Parent and command line of all processes that run (zombies do not)."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                line = (entry / "cmdline").read_text(errors="replace").replace("\0", " ")
                if state != "Z":
                    found[int(entry.name)] = (int(parent), line)
    return found


if __name__ == "__main__":
    hold(Path(sys.argv[1]))
