"""The database for one command: a real server, the one that `skald serve` runs, or one started for the command."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

from cli.embedded.folder import DataFolder, FolderInUse, Running
from cli.embedded.servers import EmbeddedServers
from cli.schema import check_release, migrate
from cli.settings import Settings

START_TIMEOUT = 60.0  # seconds: a first start makes a cluster, a start after a crash replays the log


@contextlib.contextmanager
def database(settings: Settings, *, migrated: bool = True) -> Iterator[str]:
    """The address of the database that ``settings`` mean.

    A server at SKALD_DATABASE_URL is taken as it is; one that is started here is brought up to date first, unless
    ``migrated`` is false. Raises MigrationError when a later release has migrated it, and Failure (FolderInUse when another
    process holds the data folder for a minute without running a database on it).
    """
    if settings.database_url:
        asyncio.run(check_release(settings.database_url))
        yield settings.database_url
        return
    folder = DataFolder(settings.data_dir)
    running = hold_or_join(folder)
    if running:
        asyncio.run(check_release(running.database_url))
        yield running.database_url
        return
    try:
        with EmbeddedServers(folder, cache=False, postgres_bin=settings.postgres_bin) as servers:
            asyncio.run((migrate if migrated else check_release)(servers.database_url))
            yield servers.database_url
    finally:
        folder.release()


def hold_or_join(folder: DataFolder) -> Running | None:
    """Hold the folder (None), or find the servers that another process runs on it, waiting while it starts or stops."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            folder.hold()
        except FolderInUse:
            if running := folder.running():
                return running
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return None
