"""The instant that the console shows: the present, or the past that every address of a page may name."""

from datetime import UTC, datetime

import msgspec

from api.artifacts.common import is_past, read_model_of
from api.http.query import Query
from projections.encoding import timestamp
from projections.read import past as reading
from projections.read.models import ReadModel
from projections.read.past import AsOfReadModel
from store.postgres.connection import Connection

# What a form of an instant sends: the time of day in UTC, with seconds or without.
LOCAL = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d")


class Past(msgspec.Struct, frozen=True):
    """The project when the log ended at ``position``; ``at`` is the instant of that, None before the first event."""

    position: int
    at: datetime | None
    query: dict[str, str]


async def shown(conn: Connection, query: Query) -> tuple[ReadModel, Past | None]:
    """The read model that a page shows, and which past that is. Raises Invalid."""
    if not is_past(query):
        return await read_model_of(conn, query), None
    named = {name: query.values[name] for name in ("position", "as_of") if name in query}
    model = await read_model_of(conn, query)
    assert isinstance(model, AsOfReadModel)
    return model, Past(model.at, await reading.recorded_at(conn, model.at), named)


def instant_of(text: str) -> str | None:
    """What a form of an instant sends as an RFC 3339 one."""
    for form in LOCAL:
        try:
            return timestamp(datetime.strptime(text, form).replace(tzinfo=UTC))
        except ValueError:
            continue
    return None
