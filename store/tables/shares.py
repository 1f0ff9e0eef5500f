"""Shares: a plain table beside the log. Making and revoking one is itself an event of the log, as with keys."""

import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
from psycopg.errors import UniqueViolation

from domain.errors import NotFound
from domain.events import Event
from domain.shares import ShareCreated, ShareRevoked, check_expiry, check_label, check_serve_label
from store.ids import new_id
from store.log.log import Commit, append
from store.log.mapper import to_stored
from store.log.statements import SetStatement, Writes, arrays
from store.postgres.connection import Connection
from store.tables.identity import digest_of, find_project

TOKEN_BYTES = 32  # 256 random bits: none can be guessed, so a plain SHA-256 is enough to store
TOKEN_PREFIX = "sks_"  # noqa: S105
# After a share has expired or was revoked it is listed for so long; repeats of the request that made it end long before.
KEEP_DAYS = 30
SWEEP_BATCH = 10_000
SHOWN = 8  # 'sks_' and four characters, to tell shares apart; the rest stays unguessable


class Share(msgspec.Struct, frozen=True):
    """A share without its token. ``created_by`` is None for one made on the host, ``expires_at`` for never, ``serve_label`` for
    the latest versions."""

    id: UUID
    project_id: int
    label: str
    prefix: str
    created_by: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    serve_label: str | None


class Opening(msgspec.Struct, frozen=True):
    """What a token opens, as of position ``as_of`` of the log. ``digest`` is the SHA-256 of the token; the share was made at
    position ``since``."""

    id: UUID
    digest: bytes
    project_id: int
    expires_at: datetime | None
    as_of: int
    since: int
    serve_label: str | None


class Draft(msgspec.Struct, frozen=True):
    """A share to be made: its event, the rows that go with it, and the token, which exists only here."""

    event: ShareCreated
    writes: Writes
    token: str


SHARE = """id uuid, project_id bigint, digest bytea, label text, prefix text, created_by bigint,
           expires_at timestamptz, serve_label text"""

INSERT = SetStatement(
    "shares_insert",
    10,
    f"""
    INSERT INTO shares (id, project_id, digest, label, prefix, created_by, created_at, expires_at, serve_label)
    SELECT new.id, new.project_id, digest, label, prefix, created_by, events.recorded_at, expires_at, serve_label
    FROM {arrays(SHARE)} AS new
    JOIN events ON events.stream_id = new.id AND events.stream_version = 1
    """,
)

REVOKE = SetStatement(
    "shares_revoke",
    20,
    f"""
    UPDATE shares SET revoked_at = events.recorded_at
    FROM {arrays("id uuid, version int")} AS gone
    JOIN events ON events.stream_id = gone.id AND events.stream_version = gone.version
    WHERE shares.id = gone.id
    """,
)

COLUMNS = "id, project_id, label, prefix, created_by, created_at, expires_at, revoked_at, serve_label"
# shares_of_project
SELECT_PAGE = f"""
SELECT {COLUMNS} FROM shares WHERE project_id = %s ORDER BY created_at DESC, id DESC LIMIT %s OFFSET %s
"""
COUNT = "SELECT count(*) FROM shares WHERE project_id = %s"
SELECT_ALL = (
    f"SELECT {COLUMNS} FROM shares WHERE %s::bigint IS NULL OR project_id = %s ORDER BY created_at, id"
)
SELECT_ONE = f"SELECT {COLUMNS} FROM shares WHERE id = %s"  # shares_pkey

# events_stream
SELECT_REVOCATION = "SELECT position FROM events WHERE stream_id = %s AND stream_version = 2"

# shares_digest, events_stream. The head of the log is read by the same snapshot, so a cached answer knows how old it is.
OPEN = """
SELECT id, digest, project_id, expires_at, (SELECT coalesce(max(position), 0) FROM events),
       coalesce((SELECT position FROM events WHERE stream_id = id AND stream_version = 1), 0),
       serve_label
FROM shares WHERE digest = %s AND revoked_at IS NULL
"""

# Reads the whole table, which this keeps small.
SWEEP = """
DELETE FROM shares WHERE id IN (
    SELECT id FROM shares WHERE least(expires_at, revoked_at) < clock_timestamp() - make_interval(days => %s) LIMIT %s
)
"""


