"""The organization that all projects of a database belong to, as far as a key may see it: its projects and their people."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from store.postgres.connection import Connection
from store.tables.identity import Project, User

SELECT_NAME = "SELECT name FROM organizations WHERE id = %s"  # organizations_pkey

SELECT_PROJECTS = """
SELECT id, name, api_token FROM projects
WHERE organization_id = %s AND (%s::bigint[] IS NULL OR id = ANY(%s::bigint[])) ORDER BY id
"""

# People with a key that opens something now. Few, and so is what is read of them.
SELECT_MEMBERS = """
SELECT count(*) OVER (), users.id, users.uuid, distinct_id, first_name, last_name, email, is_email_verified,
       role_at_organization, min(keys.created_at)
FROM users JOIN keys ON keys.user_id = users.id
WHERE erased_at IS NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
  AND (%(projects)s::bigint[] IS NULL OR project_ids IS NULL OR project_ids && %(projects)s::bigint[])
  AND (%(search)s::text IS NULL OR strpos(lower(concat_ws(' ', first_name, last_name, email)), lower(%(search)s)) > 0)
  AND (%(domain)s::text IS NULL OR lower(split_part(email, '@', 2)) = lower(%(domain)s))
GROUP BY users.id ORDER BY min(keys.created_at) DESC, users.id LIMIT %(limit)s OFFSET %(offset)s
"""


class Member(msgspec.Struct, frozen=True):
    """A person, and when their first key that still opens something was made."""

    user: User
    joined_at: datetime


async def name(conn: Connection, organization_id: UUID) -> str:
    row = await (await conn.execute(SELECT_NAME, (organization_id,))).fetchone()
    return str(row[0]) if row else ""


async def projects(
    conn: Connection, organization_id: UUID, project_ids: Sequence[int] | None
) -> list[Project]:
    """The projects of these that there are, or all, oldest first."""
    allowed = None if project_ids is None else list(project_ids)
    cursor = await conn.execute(SELECT_PROJECTS, (organization_id, allowed, allowed))
    return [Project(*row) for row in await cursor.fetchall()]


async def members(
    conn: Connection,
    project_ids: Sequence[int] | None,
    *,
    search: str | None = None,
    domain: str | None = None,
    limit: int,
    offset: int,
) -> tuple[int, list[Member]]:
    """How many people may enter one of the projects, and a page of them, the last that came first."""
    params: dict[str, Any] = {
        "projects": None if project_ids is None else list(project_ids),
        "search": search,
        "domain": domain,
        "offset": offset,
        "limit": limit,
    }
    rows = await (await conn.execute(SELECT_MEMBERS, params)).fetchall()
    if not rows and offset:
        counted = await (await conn.execute(SELECT_MEMBERS, params | {"offset": 0, "limit": 1})).fetchone()
        return (counted[0] if counted else 0), []
    return (rows[0][0] if rows else 0), [Member(User(*row[1:9]), row[9]) for row in rows]
