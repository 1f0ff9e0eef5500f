"""The one place that knows which rooms bring tables, and in what order they are made."""

import sys
from pathlib import Path

import projections
import store
from projections.rebuild import rebuild
from store.postgres.migrate import migrate as apply

FOLDERS = tuple(Path(str(room.__file__)).parent / "migrations" for room in (store, projections))


async def migrate(database_url: str) -> list[str]:
    """Bring the database up to date, rows that an older release wrote included; the names of the migrations applied now."""
    applied = await apply(database_url, FOLDERS)
    try:
        await rebuild.complete(database_url)
    except rebuild.ContentLost as lost:
        # Reads make what the rows lack; a service that serves the rest is better than none.
        print(f"the read models could not be completed: {lost}; see `skald verify`", file=sys.stderr)
    return applied
