"""Users, projects and keys: plain tables beside the log. Giving and revoking a key is itself an event of the log."""

import hashlib
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
from psycopg import AsyncCursor
from psycopg.errors import UniqueViolation

from domain.errors import Invalid, NotFound
from domain.keys import (
    KeyCreated,
    KeyRevoked,
    UserChanged,
    UserErased,
    check_email,
    check_label,
    check_scopes,
)
from store.log.log import Commit, append
from store.log.mapper import to_stored
from store.log.statements import SetStatement, Writes, arrays
from store.postgres.connection import Connection
from store.tables import console_drafts, home_settings

KEY_BYTES = 32  # 256 random bits: none can be guessed, so a plain SHA-256 is enough to store
PREFIX_LENGTH = 7  # 'sk_' and four characters, to tell keys apart; the rest stays unguessable
MAX_BIGINT = 2**63 - 1
MAX_EXPIRY = timedelta(days=36_500)  # a hundred years; beyond it, leave the expiry away


class Project(msgspec.Struct, frozen=True):
    """A tenant: ``api_token`` names it in a query string, it is no secret."""

    id: int
    name: str
    api_token: str


class User(msgspec.Struct, frozen=True):
    """A person as the API shows one; erased people are not shown at all."""

    id: int
    uuid: UUID
    distinct_id: str
    first_name: str
    last_name: str
    email: str
    is_email_verified: bool
    role_at_organization: str


class Key(msgspec.Struct, frozen=True):
    """A key without its secret. ``project_ids`` is None for every project, ``expires_at`` None for never."""

    id: UUID
    email: str
    label: str
    prefix: str
    scopes: tuple[str, ...]
    project_ids: tuple[int, ...] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class Draft(msgspec.Struct, frozen=True):
    """A key to be made: its event, the rows that go with it, and the secret, which exists only here."""

    event: KeyCreated
    writes: Writes
    secret: str


class UserChange(msgspec.Struct, frozen=True):
    """What is to be shown of a user, and where `@current` leads; None stays as it is."""

    first_name: str | None = None
    last_name: str | None = None
    role_at_organization: str | None = None
    current_project_id: int | None = None


class Principal(msgspec.Struct, frozen=True):
    """The principal of a request, as of position ``as_of`` of the log. ``digest`` is the SHA-256 of the key."""

    key_id: UUID
    digest: bytes
    user: User
    scopes: frozenset[str]
    project_ids: tuple[int, ...] | None
    expires_at: datetime | None
    current_project_id: int | None
    organization_id: UUID
    as_of: int


INSERT_PROJECT = """
INSERT INTO projects (name, api_token, organization_id)
SELECT %s, %s, id FROM organizations ORDER BY name, id LIMIT 1
RETURNING id, name, api_token
"""

SELECT_PROJECT = "SELECT id, name, api_token FROM projects WHERE id = %s"  # projects_pkey
SELECT_NAMED_PROJECT = "SELECT id, name, api_token FROM projects WHERE api_token = %s"  # projects_api_token
SELECT_PROJECTS = "SELECT id, name, api_token FROM projects ORDER BY id"
SELECT_FIRST_PROJECT = "SELECT min(id) FROM projects"
SELECT_KNOWN_PROJECTS = "SELECT id FROM projects WHERE id = ANY(%s)"

INSERT_USER = """
INSERT INTO users (uuid, distinct_id, email, first_name, last_name, current_project_id)
VALUES (%s, %s, %s, %s, %s, (SELECT min(id) FROM projects))
RETURNING id, uuid, distinct_id, first_name, last_name, email, is_email_verified, role_at_organization
"""

SELECT_USERS = """
SELECT id, uuid, distinct_id, first_name, last_name, email, is_email_verified, role_at_organization
FROM users WHERE erased_at IS NULL ORDER BY id
"""

# users_email
SELECT_USER_ID = "SELECT id, uuid FROM users WHERE lower(email) = lower(%s) AND erased_at IS NULL"

