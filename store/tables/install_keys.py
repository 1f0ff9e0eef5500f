"""The read-only key by which a user's agents install the skills of a project: one a user and project."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from domain.events import Event
from domain.keys import KeyRevoked
from store.log.statements import SetStatement, Writes, arrays
from store.postgres.connection import Connection
from store.tables import identity

SCOPES = ("llm_skill:read",)

# install_keys_pkey
REMOVED = SetStatement(
    "install_keys.remove",
    21,
    f"""
    DELETE FROM install_keys USING {arrays("user_id bigint, project_id bigint, key_id uuid")} AS old
    WHERE install_keys.user_id = old.user_id AND install_keys.project_id = old.project_id
      AND install_keys.key_id = old.key_id
    """,
)

# A row that another request has put there meanwhile breaks the key of the table.
ADDED = SetStatement(
    "install_keys.add",
    22,
    f"""
    INSERT INTO install_keys (user_id, project_id, key_id, created_at, rotated_at)
    SELECT user_id, new.project_id, new.key_id, coalesce(created_at, recorded_at),
           CASE WHEN created_at IS NOT NULL THEN recorded_at END
    FROM {arrays("user_id bigint, project_id bigint, key_id uuid, created_at timestamptz")} AS new
    JOIN events ON events.stream_id = new.key_id AND events.stream_version = 1
    """,
)

# install_keys_pkey, keys_pkey
SELECT = """
SELECT key_id, label, prefix, install_keys.created_at, rotated_at,
       revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
FROM install_keys JOIN keys ON keys.id = key_id
WHERE install_keys.user_id = %s AND install_keys.project_id = %s
"""


class InstallKey(msgspec.Struct, frozen=True):
    """The key without its secret. ``is_live``: it opens the project now."""

    key_id: UUID
    label: str
    prefix: str
    created_at: datetime
    rotated_at: datetime | None
    is_live: bool


class Made(NamedTuple):
    """What puts a key in place of the one before, if there was one, and its secret."""

    before: tuple[Event, ...]
    event: Event
    writes: Writes
    secret: str


async def find(conn: Connection, user_id: int, project_id: int) -> InstallKey | None:
    row = await (await conn.execute(SELECT, (user_id, project_id), binary=True)).fetchone()
    return InstallKey(*row) if row else None


def draft(user_id: int, project_id: int, label: str, old: InstallKey | None) -> Made:
    """A new key; a live one ends with it, and the new one carries on when it was first made.

    The append raises StreamConflict when there is another key than ``old`` meanwhile.
    """
    made = identity.draft(user_id, scopes=SCOPES, project_ids=(project_id,), label=label)
    new = (user_id, project_id, made.event.originator_id)
    if old is None:
        return Made((), made.event, {**made.writes, ADDED: [(*new, None)]}, made.secret)
    writes = {
        **made.writes,
        REMOVED: [(user_id, project_id, old.key_id)],
        ADDED: [(*new, old.created_at if old.is_live else None)],
    }
    if not old.is_live:
        return Made((), made.event, writes, made.secret)
    revoked = KeyRevoked(originator_id=old.key_id, originator_version=2)
    return Made(
        (revoked,),
        made.event,
        {**writes, identity.REVOKE_KEYS: [(old.key_id, 2)]},
        made.secret,
    )
