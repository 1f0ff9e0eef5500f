"""What an artifact is tagged with, now and at any position of the log: the table ``tags``."""

from store.log.statements import SetStatement, arrays

# tags_pkey
ENDED = SetStatement(
    "tags.end",
    88,
    f"""
    UPDATE tags SET until_position = position
    FROM {arrays("stream_id uuid, stream_version int")} AS new
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    WHERE tags.stream_id = new.stream_id AND tags.until_position IS NULL
    """,
)

TAG = "stream_id uuid, project_id bigint, kind text, name text, since_version int, until_version int"
SET = SetStatement(
    "tags.set",
    89,
    f"""
    INSERT INTO tags (stream_id, project_id, kind, name, since_position, until_position)
    SELECT new.stream_id, new.project_id, kind, name, since.position, until.position
    FROM {arrays(TAG)} AS new
    JOIN events AS since ON since.stream_id = new.stream_id AND since.stream_version = new.since_version
    LEFT JOIN events AS until ON until.stream_id = new.stream_id AND until.stream_version = new.until_version
    """,
)
