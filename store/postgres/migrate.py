"""Numbered ``.sql`` files, applied once each, in order, under a lock."""

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path

from psycopg.errors import InsufficientPrivilege

from store.postgres.connection import Connection
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


# A role for serving alone may not create anything, so what is there already is not created again.
HAS_HISTORY = "SELECT to_regclass('schema_migrations') IS NOT NULL"
RIGHTS = """
SELECT current_user, current_database(), current_schema(),
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false), has_database_privilege(current_database(), 'CREATE')
"""
# An append calls functions of its connection's temporary schema.
MAY_CALL = "SELECT has_database_privilege(current_database(), 'TEMPORARY'), current_user, current_database()"
# What the migrations of the read models create; both are trusted, so CREATE on the database is enough.
EXTENSIONS = ("pg_trgm", "btree_gin")
SELECT_EXTENSIONS = """
SELECT name, installed.extnamespace::regnamespace::text, installed.extnamespace::regnamespace::name = ANY(current_schemas(true)),
    EXISTS (SELECT FROM pg_available_extensions AS available WHERE available.name = wanted.name)
FROM unnest(%s::text[]) AS wanted (name) LEFT JOIN pg_extension AS installed ON extname = name
"""
# Tables beside the history that this role may not read.
SELECT_UNREADABLE = """
SELECT count(*) FROM pg_class AS c
WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'schema_migrations'::regclass)
  AND c.relkind = 'r' AND NOT has_table_privilege(c.oid, 'SELECT')
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
        files = collect(folders)
        known = await read_applied(conn)
        if known is None:
            await check_rights(conn)
            await conn.execute(HISTORY)
            known = {}
        check_release(known, files)
        await check_temporary(conn)
        if any(int(file.name[:4]) not in known for file in files):
            await check_rights(conn)
        else:
            unreadable = await (await conn.execute(SELECT_UNREADABLE)).fetchone()
            if unreadable is not None and unreadable[0]:
                raise MigrationError(await serving_grants(conn))
        for file in files:
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


async def check_database(dsn: str, folders: Sequence[Path]) -> None:
    """Raises MigrationError when a later release has migrated the database, or when this role may not see that."""
    async with await connect(dsn, application_name="skald-migrate") as conn:
        check_release(await read_applied(conn) or {}, collect(folders))


async def read_applied(conn: Connection) -> dict[int, str] | None:
    """The digests of the applied migrations by number; None for a database without any history. Raises MigrationError."""
    row = await (await conn.execute(HAS_HISTORY)).fetchone()
    if row is None or not row[0]:
        return None
    try:
        return dict(await (await conn.execute("SELECT number, sha256 FROM schema_migrations")).fetchall())
    except InsufficientPrivilege:
        raise MigrationError(await serving_grants(conn)) from None


def check_release(applied: Collection[int], files: Sequence[Path]) -> None:
    """Raises MigrationError when the database is that of a later release: this one does not know what it would break."""
    newest = max((int(file.name[:4]) for file in files), default=0)
    later = [number for number in applied if number > newest]
    if files and later:
        raise MigrationError(
            f"the database belongs to a later release of Skald: it has migration {max(later):04}, and this release knows "
            f"them up to {newest:04}; start that release, or restore a backup from before it"
        )


async def check_rights(conn: Connection) -> None:
    """Raises MigrationError with what to grant before a migration that this role may not run."""
    row = await (await conn.execute(RIGHTS)).fetchone()
    role, database, schema, in_schema, in_database = row or ("", "", None, False, False)
    if schema is None:
        raise MigrationError(
            f"the search_path of the role {role} names no schema that it may use; CREATE SCHEMA or set it"
        )
    if not in_schema:
        raise MigrationError(
            f'the role {role} may not create tables: GRANT CREATE ON SCHEMA "{schema}" TO "{role}", '
            "or run `skald migrate` as a role that may"
        )
    for name, home, reachable, available in await (
        await conn.execute(SELECT_EXTENSIONS, (list(EXTENSIONS),))
    ).fetchall():
        if home is not None and not reachable:
            raise MigrationError(
                f"the extension {name} is in the schema {home}, where the role {role} does not look: GRANT USAGE ON SCHEMA {home} "
                f'TO "{role}"; ALTER ROLE "{role}" SET search_path = "{schema}", {home}'
            )
        if home is None and not available:
            raise MigrationError(
                f"PostgreSQL lacks the extension {name}; install its contrib package on the server of the database"
            )
        if home is None and not in_database:
            raise MigrationError(
                f'the extension {name} is missing: GRANT CREATE ON DATABASE "{database}" TO "{role}", or as a superuser '
                f"CREATE EXTENSION {name}"
            )


async def check_temporary(conn: Connection) -> None:
    """Raises MigrationError with what to grant when this role could not append."""
    row = await (await conn.execute(MAY_CALL)).fetchone()
    may, role, database = row or (False, "", "")
    if not may:
        raise MigrationError(
            f'the role {role} may make nothing temporary, which an append needs: GRANT TEMPORARY ON DATABASE "{database}" TO "{role}"'
        )


async def serving_grants(conn: Connection) -> str:
    """What a role needs that serves a database which another has migrated."""
    row = await (await conn.execute(RIGHTS)).fetchone()
    role, schema = (row[0], row[2] or "public") if row else ("", "public")
    return (
        f'the role {role} may not read the tables: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{schema}" '
        f'TO "{role}"; GRANT USAGE ON ALL SEQUENCES IN SCHEMA "{schema}" TO "{role}"'
    )
