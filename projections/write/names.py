"""Which stream holds a name: ``active_names`` now, ``name_spans`` at any position of the log."""

from uuid import UUID

from store.log.statements import SetStatement, arrays
from store.postgres.connection import Connection

NAME = "project_id bigint, kind text, name text, stream_id uuid"

RELEASE = SetStatement(
    "active_names.release",
    10,
    f"""
    DELETE FROM active_names USING {arrays(NAME)} AS old
    WHERE active_names.project_id = old.project_id AND active_names.kind = old.kind
      AND active_names.name = old.name AND active_names.stream_id = old.stream_id
    """,
)

CLAIM = SetStatement(
    "active_names.claim",
    20,
    f"""
    INSERT INTO active_names (project_id, kind, name, stream_id)
    SELECT * FROM {arrays(NAME)} AS new
    """,
)

SPAN_BEGUN = SetStatement(
    "name_spans.begin",
    21,
    f"""
    INSERT INTO name_spans (stream_id, project_id, kind, name, since_position)
    SELECT new.stream_id, new.project_id, kind, name, position
    FROM {arrays("stream_id uuid, stream_version int, project_id bigint, kind text, name text")} AS new
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    """,
)

SPAN_ENDED = SetStatement(
    "name_spans.end",
    22,
    f"""
    UPDATE name_spans SET until_position = ended.position
    FROM (
        SELECT open.stream_id, open.since_position, min(events.position) AS position
        FROM {arrays("stream_id uuid, stream_version int")} AS new
        JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
        JOIN name_spans AS open ON open.stream_id = new.stream_id AND open.until_position IS NULL
                               AND open.since_position < events.position
        GROUP BY open.stream_id, open.since_position
    ) AS ended
    WHERE name_spans.stream_id = ended.stream_id AND name_spans.since_position = ended.since_position
    """,
)

# active_names_pkey
HOLDER = "SELECT stream_id FROM active_names WHERE project_id = %s AND kind = %s AND name = %s"


async def holder(conn: Connection, project_id: int, kind: str, name: str) -> UUID | None:
    """The stream that holds the name, None when it is free."""
    if "\0" in name:
        return None
    row = await (await conn.execute(HOLDER, (project_id, kind, name))).fetchone()
    return row[0] if row else None
