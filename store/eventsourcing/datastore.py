"""Connections to the log for threads, and PostgreSQL's errors as those of the ``eventsourcing`` library."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from eventsourcing import persistence
from eventsourcing.persistence import PersistenceError
from psycopg import Connection
from psycopg_pool import ConnectionPool

from store.postgres.pool import OPTIONS

POOL_SIZE = 4  # connections; a runner needs one at a time, threads that load aggregates share the rest

# Both name them after PEP 249.
NAMES = (
    "InterfaceError",
    "DatabaseError",
    "DataError",
    "OperationalError",
    "IntegrityError",
    "InternalError",
    "ProgrammingError",
    "NotSupportedError",
)
ERRORS: dict[type, type[PersistenceError]] = {
    getattr(psycopg, name): getattr(persistence, name) for name in NAMES
}


class Datastore:
    """A pool that opens with its first use. ``close`` it: it has threads."""

    def __init__(self, url: str, *, size: int = POOL_SIZE) -> None:
        self._url = url
        self._options = {**OPTIONS, "application_name": "skald-eventsourcing"}
        self._pool: ConnectionPool[Connection[tuple[Any, ...]]] = ConnectionPool(
            url, min_size=1, max_size=size, kwargs=self._options, open=False
        )

    @contextmanager
    def connection(self) -> Iterator[Connection[tuple[Any, ...]]]:
        """An autocommit connection of the pool."""
        try:
            self._pool.open()
            with self._pool.connection() as conn:
                yield conn
        except psycopg.Error as error:
            raise translated(error) from error

    def connect(self) -> Connection[tuple[Any, ...]]:
        """An autocommit connection beside the pool; the caller closes it. Raises psycopg.OperationalError."""
        return psycopg.connect(self._url, **self._options)

    def close(self) -> None:
        self._pool.close()


def translated(error: psycopg.Error) -> PersistenceError:
    """The library's error of the same name."""
    found = next((ERRORS[cls] for cls in type(error).__mro__ if cls in ERRORS), PersistenceError)
    return found(str(error))
