"""The tags that a project uses."""

from store.postgres.connection import Connection

MAX_TAGS_LISTED = 10_000  # of an answer; at most some 2.5 MB, and more than a list to choose from can show

# tags_by_name: from tag to tag, however many artifacts have each.
IN_USE = """
WITH RECURSIVE used AS (
    (SELECT name FROM tags WHERE project_id = %(project)s AND kind = %(kind)s AND until_position IS NULL
     ORDER BY name LIMIT 1)
    UNION ALL
    SELECT following.name FROM used CROSS JOIN LATERAL (
        SELECT tags.name FROM tags
        WHERE tags.project_id = %(project)s AND tags.kind = %(kind)s AND tags.name > used.name
          AND until_position IS NULL
        ORDER BY tags.name LIMIT 1
    ) AS following
)
SELECT name FROM used LIMIT %(limit)s
"""


async def in_use(conn: Connection, project_id: int, kind: str) -> list[str]:
    """The first MAX_TAGS_LISTED tags that active artifacts of the kind have, sorted."""
    params = {"project": project_id, "kind": kind, "limit": MAX_TAGS_LISTED}
    return [row[0] for row in await (await conn.execute(IN_USE, params, binary=True)).fetchall()]
