"""The feed: the events of a project in the order of the log, by page, by long poll and as a stream."""

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial
from time import monotonic
from typing import Any

import msgspec
import psycopg
from litestar import Controller, Request, Response, get
from litestar.params import FromPath
from litestar.response import Stream

from api.access.recheck import recheck
from api.artifacts import common as artifacts
from api.http import conditional, requests
from api.http.answers import rendered
from api.http.errors import documented
from api.http.query import Query
from api.http.requests import header_of, project_of, query_of
from api.http.responses import REVALIDATE, VARY_ACCEPT, VARY_ENCODING, Header, to_response, typed_answer
from api.http.stream import EndlessStream
from api.openapi.parameters import Param, integer, route
from api.server.admission import only_waits
from api.services import services
from domain.artifacts.kinds import SUBJECT_KINDS, SUBJECTS
from domain.errors import Invalid, NotFound, Refused
from projections import sizes
from projections.encoding import etag_of
from projections.events import feed
from projections.events.cloudevents import (
    Cloudevent,
    cloudevent_json,
    feed_topics,
    no_type,
    schemas,
    topic_of,
    type_of,
)
from projections.events.feed import Item
from store.postgres.pool import Pool

logger = logging.getLogger(__name__)

READ = "event:read"

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_WAIT = 30
BATCH = 100  # events that a stream holds at a time, if they are small: some 100 KB, of which a slow reader costs a few

# No empty line behind these two: there are clients (httpx-sse) that take every one for the end of a message, an empty one here.
RETRY = b"retry: 1000\n"
HEARTBEAT = b": still here\n"
# A message without data moves the last event id and is dispatched by no EventSource; a client that dispatches it sees its name.
POSITION = b"event: position\nid: %d\n\n"
# Positions that a filtered stream passes before it says so ahead of time: a reader that connects again reads no more of them twice.
POSITION_EVERY = 1000

JSON_BATCH = "application/cloudevents-batch+json"
NDJSON = "application/x-ndjson"

AFTER = Param("after", integer(0, default=0), "Only events after this position of the log.", 0)
LIMIT = Param(
    "limit",
    integer(1, default=DEFAULT_LIMIT),
    "Page size; above 1000 is 1000. A page of large events ends before that, at 8 MiB.",
    100,
)
TYPE = Param(
    "type",
    {"type": "string"},
    "Only events of this type; several with commas between.",
    "skald.skill.published.v1",
)
SUBJECT = Param(
    "subject",
    {"type": "string"},
    "Only events about this name, of every stream that held it.",
    "skill/pdf-forms",
)
WAIT = Param(
    "wait", integer(0, MAX_WAIT, 0), "Seconds to wait for the first event when there is none yet.", 10
)


class EventPage(msgspec.Struct):
    """``next`` is always there: the address to go on from, also when there is nothing yet."""

    results: list[Cloudevent]
    next: str
    position: int


_encoder = msgspec.json.Encoder()
SCHEMAS = schemas()