# The projects of keys; a name belongs to few people.
SELECT_USERS_CALLED = """
SELECT id FROM users
WHERE erased_at IS NULL
  AND lower(%(called)s) IN (lower(email), lower(first_name), lower(last_name), lower(first_name || ' ' || last_name))
  AND EXISTS (SELECT FROM keys WHERE keys.user_id = users.id
              AND (keys.project_ids IS NULL OR %(project)s = ANY(keys.project_ids)))
ORDER BY id LIMIT 10
"""

# The same with a live key: they may be made owners.
SELECT_MEMBERS_CALLED = """
SELECT id FROM users
WHERE erased_at IS NULL
  AND lower(%(called)s) IN (lower(email), lower(first_name), lower(last_name), lower(first_name || ' ' || last_name))
  AND EXISTS (SELECT FROM keys WHERE keys.user_id = users.id AND revoked_at IS NULL
              AND (expires_at IS NULL OR expires_at > now())
              AND (keys.project_ids IS NULL OR %(project)s = ANY(keys.project_ids)))
ORDER BY id LIMIT 10
"""

# users_uuid, keys_user
SELECT_MEMBERS = """
SELECT uuid, id FROM users
WHERE uuid = ANY(%(uuids)s) AND erased_at IS NULL
  AND EXISTS (SELECT FROM keys WHERE keys.user_id = users.id AND revoked_at IS NULL
              AND (expires_at IS NULL OR expires_at > now())
              AND (keys.project_ids IS NULL OR %(project)s = ANY(keys.project_ids)))
"""

# Scopes and projects travel as text with blanks between, because unnest would flatten an array of arrays.
KEY = """id uuid, user_id bigint, digest bytea, label text, prefix text, scopes text, project_ids text,
         expires_at timestamptz"""
INSERT_KEYS = SetStatement(
    "keys_insert",
    10,
    f"""
    INSERT INTO keys (id, user_id, digest, label, prefix, scopes, project_ids, created_at, expires_at)
    SELECT new.id, user_id, digest, label, prefix, string_to_array(scopes, ' '),
           string_to_array(project_ids, ' ')::bigint[], events.recorded_at, expires_at
    FROM {arrays(KEY)} AS new
    JOIN events ON events.stream_id = new.id AND events.stream_version = 1
    """,
)

REVOKE_KEYS = SetStatement(
    "keys_revoke",
    20,
    f"""
    UPDATE keys SET revoked_at = events.recorded_at
    FROM {arrays("id uuid, version int")} AS gone
    JOIN events ON events.stream_id = gone.id AND events.stream_version = gone.version
    WHERE keys.id = gone.id
    """,
)

ERASE_USERS = SetStatement(
    "users_erase",
    30,
    f"""
    UPDATE users SET email = '', first_name = '', last_name = '', distinct_id = '', role_at_organization = '',
                     is_email_verified = false, erased_at = now()
    FROM {arrays("id bigint")} AS gone
    WHERE users.id = gone.id
    """,
)

# issuer_users_user
FORGET_AT_ISSUERS = SetStatement(
    "issuer_users.forget",
    34,
    f"DELETE FROM issuer_users USING {arrays('user_id bigint')} AS gone WHERE issuer_users.user_id = gone.user_id",
)

# users_pkey
CHANGE_USERS = SetStatement(
    "users_change",
    29,
    f"""
    UPDATE users SET first_name = coalesce(new.first_name, users.first_name),
                     last_name = coalesce(new.last_name, users.last_name),
                     role_at_organization = coalesce(new.role, users.role_at_organization),
                     current_project_id = coalesce(new.project, users.current_project_id)
    FROM {arrays("id bigint, first_name text, last_name text, role text, project bigint")} AS new
    WHERE users.id = new.id AND erased_at IS NULL
    """,
)

KEY_COLUMNS = (
    """keys.id, users.email, label, prefix, scopes, project_ids, keys.created_at, expires_at, revoked_at"""
)

SELECT_KEYS = (
    f"SELECT {KEY_COLUMNS} FROM keys JOIN users ON users.id = user_id ORDER BY keys.created_at, keys.id"
)
SELECT_KEY = f"SELECT {KEY_COLUMNS} FROM keys JOIN users ON users.id = user_id WHERE keys.id = %s"

