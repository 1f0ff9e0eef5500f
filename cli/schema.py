"""The one place that knows which rooms bring tables, and in what order they are made."""

from pathlib import Path

import projections
import store
from store.migrate import migrate as apply

FOLDERS = tuple(Path(str(room.__file__)).parent / "migrations" for room in (store, projections))


async def migrate(database_url: str) -> list[str]:
    """Bring the database up to date; returns the names of the migrations applied now."""
    return await apply(database_url, FOLDERS)
