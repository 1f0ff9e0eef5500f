"""What the controllers of skills and prompts share: who calls, conditional and repeated requests, how they are answered."""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from msgspec import UNSET, UnsetType

from api.artifacts.filters import OWNER, TAGS, tags_of
from api.cache.shared_memory import Encoded
from api.commands.caller import caller_of
from api.commands.execute import Caller, Commands, Done
from api.commands.repository import Loaded
from api.counting.reads import counted
from api.http.answers import rendered
from api.http.conditional import answer, check_if_match, conditional
from api.http.context import RequestContext, let_in
from api.http.errors import handle
from api.http.pages import DEFAULT_LIMIT, MAX_OFFSET, page_bounds, page_links
from api.http.query import Query, parse_instant
from api.http.requests import as_uuid, header_of, project_of, query_of, redirect, request_path
from api.http.responses import (
    IMMUTABLE,
    REVALIDATE,
    Answer,
    Header,
    json_answer,
    to_response,
    yanked,
)
from api.openapi.parameters import Param, integer
from api.services import services
from domain.errors import Invalid, NameChanged, NotFound, VersionNotFound
from domain.names import MAX_LABEL
from projections.read import versions
from projections.read.kinds import Kind
from projections.read.models import CURRENT, ReadModel
from projections.read.past import AsOfReadModel, position_at
from projections.read.versions import PageQuery, Pick, Row, Version, VersionLine
from projections.write.labels import Label, label_json
from store.log.log import head
from store.postgres.connection import Connection

# /api/environments/1/llm_skills/name/x/history, and the same of resolve/name/x: counted, because a path of a file may have "name" in it.
NAMED = re.compile(r"((?:/+[^/]+){4}(?:/+resolve)?/+name/+)[^/]+")

Command = Callable[[Caller, Commands], Awaitable[Done]]

MAX_RESOLVE_LIMIT = 100
DEFAULT_RESOLVE_LIMIT = 50
VERSION = Param("version", integer(1), "Which version; the latest when absent.", 1)
LABEL = Param(
    "label",
    {"type": "string", "minLength": 1, "maxLength": MAX_LABEL},
    "The version that this label points to; excludes `version`.",
    "production",
)
# The label has the example of the two.
VERSION_OR_LABEL = Param("version", integer(1), "Which version; the latest when absent; excludes `label`.")
PICK = (VERSION_OR_LABEL, LABEL)


AUTHOR = Param("created_by_id", integer(None), "Only those whose latest version this user published.", 1)


# What the lists of all kinds are narrowed by.
NARROWED = (OWNER, TAGS, AUTHOR)


ORDER = Param(
    "order_by",
    {"type": "string", "enum": list(versions.ORDERS), "default": versions.DEFAULT_ORDER},
    "Order of the list; ties are broken by id, descending.",
    "name",
)


LIMIT = Param(
    "limit",
    integer(1, default=DEFAULT_LIMIT),
    "Page size; above 1000 is 1000. A page of large rows ends before that, at 8 MiB.",
    50,
)


OFFSET = Param(
    "offset", integer(0, default=0), "How many to pass over: all that came before, however few a page had.", 0
)


VERSION_ID = Param(
    "version_id",
    {"type": "string", "format": "uuid"},
    "The same by its id; must agree with `version` or `label`.",
)


RESOLVE_LIMIT = Param(
    "limit", integer(1, MAX_RESOLVE_LIMIT, DEFAULT_RESOLVE_LIMIT), "How many versions to list.", 50
)


# Of parameters that exclude each other one at most has an example: tools send all examples at once.
POSITION = Param("position", integer(0), "As it was when the log ended at this position; excludes `as_of`.")


AS_OF = Param(
    "as_of",
    {"type": "string", "format": "date-time"},
    "As it was at this RFC 3339 instant, such as `2026-03-03T09:30:00Z`; excludes `position`.",
)


PAST = (POSITION, AS_OF)


BEFORE = Param("before_version", integer(1), "Only versions below this one; excludes `offset`.")


