"""Which version brought each line of a text, by whom and when."""

from itertools import groupby
from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath

from api.artifacts.comparing import blamed, path_of
from api.cache.reader import RepresentationCache
from api.http.requests import project_of, query_of
from api.services import services
from console import past
from console.kinds import kind_of
from console.page import page
from console.past import Past
from console.picking import pick_of
from projections.read.kinds import KINDS
from projections.read.models import ReadModel
from projections.read.sides import BODY
from projections.read.versions import Version
from store.postgres.connection import Connection


@get("/{name:str}/blame")
async def blame(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    query, served = query_of(request), services(request)
    kind = kind_of(request)
    picked = pick_of(query)
    path = path_of(query) if kind.has_files else None
    if path == BODY:
        path = None

    async def read(conn: Connection, read_model: ReadModel, _: Past | None) -> Version:
        return await RepresentationCache.version_in(
            conn, project_of(request), kind.kind, name, picked.pick, read_model
        )

    version, then = await past.read(request, query, read)
    found = await blamed(served.reader, served.reads, KINDS[kind.kind], version, path)
    numbered = list(enumerate(found.lines, 1))
    return await page(
        request,
        "blame.html",
        past=then,
        # Each line has a version, an author and a time.
        size=found.size + 300 * len(found.lines),
        active=kind.plural,
        kind=kind,
        name=version.name,
        version=version,
        picked=picked,
        path=path,
        paths=[file.path for file in kind.content(version).files],
        found=found,
        parts=[
            (line, [(place, text) for place, (text, _) in part])
            for line, part in (
                (next_part[0][1][1], next_part)
                for next_part in (list(group) for _, group in groupby(numbered, lambda one: one[1][1].number))
            )
        ],
    )


HANDLERS = (blame,)
