"""More than one machine in a test: a standby of an embedded PostgreSQL, and hosts behind a network that can be cut."""

import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from cli.embedded.postgres import DATABASE, ROLE, EmbeddedPostgres
from cli.process.child import Child
from tests.support.servers import descendants, eventually, make_folder

REPLICATION = {
    "wal_level": "replica",
    "max_wal_senders": "4",
    "hot_standby": "on",
    "wal_keep_size": "64MB",
    # A standby gives what it got at once, not after its sleep.
    "wal_receiver_status_interval": "1s",
}

# PostgreSQL -----------------------------------------------------------------------------------------------------


class Pair:
    """A primary and its standby; ``url`` leads to the one that takes writes, as hosts are given it in production."""

    def __init__(self, primary: EmbeddedPostgres, standby: EmbeddedPostgres) -> None:
        self.primary, self.standby = primary, standby

    @property
    def url(self) -> str:
        return make_conninfo(
            host=f"{self.primary.sockets},{self.standby.sockets}",
            port="5432,5432",
            user=ROLE,
            dbname=DATABASE,
            target_session_attrs="read-write",
        )

    def make_synchronous(self) -> None:
        """A write is acknowledged when the standby has it, too."""
        with psycopg.connect(self.primary.url, autocommit=True) as conn:
            conn.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            conn.execute("SELECT pg_reload_conf()")
            _until(conn, "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'")

    def catch_up(self) -> None:
        """Wait until the standby has all that the primary has."""
        with psycopg.connect(self.primary.url) as conn:
            [end] = conn.execute("SELECT pg_current_wal_lsn()::text").fetchone() or ()
        with psycopg.connect(self.standby.url, autocommit=True) as conn:
            _until(conn, f"SELECT pg_last_wal_replay_lsn() >= '{end}'::pg_lsn")

    def cut(self) -> None:
        """From here on the standby gets nothing any more."""
        with psycopg.connect(self.standby.url, autocommit=True) as conn:
            conn.execute("ALTER SYSTEM SET primary_conninfo = ''")
            conn.execute("SELECT pg_reload_conf()")
            _until(conn, "SELECT count(*) = 0 FROM pg_stat_wal_receiver")

    def fail_over(self) -> None:
        """The primary dies, and the standby takes its place with what it has."""
        self.primary.kill()
        with psycopg.connect(self.standby.url, autocommit=True) as conn:
            conn.execute("SELECT pg_promote(true, 60)")


def _until(conn: "psycopg.Connection[tuple[object, ...]]", condition: str) -> None:
    eventually(lambda: conn.execute(condition.encode()).fetchone() == (True,), condition, timeout=30)


@contextmanager
def with_standby(primary: EmbeddedPostgres) -> Iterator[Pair]:
    """The primary runs with REPLICATION."""
    folder = make_folder()
    home, sockets = folder / "home", folder / "sockets"
    for made in (home, sockets):
        made.mkdir(mode=0o700)
        if primary.user:
            os.chown(made, primary.user.uid, primary.user.gid)
    standby = EmbeddedPostgres(
        home,
        sockets,
        primary.binaries,
        user=primary.user,
        log=folder / "postgres.log",
        settings=primary.settings,
    )
    try:
        _copy(primary, standby, folder / "basebackup.log")
        standby.start()
        yield Pair(primary, standby)
    finally:
        standby.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _copy(primary: EmbeddedPostgres, standby: EmbeddedPostgres, log: Path) -> None:
    with log.open("wb") as output:
        copying = Child(
            "pg_basebackup",
            [
                primary.binaries / "pg_basebackup",
                f"--host={primary.sockets}",
                f"--username={ROLE}",
                f"--pgdata={standby.cluster}",
                "--checkpoint=fast",
                "--write-recovery-conf",
            ],
            env={"PATH": os.defpath, "LC_ALL": "C"},
            user=primary.user,
            output=output,
            cwd=Path("/"),
        )
    copying.wait(60)
    assert copying.exit_code() == 0, log.read_text()


@contextmanager
def frozen(postgres: EmbeddedPostgres) -> Iterator[None]:
    """The server with every process of it does nothing, and takes connections no further than the system does."""
    assert postgres.child is not None
    pids = [postgres.child.pid, *descendants(postgres.child.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


# Networks -------------------------------------------------------------------------------------------------------

_numbers = itertools.count()


class Network:
    """A namespace as another machine has it. One cable leads to the clients, and through a switch another to the databases.

    ``cut`` pulls a cable out between the switch and the machine: both its ends stay up, and what is sent is lost.
    """

    def __init__(self, stack: ExitStack) -> None:
        # Each has two networks of four addresses in 198.18.0.0/15, which is for tests of networks (RFC 2544).
        place = (os.getpid() * 8 + next(_numbers)) % (1 << 14)
        first = (198 << 24) + (18 << 16) + place * 8
        self.database, inside = _address(first + 1), _address(first + 2)
        client, self.address = _address(first + 5), _address(first + 6)
        self._switch, self._machine = (_namespace(stack) for _ in range(2))
        database, clients = f"skd{place}", f"skc{place}"
        stack.callback(_run, ["ip", "link", "delete", database], check=False)
        stack.callback(_run, ["ip", "link", "delete", clients], check=False)
        _link(database, None, "databases", self._switch)
        _link(clients, None, "clients", self._machine)
        _link("machine", self._switch, "switch", self._machine)
        _ip(self._switch, "link", "add", "name", "hub", "type", "bridge")
        for name in ("hub", "databases", "machine"):
            _ip(self._switch, "link", "set", name, *([] if name == "hub" else ["master", "hub"]), "up")
        _up(None, database, self.database)
        _up(None, clients, client)
        _up(self._machine, "switch", inside)
        _up(self._machine, "clients", self.address)
        _ip(self._machine, "link", "set", "lo", "up")

    @property
    def prefix(self) -> list[str]:
        """What runs a command on the machine."""
        return [shutil.which("nsenter") or "nsenter", f"--target={self._machine}", "--net", "--"]

    def cut(self) -> None:
        _ip(self._switch, "link", "set", "machine", "nomaster")

    def mend(self) -> None:
        _ip(self._switch, "link", "set", "machine", "master", "hub")


def _address(number: int) -> str:
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def _namespace(stack: ExitStack) -> int:
    """The process that keeps a new one."""
    child = Child("network", [shutil.which("unshare") or "unshare", "--net", "sleep", "infinity"])
    stack.callback(child.kill)
    own = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child.pid}/ns/net").readlink() == own:
        if child.exit_code() is not None or time.monotonic() > deadline:
            raise OSError("no new namespace")
        time.sleep(0.01)
    return child.pid


def _link(name: str, where: int | None, peer: str, there: int) -> None:
    _ip(where, "link", "add", name, "type", "veth", "peer", "name", peer, "netns", str(there))


def _up(where: int | None, name: str, address: str) -> None:
    _ip(where, "address", "add", f"{address}/30", "dev", name)
    _ip(where, "link", "set", name, "up")


def _ip(where: int | None, *arguments: str) -> None:
    _run([*([] if where is None else ["nsenter", f"--target={where}", "--net", "--"]), "ip", *arguments])


def _run(command: list[str], *, check: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    if check and done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
