"""The one place that knows which rooms bring tables, and in what order they are made."""

from pathlib import Path

import psycopg

import projections
import store
from cli.output import say
from cli.settings import variable
from projections.rebuild import rebuild
from store.postgres import migrate as migrations
from store.postgres.sessions import check_sessions

FOLDERS = tuple(Path(str(room.__file__)).parent / "migrations" for room in (store, projections))


async def migrate(database_url: str) -> list[str]:
    """Bring the database up to date, rows that an older release wrote included; the names of the migrations applied now."""
    await check_sessions(database_url)
    applied = await migrations.migrate(database_url, FOLDERS)
    try:
        await rebuild.complete(database_url)
    except rebuild.LogDamaged as damaged:
        # Reads make what the rows lack; a service that serves the rest is better than none.
        say(f"the read models could not be completed: {damaged}; see `skald verify`", err=True)
    return applied


async def check_replicas(read_database_url: str) -> None:
    """Raises SessionsNotKept. Replicas that are away hold up no start."""
    try:
        await check_sessions(read_database_url, variable("read_database_url"))
    except (psycopg.OperationalError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        say(f"no replica answers, reads go to the primary: {reason}", err=True)


async def check_release(database_url: str) -> None:
    """Raises MigrationError when a later release has migrated the database: this one does not know what it would break."""
    await check_sessions(database_url)
    await migrations.check_database(database_url, FOLDERS)
