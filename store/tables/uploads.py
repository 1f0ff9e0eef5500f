"""Files that are sent one by one before they are published together: a plain table, so that any process of any host takes any part.

A signed ticket would need a secret that all hosts share, which a service may lack, and its content a place all the same.
"""

import secrets
from collections.abc import Sequence
from uuid import UUID, uuid4

import msgspec

from store.postgres.connection import Connection
from store.tables.identity import digest_of

TICKET_BYTES = 32  # 256 random bits: none can be guessed, so a plain SHA-256 is enough to store
# Seconds from the request for a ticket until its file has been published.
LASTS = 900
# The same after a publish has used it: for a client that did not get the answer and publishes again.
USED_LASTS = 60
# Of a key, at a time, as far as no publish has used them: several skills of 200 files, or two of the largest.
MAX_UPLOADS = 1000
MAX_BYTES = 64 * 2**20
SWEEP_BATCH = 1000

# Two requests of a key may not both see the last free place.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('uploads' || %s::text, 0))"
# uploads_of_key
INSERT = """
INSERT INTO uploads (id, ticket, project_id, key_id, size, sha256, expires_at)
SELECT %(id)s, %(ticket)s, %(project)s, %(key)s, %(size)s, %(sha256)s, clock_timestamp() + make_interval(secs => %(lasts)s)
WHERE (
    SELECT count(*) < %(max_uploads)s AND coalesce(sum(size), 0) + %(size)s <= %(max_bytes)s
    FROM uploads WHERE key_id = %(key)s AND NOT used AND expires_at > clock_timestamp()
)
"""
# uploads_ticket
FIND = """
SELECT id, size, sha256 FROM uploads
WHERE ticket = %s AND key_id = %s AND project_id = %s AND NOT used AND expires_at > clock_timestamp()
"""
# uploads_pkey
PUT = "UPDATE uploads SET content = %s WHERE id = %s"
# uploads_pkey
SENT = """
SELECT id, ticket, size, sha256 FROM uploads
WHERE id = ANY(%s) AND key_id = %s AND project_id = %s AND expires_at > clock_timestamp() AND content IS NOT NULL
"""
CONTENTS = "SELECT id, content FROM uploads WHERE id = ANY(%s) AND content IS NOT NULL"
USE = "UPDATE uploads SET used = true, expires_at = clock_timestamp() + make_interval(secs => %s) WHERE id = ANY(%s)"
# uploads_expiry
SWEEP = (
    "DELETE FROM uploads WHERE id IN (SELECT id FROM uploads WHERE expires_at < clock_timestamp() LIMIT %s)"
)


class Upload(msgspec.Struct, frozen=True):
    """A file that is announced, or sent; ``ticket`` is the SHA-256 of its ticket."""

    id: UUID
    size: int
    sha256: bytes
    ticket: bytes = b""


async def announce(conn: Connection, project_id: int, key_id: UUID, size: int, sha256: bytes) -> str | None:
    """A ticket, which exists only here; None while the key has as many as it may. What has expired goes."""
    ticket = secrets.token_urlsafe(TICKET_BYTES)
    params = {
        "id": uuid4(),
        "ticket": digest_of(ticket),
        "project": project_id,
        "key": key_id,
        "size": size,
        "sha256": sha256,
        "lasts": LASTS,
        "max_uploads": MAX_UPLOADS,
        "max_bytes": MAX_BYTES,
    }
    await sweep(conn)
    async with conn.transaction():
        await conn.execute(LOCK, (key_id,))
        made = await conn.execute(INSERT, params)
    return ticket if made.rowcount else None


async def find(conn: Connection, ticket: str, key_id: UUID, project_id: int) -> Upload | None:
    """What a key of a project has announced."""
    row = await (await conn.execute(FIND, (digest_of(ticket), key_id, project_id), binary=True)).fetchone()
    return None if row is None else Upload(row[0], row[1], bytes(row[2]))


async def put(conn: Connection, upload_id: UUID, content: bytes) -> None:
    await conn.execute(PUT, (content, upload_id))


async def sent(conn: Connection, ids: Sequence[UUID], key_id: UUID, project_id: int) -> dict[UUID, Upload]:
    """Those that a key of a project has sent, also when a publish has used them a moment ago."""
    rows = await (await conn.execute(SENT, (list(ids), key_id, project_id), binary=True)).fetchall()
    return {row[0]: Upload(row[0], row[2], bytes(row[3]), bytes(row[1])) for row in rows}


async def contents(conn: Connection, ids: Sequence[UUID]) -> dict[UUID, bytes]:
    rows = await (await conn.execute(CONTENTS, (list(ids),), binary=True)).fetchall()
    return {row[0]: bytes(row[1]) for row in rows}


async def use(conn: Connection, ids: Sequence[UUID]) -> None:
    """They count no more, and go soon."""
    await conn.execute(USE, (USED_LASTS, list(ids)))


async def sweep(conn: Connection) -> None:
    """Forget what has expired."""
    await conn.execute(SWEEP, (SWEEP_BATCH,))
