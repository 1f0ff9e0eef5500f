"""One file of a version: its source, or what is known of it when it is no text; and its bytes."""

from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath

from api.cache.reader import RepresentationCache
from api.http.requests import header_of, project_of, query_of
from api.http.responses import to_response, typed_answer
from api.services import services
from console import past
from console.kinds import Shown, kind_of
from console.page import page
from console.past import Past
from console.picking import Picked, pick_of
from console.text import source
from console.text.tree import tree_of
from domain.artifacts.skills import FileRef, find_file
from domain.content import text_of
from projections.encoding import etag_of
from projections.read import skills
from projections.read.models import ReadModel
from projections.read.sides import BODY
from projections.read.versions import Version
from store.postgres.connection import Connection

# What a browser shows as an image and runs nothing of. SVG is a document, and is not among them.
IMAGES = {
    "png": b"image/png",
    "jpg": b"image/jpeg",
    "jpeg": b"image/jpeg",
    "gif": b"image/gif",
    "webp": b"image/webp",
}
SANDBOX = b"default-src 'none'; sandbox"


@get("/{name:str}/files/{path:path}")
async def file(request: Request[Any, Any, Any], name: FromPath[str], path: FromPath[str]) -> Response[Any]:
    kind, picked, version, then = await _version(request, name)
    files = kind.content(version).files
    found = find_file({one.path: one for one in files}, path.removeprefix("/"), version.name)
    data = await services(request).reader.content(found.ref.digest)
    text = text_of(data)
    return await page(
        request,
        "file.html",
        past=then,
        size=len(data) if text is None else 4 * len(data),
        active=kind.plural,
        kind=kind,
        name=version.name,
        version=version,
        picked=picked,
        file=found,
        is_text=text is not None,
        is_image=_image(found) is not None,
        source=lambda: source.part(text or "", found.path),
        tree=tree_of(files),
    )


@get("/{name:str}/raw/{path:path}")
async def raw(request: Request[Any, Any, Any], name: FromPath[str], path: FromPath[str]) -> Response[Any]:
    """The bytes as a download; a picture as one. Whatever they are, they run in no page of this origin."""
    kind, _, version, _ = await _version(request, name)
    path = path.removeprefix("/")
    if path == BODY and kind.has_files:
        _, head = skills.read_package(skills.packed(version))
        data, media_type = head + version.body, None
    else:
        found = find_file({one.path: one for one in kind.content(version).files}, path, version.name)
        data, media_type = await services(request).reader.content(found.ref.digest), _image(found)
    headers = [
        (b"etag", etag_of(data)),
        (b"cache-control", b"private, no-cache"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", SANDBOX),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"content-disposition", b"inline" if media_type else b"attachment"),
    ]
    answer = typed_answer(
        media_type or b"application/octet-stream", data, header_of(request, b"if-none-match"), headers
    )
    return to_response(answer)


def _image(file: FileRef) -> bytes | None:
    """The type as which a browser may show it."""
    return IMAGES.get(file.path.rpartition(".")[2].lower())


async def _version(request: Request[Any, Any, Any], name: str) -> tuple[Shown, Picked, Version, Past | None]:
    query = query_of(request)
    kind = kind_of(request)
    picked = pick_of(query)

    async def read(conn: Connection, read_model: ReadModel, _: Past | None) -> Version:
        return await RepresentationCache.version_in(
            conn, project_of(request), kind.kind, name, picked.pick, read_model
        )

    version, then = await past.read(request, query, read)
    return kind, picked, version, then


HANDLERS = (file, raw)