class FeedController(Controller):
    """Needs the scope ``event:read``."""

    path = "/events"
    tags = ("events",)
    guards = (artifacts.guard,)

    @get(
        "/",
        operation_id="events_list",
        summary="Read the event feed",
        opt=route(READ, query=(AFTER, LIMIT, TYPE, SUBJECT, WAIT)),
        responses=documented(400, 401, 403, 404, 409, 429, 503),
    )
    async def list(self, request: Request[Any, Any, Any]) -> Response[EventPage]:
        """Events after a position, strictly in order and complete. `position` is where to go on from.

        `Accept: application/cloudevents-batch+json` gives the bare array, `application/x-ndjson` a line an event; both
        give the next address in a `Link` header. A position that is not in the log, because it went back, is 409 with the `position`
        to go on from.
        """
        query = query_of(request)
        filters = Filters.of(query)
        after = query.integer("after", minimum=0) or 0
        limit = query.integer("limit", minimum=1, maximum=MAX_LIMIT, cut=True) or DEFAULT_LIMIT
        wait = query.integer("wait", minimum=0, maximum=MAX_WAIT) or 0
        items, complete = await wait_for_first(request, after, limit, filters, wait)
        following = next_page(request, query, complete)
        base = requests.base(request)

        def answer() -> Response[Any]:
            events = [
                cloudevent_json(item.recorded, item.kind, item.name, base, item.history) for item in items
            ]
            return _answer(request, events, following, complete)

        return await rendered(sum(item.size for item in items), answer)

    @get(
        "/stream",
        operation_id="events_stream",
        summary="Follow the event feed (Server-Sent Events)",
        opt=route(READ, query=(AFTER, TYPE, SUBJECT)),
        responses=documented(400, 401, 403, 404, 409, 429, 503),
    )
    async def stream(self, request: Request[Any, Any, Any]) -> Stream:
        """One message an event, `id` its position; resumes after `Last-Event-ID`, else after `after`.

        A comment now and then keeps the connection open; with `type` or `subject`, a message `position` that has an `id`
        and no data says how far the log was looked through. It ends when the service stops or the key is revoked.
        """
        query = query_of(request)
        filters = Filters.of(query)
        after = last_event_id(header_of(request, b"last-event-id"))
        if after is None:
            after = query.integer("after", minimum=0) or 0
        # While there is a status to say it by; a query that is cancelled costs its connection.
        await asyncio.shield(asyncio.ensure_future(check(services(request).pool, after)))
        return EndlessStream(
            messages(request, after, filters),
            services(request).log_follower,
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )


class Filters(msgspec.Struct, frozen=True):
    """What a reader wants to see; None is everything."""

    topics: tuple[str, ...] | None
    subject: tuple[str, str] | None

    @classmethod
    def of(cls, query: Query) -> "Filters":
        """Raises Invalid for a type that does not exist or a subject of another form."""
        return cls(topics_of(query), subject_of(query))

    def __bool__(self) -> bool:
        """Whether there are events that the reader does not want to see."""
        return self.topics is not None or self.subject is not None


def topics_of(query: Query) -> tuple[str, ...] | None:
    value = query.text("type")
    if value is None:
        return None
    topics = []
    for type_ in value.split(","):
        topic = topic_of(type_.strip())
        if topic is None:
            raise Invalid(no_type(type_.strip(), feed_topics()), attr="type")
        topics.append(topic)
    return tuple(topics)


def subject_of(query: Query) -> tuple[str, str] | None:
    value = query.text("subject")
    if value is None:
        return None
    kind, slash, name = value.partition("/")
    if kind not in SUBJECT_KINDS or not slash or not name or "\0" in name:
        raise Invalid(f"A subject is {SUBJECTS} and a name.", attr="subject")
    return kind, name


def last_event_id(value: bytes | None) -> int | None:
    """Raises Invalid unless it is a position."""
    if not value:
        return None
    text = value.decode("latin-1")
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Invalid("This must be the id of an event: its position.", attr="Last-Event-ID")
    return int(text)


async def read(
    pool: Pool, project_id: int, after: int, limit: int, filters: Filters, max_bytes: int
) -> tuple[list[Item], int]:
    async with pool.connection() as conn:
        return await feed.page(
            conn,
            project_id,
            after=after,
            limit=limit,
            topics=filters.topics,
            subject=filters.subject,
            max_bytes=max_bytes,
            bounded=True,
        )


async def check(pool: Pool, after: int) -> None:
    """Raises LogWentBack when a reader's position is not in the log."""
    if after:
        async with pool.connection() as conn:
            await feed.check(conn, after)


async def wait_for_first(
    request: Request[Any, Any, Any], after: int, limit: int, filters: Filters, seconds: float
) -> tuple[list[Item], int]:
    """A page as soon as there is an event for it, an empty one when the time is up or the log goes on behind what was looked at."""
    log_follower = services(request).log_follower
    project_id, deadline = project_of(request), monotonic() + seconds
    has_waited = False
    while True:
        items, after = await read(services(request).pool, project_id, after, limit, filters, sizes.MAX_ANSWER)
        only_waits(request.scope)
        is_over = bool(items) or not await log_follower.wait_beyond(after, deadline - monotonic())
        has_waited = has_waited or not items
        if is_over:
            if has_waited:
                await recheck(request)
            return items, after