RESOLVE = (*PICK, VERSION_ID, RESOLVE_LIMIT, OFFSET, BEFORE, *PAST)


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Lets a request with a fitting key into its project."""
    authorizer = services(connection).authorizer
    project_id = connection.scope["path_params"]["project_id"]
    principal, number = await authorizer.enter_project(connection.scope, project_id, handler.opt["scope"])
    let_in(connection, principal, number)


async def run(context: RequestContext, body: bytes, kind: str, execute: Command) -> Answer:
    """Execute the command that ``body`` came with, or find what it did before, and answer with the representation that it led to."""
    reader, commands = context.services.reader, context.services.commands
    caller = await caller_of(context, body)
    if caller.idempotency_key is None:
        done = await execute(caller, commands)
    else:
        async with commands.once(caller) as before:
            done = before or await execute(caller, commands)
    headers: list[Header] = [(b"x-event-position", b"%d" % done.position)]
    if done.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    if done.version is None or done.status == 204:
        return Answer(done.status, headers, b"")
    if done.replayed:
        return json_answer(reader.render_write(kind, done.version), status=done.status, extra=headers)
    body, etag = done.answer or reader.store_written(caller.project_id, kind, done.version, done.position)
    return json_answer(body, etag=etag, status=done.status, extra=headers)


def full_answer(request: Request[Any, Any, Any], entry: Encoded) -> Response[Any]:
    """A cached representation. That of a fixed version changes too: names, labels and the latest version are in it."""
    return to_response(
        json_answer(
            entry.body,
            header_of(request, b"if-none-match"),
            etag=entry.etag,
        )
    )


async def large_answer(
    request: Request[Any, Any, Any], size: int, make: Callable[[], bytes], *, extra: Iterable[Header] = ()
) -> Response[Any]:
    """The same for a body of about ``size`` bytes, made and hashed where it holds up no other request."""
    return await rendered(size, lambda: answer(request, make(), extra=extra))


def version_number(query: Query, name: str = "version") -> int | None:
    """Raises Invalid unless it is a whole number from 1."""
    return query.integer(name, minimum=1, maximum=versions.MAX_VERSION, cut=True)


def having_label(kind: str) -> Param:
    """The same parameter of a list."""
    description = f"Only {kind}s that have this label, at the version that it points to."
    return msgspec.structs.replace(LABEL, description=description)


def label_of(query: Query) -> str | None:
    """A label to read by. Raises Invalid when it is too long.

    What no label can be, white space alone too, is looked for as it is: a missing label is never the latest version.
    """
    return query.text("label", max_length=MAX_LABEL, trim=False)


def pick_of(query: Query) -> Pick:
    """The version that ``version`` or ``label`` names. Raises Invalid."""
    number, label = version_number(query), label_of(query)
    if number is not None and label is not None:
        raise Invalid("Send version or label, not both.")
    return number if label is None else label


async def page(
    request: Request[Any, Any, Any],
    query: Query,
    kind: str,
    *,
    label: str | None = None,
    with_body: bool = False,
    texts_only: bool = False,
    nothing: bool = False,
) -> tuple[int, list[Row], tuple[str | None, str | None]]:
    """The rows of a list by the query's parameters: the count of all, one page, the links to its neighbours.

    ``nothing``: a parameter that the caller has read lets no row through.
    """
    limit, offset = page_bounds(query)
    wanted = PageQuery(
        search=query.text("search"),
        author_id=query.integer("created_by_id", cut=True),
        owner_id=query.integer("owner_id", cut=True),
        tags=tags_of(query),
        order=query.choice("order_by", versions.ORDERS) or versions.DEFAULT_ORDER,
        limit=limit,
        offset=offset,
        label=label,
        with_body=with_body,
        texts_only=texts_only,
    )

    async def read(conn: Connection) -> tuple[int, list[Row]]:
        read_model = await read_model_of(conn, query)
        return (0, []) if nothing else await read_model.page(conn, project_of(request), kind, wanted)

    count, rows = await services(request).reads.ask(read)
    return count, rows, page_links(request, query, count, limit, offset, len(rows))


async def read_model_of(conn: Connection, query: Query) -> ReadModel:
    """The present, or the past that ``position`` or ``as_of`` names. Raises Invalid."""
    position = query.integer("position", minimum=0)
    instant = query.text("as_of")
    if position is None and instant is None:
        return CURRENT
    if position is not None and instant is not None:
        raise Invalid("Send position or as_of, not both.")
    if position is None:
        return AsOfReadModel(await position_at(conn, parse_instant(instant or "")))
    end = await head(conn)
    if position > end:
        raise Invalid(f"The log ends at position {end} now.", code="max_value", attr="position")
    return AsOfReadModel(position)


async def version(
    request: Request[Any, Any, Any], query: Query, kind: str, name: str, pick: Pick = None
) -> Version:
    """A version as of the position or time that the query names. Raises NotFound, VersionNotFound, Invalid."""

    async def read(conn: Connection) -> Version:
        read_model = await read_model_of(conn, query)
        return await services(request).reader.version_in(
            conn, project_of(request), kind, name, pick, read_model
        )

    return await services(request).reads.ask(read)


def picked_answer(request: Request[Any, Any, Any], body: bytes) -> Response[Any]:
    """What the query picked of a name: never packed, and asked for again, as names and labels change under a fixed version."""
    return to_response(json_answer(body, header_of(request, b"if-none-match")))


def file_answer(
    request: Request[Any, Any, Any], query: Query, version: Version, body: bytes
) -> Response[Any]:
    """A file that is named by its version or position never changes; what an instant names may still be written now."""
    fixed = "version" in query or "position" in query
    condition = header_of(request, b"if-none-match")
    kept = IMMUTABLE if fixed else REVALIDATE
    return to_response(json_answer(body, condition, cache_control=kept, extra=yanked(version)))


def is_past(query: Query) -> bool:
    return "position" in query or query.text("as_of") is not None


async def resolve(request: Request[Any, Any, Any], kind: Kind, name: str) -> Response[Any]:
    """One artifact as ``version``, ``label`` and ``version_id`` pick it, a page of its versions, whatever was picked, and its labels.

    All of it is of one snapshot. Raises Invalid, NotFound, VersionNotFound (also when the two picks disagree).
    """
    query, reader, project_id = query_of(request), services(request).reader, project_of(request)
    cls = kind.aggregate
    pick = pick_of(query)
    picked = query.text("version_id")
    version_id = None if picked is None else as_uuid(picked)
    if picked is not None and version_id is None:
        raise Invalid("This must be a UUID.", attr="version_id")
    limit = query.integer("limit", minimum=1, maximum=MAX_RESOLVE_LIMIT) or DEFAULT_RESOLVE_LIMIT
    offset = query.integer("offset", minimum=0, maximum=MAX_OFFSET, cut=True)
    before = version_number(query, "before_version")
    if offset is not None and before is not None:
        raise Invalid("Send offset or before_version, not both.")

    async def read(conn: Connection) -> tuple[Version, list[VersionLine], bool, list[Label]]:
        async with versions.snapshot(conn):
            read_model = await read_model_of(conn, query)
            version = await reader.version_in(conn, project_id, cls.KIND, name, pick, read_model)
            if version_id is not None and version.id != version_id:
                found = await read_model.number_of_id(conn, version.stream_id, version_id)
                if found is None or pick is not None:
                    available = await read_model.newest_numbers(conn, version.stream_id)
                    raise VersionNotFound(cls.KIND, name, version_id, available)
                version = await reader.version_in(conn, project_id, cls.KIND, name, found, read_model)
            lines, more = await read_model.lines(
                conn, version.stream_id, before=before, limit=limit, offset=offset or 0
            )
            labeled = await read_model.labels(conn, version.stream_id)
        return version, lines, more, labeled

    version, lines, more, labeled = await services(request).reads.ask(read)
    body = [
        f'{{"{cls.KIND}":'.encode(),
        versions.read_by(kind.write(version), pick),
        b',"versions":[',
        b",".join(versions.line_json(line, version.latest_version) for line in lines),
        b'],"has_more":',
        b"true" if more else b"false",
        b',"labels":[',
        b",".join(label_json(label) for label in labeled),
        b"]}",
    ]
    return counted(request, cls.KIND, version, answer(request, b"".join(body)))


async def redirect_to_name(
    request: Request[Any, Any, Any], kind: str, name: str, otherwise: NotFound
) -> Response[Any]:
    """302 from the id of a version that is active, or was as of the query's position, to its name. Raises ``otherwise`` for everything else."""
    version_id = None if isinstance(otherwise, NameChanged) else as_uuid(name)
    # Only for a name that nothing has; a missing version or label of one that exists is missing.
    if version_id is not None and "suggestions" in otherwise.extra:

        async def read(conn: Connection) -> str | None:
            read_model = await read_model_of(conn, query_of(request))
            return await read_model.name_of_id(conn, project_of(request), kind, version_id)

        found = await services(request).reads.ask(read)
        if found is not None:
            head, _, tail = request_path(request).rpartition("/name/")
            return to_response(redirect(request, f"{head}/name/{found}{'/' if tail.endswith('/') else ''}"))
    raise otherwise


def follow_rename(request: Request[Any, Any, Any], error: NameChanged) -> Response[Any]:
    """The exception handler for an earlier name: a read is led to the new one, a write is refused."""
    if request.method not in ("GET", "HEAD"):
        return handle(request, error)
    path = NAMED.sub(lambda found: found[1] + error.new_name, request_path(request), count=1)
    return to_response(redirect(request, path))


async def check_etag(context: RequestContext, loaded: Loaded[Any]) -> None:
    """Raises PreconditionFailed unless ``If-Match`` names the artifact as reads by name, or as writes, show it now."""
    if conditional(context):
        current = loaded.aggregate
        check_if_match(
            context, *await context.services.reader.etags(context.project_id, current.KIND, current.name)
        )


def base_version(context: RequestContext, value: int | UnsetType, *, required: bool = False) -> int | None:
    """The version that a change starts from. Raises Invalid when it is required and ``If-Match`` is not there either."""
    if value is not UNSET:
        return value
    if required and not conditional(context):
        raise Invalid(
            "Say which version this change starts from: send base_version, or If-Match.",
            code="required",
            attr="base_version",
        )
    return None