# keys_user
SELECT_LIVE_KEYS = "SELECT id FROM keys WHERE user_id = %s AND revoked_at IS NULL ORDER BY id"

# The head of the log is read by the same snapshot, so a cached answer knows how old it is.
PRINCIPAL = """
keys.id, keys.digest, users.id, users.uuid, distinct_id, first_name, last_name, email, is_email_verified,
role_at_organization, scopes, project_ids, keys.expires_at, current_project_id,
(SELECT id FROM organizations ORDER BY name, id LIMIT 1),
(SELECT coalesce(max(position), 0) FROM events)
"""

# keys_digest
FIND_KEY = f"""
SELECT {PRINCIPAL}
FROM keys JOIN users ON users.id = user_id
WHERE digest = %s AND revoked_at IS NULL AND erased_at IS NULL
"""


def digest_of(key: str) -> bytes:
    """What is stored in place of the key."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


async def create_project(conn: Connection, name: str) -> Project:
    """A new project with a token of its own. Raises Invalid for a bad name."""
    token = "skt_" + secrets.token_urlsafe(KEY_BYTES)
    cursor = await conn.execute(INSERT_PROJECT, (check_label(name, "name"), token))
    return Project(*await _one(cursor))


async def find_project(conn: Connection, project_id: int) -> Project | None:
    """The project of that number."""
    row = await (await conn.execute(SELECT_PROJECT, (project_id,))).fetchone()
    return Project(*row) if row else None


async def find_project_by_token(conn: Connection, token: str) -> Project | None:
    """The project that an ``api_token`` names."""
    row = await (await conn.execute(SELECT_NAMED_PROJECT, (token,))).fetchone()
    return Project(*row) if row else None


async def first_project_id(conn: Connection) -> int | None:
    """The lowest number of all projects, None while there is none."""
    row = await (await conn.execute(SELECT_FIRST_PROJECT)).fetchone()
    return row[0] if row else None


async def list_projects(conn: Connection) -> list[Project]:
    """All projects, oldest first."""
    return [Project(*row) for row in await (await conn.execute(SELECT_PROJECTS)).fetchall()]


async def create_user(conn: Connection, *, email: str, first_name: str = "", last_name: str = "") -> User:
    """A new user whose current project is the oldest one. Raises Invalid for a bad or taken address."""
    email = check_email(email)
    names = [
        check_label(first_name, "first_name", blank=True),
        check_label(last_name, "last_name", blank=True),
    ]
    uuid = uuid4()
    try:
        cursor = await conn.execute(INSERT_USER, (uuid, str(uuid), email, *names))
    except UniqueViolation as error:
        raise Invalid(
            f"A user with the address {email} already exists.", code="unique", attr="email"
        ) from error
    return User(*await _one(cursor))


async def list_users(conn: Connection) -> list[User]:
    """All users who were not erased, oldest first."""
    return [User(*row) for row in await (await conn.execute(SELECT_USERS)).fetchall()]


async def create_key(
    conn: Connection,
    *,
    email: str,
    scopes: Sequence[str],
    project_ids: Sequence[int] | None = None,
    label: str = "",
    expires_in: timedelta | None = None,
    actor_id: int | None = None,
) -> tuple[Key, str]:
    """A new key of the user and its secret, which is shown this once and never stored.

    ``project_ids`` None or empty opens every project. Raises Invalid for an unknown scope or project, a bad label or
    expiry, and NotFound for an unknown user; then nothing was written.
    """
    user_id, _ = await _user(conn, email)
    wanted = check_scopes(scopes)
    label = check_label(label, "label", blank=True)
    projects = await _check_projects(conn, project_ids)
    made = draft(user_id, scopes=wanted, project_ids=projects, label=label, expires_at=_expiry(expires_in))
    await append(
        conn,
        [
            Commit(
                events=(to_stored(made.event),),
                command_id=uuid4(),
                actor_id=actor_id,
                writes=made.writes,
            )
        ],
    )
    return await _key(conn, made.event.originator_id), made.secret


def draft(
    user_id: int,
    *,
    scopes: tuple[str, ...],
    project_ids: tuple[int, ...] | None,
    label: str,
    expires_at: datetime | None = None,
) -> Draft:
    """A key of the user; what it is made of has been checked."""
    secret = "sk_" + secrets.token_urlsafe(KEY_BYTES)
    event = KeyCreated(
        originator_id=uuid4(),
        originator_version=1,
        user_id=user_id,
        scopes=scopes,
        project_ids=project_ids,
        expires_at=expires_at,
    )
    row = (
        event.originator_id,
        user_id,
        digest_of(secret),
        label,
        secret[:PREFIX_LENGTH],
        " ".join(scopes),
        None if project_ids is None else " ".join(map(str, project_ids)),
        expires_at,
    )
    return Draft(event, {INSERT_KEYS: [row]}, secret)


async def list_keys(conn: Connection) -> list[Key]:
    """All keys, revoked ones too, oldest first."""
    return [_read_key(row) for row in await (await conn.execute(SELECT_KEYS)).fetchall()]


def revocation(key_id: UUID) -> tuple[KeyRevoked, Writes]:
    """The event that ends a key, and the row that goes with it."""
    event = KeyRevoked(originator_id=key_id, originator_version=2)
    return event, {REVOKE_KEYS: [(key_id, 2)]}


async def revoke_key(conn: Connection, key_id: UUID, *, actor_id: int | None = None) -> Key:
    """The key, revoked; revoking it again changes nothing. Raises NotFound for an unknown one."""
    key = await _key(conn, key_id)
    if key.revoked_at is None:
        event, writes = revocation(key_id)
        commit = Commit(events=(to_stored(event),), command_id=uuid4(), actor_id=actor_id, writes=writes)
        # Another call may have revoked it in between; the outcome is the same.
        with suppress(UniqueViolation):
            await append(conn, [commit])
        key = await _key(conn, key_id)
    return key


def change_user(user_id: int, change: UserChange) -> tuple[UserChanged, Writes]:
    """The event that the user is another one now, and what it writes."""
    event = UserChanged(originator_id=uuid4(), originator_version=1, user_id=user_id)
    return event, {CHANGE_USERS: [(user_id, *msgspec.structs.astuple(change))]}


async def erase_user(conn: Connection, email: str, *, actor_id: int | None = None) -> int:
    """Blank all personal data of the user and revoke the user's keys, at once. Returns the user's id.

    Raises NotFound for an unknown address, so also for one that was erased before.
    """
    while True:
        erased, revoked, writes = await erasure(conn, email)
        commit = Commit(
            events=(to_stored(erased), *map(to_stored, revoked)),
            command_id=uuid4(),
            actor_id=actor_id,
            writes=writes,
        )
        try:
            await append(conn, [commit])
        except UniqueViolation:
            # A key or the user was revoked or erased in between, so the next look finds fewer of them.
            continue
        return erased.user_id


async def erasure(conn: Connection, email: str) -> tuple[UserErased, tuple[KeyRevoked, ...], Writes]:
    """The events that erase a user and end the user's keys, and what they write. Raises NotFound."""
    user_id, uuid = await _user(conn, email)
    keys = [row[0] for row in await (await conn.execute(SELECT_LIVE_KEYS, (user_id,))).fetchall()]
    writes: Writes = {
        ERASE_USERS: [(user_id,)],
        home_settings.REMOVED: [(user_id,)],
        FORGET_AT_ISSUERS: [(user_id,)],
        console_drafts.REMOVED: [(user_id,)],
        REVOKE_KEYS: [(key_id, 2) for key_id in keys],
    }
    revoked = tuple(KeyRevoked(originator_id=key_id, originator_version=2) for key_id in keys)
    return UserErased(originator_id=uuid, originator_version=1, user_id=user_id), revoked, writes


