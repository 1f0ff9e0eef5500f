"""The whole log of a project, newest first, with filters and as a file."""

from typing import Any

import msgspec
from litestar import Request, Response, get

from api.events.audit import actor_of, download, wanted_of
from api.events.controller import READ
from api.http.query import Query
from api.http.requests import project_of, query_of
from api.services import services
from console import past
from console.page import page
from console.past import Past, instant_of
from projections.events import audit as reading
from projections.events import history
from projections.events.audit import AuditEntry, AuditFilter
from projections.events.cloudevents import type_of
from projections.read.models import ReadModel
from store.postgres.connection import Connection

PAGE = 35  # entries: some 45 KB
MAX_DATA = 600  # characters of the fields of an event that a line shows; the file has all
FILTERS = ("type", "actor", "key", "subject", "from", "to")
SHAPES = ("csv", "ndjson")


class Line(msgspec.Struct, frozen=True):
    """An entry, what happened in words, and the page of what it is about: its kind and name, None where there is none."""

    entry: AuditEntry
    what: str
    about: tuple[str, str] | None
    data: str


@get("/audit", opt={"scope": READ})
async def audit(request: Request[Any, Any, Any]) -> Response[Any]:
    query, project_id = with_instants(query_of(request)), project_of(request)
    before = query.integer("before", minimum=1)

    async def read(conn: Connection, _: ReadModel, then: Past | None) -> tuple[Any, ...]:
        wanted, after, upto = await _wanted(conn, query, project_id)
        upto = min(upto, then.position if then else upto, before - 1 if before else upto)
        found, complete = await reading.newest(conn, project_id, wanted, after=after, upto=upto, limit=PAGE)
        actors = {one.recorded.actor_id for one in found if one.recorded.actor_id is not None}
        older = complete + 1 if complete > after else None
        return found, older, await history.people_of(conn, actors)

    (found, older, people), then = await past.read(request, query, read, whole=True)
    return await page(
        request,
        "audit.html",
        past=then,
        size=sum(len(one.recorded.state) for one in found),
        active="audit",
        lines=[_line(entry) for entry in reading.entries(found, project_id)],
        people=people,
        filters={name: query.values.get(name) for name in FILTERS},
        types=[type_of(topic) for topic in reading.topics()],
        older=older,
        before=before,
    )


@get("/audit/download", opt={"scope": READ})
async def audit_download(request: Request[Any, Any, Any]) -> Response[Any]:
    """The same as one file, in the order of the log."""
    query, project_id = with_instants(query_of(request)), project_of(request)
    shape = query.choice("format", SHAPES) or SHAPES[0]
    pool = services(request).pool
    async with pool.connection() as conn:
        _, then = await past.shown(conn, query)
        wanted, after, upto = await _wanted(conn, query, project_id)
    return download(request, pool, wanted, shape, after, min(upto, then.position if then else upto))


def with_instants(query: Query) -> Query:
    """The same with instants as forms send them in their full form."""
    for name in ("from", "to"):
        text = query.text(name)
        if text is not None:
            query.values[name] = instant_of(text) or text
    return query


async def _wanted(conn: Connection, query: Query, project_id: int) -> tuple[AuditFilter, int, int]:
    """The filters, and the positions that their time lies between. Raises Invalid, NotFound."""
    wanted = msgspec.structs.replace(wanted_of(query), actor=await actor_of(conn, project_id, query))
    return wanted, *await reading.bounds(conn, wanted)


def _line(entry: AuditEntry) -> Line:
    kind, _, name = entry.subject.partition("/")
    what = entry.type.removeprefix("skald.").rsplit(".v", 1)[0].replace(".", " ").replace("_", " ")
    data = msgspec.json.encode(entry.data).decode()
    shown = data if len(data) <= MAX_DATA else data[:MAX_DATA] + "…"
    return Line(entry, what, (kind, name), shown if entry.data else "")


HANDLERS = (audit, audit_download)
