"""Who may enter a project: its keys and its people, as those see them who administer it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain.errors import NotFound
from store.postgres.connection import Connection
from store.tables.identity import User

# The shorter it is, the less of the counts is read.
READ_LATELY = "7 days"

OPENS = "(keys.project_ids IS NULL OR %(project)s = ANY(keys.project_ids))"
LIVE = "(revoked_at IS NULL AND (keys.expires_at IS NULL OR keys.expires_at > clock_timestamp()))"
USER = """{0}.id, {0}.uuid, {0}.distinct_id, {0}.first_name, {0}.last_name, {0}.email, {0}.is_email_verified,
{0}.role_at_organization"""

# events_stream, users_pkey, console_sessions_key. Keys are few, so the whole table is read.
KEYS = f"""
SELECT count(*) OVER (), keys.id, label, prefix, scopes, keys.project_ids, keys.created_at, keys.expires_at, revoked_at,
    {LIVE}, made.actor_id, maker.erased_at IS NULL AND maker.id IS NOT NULL, owner.erased_at IS NULL,
    coalesce(sessions.live, 0), sessions.used_at, {USER.format("owner")}, {USER.format("maker")}
FROM keys JOIN users AS owner ON owner.id = user_id
LEFT JOIN events AS made ON made.stream_id = keys.id AND made.stream_version = 1
LEFT JOIN users AS maker ON maker.id = made.actor_id
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE expires_at > clock_timestamp()) AS live, max(used_at) AS used_at
    FROM console_sessions WHERE key_id = keys.id
) AS sessions ON true
WHERE {OPENS}
"""
SELECT_KEYS = f"""
{KEYS} AND {LIVE} = %(live)s AND (%(user)s::uuid IS NULL OR owner.uuid = %(user)s)
ORDER BY keys.created_at DESC, keys.id LIMIT %(limit)s OFFSET %(offset)s
"""
SELECT_KEY = f"{KEYS} AND keys.id = %(key)s"

# usage_pkey
SELECT_READS = f"""
SELECT reader, max(last_at) FROM usage
WHERE project_id = %s AND hour > clock_timestamp() - interval '{READ_LATELY}' AND reader = ANY(%s) AND NOT is_share
GROUP BY reader
"""

# keys_user. ``everyone``: those without a key, too.
PEOPLE = f"""
SELECT count(*) OVER (), {USER.format("users")}, coalesce(held.keys, 0), coalesce(held.scopes, '{{}}'), held.since
FROM users LEFT JOIN (
    SELECT user_id, count(DISTINCT keys.id) AS keys, array_agg(DISTINCT scope) AS scopes, min(keys.created_at) AS since
    FROM keys, unnest(scopes) AS scope WHERE {OPENS} AND {LIVE} GROUP BY user_id
) AS held ON held.user_id = users.id
WHERE erased_at IS NULL AND (%(everyone)s OR held.keys IS NOT NULL)
"""
SELECT_PEOPLE = f"""
{PEOPLE}
  AND (%(search)s::text IS NULL OR strpos(lower(concat_ws(' ', first_name, last_name, email)), lower(%(search)s)) > 0)
ORDER BY lower(concat_ws(' ', nullif(first_name, ''), nullif(last_name, ''), email)), users.id
LIMIT %(limit)s OFFSET %(offset)s
"""
SELECT_PERSON = f"{PEOPLE} AND users.uuid = %(uuid)s"


class ProjectKey(msgspec.Struct, frozen=True):
    """A key that opens the project. ``owner`` and ``maker`` are None once they are erased; with no ``maker_id`` it was made on the
    host. ``sessions``: browsers that it has signed in now."""

    id: UUID
    label: str
    prefix: str
    scopes: tuple[str, ...]
    project_ids: tuple[int, ...] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    is_live: bool
    maker_id: int | None
    owner: User | None
    maker: User | None
    sessions: int
    used_at: datetime | None


class Person(msgspec.Struct, frozen=True):
    """With the ``keys`` that open the project now, all that they may do, and when the first of them was made."""

    user: User
    keys: int
    scopes: tuple[str, ...]
    since: datetime | None


async def keys(
    conn: Connection,
    project_id: int,
    *,
    live: bool,
    user: UUID | None = None,
    limit: int,
    offset: int,
) -> tuple[int, list[ProjectKey]]:
    """How many keys open the project, or have opened it, and a page of them, the newest first."""
    params = {"project": project_id, "live": live, "user": user, "limit": limit, "offset": offset}
    rows = await (await conn.execute(SELECT_KEYS, params)).fetchall()
    return (rows[0][0] if rows else 0), [_key(row[1:]) for row in rows]


async def key(conn: Connection, project_id: int, key_id: UUID | None) -> ProjectKey:
    """Raises NotFound, also for a key that does not open the project."""
    row = None
    if key_id is not None:
        row = await (await conn.execute(SELECT_KEY, {"project": project_id, "key": key_id})).fetchone()
    if row is None:
        raise NotFound("There is no such key in this project.")
    return _key(row[1:])


async def last_reads(conn: Connection, project_id: int, key_ids: Sequence[UUID]) -> dict[UUID, datetime]:
    """When each of the keys last read something of the project, as far as it did so lately."""
    return dict(await (await conn.execute(SELECT_READS, (project_id, list(key_ids)))).fetchall())


async def people(
    conn: Connection, project_id: int, *, everyone: bool, search: str | None, limit: int, offset: int
) -> tuple[int, list[Person]]:
    """How many people have a key that opens the project, or all whom the registry knows, and a page of them by name."""
    params = {
        "project": project_id,
        "everyone": everyone,
        "search": search,
        "limit": limit,
        "offset": offset,
    }
    rows = await (await conn.execute(SELECT_PEOPLE, params)).fetchall()
    return (rows[0][0] if rows else 0), [_person(row[1:]) for row in rows]


async def person(conn: Connection, project_id: int, uuid: UUID | None, *, everyone: bool) -> Person:
    """One of them. Raises NotFound."""
    row = None
    if uuid is not None:
        params = {"project": project_id, "everyone": everyone, "uuid": uuid}
        row = await (await conn.execute(SELECT_PERSON, params)).fetchone()
    if row is None:
        raise NotFound("There is no such person in this project.")
    return _person(row[1:])


def _key(row: tuple[Any, ...]) -> ProjectKey:
    key_id, label, prefix, scopes, project_ids, created_at, expires_at, revoked_at, is_live = row[:9]
    maker_id, maker_is_known, owner_is_known, sessions, used_at = row[9:14]
    return ProjectKey(
        id=key_id,
        label=label,
        prefix=prefix,
        scopes=tuple(scopes),
        project_ids=None if project_ids is None else tuple(project_ids),
        created_at=created_at,
        expires_at=expires_at,
        revoked_at=revoked_at,
        is_live=is_live,
        maker_id=maker_id,
        owner=User(*row[14:22]) if owner_is_known else None,
        maker=User(*row[22:30]) if maker_is_known else None,
        sessions=sessions,
        used_at=used_at,
    )


def _person(row: tuple[Any, ...]) -> Person:
    *user, count, scopes, since = row
    return Person(User(*user), count, tuple(scopes), since)
