"""What happened to a name: every event with its author, key and changes, and the way to each instant."""

from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.params import FromPath

from api.cache.reader import missing
from api.http.requests import project_of, query_of
from console import past
from console.changes import same_contents
from console.kinds import Shown, kind_of
from console.page import page
from console.paging import PAGE, offset_of, part
from console.past import Past
from console.picking import Picked
from domain.errors import NameChanged
from projections.events import history
from projections.events.history import MAX_POSITION
from projections.read.models import ReadModel
from store.postgres.connection import Connection

_entries = msgspec.json.Decoder()


@get("/{name:str}/timeline")
async def timeline(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    query, project_id = query_of(request), project_of(request)
    kind = kind_of(request)
    offset = offset_of(query)

    async def read(conn: Connection, read_model: ReadModel, then: Past | None) -> tuple[Any, ...]:
        upto = then.position if then else MAX_POSITION
        streams = await history.streams_of(conn, project_id, kind.kind, name, archived=True)
        counted = await history.page(
            conn, project_id, kind.kind, streams, limit=PAGE, offset=offset, upto=upto
        )
        found = await read_model.find(conn, project_id, kind.kind, name)
        if found is None:
            refusal = await missing(conn, project_id, kind.kind, name, read_model)
            # What is archived has a timeline; an earlier name of something leads to that.
            if not counted[0] or isinstance(refusal, NameChanged):
                raise refusal
        return *counted, found

    (count, rows, found), then = await past.read(request, query, read, whole=True)
    return await page(
        request,
        "timeline.html",
        past=then,
        size=sum(map(len, rows)),
        active=kind.plural,
        kind=kind,
        name=name,
        version=found[1] if found else None,
        picked=Picked(None, None),
        entries=[words(_entries.decode(row), kind) for row in rows],
        **part(count, offset, rows),
    )


def words(entry: dict[str, Any], kind: Shown) -> dict[str, Any]:
    """An entry with what happened in words: the type of its event without what all of them have."""
    what = entry["type"].removeprefix(f"skald.{kind.kind}.").rsplit(".v", 1)[0].replace("_", " ")
    return {**entry, "what": what.capitalize(), "changes": _renamed(entry["changes"])}


def _renamed(changes: dict[str, Any]) -> dict[str, Any]:
    """Files of the same content that one version has removed and added are renamed ones, as in comparisons."""
    files = changes["files"]
    gone, come = ({file["path"]: file["sha256"] for file in files[way]} for way in ("removed", "added"))
    moved = same_contents(gone, come)
    if not moved:
        return changes
    kept = {
        "removed": [file for file in files["removed"] if file["path"] not in moved],
        "added": [file for file in files["added"] if file["path"] not in moved.values()],
        "renamed": [*files["renamed"], *({"old_path": old, "path": new} for old, new in moved.items())],
    }
    return {**changes, "files": {**files, **kept}}


HANDLERS = (timeline,)
