"""What users write in the console before they publish it. No part of the log, and of a user, not of a key or session."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from domain.errors import Refused
from store.log.statements import SetStatement, arrays
from store.postgres.connection import Connection

LASTS = timedelta(days=30)  # after its last change
PUBLISHED_LASTS = timedelta(days=1)  # within which a second click, or a browser that goes back, is answered
MAX_BYTES = 8_000_000  # of one: the largest text with the files that a form takes
MAX_DRAFTS = 50  # of one user, in all projects
MAX_TOTAL = 64_000_000  # bytes of all of them

# console_drafts_expiry
SWEEP = "DELETE FROM console_drafts WHERE expires_at <= clock_timestamp()"

# Two tabs that keep at once are counted one after the other.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('console_drafts' || %s::text, 0))"

# console_drafts_user
TOTAL = """
SELECT count(*), coalesce(sum(octet_length(content)), 0) FROM console_drafts
WHERE user_id = %s AND published IS NULL AND (id, revision) IS DISTINCT FROM (%s::uuid, %s::int)
"""

COLUMNS = "id, kind, stream_id, name, revision, published, content, changed_at"

INSERT = """
INSERT INTO console_drafts (id, user_id, project_id, kind, stream_id, name, revision, content, changed_at, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, 1, %s, clock_timestamp(), clock_timestamp() + %s)
"""

# console_drafts_pkey
UPDATE = """
UPDATE console_drafts
SET name = %s, content = %s, revision = revision + 1, changed_at = clock_timestamp(),
    expires_at = clock_timestamp() + %s
WHERE id = %s AND user_id = %s AND project_id = %s AND kind = %s AND stream_id IS NOT DISTINCT FROM %s
  AND revision = %s AND published IS NULL
RETURNING revision
"""

# console_drafts_pkey
FIND = (
    f"SELECT {COLUMNS} FROM console_drafts WHERE id = %s AND user_id = %s AND project_id = %s AND kind = %s"
)

# console_drafts_user
NEWEST = f"""
SELECT {COLUMNS} FROM console_drafts
WHERE user_id = %s AND project_id = %s AND kind = %s AND stream_id = %s AND published IS NULL
  AND expires_at > clock_timestamp()
ORDER BY changed_at DESC, id LIMIT 1
"""

# console_drafts_user
LIST = """
SELECT id, kind, stream_id, name, changed_at, expires_at FROM console_drafts
WHERE user_id = %s AND project_id = %s AND published IS NULL AND expires_at > clock_timestamp()
ORDER BY changed_at DESC, id
"""

# console_drafts_pkey
DISCARD = "DELETE FROM console_drafts WHERE id = %s AND user_id = %s AND project_id = %s"

# console_drafts_pkey
PUBLISHED = """
UPDATE console_drafts SET published = %s, name = %s, content = '', expires_at = clock_timestamp() + %s
WHERE id = %s AND user_id = %s
"""

# console_drafts_user
REMOVED = SetStatement(
    "console_drafts.remove",
    32,
    f"DELETE FROM console_drafts USING {arrays('user_id bigint')} AS gone WHERE console_drafts.user_id = gone.user_id",
)


class NoRoom(Refused):
    """The draft is too large, or the user has too many; nothing was kept."""

    code = "max_size"


class Place(NamedTuple):
    """Whose draft it is, and of what; ``stream_id`` is None for what is new."""

    user_id: int
    project_id: int
    kind: str
    stream_id: UUID | None


class Kept(NamedTuple):
    """A draft as it is stored; ``published`` is the version that it became."""

    id: UUID
    kind: str
    stream_id: UUID | None
    name: str
    revision: int
    published: int | None
    content: bytes
    changed_at: datetime


class DraftLine(NamedTuple):
    id: UUID
    kind: str
    stream_id: UUID | None
    name: str
    changed_at: datetime
    expires_at: datetime


async def keep(
    conn: Connection, place: Place, name: str, content: bytes, *, id: UUID | None = None, revision: int = 0
) -> tuple[UUID, int]:
    """Keep the draft; returns its id and revision. It is another one when it is not at ``revision`` any more: nothing is written over.

    Raises NoRoom.
    """
    await conn.execute(SWEEP)
    if len(content) > MAX_BYTES:
        raise NoRoom(
            f"A draft has at most {MAX_BYTES:,} bytes with its files; this has {len(content):,}. It is not kept: publish larger "
            "ones by `skald push`."
        )
    async with conn.transaction():
        await conn.execute(LOCK, (place.user_id,))
        row = await (await conn.execute(TOTAL, (place.user_id, id, revision))).fetchone()
        count, total = row or (0, 0)
        if count >= MAX_DRAFTS or total + len(content) > MAX_TOTAL:
            raise NoRoom(
                f"You have {count} drafts, {total:,} bytes, and there is room for {MAX_DRAFTS} and {MAX_TOTAL:,} bytes. This one is not "
                "kept: publish or discard others first."
            )
        if id is not None:
            values = (name, content, LASTS, id, *place, revision)
            row = await (await conn.execute(UPDATE, values)).fetchone()
            if row is not None:
                return id, row[0]
        fresh = uuid4()
        await conn.execute(INSERT, (fresh, *place, name, content, LASTS))
        return fresh, 1


async def find(conn: Connection, id: UUID, user_id: int, project_id: int, kind: str) -> Kept | None:
    """A draft of the user, also one that was published."""
    row = await (await conn.execute(FIND, (id, user_id, project_id, kind), binary=True)).fetchone()
    return Kept(*row) if row else None


async def newest(conn: Connection, place: Place) -> Kept | None:
    """The draft of the user for an artifact that was changed last."""
    row = await (await conn.execute(NEWEST, place, binary=True)).fetchone()
    return Kept(*row) if row else None


async def list_of(conn: Connection, user_id: int, project_id: int) -> list[DraftLine]:
    """Those of a user, the last changed first."""
    cursor = await conn.execute(LIST, (user_id, project_id), binary=True)
    return [DraftLine(*row) for row in await cursor.fetchall()]


async def discard(conn: Connection, id: UUID, user_id: int, project_id: int) -> bool:
    """Whether there was such a draft of the user."""
    return (await conn.execute(DISCARD, (id, user_id, project_id))).rowcount > 0


async def publish(conn: Connection, id: UUID, user_id: int, name: str, number: int) -> None:
    """Its content goes; that it became a version of ``name`` is known for a while."""
    await conn.execute(PUBLISHED, (number, name, PUBLISHED_LASTS, id, user_id))
