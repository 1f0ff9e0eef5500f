"""The instant that the console shows: the present, or the past that every address of a page may name."""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from litestar import Request

from api.artifacts.common import is_past, read_model_of
from api.http.query import Query, parse_instant
from api.services import services
from projections.encoding import timestamp
from projections.read import past as reading
from projections.read.models import ReadModel
from projections.read.past import AsOfReadModel
from projections.read.versions import snapshot
from store.postgres.connection import Connection

T = TypeVar("T")

# What a form of an instant sends: the time of day in UTC, with seconds or without.
LOCAL = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d")


class Past(msgspec.Struct, frozen=True):
    """The project when the log ended at ``position``; ``at`` is the instant that was asked for, else that of the last event, None before
    the first one."""

    position: int
    at: datetime | None
    query: dict[str, str]

    @property
    def local(self) -> str:
        """``at`` as the field of a form has it."""
        return self.at.astimezone(UTC).strftime(LOCAL[1]) if self.at else ""


async def read(
    request: Request[Any, Any, Any],
    query: Query,
    ask: Callable[[Connection, ReadModel, Past | None], Awaitable[T]],
    *,
    whole: bool = False,
) -> tuple[T, Past | None]:
    """What ``ask`` returns, which may be called again on another connection, and the past that is shown; ``whole``: of one snapshot.

    It comes from a replica when one has all that the primary has, so what was written just now is on the next page. Raises Invalid.
    """

    async def asked(conn: Connection) -> tuple[T, Past | None]:
        async with snapshot(conn) if whole else nullcontext():
            read_model, then = await shown(conn, query)
            return await ask(conn, read_model, then), then

    return await services(request).reads.ask(asked)


async def shown(conn: Connection, query: Query) -> tuple[ReadModel, Past | None]:
    """The read model that a page shows, and which past that is. Raises Invalid."""
    if not is_past(query):
        return await read_model_of(conn, query), None
    named = {name: query.values[name] for name in ("position", "as_of") if name in query}
    model = await read_model_of(conn, query)
    assert isinstance(model, AsOfReadModel)
    asked = parse_instant(named["as_of"]) if "as_of" in named else None
    return model, Past(model.at, asked or await reading.recorded_at(conn, model.at), named)


def instant_of(text: str) -> str | None:
    """What a form of an instant sends as an RFC 3339 one."""
    for form in LOCAL:
        try:
            return timestamp(datetime.strptime(text, form).replace(tzinfo=UTC))
        except ValueError:
            continue
    return None
