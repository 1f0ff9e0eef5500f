"""What happens, as it happens: the newest events, and the feed's own stream for a browser that runs scripts."""

from collections.abc import AsyncIterator
from typing import Any

from litestar import Request, Response, get
from litestar.response import Stream

from api.events.controller import READ, Filters, last_event_id, messages
from api.http.requests import header_of, project_of, query_of
from api.http.stream import EndlessStream
from api.services import services
from console import access
from console.page import page
from projections.events import audit as reading
from projections.events import history
from projections.events.audit import AuditFilter
from projections.events.cloudevents import feed_topics, type_of
from projections.read.versions import snapshot
from store.postgres.connection import Connection

SHOWN = 30  # events


@get("/live", opt={"scope": READ})
async def live(request: Request[Any, Any, Any]) -> Response[Any]:
    project_id = project_of(request)
    wanted = AuditFilter(topics=[topic for topic in reading.topics() if topic in feed_topics()])

    async def read(conn: Connection) -> tuple[Any, ...]:
        async with snapshot(conn):
            _, head = await reading.bounds(conn, wanted)
            found, _ = await reading.newest(conn, project_id, wanted, after=0, upto=head, limit=SHOWN)
            actors = {one.recorded.actor_id for one in found if one.recorded.actor_id is not None}
            return head, found, await history.people_of(conn, actors)

    head, found, people = await services(request).reads.ask(read)
    return await page(
        request,
        "live.html",
        size=sum(len(one.recorded.state) for one in found),
        active="live",
        entries=reading.entries(found, project_id),
        people=people,
        head=head,
        types=[type_of(topic) for topic in feed_topics()],
        limit=SHOWN,
    )


@get("/live/events", opt={"scope": READ})
async def live_events(request: Request[Any, Any, Any]) -> Stream:
    """The stream of the feed, by a session. It ends with that, as with its key."""
    query = query_of(request)
    after = last_event_id(header_of(request, b"last-event-id"))
    if after is None:
        after = query.integer("after", minimum=0) or 0
    return EndlessStream(
        _while_signed_in(request, messages(request, after, Filters(None, None))),
        services(request).log_follower,
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _while_signed_in(
    request: Request[Any, Any, Any], parts: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    async for part in parts:
        if await access.session_of(request) is None:
            return
        yield part


HANDLERS = (live, live_events)
