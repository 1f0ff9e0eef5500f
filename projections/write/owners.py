"""Who answers for an artifact, now and at any position of the log: the table ``owners``."""

from store.log.statements import SetStatement, arrays

# owners_pkey
ENDED = SetStatement(
    "owners.end",
    86,
    f"""
    UPDATE owners SET until_position = position
    FROM {arrays("stream_id uuid, stream_version int")} AS new
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    WHERE owners.stream_id = new.stream_id AND owners.until_position IS NULL
    """,
)

OWNER = """stream_id uuid, user_id bigint, project_id bigint, kind text, place int, since_version int,
           until_version int"""
SET = SetStatement(
    "owners.set",
    87,
    f"""
    INSERT INTO owners (stream_id, user_id, project_id, kind, place, since_position, until_position)
    SELECT new.stream_id, user_id, new.project_id, kind, place, since.position, until.position
    FROM {arrays(OWNER)} AS new
    JOIN events AS since ON since.stream_id = new.stream_id AND since.stream_version = new.since_version
    LEFT JOIN events AS until ON until.stream_id = new.stream_id AND until.stream_version = new.until_version
    """,
)
