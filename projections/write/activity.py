"""What was published, by day, stream and author: the table ``activity``.

A publish is a version that came into being, whatever brought it: a create, an edit, a revert, a duplicate. It stays counted when
its stream is archived, because it happened.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from uuid import UUID

from domain.artifacts.kinds import kind_of
from domain.artifacts.versioned import VersionEvent
from domain.events import EVENT_TYPES
from store.log.log import Recorded
from store.log.statements import SetStatement, Writes, arrays

NO_USER = 0  # ids of users begin at 1

ROW = """project_id bigint, stream_id uuid, author bigint, kind text, publishes bigint, first_at timestamptz,
         last_at timestamptz"""

# activity_pkey
PUBLISHED = SetStatement(
    "activity.add",
    10,
    f"""
    INSERT INTO activity (project_id, day, stream_id, author, kind, publishes, first_at, last_at)
    SELECT project_id, (first_at AT TIME ZONE 'UTC')::date, stream_id, author, kind, publishes, first_at, last_at
    FROM {arrays(ROW)} AS new
    ON CONFLICT (project_id, day, stream_id, author) DO UPDATE
    SET publishes = activity.publishes + excluded.publishes, last_at = excluded.last_at
    """,
)

STATEMENTS = (PUBLISHED,)

Key = tuple[int, date, UUID, int]


def fold(events: Sequence[Recorded]) -> Writes:
    """Pure: of the events of a batch, one row for each day, stream and author."""
    found: dict[Key, tuple[str, int, datetime, datetime]] = {}
    for event in events:
        kind, at = kind_of(event.topic), event.recorded_at
        if event.project_id is None or kind is None or not _is_publish(event.topic):
            continue
        key = (event.project_id, at.astimezone(UTC).date(), event.stream_id, event.actor_id or NO_USER)
        _, publishes, first_at, _ = found.get(key, (kind, 0, at, at))
        found[key] = (kind, publishes + 1, first_at, at)
    rows = [(project, stream, author, *row) for (project, _, stream, author), row in found.items()]
    return {PUBLISHED: rows} if rows else {}


def _is_publish(topic: str) -> bool:
    event = EVENT_TYPES.get(topic)
    return event is not None and issubclass(event, VersionEvent)
