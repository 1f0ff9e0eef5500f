"""A PostgreSQL primary with an asynchronous standby, on the embedded programs, and API hosts in front of both."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from cli.embedded.postgres import DATABASE, ROLE, EmbeddedPostgres
from cli.process.child import Child
from tests.support.servers import StartServers, make_folder

REPLICATION = {"wal_level": "replica", "max_wal_senders": "4", "hot_standby": "on", "wal_keep_size": "64MB"}
WITHIN = 20.0  # seconds for what a server does by itself, on a busy machine


class Cluster:
    """``url`` leads to whichever of both takes writes, as several hosts are given in production."""

    def __init__(self, primary: EmbeddedPostgres, standby: EmbeddedPostgres) -> None:
        self.primary, self.standby = primary, standby

    @property
    def url(self) -> str:
        hosts = f"{self.primary.sockets},{self.standby.sockets}"
        return make_conninfo(
            host=hosts, port="5432,5432", user=ROLE, dbname=DATABASE, target_session_attrs="read-write"
        )

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
    deadline = time.monotonic() + WITHIN
    while conn.execute(condition.encode()).fetchone() != (True,):
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


@pytest.fixture
def cluster(private_servers: StartServers) -> Iterator[Cluster]:
    servers = private_servers(cache=False, settings=REPLICATION)
    primary = servers.postgres
    assert primary is not None
    folder = make_folder()
    try:
        yield from _with_standby(primary, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _with_standby(primary: EmbeddedPostgres, folder: Path) -> Iterator[Cluster]:
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
    with (folder / "basebackup.log").open("wb") as output:
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
        assert copying.exit_code() == 0, (folder / "basebackup.log").read_text()
    standby.start()
    try:
        yield Cluster(primary, standby)
    finally:
        standby.stop()
