"""The page of one artifact: its text, what is said of it, its files, versions and labels."""

from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.params import FromPath

from api.cache.reader import RepresentationCache
from api.http.requests import base, project_of, query_of
from console import past, usage
from console.bodies import body_of
from console.ended import archived_page
from console.kinds import kind_of
from console.page import frame_of, page
from console.past import Past
from console.picking import pick_of
from console.text.tree import tree_of
from domain.artifacts.references import found_in
from domain.errors import NotFound
from projections.encoding import Author
from projections.events.history import MAX_POSITION
from projections.read import yanks
from projections.read.models import ReadModel
from projections.read.references import referenced_by
from store.postgres.connection import Connection

VERSIONS = 12  # that stand beside the text; the timeline has all

_owners = msgspec.json.Decoder(list[Author])


@get("/{name:str}")
async def artifact(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    query = query_of(request)
    kind = kind_of(request)
    picked = pick_of(query)
    view = query.choice("view", ("text", "source")) or "text"

    async def read(conn: Connection, read_model: ReadModel, then: Past | None) -> tuple[Any, ...]:
        version = await RepresentationCache.version_in(
            conn, project_of(request), kind.kind, name, picked.pick, read_model
        )
        at = then.position if then else MAX_POSITION
        lines = await yanks.lines(conn, version.stream_id, at=at, limit=VERSIONS)
        labels = await read_model.labels(conn, version.stream_id)
        chart = None if then else await usage.chart_of(request, conn, version)
        referenced = (
            await referenced_by(conn, project_of(request), version.stream_id)
            if kind.has_references and then is None
            else []
        )
        return version, lines, labels, chart, referenced

    try:
        (version, (lines, more), labels, chart, referenced), then = await past.read(
            request, query, read, whole=True
        )
    except NotFound:
        if (there := await archived_page(request, kind, name, picked, view)) is None:
            raise
        return there
    content = kind.content(version)
    frame = frame_of(request, then)
    body = body_of(frame.url, kind, version, picked, content, view)
    return await page(
        request,
        "artifact.html",
        past=then,
        # Rendering costs more than putting together.
        size=4 * len(version.body),
        active=kind.plural,
        kind=kind,
        name=version.name,
        version=version,
        picked=picked,
        content=content,
        body=body,
        view=view,
        tree=tree_of(content.files),
        lines=lines,
        more=more,
        labels=labels,
        chart=chart,
        references=found_in(version.body) if kind.has_references else (),
        referenced=referenced,
        owners=_owners.decode(version.owners),
        install=kind.install(base(request), project_of(request), version.name, picked),
    )


HANDLERS = (artifact,)
