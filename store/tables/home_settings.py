"""The start page of a user in a project: JSON that clients keep here, and that nothing here reads."""

from typing import NamedTuple

from store.log.statements import SetStatement, arrays
from store.postgres.connection import Connection

# home_settings_pkey
SELECT = "SELECT tabs, homepage FROM home_settings WHERE user_id = %s AND project_id = %s"

# home_settings_pkey. What is not given stays.
UPSERT = """
INSERT INTO home_settings (user_id, project_id, tabs, homepage)
VALUES (%(user)s, %(project)s, coalesce(%(tabs)s::bytea, '[]'), coalesce(%(homepage)s::bytea, 'null'))
ON CONFLICT (user_id, project_id) DO UPDATE
SET tabs = coalesce(%(tabs)s::bytea, home_settings.tabs), homepage = coalesce(%(homepage)s::bytea, home_settings.homepage)
RETURNING tabs, homepage
"""

# home_settings_pkey
REMOVED = SetStatement(
    "home_settings.remove",
    31,
    f"DELETE FROM home_settings USING {arrays('user_id bigint')} AS gone WHERE home_settings.user_id = gone.user_id",
)


class HomeSettings(NamedTuple):
    """Compact JSON."""

    tabs: bytes = b"[]"
    homepage: bytes = b"null"


async def find(conn: Connection, user_id: int, project_id: int) -> HomeSettings:
    row = await (await conn.execute(SELECT, (user_id, project_id), binary=True)).fetchone()
    return HomeSettings(*row) if row else HomeSettings()


async def change(
    conn: Connection, user_id: int, project_id: int, *, tabs: bytes | None, homepage: bytes | None
) -> HomeSettings:
    """All of it after the change; None stays as it is."""
    params = {"user": user_id, "project": project_id, "tabs": tabs, "homepage": homepage}
    row = await (await conn.execute(UPSERT, params, binary=True)).fetchone()
    if row is None:
        raise RuntimeError("the insert returned no row")
    return HomeSettings(*row)
