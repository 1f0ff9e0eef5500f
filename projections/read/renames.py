"""Names and packages at a position of the log, and where a name that was given up leads to."""

from uuid import UUID

from store.postgres.connection import Connection

# name_spans_pkey. The kind and name of a stream at a position; after its archive, the name that it had.
NAMED_AT = """
SELECT kind, name FROM name_spans
WHERE name_spans.stream_id = {stream} AND since_position <= {position} ORDER BY since_position DESC LIMIT 1
"""

# earlier_packages_pkey. The digest of the package that a row of ``versions`` had at a position.
PACKAGE_AT = """coalesce((
    SELECT earlier.package FROM earlier_packages AS earlier
    WHERE earlier.stream_id = versions.stream_id AND earlier.number = versions.number AND until_position > {position}
    ORDER BY until_position LIMIT 1
), versions.package)"""

NOW = 2**63 - 1  # above all positions

# name_spans_of_name, name_spans_pkey. A name leads to what held it last, for as long as that is active under another one: so it
# ends for good when something else takes it, and there are no chains to follow.
RENAMED_TO = """
SELECT held.name
FROM (
    SELECT stream_id FROM name_spans
    WHERE project_id = %(project)s AND kind = %(kind)s AND name = %(name)s AND since_position <= %(at)s
    ORDER BY since_position DESC LIMIT 1
) AS last
JOIN name_spans AS held ON held.stream_id = last.stream_id
    AND held.since_position <= %(at)s AND (held.until_position IS NULL OR held.until_position > %(at)s)
WHERE held.name <> %(name)s
"""


# name_spans_of_name
LED_TO = """
SELECT stream_id FROM name_spans
WHERE project_id = %s AND kind = %s AND name = %s ORDER BY since_position DESC LIMIT 1
"""


async def led_to(conn: Connection, project_id: int, kind: str, name: str) -> UUID | None:
    """The stream that held the name last, archived or not: what the name leads to."""
    row = await (await conn.execute(LED_TO, (project_id, kind, name))).fetchone()
    return row[0] if row else None


async def renamed_to(
    conn: Connection, project_id: int, kind: str, name: str, at: int | None = None
) -> str | None:
    """The name that what was called ``name`` has now, or had at a position; None when it is no alias."""
    if "\0" in name:
        return None
    params = {"project": project_id, "kind": kind, "name": name, "at": NOW if at is None else at}
    row = await (await conn.execute(RENAMED_TO, params)).fetchone()
    return row[0] if row else None
