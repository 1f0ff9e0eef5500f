"""An embedded PostgreSQL server: one cluster, one foreground process, a UNIX socket and no TCP."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import psycopg
from psycopg.conninfo import make_conninfo

from cli.errors import Failure
from cli.process.child import Child, User, wait_until_gone

ROLE = "skald"
DATABASE = "skald"
MIB = 1024 * 1024
LOG_LIMIT = 16 * MIB
LARGEST_WAL = 2048 * MIB  # fewer checkpoints, so fewer full pages
SMALLEST_WAL = 48 * MIB  # three segments
WAL_PART = 8  # of the disk

# Given on the command line at every start, so that a newer Skald brings its settings to an older cluster.
SETTINGS: dict[str, str] = {
    "listen_addresses": "",  # the socket alone: nothing to protect on the network
    "unix_socket_permissions": "0700",
    "max_connections": "100",  # 4 API processes x (pool 8 + 4 of their own), a worker, commands, and room
    "shared_buffers": "256MB",  # read models and indexes of a mid-sized project stay in memory
    "fsync": "on",  # an acknowledged write survives a power cut
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "on",  # full pages after a checkpoint are most of the WAL; the CPU for it is small
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",  # an SSD; the default of 4 keeps the planner off good indexes
    "jit": "off",  # queries here take microseconds to milliseconds, compiling one takes tens of them
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # a statement may carry content, and content stays out of logs
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
}


class ServerFailed(Failure):
    """A server did not start or make its cluster; the message ends with the last lines of its log."""

    code = "server_failed"


class EmbeddedPostgres:
    """A cluster in ``home/postgres`` and its server; the caller holds the data folder's lock.

    ``start``, ``stop``, ``kill`` and ``start`` again may follow each other in any order.
    """

    def __init__(
        self,
        home: Path,
        sockets: Path,
        binaries: Path,
        *,
        user: User | None = None,
        log: Path,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.cluster = home / "postgres"
        self.sockets = sockets
        self.binaries = binaries
        self.user = user
        self.log = log
        self.settings = {**SETTINGS, **(settings or {})}
        self.child: Child | None = None

    @property
    def url(self) -> str:
        """The address of the database, as psycopg's key-value string."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        return make_conninfo(host=str(self.sockets), port="5432", user=ROLE, dbname=database)

    def start(self, *, timeout: float = 120, stopped: Callable[[], bool] = lambda: False) -> Child:
        """Make the cluster if there is none, start the server, wait until it answers and has the database.

        ``timeout`` is in seconds and long, because recovery after a crash replays the WAL. Gives up early, without
        error, when ``stopped()`` is true. Raises ServerFailed.
        """
        if not self.cluster.is_dir():
            self._initdb()
        self._check_version()
        wait_until_gone(self.cluster, "postgres", timeout=30)
        # No server runs in the cluster now, so a pid file is stale even if its number runs again as something else.
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.old"))
        options = {
            "max_wal_size": self._max_wal_size(),
            **self.settings,
            "unix_socket_directories": str(self.sockets),
        }
        command: list[str | Path] = [self.binaries / "postgres", "-D", self.cluster]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with _append(self.log) as output:
            start_of_log = output.tell()
            # SIGQUIT ends it and its backends at once; what was acknowledged is in the WAL.
            self.child = Child(
                "PostgreSQL",
                command,
                env=_environment(),
                user=self.user,
                output=output,
                on_parent_death=signal.SIGQUIT,
                cwd=Path("/"),
            )
        self._wait_ready(self.child, timeout, stopped, start_of_log)
        return self.child

    def _max_wal_size(self) -> str:
        """A checkpoint each time that so much has been written: seldom, but before the WAL takes most of a small disk."""
        disk = os.statvfs(self.cluster)
        part = disk.f_blocks * disk.f_frsize // WAL_PART
        return f"{max(SMALLEST_WAL, min(LARGEST_WAL, part)) // MIB}MB"

    def stop(self, *, timeout: float = 30) -> None:
        """Shut it down cleanly: sessions are ended, a checkpoint is written."""
        if self.child:
            if self.child.exit_code() is None:
                self.child.send(signal.SIGINT)
                if not self.child.wait(timeout):
                    self.child.stop(signal.SIGQUIT, timeout=10)
            self.child = None

    def kill(self) -> None:
        """End the server process as a crash would; its backends notice and end, too."""
        if self.child:
            self.child.kill()
            self.child = None

    def _wait_ready(
        self, child: Child, timeout: float, stopped: Callable[[], bool], start_of_log: int
    ) -> None:
        deadline = time.monotonic() + timeout
        while not stopped():
            if (code := child.exit_code()) is not None:
                raise ServerFailed(f"PostgreSQL ended with code {code}\n{_tail(self.log, start_of_log)}")
            try:
                with psycopg.connect(
                    self.url_of("postgres"), autocommit=True, connect_timeout=5
                ) as connection:
                    known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
                    if known.fetchone() is None:
                        connection.execute(f"CREATE DATABASE {DATABASE}")
                    return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise ServerFailed(
                        f"PostgreSQL did not answer within {timeout:.0f} s: {error}\n{_tail(self.log, start_of_log)}"
                    ) from None
            time.sleep(0.01)

    def _initdb(self) -> None:
        """Make the cluster under another name and rename it: one that is half made is never used."""
        home = self.cluster.parent
        for old in home.glob("postgres.new-*"):
            shutil.rmtree(old)
        new = home / f"postgres.new-{os.getpid()}"
        new.mkdir(mode=0o700)
        if self.user:
            os.chown(new, self.user.uid, self.user.gid)
        # The built-in provider sorts by code point and does not change with the system's C library.
        builtin = ["--locale-provider=builtin"] if self._major() >= 17 else []
        child_command: list[str | Path] = [
            self.binaries / "initdb",
            f"--pgdata={new}",
            f"--username={ROLE}",
            "--auth=trust",  # the socket's folder is 0700: who reaches it is us or root
            "--encoding=UTF8",
            *builtin,
            "--locale=C.UTF-8",
        ]
        with _append(self.log) as output:
            start_of_log = output.tell()
            child = Child(
                "initdb", child_command, env=_environment(), user=self.user, output=output, cwd=Path("/")
            )
        if not child.wait(300):
            child.kill()
        if child.exit_code() != 0:
            raise ServerFailed(f"initdb failed\n{_tail(self.log, start_of_log)}")
        new.rename(self.cluster)
        descriptor = os.open(home, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _check_version(self) -> None:
        cluster = (self.cluster / "PG_VERSION").read_text().strip()
        if cluster != str(self._major()):
            raise ServerFailed(
                f"the data in {self.cluster} is of PostgreSQL {cluster}, the program in {self.binaries} is "
                f"{self._major()}; point SKALD_POSTGRES_BIN to version {cluster}, dump, and load into a new folder"
            )

    def _major(self) -> int:
        text = subprocess.run(
            [self.binaries / "postgres", "--version"],
            env=_environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        found = re.search(r"\) (\d+)", text)
        if not found:
            raise ServerFailed(f"{self.binaries / 'postgres'} is no PostgreSQL: {text.strip()}")
        return int(found[1])


def _environment() -> dict[str, str]:
    """Nothing of ours: PGOPTIONS, PGDATA, LC_ALL and the like must not reach the server."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _append(log: Path) -> BinaryIO:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    file = os.fdopen(descriptor, "ab")
    file.seek(0, os.SEEK_END)
    return file


def _tail(log: Path, start: int, lines: int = 15) -> str:
    with log.open("rb") as file:
        file.seek(start)
        text = file.read()[-8192:].decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])