def draft(
    project_id: int,
    *,
    label: str,
    expires_in: timedelta | None,
    created_by: int | None,
    serve_label: str | None = None,
) -> Draft:
    """A share of the project. Raises Invalid for a bad label, expiry or label to serve."""
    label = check_label(label)
    lasts = check_expiry(expires_in)
    if serve_label is not None:
        check_serve_label(serve_label)
    event = ShareCreated(
        originator_id=new_id(),
        originator_version=1,
        project_id=project_id,
        expires_at=None if lasts is None else datetime.now(UTC) + lasts,
        serve_label=serve_label,
    )
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    row = (
        event.originator_id,
        project_id,
        digest_of(token),
        label,
        token[:SHOWN],
        created_by,
        event.expires_at,
        serve_label,
    )
    return Draft(event, {INSERT: [row]}, token)


def revocation(share: Share) -> tuple[ShareRevoked, Writes]:
    """The event that ends a share, and the row that goes with it."""
    event = ShareRevoked(originator_id=share.id, originator_version=2, project_id=share.project_id)
    return event, {REVOKE: [(share.id, 2)]}


async def create(
    conn: Connection,
    project_id: int,
    *,
    label: str = "",
    expires_in: timedelta | None = None,
    serve_label: str | None = None,
    actor_id: int | None = None,
) -> tuple[Share, str]:
    """A new share and its token, which is shown this once and never stored. Raises Invalid, NotFound."""
    if await find_project(conn, project_id) is None:
        raise NotFound(f"There is no project {project_id}.")
    made = draft(project_id, label=label, expires_in=expires_in, serve_label=serve_label, created_by=actor_id)
    await append(conn, [_commit(made.event, made.writes, actor_id)])
    return await find(conn, made.event.originator_id), made.token


async def revoke(conn: Connection, share_id: UUID, *, actor_id: int | None = None) -> Share:
    """The share, revoked; revoking it again changes nothing. Raises NotFound for an unknown one."""
    share = await find(conn, share_id)
    if share.revoked_at is None:
        # Another call may have revoked it in between; the outcome is the same.
        with suppress(UniqueViolation):
            await append(conn, [_commit(*revocation(share), actor_id)])
        share = await find(conn, share_id)
    return share


async def find(conn: Connection, share_id: UUID, project_id: int | None = None) -> Share:
    """Of this project, unless that is None. Raises NotFound."""
    row = await (await conn.execute(SELECT_ONE, (share_id,))).fetchone()
    if row is None or (project_id is not None and row[1] != project_id):
        raise NotFound(f"There is no share {share_id}.")
    return Share(*row)


async def revoked_at_position(conn: Connection, share_id: UUID) -> int:
    """Where the log tells that the share was revoked. Raises NotFound when it does not."""
    row = await (await conn.execute(SELECT_REVOCATION, (share_id,))).fetchone()
    if row is None:
        raise NotFound(f"The share {share_id} is not revoked.")
    return int(row[0])


async def page(conn: Connection, project_id: int, *, limit: int, offset: int) -> tuple[int, list[Share]]:
    """How many shares the project has, and some of them, newest first; expired and revoked ones until they are swept."""
    counted = await (await conn.execute(COUNT, (project_id,))).fetchone()
    rows = await (await conn.execute(SELECT_PAGE, (project_id, limit, offset))).fetchall()
    return counted[0] if counted else 0, [Share(*row) for row in rows]


async def list_all(conn: Connection, project_id: int | None = None) -> list[Share]:
    """All shares of a project, or of all of them, oldest first."""
    rows = await (await conn.execute(SELECT_ALL, (project_id, project_id))).fetchall()
    return [Share(*row) for row in rows]


async def open_share(conn: Connection, digest: bytes) -> Opening | None:
    """What a token opens; None for an unknown or revoked one. Expiry is left to the caller, who may cache this."""
    row = await (await conn.execute(OPEN, (digest,), binary=True)).fetchone()
    return None if row is None else Opening(row[0], bytes(row[1]), *row[2:])


async def sweep(conn: Connection) -> None:
    """Forget shares that have long opened nothing; the log still tells of them."""
    await conn.execute(SWEEP, (KEEP_DAYS, SWEEP_BATCH))


def _commit(event: Event, writes: Writes, actor_id: int | None) -> Commit:
    return Commit(events=(to_stored(event),), command_id=uuid4(), actor_id=actor_id, writes=writes)
