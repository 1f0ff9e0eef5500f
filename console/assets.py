"""Style sheet and scripts: files of this package, each at an address that changes with its bytes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.params import FromPath

from api.http.requests import header_of
from api.http.responses import VARY_ENCODING, to_response, typed_answer
from console.links import ROOT
from domain.errors import NotFound
from projections.encoding import etag_of

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
FOREVER = b"public, max-age=31536000, immutable"


class Asset(msgspec.Struct, frozen=True):
    body: bytes
    media_type: bytes
    etag: bytes


def _load() -> Mapping[str, Asset]:
    found = {}
    for file in sorted(STATIC.iterdir()):
        if (media_type := TYPES.get(file.suffix)) is not None:
            body = file.read_bytes()
            found[file.name] = Asset(body, media_type, etag_of(body))
    return found


ASSETS = _load()


def address(prefix: str, name: str) -> str:
    """Where a file is."""
    mark = ASSETS[name].etag[1:9].decode()
    return f"{prefix}{ROOT}/static/{mark}/{name}"


@get("/static/{mark:str}/{name:str}")
async def asset(request: Request[Any, Any, Any], mark: FromPath[str], name: FromPath[str]) -> Response[Any]:
    """No session is needed. Another mark than that of the file gives the same file, but not for good."""
    found = ASSETS.get(name)
    if found is None:
        raise NotFound("There is no such file.")
    fixed = found.etag[1:9].decode() == mark
    headers = [
        (b"etag", found.etag),
        (b"cache-control", FOREVER if fixed else b"no-cache"),
        (b"x-content-type-options", b"nosniff"),
        (b"cross-origin-resource-policy", b"same-origin"),
        VARY_ENCODING,
    ]
    return to_response(
        typed_answer(found.media_type, found.body, header_of(request, b"if-none-match"), headers)
    )
