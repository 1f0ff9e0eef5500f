"""Addresses of the console: one that signs a browser in, once, for a terminal, and one that asks for a key, for everything else."""

from uuid import UUID

from store.postgres.connection import Connection
from store.postgres.pool import connect
from store.tables import console_sessions, identity

PLACE = "/console/"


async def of_secret(database_url: str, secret: str) -> str | None:
    """The path that signs in by a key, None when the key has ended."""
    connection = await connect(database_url, application_name="skald-serve")
    async with connection:
        principal = await identity.find_key(connection, identity.digest_of(secret))
        return None if principal is None else await path(connection, principal.key_id)


async def path(conn: Connection, key_id: UUID) -> str:
    return f"{PLACE}enter/{await console_sessions.make_link(conn, key_id)}"
