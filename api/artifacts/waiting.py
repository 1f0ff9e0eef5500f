"""Requests that wait until an async projection has come to a position of the log, such as that of their own write."""

from typing import Any

from litestar import Request

from api.access.recheck import recheck
from api.http.query import Query
from api.openapi.parameters import Param, integer
from api.server.admission import only_waits
from api.services import services
from domain.errors import Invalid, Unavailable
from store.log.log import head

MAX_WAIT = 10.0  # seconds; a follower is less than one behind, unless it does not go on
RETRY_AFTER = 5  # seconds

AFTER = Param(
    "after",
    integer(0, default=0),
    "Wait until this position of the log is taken in, such as that of a write (`X-Event-Position`); 10 seconds at most, then 503.",
    0,
)


async def wait_for(request: Request[Any, Any, Any], query: Query, follower: str, what: str) -> None:
    """Wait for the position that ``after`` names; ``what`` is it that it is not yet. Raises Invalid, Unavailable."""
    position = query.integer("after", minimum=0) or 0
    if not position:
        return
    async with services(request).pool.connection() as conn:
        end = await head(conn)
    if position > end:
        raise Invalid(f"The log ends at position {end} now.", code="max_value", attr="after")
    only_waits(request.scope)
    if not await services(request).checkpoints.wait_for(follower, position, MAX_WAIT):
        raise Unavailable(
            f"Position {position} of the log is not {what} yet; `followers` of /readyz says how far that is.",
            retry_after=RETRY_AFTER,
        )
    await recheck(request)
