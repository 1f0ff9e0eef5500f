"""`skald backup` and `skald restore`: the whole database, keys and people included, as PostgreSQL's own tools have it."""

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import click
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cli.embedded.binaries import postgres_folder
from cli.embedded.folder import DataFolder
from cli.embedded.postgres import DATABASE
from cli.embedded.servers import EmbeddedServers
from cli.errors import Failure
from cli.operator.database import database
from cli.options import common, settings_with
from cli.output import say, show_json
from cli.schema import migrate
from cli.settings import Settings

RESTORING = f"{DATABASE}_restoring"
BEFORE = f"{DATABASE}_before_restore"

# `pg_restore` of 17 and newer sets it whatever the server is; one that is older does not know it, and is as well without.
SINCE_17 = 'unrecognized configuration parameter "transaction_timeout"'

EMPTY = "SELECT NOT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'public')"


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@common
def backup(file: Path, data_dir: Path | None, as_json: bool) -> None:
    """Write the whole database to FILE. It holds people's names and the digests of keys: keep it safe."""
    settings = settings_with(data_dir=data_dir)
    temporary = file.with_name(file.name + ".part")
    temporary.unlink(missing_ok=True)  # one that was cut off, or made by others, has its own mode
    temporary.touch(mode=0o600, exist_ok=False)
    with database(settings, migrated=False) as url:
        _run(settings, "pg_dump", url, "--format=custom", "--no-owner", f"--file={temporary}")
    temporary.rename(file)
    if as_json:
        show_json({"file": str(file), "bytes": file.stat().st_size})
    else:
        say(f"{file}: {file.stat().st_size:,} bytes")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@common
def restore(file: Path, data_dir: Path | None, as_json: bool) -> None:
    """Put FILE, written by `skald backup`, in the place of the embedded database; the service must be stopped.

    With SKALD_DATABASE_URL it goes into that database, which has to be empty.
    """
    settings = settings_with(data_dir=data_dir)
    if settings.database_url:
        _restore_into(settings, settings.database_url, file)
    else:
        _restore_embedded(settings, file)
    if as_json:
        show_json({"restored": str(file)})
    else:
        say(f"restored from {file}")


def _restore_embedded(settings: Settings, file: Path) -> None:
    folder = DataFolder(settings.data_dir)
    folder.hold()
    try:
        with (
            EmbeddedServers(folder, cache=False, postgres_bin=settings.postgres_bin) as servers,
            psycopg.connect(make_conninfo(servers.database_url, dbname="postgres"), autocommit=True) as conn,
        ):
            # Beside the old database, which stays until the new one is whole.
            conn.execute(f"DROP DATABASE IF EXISTS {RESTORING}")
            conn.execute(f"CREATE DATABASE {RESTORING} TEMPLATE template0")
            _restore_into(settings, make_conninfo(servers.database_url, dbname=RESTORING), file)
            conn.execute(f"DROP DATABASE IF EXISTS {BEFORE}")
            conn.execute(f"ALTER DATABASE {DATABASE} RENAME TO {BEFORE}")
            conn.execute(f"ALTER DATABASE {RESTORING} RENAME TO {DATABASE}")
            conn.execute(f"DROP DATABASE {BEFORE}")
    finally:
        folder.release()


def _restore_into(settings: Settings, url: str, file: Path) -> None:
    with psycopg.connect(url) as conn:
        row = conn.execute(EMPTY).fetchone()
        if row is None or not row[0]:
            raise Failure("the database is not empty; restore into an empty one")
        whole = ["--exit-on-error", "--single-transaction"] if conn.info.server_version >= 170_000 else []
    _run(settings, "pg_restore", url, *whole, "--no-owner", str(file))
    asyncio.run(migrate(url))


def _run(settings: Settings, program: str, url: str, *arguments: str) -> None:
    """Raises Failure with the first error that the program said."""
    address: dict[str, Any] = dict(conninfo_to_dict(url))
    # Not on the command line, where every user of the machine can read it.
    password = {"PGPASSWORD": str(address.pop("password"))} if "password" in address else {}
    done = subprocess.run(
        [
            postgres_folder(settings.postgres_bin, None) / program,
            f"--dbname={make_conninfo(**address)}",
            *arguments,
        ],
        env={**os.environ, **password, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and (reason := reason_of(done.stderr)):
        raise Failure(f"{program}: {reason}")


def reason_of(said: str) -> str | None:
    """The first error in the messages of a program that failed, else their last line; None when an older server is all there is."""
    lines = said.strip().splitlines() or ["it said nothing"]
    errors = [line for line in lines if ": error: " in line]
    serious = [line for line in errors if SINCE_17 not in line]
    if errors and not serious:
        return None
    return serious[0].partition(": error: ")[2] if serious else lines[-1]