async def actor(conn: Connection, email: str | None) -> int | None:
    """The id of the user in whose name something is done; None without an address. Raises NotFound for an unknown one."""
    return None if email is None else (await _user(conn, email))[0]


async def users_called(conn: Connection, project_id: int, called: str) -> list[int]:
    """The ids of the people, at most ten, with this mail address or name who have or had a key that may enter the project."""
    cursor = await conn.execute(SELECT_USERS_CALLED, {"called": called, "project": project_id})
    return [row[0] for row in await cursor.fetchall()]


async def members_called(conn: Connection, project_id: int, called: str) -> list[int]:
    """The ids of those who have a live key that may enter the project, by name or mail address."""
    if "\0" in called:  # No text in PostgreSQL has it.
        return []
    values = {"called": called, "project": project_id}
    return [row[0] for row in await (await conn.execute(SELECT_MEMBERS_CALLED, values)).fetchall()]


async def members(conn: Connection, project_id: int, uuids: Sequence[UUID]) -> dict[UUID, int]:
    """The ids, by uuid, of those of the users who have a live key that may enter the project."""
    cursor = await conn.execute(SELECT_MEMBERS, {"uuids": list(uuids), "project": project_id}, binary=True)
    return dict(await cursor.fetchall())


async def find_key(conn: Connection, digest: bytes) -> Principal | None:
    """The principal of a key; None for an unknown or revoked one. Expiry is left to the caller, who may cache this."""
    row = await (await conn.execute(FIND_KEY, (digest,), binary=True)).fetchone()
    return None if row is None else principal_of(row)


