"""`pg_restore` of a newer release sets what an older server does not know, and stopped there: the backup could not be restored."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cli.embedded.folder import server_user
from cli.embedded.postgres import EmbeddedPostgres
from cli.operator.backup import SINCE_17, reason_of
from tests.support.servers import ROOT, make_folder

OLDER = sorted(
    path.parent
    for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")
    if 14 <= int(path.parts[-3]) < 17
)
REFUSED = f"pg_restore: error: could not execute query: ERROR:  {SINCE_17}\nCommand was: SET transaction_timeout = 0;\n"


@pytest.fixture
def older() -> Iterator[EmbeddedPostgres]:
    if not OLDER:
        pytest.skip("no PostgreSQL 14 to 16 is installed")
    folder, user = make_folder(), server_user()
    home, sockets = folder / "home", folder / "sockets"
    for made in (home, sockets):
        made.mkdir(mode=0o700)
        if user:
            os.chown(made, user.uid, user.gid)
    server = EmbeddedPostgres(home, sockets, OLDER[-1], user=user, log=folder / "postgres.log")
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def run(url: str, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        env={"PATH": os.defpath, "SKALD_DATABASE_URL": url, "SKALD_DATA_DIR": str(tmp_path / "data")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_older_server_gets_its_backup_back(older: EmbeddedPostgres, tmp_path: Path) -> None:
    assert run(older.url, tmp_path, "migrate").returncode == 0
    assert run(older.url, tmp_path, "project", "create", "Kept").returncode == 0
    file = str(tmp_path / "skald.dump")
    assert run(older.url, tmp_path, "backup", file).returncode == 0
    with psycopg.connect(older.url_of("postgres"), autocommit=True) as conn:
        conn.execute("CREATE DATABASE again TEMPLATE template0")
    again = older.url_of("again")
    done = run(again, tmp_path, "restore", file)
    assert done.returncode == 0, done.stderr
    with psycopg.connect(again) as conn:
        assert conn.execute("SELECT name FROM projects").fetchall() == [("Kept",)]
    done = run(again, tmp_path, "verify")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (f"{REFUSED}pg_restore: warning: errors ignored on restore: 1\n", None),
        (
            f"{REFUSED}pg_restore: error: could not execute query: ERROR:  disk full\nCommand was: COPY x;\n",
            "could not execute query: ERROR:  disk full",
        ),
        ("pg_restore: error: no such file\nDETAIL: more", "no such file"),
        ("killed", "killed"),
        ("", "it said nothing"),
    ],
)
def test_only_what_an_older_server_does_not_know_is_passed_over(said: str, reason: str | None) -> None:
    assert reason_of(said) == reason
