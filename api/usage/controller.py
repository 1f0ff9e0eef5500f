"""Usage: reads of one artifact, of a project, and by whom in one hour. They are counted by ``api.counting.reads``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get

from api.artifacts import common as artifacts
from api.cache.reader import missing
from api.http import conditional, pages
from api.http.errors import documented
from api.http.query import DATE, Query, parse_instant
from api.http.requests import as_uuid, project_of, query_of
from api.openapi.parameters import Param, route
from api.services import services
from api.usage.schemas import ReaderRow, ReadersPage, Usage, UsageRow, UsedPage, UsedRow
from domain.artifacts.kinds import KINDS
from domain.artifacts.versioned import Versioned
from domain.errors import Invalid
from projections.encoding import timestamp
from projections.events import history
from projections.read import usage
from projections.read.usage import BY, MAX_ROWS, Behind, Count, Page, Period, Read, Reader
from store.postgres.connection import Connection

READ = "usage:read"

DEFAULT_PERIOD = timedelta(days=30)
HOUR = timedelta(hours=1)
SHOW = ("unused", "behind")

_INSTANT = {"type": "string", "format": "date-time"}
FROM = Param(
    "from",
    _INSTANT,
    "The first hour, by any RFC 3339 instant of it, or a date. 30 days before `to`.",
    "2026-03-01T00:00:00Z",
)
TO = Param(
    "to",
    _INSTANT,
    "The last hour, counted as a whole, by any RFC 3339 instant of it; of a date, its last hour. The present one.",
    "2026-03-30T23:00:00Z",
)
COUNT_BY = Param(
    "by", {"type": "string", "enum": list(BY), "default": "version"}, "What a row is of.", "version"
)
KIND = Param("kind", {"type": "string", "enum": list(KINDS)}, "Only artifacts of this kind.", "skill")
SHOWN = Param(
    "show",
    {"type": "string", "enum": list(SHOW)},
    "`unused`: what was not read since `from`. `behind`: keys that have last read an earlier version than the latest.",
)
AT = Param(
    "at",
    _INSTANT,
    "Which hour, by any RFC 3339 instant of it; the present one when absent.",
    "2026-03-03T09:30:00Z",
)
READER = Param("reader", {"type": "string", "format": "uuid"}, "Only what this key or share read, by its id.")
PAGE = (artifacts.LIMIT, artifacts.OFFSET)
ERRORS = (400, 401, 403, 404, 429, 503)


class UsageController(Controller):
    """Needs the scope ``usage:read`` and no other."""

    path = "/usage"
    tags = ("usage",)
    guards = (artifacts.guard,)

    @get(
        "/",
        operation_id="usage_list",
        summary="List what is read, and what is not",
        opt=route(READ, query=(KIND, FROM, TO, SHOWN, *PAGE)),
        responses=documented(*ERRORS),
    )
    async def list(self, request: Request[Any, Any, Any]) -> Response[UsedPage]:
        """Active skills and prompts that were read in the period, the most read first, with the number of keys and shares that read them.

        Lists, searches, indexes and HEAD are no reads. A read is counted within 10 seconds. With `show=unused` what was not
        read since `from`, not by a 304 either, the longest unread first; with `show=behind` the keys.
        """
        query, now = query_of(request), datetime.now(UTC)
        kind, show, period = query.choice("kind", KINDS), query.choice("show", SHOW), period_of(query, now)
        page = _page_of(request, query, [kind] if kind else KINDS)
        async with _counted(request) as conn:
            count: int
            found: list[Any]
            if show == "behind":
                count, found = await usage.behind(conn, page, period)
            elif show == "unused":
                count, found = await usage.unused(conn, page, period.since)
            else:
                count, found = await usage.read(conn, page, period)
        links = pages.page_links(request, query, count, page.limit, page.offset, len(found))
        answer = UsedPage(count, *links, [_used(one) for one in found])
        return conditional.answer(request, msgspec.json.encode(answer))

    @get(
        "/readers",
        operation_id="usage_readers_list",
        summary="List who read what in one hour",
        opt=route(READ, query=(AT, KIND, READER, *PAGE)),
        responses=documented(*ERRORS),
    )
    async def readers(self, request: Request[Any, Any, Any]) -> Response[ReadersPage]:
        """Every version that was served in the hour of `at`, with the key or share that it was served to; of what is archived now, too.

        Hours are kept for 400 days; of older ones there is the whole day.
        """
        kind = query_of(request).choice("kind", KINDS)
        return await _readers(request, [kind] if kind else list(KINDS))


def usage_controller(cls: type[Versioned]) -> type[Controller]:
    """The usage of the artifacts of one kind."""
    one = f"/name/{{{cls.KIND}_name:str}}/usage"

    def name_of(request: Request[Any, Any, Any]) -> str:
        found: str = request.path_params[f"{cls.KIND}_name"]
        return found

    @get(
        one,
        operation_id=f"{cls.RESOURCE}_name_usage_retrieve",
        summary=f"Count the reads of a {cls.KIND}",
        tags=("usage",),
        opt=route(READ, query=(FROM, TO, COUNT_BY)),
        responses=documented(*ERRORS),
    )
    async def retrieve(self: Controller, request: Request[Any, Any, Any]) -> Response[Usage]:
        """By version, key or share, door, hour or day. They go along with a rename; what takes the name of something archived starts at 0.

        Doors: `api`, `cli` (a command line), `mcp`, `git`, `discovery` (installers) and `zip` (exports).
        """
        query = query_of(request)
        period, by = period_of(query, datetime.now(UTC)), query.choice("by", BY) or "version"
        async with _counted(request) as conn:
            stream_id = await _stream(conn, request, cls.KIND, name_of(request))
            found = await usage.counts(conn, stream_id, period, by)
        answer = Usage(found.total, [_row(by, count) for count in found.rows], found.found > MAX_ROWS)
        return conditional.answer(request, msgspec.json.encode(answer))

    @get(
        f"{one}/readers",
        operation_id=f"{cls.RESOURCE}_name_usage_readers_list",
        summary=f"List who read a {cls.KIND} in one hour",
        tags=("usage",),
        opt=route(READ, query=(AT, READER, *PAGE)),
        responses=documented(*ERRORS),
    )
    async def readers(self: Controller, request: Request[Any, Any, Any]) -> Response[ReadersPage]:
        """Each version that was served in the hour of `at`, with the key or share that it was served to."""
        return await _readers(request, [cls.KIND], name_of(request))

    members = {
        "path": f"/{cls.RESOURCE}",
        "guards": (artifacts.guard,),
        "retrieve": retrieve,
        "readers": readers,
    }
    return type(f"{cls.__name__}UsageController", (Controller,), members)


def period_of(query: Query, now: datetime) -> Period:
    """Raises Invalid."""
    until = _hour(query, "to", last=True) or _cut(now)
    since = _hour(query, "from")
    if since is None:
        since = max(until - DEFAULT_PERIOD, datetime.min.replace(tzinfo=UTC)) if until.year > 1 else until
    if since > until:
        raise Invalid(
            f"The period begins at {since:%Y-%m-%dT%H:00Z} and ends at {until:%Y-%m-%dT%H:00Z}; `from` must not be behind `to`.",
            code="invalid_range",
            attr="from",
        )
    return Period(since, until)


def _hour(query: Query, name: str, *, last: bool = False) -> datetime | None:
    """The hour of the instant; of a date its first one, or its last. Raises Invalid."""
    text = query.text(name)
    if text is None:
        return None
    hour = _cut(parse_instant(text, name))
    return hour.replace(hour=23) if last and DATE.fullmatch(text) else hour


def _cut(instant: datetime) -> datetime:
    try:
        instant = instant.astimezone(UTC)
    except OverflowError:
        # In another time zone, at an end of what a date can be.
        instant = instant.replace(tzinfo=UTC)
    return instant.replace(minute=0, second=0, microsecond=0)


def _page_of(request: Request[Any, Any, Any], query: Query, kinds: Any) -> Page:
    limit, offset = pages.page_bounds(query)
    return Page(project_of(request), list(kinds), limit, offset)


@asynccontextmanager
async def _counted(request: Request[Any, Any, Any]) -> AsyncIterator[Connection]:
    """A connection, when what this process has counted is there; what others have is within some seconds."""
    await services(request).read_counter.add()
    async with services(request).pool.connection() as conn:
        yield conn


async def _stream(conn: Connection, request: Request[Any, Any, Any], kind: str, name: str) -> UUID:
    """What holds the name. Raises NotFound, NameChanged."""
    project_id = project_of(request)
    found = await history.streams_of(conn, project_id, kind, name, archived=False)
    if not found:
        raise await missing(conn, project_id, kind, name)
    return found[0].stream_id


async def _readers(
    request: Request[Any, Any, Any], kinds: list[str], name: str | None = None
) -> Response[ReadersPage]:
    query = query_of(request)
    hour, reader = _hour(query, "at") or _cut(datetime.now(UTC)), query.text("reader")
    reader_id = None if reader is None else as_uuid(reader)
    if reader is not None and reader_id is None:
        raise Invalid("This must be the id of a key or share: a UUID.", attr="reader")
    page = _page_of(request, query, kinds)
    async with _counted(request) as conn:
        stream_id = None if name is None else await _stream(conn, request, kinds[0], name)
        count, found = await usage.readers(conn, page, hour, stream_id=stream_id, reader=reader_id)
    links = pages.page_links(request, query, count, page.limit, page.offset, len(found))
    answer = ReadersPage(count, *links, [_reader(one) for one in found])
    return conditional.answer(request, msgspec.json.encode(answer))


def _row(by: str, count: Count) -> UsageRow:
    columns = ("key", "share") if by == "key" else (by,)
    key = dict(zip(columns, count.key, strict=True))
    if by == "hour":
        key["hour"] = timestamp(key["hour"])
    return UsageRow(
        **key,
        reads=count.reads,
        revalidated=count.revalidated,
        first_at=timestamp(count.first_at),
        last_at=timestamp(count.last_at),
    )


def _used(found: Read | Behind) -> UsedRow:
    if isinstance(found, Behind):
        return UsedRow(
            kind=found.kind,
            name=found.name,
            key_id=found.key_id,
            version=found.version,
            latest_version=found.latest_version,
            label=found.label,
        )
    return UsedRow(
        kind=found.kind,
        name=found.name,
        reads=found.reads,
        revalidated=found.revalidated,
        last_read_at=None if found.last_at is None else timestamp(found.last_at),
        readers=found.readers,
    )


def _reader(found: Reader) -> ReaderRow:
    return ReaderRow(**{name: getattr(found, name) for name in Reader.__struct_fields__})