def next_page(request: Request[Any, Any, Any], query: Query, after: int) -> str:
    values = {**query.values, "after": str(after)}
    return requests.link(request, values)


def _answer(
    request: Request[Any, Any, Any], events: list[bytes], following: str, complete: int
) -> Response[Any]:
    accepted = (header_of(request, b"accept") or b"").decode("latin-1")
    extra = [(b"link", f'<{following}>; rel="next"'.encode()), VARY_ACCEPT]
    if NDJSON in accepted:
        return _as(request, b"".join(event + b"\n" for event in events), NDJSON, extra)
    results = b"[" + b",".join(events) + b"]"
    if JSON_BATCH in accepted:
        return _as(request, results, JSON_BATCH, extra)
    body = b"".join(
        (b'{"results":', results, b',"next":', _encoder.encode(following), b',"position":%d}' % complete)
    )
    return conditional.answer(request, body, extra=extra)


def _as(request: Request[Any, Any, Any], body: bytes, media_type: str, extra: list[Header]) -> Response[Any]:
    headers = [(b"etag", etag_of(body)), (b"cache-control", REVALIDATE), *extra, VARY_ENCODING]
    return to_response(typed_answer(media_type.encode(), body, header_of(request, b"if-none-match"), headers))


async def messages(request: Request[Any, Any, Any], after: int, filters: Filters) -> AsyncIterator[bytes]:
    """Messages of a stream; the next batch is read when the reader has taken the one before."""
    log_follower, heartbeat = services(request).log_follower, services(request).heartbeat
    project_id, base = project_of(request), requests.base(request)
    sent, due = after, monotonic() + heartbeat
    yield RETRY
    while not log_follower.closing:
        try:
            # A reader that leaves cancels what it waits for, and a query that is cancelled costs its connection.
            items, after = await asyncio.shield(
                asyncio.ensure_future(_next_batch(request, project_id, after, filters))
            )
        except (Refused, psycopg.OperationalError) as error:
            # The reader's next request is refused with the reason.
            if not isinstance(error, Refused):
                logger.warning("a stream of events ends: %s", str(error).strip() or type(error).__name__)
            return
        if items:
            yield await rendered(sum(item.size for item in items), partial(_messages, items, base))
            sent = items[-1].recorded.position
        else:
            skipped = after - sent if filters else 0
            left = due - monotonic()
            if left > 0 and skipped < POSITION_EVERY and await log_follower.wait_beyond(after, left):
                continue
            if not log_follower.closing:
                yield POSITION % after if skipped else HEARTBEAT
                sent = after
        due = monotonic() + heartbeat


async def _next_batch(
    request: Request[Any, Any, Any], project_id: int, after: int, filters: Filters
) -> tuple[list[Item], int]:
    """Raises Refused when the key is no longer valid."""
    batch = await read(services(request).pool, project_id, after, BATCH, filters, sizes.MAX_PART)
    await recheck(request)
    return batch


def _messages(items: list[Item], base: str) -> bytes:
    return b"".join(message(item, base) for item in items)


def message(item: Item, base: str) -> bytes:
    recorded = item.recorded
    event = cloudevent_json(recorded, item.kind, item.name, base, item.history)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (recorded.position, type_of(recorded.topic).encode(), event)


class EventSchemaController(Controller):
    """What `dataschema` points to; no key is needed."""

    path = "/schema/events"
    tags = ("events",)

    @get(
        "/{type_name:str}",
        operation_id="event_schema_retrieve",
        summary="The JSON Schema of an event type",
        responses=documented(404),
    )
    async def schema(
        self, request: Request[Any, Any, Any], type_name: FromPath[str]
    ) -> Response[dict[str, Any]]:
        """Of the `data` of the events of this type."""
        schema = SCHEMAS.get(type_name.removesuffix(".json"))
        if schema is None:
            raise NotFound(
                f"There is no event type '{type_name.removesuffix('.json')}'.", suggestions=list(SCHEMAS)[:3]
            )
        return conditional.answer(request, _encoder.encode(schema))