def principal_of(row: Sequence[Any]) -> Principal:
    """From the columns of ``PRINCIPAL``."""
    key_id, stored, *user, scopes, project_ids, expires_at, current, organization_id, as_of = row
    return Principal(
        key_id=key_id,
        digest=bytes(stored),
        user=User(*user),
        scopes=frozenset(scopes),
        project_ids=None if project_ids is None else tuple(project_ids),
        expires_at=expires_at,
        current_project_id=current,
        organization_id=organization_id,
        as_of=as_of,
    )


async def _one(cursor: AsyncCursor[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The row of an INSERT … RETURNING, which always has one."""
    row = await cursor.fetchone()
    if row is None:
        raise RuntimeError("the insert returned no row: the migrations have not been applied in full")
    return row


async def _user(conn: Connection, email: str) -> tuple[int, UUID]:
    row = await (await conn.execute(SELECT_USER_ID, (check_email(email),))).fetchone()
    if row is None:
        raise NotFound(f"There is no user with the address {email.strip()}.")
    return row[0], row[1]


async def _check_projects(conn: Connection, project_ids: Sequence[int] | None) -> tuple[int, ...] | None:
    if not project_ids:
        return None
    wanted = tuple(sorted(set(project_ids)))
    in_range = [project_id for project_id in wanted if 0 < project_id <= MAX_BIGINT]
    rows = await (await conn.execute(SELECT_KNOWN_PROJECTS, (in_range,))).fetchall()
    unknown = set(wanted) - {row[0] for row in rows}
    if unknown:
        raise Invalid(f"There is no project {min(unknown)}.", attr="project_ids")
    return wanted


def _expiry(expires_in: timedelta | None) -> datetime | None:
    if expires_in is None:
        return None
    if not timedelta(0) < expires_in <= MAX_EXPIRY:
        raise Invalid("The expiry must lie in the future, at most 36,500 days ahead.", attr="expires_in")
    return datetime.now(UTC) + expires_in


async def _key(conn: Connection, key_id: UUID) -> Key:
    row = await (await conn.execute(SELECT_KEY, (key_id,))).fetchone()
    if row is None:
        raise NotFound(f"There is no key {key_id}.")
    return _read_key(row)


def _read_key(row: tuple[Any, ...]) -> Key:
    key_id, email, label, prefix, scopes, project_ids, created_at, expires_at, revoked_at = row
    projects = None if project_ids is None else tuple(project_ids)
    return Key(key_id, email, label, prefix, tuple(scopes), projects, created_at, expires_at, revoked_at)
