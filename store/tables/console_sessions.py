"""Who is signed in to the console: sessions of browsers, and links that begin one. No part of the log.

A session or link is good as long as its key is: every look at one is a look at the key, too.
"""

import secrets
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import msgspec
from psycopg.errors import DiskFull, InsufficientPrivilege, ReadOnlySqlTransaction

from store.postgres.connection import Connection
from store.tables.identity import PRINCIPAL, Principal, digest_of, principal_of

TOKEN_BYTES = 32  # as a key has, and for the same reason stored as a plain SHA-256
# A week of work without signing in; a key that ends earlier ends the session.
SESSION_LASTS = timedelta(days=7)
# Printed when the service starts, opened when its operator comes back to that terminal.
LINK_LASTS = timedelta(hours=1)
# A use is written down at most so often, so that looking at a page is no write.
NOTED_EVERY = timedelta(minutes=5)
# Of one key. A script that signs in for each of its requests would leave thousands, and a page that lists all of them.
MAX_SESSIONS = 50
MAX_BROWSER = 200  # characters of what a browser calls itself

LIVE_KEY = """revoked_at IS NULL AND erased_at IS NULL
    AND (keys.expires_at IS NULL OR keys.expires_at > clock_timestamp())"""

# console_sessions_expiry, console_links_expiry
SWEEP = (
    "DELETE FROM console_sessions WHERE expires_at <= clock_timestamp()",
    "DELETE FROM console_links WHERE expires_at <= clock_timestamp()",
)

INSERT = """
INSERT INTO console_sessions (id, digest, key_id, created_at, used_at, expires_at, browser)
VALUES (%s, %s, %s, clock_timestamp(), clock_timestamp(), clock_timestamp() + %s, %s)
"""

# console_sessions_key
TRIM = """
DELETE FROM console_sessions WHERE id IN (
    SELECT id FROM console_sessions WHERE key_id = %s ORDER BY used_at DESC, id OFFSET %s
)
"""

INSERT_LINK = "INSERT INTO console_links (digest, key_id, expires_at) VALUES (%s, %s, clock_timestamp() + %s)"

# console_links_pkey. What is deleted is used up: of two that come at once, one finds it.
USE_LINK = f"""
WITH used AS (DELETE FROM console_links WHERE digest = %s RETURNING key_id, expires_at)
SELECT {PRINCIPAL} FROM used JOIN keys ON keys.id = used.key_id JOIN users ON users.id = user_id
WHERE used.expires_at > clock_timestamp() AND {LIVE_KEY}
"""

# console_sessions_digest, keys_pkey
FIND = f"""
SELECT console_sessions.id, used_at < clock_timestamp() - %s, {PRINCIPAL}
FROM console_sessions JOIN keys ON keys.id = key_id JOIN users ON users.id = user_id
WHERE console_sessions.digest = %s AND console_sessions.expires_at > clock_timestamp() AND {LIVE_KEY}
"""

NOTE_USE = "UPDATE console_sessions SET used_at = clock_timestamp() WHERE id = %s"

# keys_user, console_sessions_key
LIST = f"""
SELECT console_sessions.id, keys.label, keys.prefix, console_sessions.created_at, used_at,
       console_sessions.expires_at, browser
FROM console_sessions JOIN keys ON keys.id = key_id JOIN users ON users.id = user_id
WHERE user_id = %s AND console_sessions.expires_at > clock_timestamp() AND {LIVE_KEY}
ORDER BY used_at DESC, console_sessions.id
"""

# Only those of the user: an id of another ends nothing.
END = """
DELETE FROM console_sessions USING keys
WHERE console_sessions.id = %s AND keys.id = console_sessions.key_id AND keys.user_id = %s
"""


class Session(msgspec.Struct, frozen=True):
    """A browser that is signed in, and what it may do: what its key may."""

    id: UUID
    principal: Principal


class SessionRow(NamedTuple):
    """A session as its user sees it; the label and the first letters are those of its key."""

    id: UUID
    label: str
    prefix: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    browser: str


async def begin(conn: Connection, key_id: UUID, browser: str) -> str:
    """A new session of a key. Returns its secret, which exists only here.

    What has expired goes, and of more than ``MAX_SESSIONS`` those that were not used for the longest time.
    """
    for statement in SWEEP:
        await conn.execute(statement)
    secret = secrets.token_urlsafe(TOKEN_BYTES)
    shown = "".join(char for char in browser[:MAX_BROWSER] if char.isprintable())
    await conn.execute(INSERT, (uuid4(), digest_of(secret), key_id, SESSION_LASTS, shown))
    await conn.execute(TRIM, (key_id, MAX_SESSIONS))
    return secret


async def find(conn: Connection, secret: str) -> Session | None:
    """The session with this secret, None when it or its key has ended."""
    row = await (await conn.execute(FIND, (NOTED_EVERY, digest_of(secret)), binary=True)).fetchone()
    if row is None:
        return None
    session_id, is_due, *principal = row
    if is_due:
        # Where nothing can be written now, pages are read all the same.
        with suppress(ReadOnlySqlTransaction, InsufficientPrivilege, DiskFull):
            await conn.execute(NOTE_USE, (session_id,))
    return Session(session_id, principal_of(principal))


async def list_of(conn: Connection, user_id: int) -> list[SessionRow]:
    """Those of all keys of a user, the last used first."""
    return [SessionRow(*row) for row in await (await conn.execute(LIST, (user_id,), binary=True)).fetchall()]


async def end(conn: Connection, session_id: UUID, user_id: int) -> bool:
    """Whether there was such a session of the user."""
    return (await conn.execute(END, (session_id, user_id))).rowcount > 0


async def make_link(conn: Connection, key_id: UUID) -> str:
    """The token of a new link: it signs one browser in, once, within ``LINK_LASTS``."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    await conn.execute(INSERT_LINK, (digest_of(token), key_id, LINK_LASTS))
    return token


async def use_link(conn: Connection, token: str) -> Principal | None:
    """Whom a link is for; None when it was used, has expired or never was, or its key has ended."""
    row = await (await conn.execute(USE_LINK, (digest_of(token),), binary=True)).fetchone()
    return None if row is None else principal_of(row)
