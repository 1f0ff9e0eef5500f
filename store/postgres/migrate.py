"""Numbered ``.sql`` files, applied once each, in order, under a lock."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from store.postgres.pool import connect

# Any constant will do, as long as every process of every release uses the same one.
MIGRATION_LOCK = 7_203_015

HISTORY = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(Exception):
    """The database and the files disagree; nothing was applied."""


def collect(folders: Sequence[Path]) -> list[Path]:
    """The migration files of all folders in order of their numbers. Raises MigrationError on a number used twice."""
    files = sorted((file for folder in folders for file in folder.glob("*.sql")), key=lambda file: file.name)
    numbers = [file.name[:4] for file in files]
    if len(set(numbers)) != len(numbers):
        raise MigrationError(f"two migrations share a number: {', '.join(file.name for file in files)}")
    return files


async def migrate(dsn: str, folders: Sequence[Path]) -> list[str]:
    """Apply what is missing, each file in a transaction of its own; return the names of the files applied.

    Safe to call from several processes at once: one works, the others wait and find nothing to do.
    """
    applied: list[str] = []
    conn = await connect(dsn, application_name="skald-migrate")
    async with conn:
        await conn.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        await conn.execute(HISTORY)
        rows = await (await conn.execute("SELECT number, sha256 FROM schema_migrations")).fetchall()
        known: dict[int, str] = dict(rows)
        for file in collect(folders):
            number, text = int(file.name[:4]), file.read_text()
            digest = hashlib.sha256(text.encode()).hexdigest()
            if number in known:
                if known[number] != digest:
                    raise MigrationError(
                        f"{file.name} was changed after it was applied; add a new file instead"
                    )
                continue
            async with conn.transaction():
                await conn.execute(text.encode(), prepare=False)
                await conn.execute(
                    "INSERT INTO schema_migrations (number, name, sha256) VALUES (%s, %s, %s)",
                    (number, file.stem, digest),
                )
            applied.append(file.name)
    return applied
