"""The page of a name that nothing has any more: when what had it was archived and by whom, what it was, and the way back."""

from typing import Any

from litestar import Request, Response

from api.cache.reader import RepresentationCache
from api.http.requests import project_of, query_of
from console import past
from console.bodies import body_of
from console.kinds import Shown
from console.page import frame_of, page
from console.past import Past
from console.picking import Picked
from console.text.tree import tree_of
from domain.errors import NameChanged
from projections.events import archives
from projections.events.archives import Ended
from projections.read.models import ReadModel
from projections.read.past import AsOfReadModel
from projections.read.versions import Version
from store.postgres.connection import Connection


async def archived_page(
    request: Request[Any, Any, Any], kind: Shown, name: str, picked: Picked, view: str
) -> Response[Any] | None:
    """None when what had the name last is not archived. Raises NameChanged when it had another one at its end, VersionNotFound."""

    async def read(conn: Connection, _: ReadModel, then: Past | None) -> tuple[Ended, Version] | None:
        position = then.position if then else None
        ended = await archives.last_of_name(conn, project_of(request), kind.kind, name, position)
        if ended is None:
            return None
        if ended.name != name and not ended.name_taken:
            raise NameChanged(kind.kind, name, ended.name)
        before = AsOfReadModel(ended.position - 1)
        return ended, await RepresentationCache.version_in(
            conn, project_of(request), kind.kind, ended.name, picked.pick, before
        )

    found, then = await past.read(request, query_of(request), read, whole=True)
    if found is None:
        return None
    ended, version = found
    # All that leads to more of it leads to just before its end, where all of it is there.
    before = Past(ended.position - 1, ended.at, {"position": str(ended.position - 1)})
    frame = frame_of(request, before)
    content = kind.content(version)
    return await page(
        request,
        "ended.html",
        past=then,
        size=4 * len(version.body),
        active=kind.plural,
        kind=kind,
        name=name,
        ended=ended,
        version=version,
        picked=picked,
        content=content,
        view=view,
        body=body_of(frame.url, kind, version, picked, content, view),
        tree=tree_of(content.files),
        before=frame.url,
    )
