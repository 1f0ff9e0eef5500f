"""What differs between two versions, labels or instants of one artifact."""

import re
from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath

from api.artifacts.common import version_number
from api.artifacts.comparing import LATEST, compared, moves
from api.cache.reader import RepresentationCache
from api.http.query import Query, parse_instant
from api.http.requests import project_of, query_of
from api.offload import offload
from api.services import services
from console import past
from console.changes import changes_of, values_of, with_same_contents
from console.kinds import Shown, kind_of
from console.page import page
from console.past import Past
from console.picking import Picked
from domain.names import MAX_LABEL
from projections.read.kinds import KINDS
from projections.read.models import ReadModel
from projections.read.past import AsOfReadModel, position_at
from projections.read.versions import Version
from store.postgres.connection import Connection

# Of versions and labels that the form offers; any other is found by its address.
OFFERED = 50
INTEGER = re.compile(r"[0-9]+")
INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
VIEWS = ("unified", "beside")
BEFORE = "before"  # nothing: what was before the first version


async def _start(conn: Connection, newer: Version, read_model: ReadModel) -> str:
    """The version before, passing over yanked ones."""
    before, _ = await read_model.lines(conn, newer.stream_id, before=newer.number, limit=1, offset=0)
    return str(before[0].number) if before else BEFORE


@get("/{name:str}/compare")
async def compare(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    query, project_id = query_of(request), project_of(request)
    kind = kind_of(request)
    view = query.choice("view", VIEWS) or VIEWS[0]

    async def read(conn: Connection, read_model: ReadModel, _: Past | None) -> tuple[Any, ...]:
        # A page of one version leads here by that alone: to what it changed.
        to = query.text("to") or query.text("version") or query.text("label") or LATEST
        newer = await _side(conn, query, project_id, kind, name, to, "to", read_model)
        start = query.text("from") or await _start(conn, newer, read_model)
        older = (
            None
            if start == BEFORE
            else await _side(conn, query, project_id, kind, name, start, "from", read_model)
        )
        moved = await moves(conn, older, newer)
        lines, _more = await read_model.lines(conn, newer.stream_id, before=None, limit=OFFERED, offset=0)
        return older, newer, moved, lines, await read_model.labels(conn, newer.stream_id), start, to

    (older, newer, moved, lines, labels, start, to), then = await past.read(request, query, read, whole=True)
    model = KINDS[kind.kind]
    both = await compared(
        services(request).reader, model, older, newer, with_same_contents(older, newer, moved)
    )
    found = await offload(lambda: changes_of(both.comparison, both.hunks(model), view))
    return await page(
        request,
        "compare.html",
        past=then,
        size=sum(len(data) for data in both.texts.values()),
        active=kind.plural,
        kind=kind,
        name=newer.name,
        version=newer,
        older=older,
        picked=Picked(None, None),
        start=start,
        to=to,
        view=view,
        values=values_of(both.comparison),
        changes=found,
        choices=_choices(lines, labels, start, to),
        added=sum(one.added for one in found),
        removed=sum(one.removed for one in found),
    )


async def _side(
    conn: Connection,
    query: Query,
    project_id: int,
    kind: Shown,
    name: str,
    text: str,
    param: str,
    read_model: ReadModel,
) -> Version:
    """A version by number, label or instant. Raises Invalid, NotFound, VersionNotFound."""
    if INSTANT.match(text):
        read_model = AsOfReadModel(await position_at(conn, parse_instant(text, param)))
        pick: int | str | None = None
    elif INTEGER.fullmatch(text):
        pick = version_number(Query(b"version=" + text.encode()))
    else:
        pick = None if text == LATEST else text[:MAX_LABEL]
    return await RepresentationCache.version_in(conn, project_id, kind.kind, name, pick, read_model)


def _choices(lines: list[Any], labels: list[Any], *chosen: str) -> list[tuple[str, str]]:
    """What the form offers: the values of its two fields, and their words."""
    found = [(LATEST, "latest"), *((label.name, f"{label.name} ({label.number})") for label in labels)]
    found += [(str(line.number), f"version {line.number}") for line in lines]
    found.append((BEFORE, "nothing"))
    known = {value for value, _ in found}
    return found + [(value, value) for value in dict.fromkeys(chosen) if value not in known]


HANDLERS = (compare,)
