"""The embedded servers of one data folder, started and stopped together.

    with EmbeddedServers(Path(".skald")) as servers:
        servers.database_url, servers.redis_url

Use it from the main thread: the servers die with the thread that starts them (see ``pdeathsig``).
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from cli.embedded.binaries import postgres_folder, valkey_program
from cli.embedded.folder import DataFolder, server_user
from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.valkey import EmbeddedValkey


class EmbeddedServers:
    """PostgreSQL and Valkey on a data folder that this process holds from ``start`` to ``stop``.

    ``folder`` may be a path, or a DataFolder that the caller already holds (and then releases itself).
    ``database`` and ``cache`` choose what to run; ``settings`` go over the PostgreSQL settings of ``cli.embedded.postgres``.
    """

    def __init__(
        self,
        folder: Path | DataFolder,
        *,
        database: bool = True,
        cache: bool = True,
        postgres_bin: Path | None = None,
        valkey_bin: Path | None = None,
        settings: Mapping[str, str] | None = None,
        cache_databases: int = 16,
    ) -> None:
        self._own_folder = not isinstance(folder, DataFolder)
        self.folder = folder if isinstance(folder, DataFolder) else DataFolder(folder)
        self._database = database
        self._cache = cache
        self._postgres_bin = postgres_bin
        self._valkey_bin = valkey_bin
        self._settings = settings
        self._cache_databases = cache_databases
        self._runtime_dir: Path | None = None
        self.postgres: EmbeddedPostgres | None = None
        self.valkey: EmbeddedValkey | None = None

    @property
    def database_url(self) -> str:
        """psycopg's key-value address of the embedded database."""
        assert self.postgres is not None, "not started, or without a database"
        return self.postgres.url

    @property
    def redis_url(self) -> str:
        """``unix://…`` address of the embedded Valkey."""
        assert self.valkey is not None, "not started, or without a cache"
        return self.valkey.url

    @property
    def runtime_dir(self) -> Path:
        """A 0700 folder that lasts as long as the servers: their sockets, and what the processes of a start share."""
        assert self._runtime_dir is not None, "not started"
        return self._runtime_dir

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Raises FolderInUse, FolderError, ProgramMissing, ServerFailed; nothing runs then."""
        if self._own_folder:
            self.folder.hold()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the servers cleanly, Valkey first; safe to call twice."""
        if self.valkey:
            self.valkey.stop()
        if self.postgres:
            self.postgres.stop()
        self.valkey = self.postgres = None
        if self._runtime_dir:
            shutil.rmtree(self._runtime_dir, ignore_errors=True)
            self._runtime_dir = None
        if self._own_folder:
            self.folder.release()

    def _start(self) -> None:
        user = server_user()
        home = self.folder.server_home(user)
        user = server_user(home)
        self._runtime_dir = self.folder.runtime_dir(home, user)
        if self._database:
            self.postgres = EmbeddedPostgres(
                home,
                self._runtime_dir,
                postgres_folder(self._postgres_bin, user),
                user=user,
                log=self.folder.path / "postgres.log",
                settings=self._settings,
            )
            self.postgres.start()
        if self._cache:
            self.valkey = EmbeddedValkey(
                self._runtime_dir,
                valkey_program(self._valkey_bin, user),
                user=user,
                log=self.folder.path / "valkey.log",
                databases=self._cache_databases,
            )
            self.valkey.start()
