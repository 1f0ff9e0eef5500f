"""Real PostgreSQL and Valkey servers for the tests, as a pytest plugin.

Fixtures:

``postgres_url``        a migrated database of this test process (session); tests keep apart by project id
``redis_url``           a logical Valkey database of this test process (session)
``fresh_database_url``  a migrated database for one test, with an empty log
``empty_database_url``  a database without tables for one test
``private_servers``     starts servers of a test's own, which it may stop, kill and start again

One server pair serves all processes of a test run. It is run by a process of its own (``python -m tests.servers``) that
the first test process to need it starts, and that ends when the run does, however it does: the run holds a lock on a
file, and the kernel lets go of it.
"""

import asyncio
import contextlib
import fcntl
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from cli.embedded import EmbeddedServers
from cli.schema import migrate

ROOT = Path(__file__).parent.parent
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
                    [sys.executable, "-m", "tests.servers", str(folder)],
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


def _drop(servers: Addresses, name: str) -> None:
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


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
    _drop(shared_servers, name)


@pytest.fixture
def empty_database_url(shared_servers: Addresses) -> Iterator[str]:
    """A database without any table for one test."""
    name = _create(shared_servers)
    yield address_of(shared_servers.database_url, name)
    _drop(shared_servers, name)


@pytest.fixture(scope="session")
def redis_url(shared_servers: Addresses) -> str:
    """A logical Valkey database of this test process; ``FLUSHDB`` it freely, never ``FLUSHALL``."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return f"{shared_servers.redis_url}?db={number}"


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


if __name__ == "__main__":
    hold(Path(sys.argv[1]))
