"""The audit: the whole log of a project, page by page or as one file that is streamed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from functools import partial
from typing import Any, get_args

import msgspec
from litestar import Controller, Request, Response, get

from api.access.recheck import while_allowed
from api.artifacts import common as artifacts
from api.artifacts.schemas import AuditFormat
from api.events.controller import NDJSON, READ
from api.events.schemas import AuditPage
from api.http import requests
from api.http.answers import rendered
from api.http.errors import documented
from api.http.query import INTEGER, Query, parse_instant
from api.http.requests import as_uuid, header_of, project_of, query_of
from api.http.responses import REVALIDATE, VARY_ACCEPT, not_modified, to_response
from api.http.stream import CutStream
from api.openapi.parameters import Param, integer, route
from api.services import services
from domain.artifacts.kinds import SUBJECT_KINDS, SUBJECTS
from domain.errors import Invalid, NotFound
from projections.encoding import etag_of
from projections.events import audit
from projections.events.audit import AuditEntry, AuditFilter, Found
from projections.events.cloudevents import no_type
from projections.sizes import MAX_PART
from store.postgres.connection import Connection
from store.postgres.pool import Pool
from store.tables import identity

CSV = "text/csv"
MEDIA_TYPES = {"ndjson": NDJSON, "csv": CSV}

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
BATCH = 200  # entries that a download holds at a time, if they are small, and writes before others have their turn

_INSTANT = {"type": "string", "format": "date-time"}
AFTER = Param("after", integer(0, default=0), "Only entries after this position of the log.", 0)
LIMIT = Param(
    "limit",
    integer(1, default=DEFAULT_LIMIT),
    "Page size; above 1000 is 1000. A page of large entries ends before that, at 8 MiB. Files have no pages.",
    100,
)
ACTOR = Param(
    "actor",
    {"type": "string"},
    "Only what this user did: by id, mail address, or first name, last name or both.",
    "ann@example.com",
)
KEY = Param(
    "key",
    {"type": "string", "format": "uuid"},
    "Only what was done with this key, and the creation and revocation of the key itself.",
    "0195c2df-11aa-7d10-a1b2-c3d4e5f60718",
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
    "Only what happened to this name, in every stream that held it, or to a key or a share (`key/` or `share/` and its id).",
    "skill/pdf-forms",
)
FROM = Param("from", _INSTANT, "Only entries of this RFC 3339 instant and later.", "2026-03-03T09:30:00Z")
TO = Param("to", _INSTANT, "Only entries up to this RFC 3339 instant, it included.", "2026-03-04T09:30:00Z")
FORMAT = Param(
    "format",
    {"type": "string", "enum": list(get_args(AuditFormat)), "default": "json"},
    "`ndjson` and `csv` send everything that matches as one file; `Accept` may say the same.",
    "json",
)


class AuditController(Controller):
    """Needs the scope ``event:read``."""

    path = "/audit"
    tags = ("history",)
    guards = (artifacts.guard,)

    @get(
        "/",
        operation_id="audit_list",
        summary="Read the audit log",
        opt=route(
            READ,
            query=(AFTER, LIMIT, ACTOR, KEY, SUBJECT, TYPE, FROM, TO, FORMAT),
            media=tuple(MEDIA_TYPES.values()),
        ),
        responses=documented(400, 401, 403, 404, 429, 503),
    )
    async def list(self, request: Request[Any, Any, Any]) -> Response[AuditPage]:
        """Everything that was done in the project, and the creation and revocation of its shares and of the keys that may enter it.

        In the order of the log. People are ids here. `position` is where to go on from, and `next` the address that
        does; as a file (`format`, or `Accept: application/x-ndjson` or `text/csv`) all of it comes at once. What
        was read is no event: which version was served to whom is in `usage/readers`.
        """
        query = query_of(request)
        wanted, shape = wanted_of(query), format_of(request, query)
        after = query.integer("after", minimum=0) or 0
        limit = query.integer("limit", minimum=1, maximum=MAX_LIMIT, cut=True) or DEFAULT_LIMIT
        project_id, pool = project_of(request), services(request).pool
        async with pool.connection() as conn:
            wanted = msgspec.structs.replace(wanted, actor=await actor_of(conn, project_id, query))
            since, upto = await audit.bounds(conn, wanted)
            after = max(after, since)
            if shape == "json":
                found, complete = await audit.page(
                    conn, project_id, wanted, after=after, upto=upto, limit=limit
                )
        if shape == "json":
            following = _next(request, query, complete)

            def shown() -> bytes:
                results = audit.json(audit.entries(found, project_id))
                page = {"results": msgspec.Raw(results), "next": following, "position": complete}
                return msgspec.json.encode(page)

            return await artifacts.large_answer(request, size_of(found), shown, extra=[VARY_ACCEPT])
        return download(request, pool, wanted, shape, after, upto)


def wanted_of(query: Query) -> AuditFilter:
    """Raises Invalid."""
    key = query.text("key")
    key_id = None if key is None else as_uuid(key)
    if key is not None and key_id is None:
        raise Invalid("This must be the id of a key: a UUID.", attr="key")
    since, until = query.text("from"), query.text("to")
    return AuditFilter(
        topics=topics_of(query),
        key=key_id,
        subject=subject_of(query),
        since=None if since is None else parse_instant(since, "from"),
        until=None if until is None else parse_instant(until, "to", date=False),
    )


async def actor_of(conn: Connection, project_id: int, query: Query) -> int | None:
    """The user that `actor` is, by id, mail or name. Raises NotFound, or Invalid when it is several."""
    actor = query.text("actor")
    if actor is None or INTEGER.fullmatch(actor):
        return query.integer("actor", minimum=1, cut=True)
    found = await identity.users_called(conn, project_id, actor)
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFound(f"There is no user '{actor}' here; actor is an id, a mail address or a name.")
    ids = ", ".join(map(str, found))
    raise Invalid(f"Several people are called '{actor}'; use one of their ids: {ids}.", attr="actor")


def topics_of(query: Query) -> tuple[str, ...] | None:
    """Raises Invalid."""
    value = query.text("type")
    if value is None:
        return None
    topics = []
    for type_ in map(str.strip, value.split(",")):
        if (topic := audit.topic_of(type_)) is None:
            raise Invalid(no_type(type_, audit.topics()), attr="type")
        topics.append(topic)
    return tuple(topics)


def subject_of(query: Query) -> tuple[str, str] | None:
    """Raises Invalid."""
    value = query.text("subject")
    if value is None:
        return None
    kind, _, name = value.partition("/")
    if kind not in (*SUBJECT_KINDS, audit.KEY, audit.SHARE) or not name:
        raise Invalid(f"A subject is {SUBJECTS} and a name, or 'key/' or 'share/' and an id.", attr="subject")
    return kind, name if kind in SUBJECT_KINDS else name.lower()


def format_of(request: Request[Any, Any, Any], query: Query) -> str:
    """What the query says, else the first type of ``Accept`` that is known here. Raises Invalid."""
    chosen = query.choice("format", get_args(AuditFormat))
    if chosen is not None:
        return chosen
    accepted = (header_of(request, b"accept") or b"").decode("latin-1").lower()
    for part in accepted.split(","):
        media_type = part.partition(";")[0].strip()
        for name, known in (("json", "application/json"), *MEDIA_TYPES.items()):
            if media_type == known:
                return name
    return "json"


def _next(request: Request[Any, Any, Any], query: Query, after: int) -> str:
    values = {**query.values, "after": str(after)}
    return requests.link(request, values)


def download(
    request: Request[Any, Any, Any], pool: Pool, wanted: AuditFilter, shape: str, after: int, upto: int
) -> Response[Any]:
    """The log never changes, so what stands up to a position has an entity tag before it is read."""
    project_id = project_of(request)
    etag = etag_of(f"{project_id} {shape} {after} {upto} {wanted}".encode())
    headers = [
        (b"etag", etag),
        VARY_ACCEPT,
        (b"cache-control", REVALIDATE),
        (b"content-disposition", f'attachment; filename="audit-{project_id}.{shape}"'.encode()),
    ]
    if known := not_modified(header_of(request, b"if-none-match"), headers):
        return to_response(known)
    parts = while_allowed(request, lines(pool, project_id, wanted, shape, after, upto))
    return CutStream(
        parts,
        media_type=MEDIA_TYPES[shape],
        headers={name.decode(): value.decode() for name, value in headers},
    )


async def lines(
    pool: Pool, project_id: int, wanted: AuditFilter, shape: str, after: int, upto: int
) -> AsyncIterator[bytes]:
    """A batch at a time, and no connection is held while the reader takes it."""
    if shape == "csv":
        yield audit.csv_header()
    write = audit.csv_lines if shape == "csv" else audit.ndjson
    while after < upto:
        # A reader that leaves cancels what it waits for, and a query that is cancelled costs its connection.
        part = _part(pool, project_id, wanted, after, upto)
        found, after = await asyncio.shield(asyncio.ensure_future(part))
        if found:
            yield await rendered(size_of(found), partial(_written, found, project_id, write))


async def _part(
    pool: Pool, project_id: int, wanted: AuditFilter, after: int, upto: int
) -> tuple[list[Found], int]:
    async with pool.connection() as conn:
        return await audit.page(
            conn, project_id, wanted, after=after, upto=upto, limit=BATCH, max_bytes=MAX_PART
        )


def _written(
    found: "list[Found]", project_id: int, write: Callable[[Collection[AuditEntry]], bytes]
) -> bytes:
    return write(audit.entries(found, project_id))


def size_of(found: "list[Found]") -> int:
    return sum(len(one.recorded.state) for one in found)
