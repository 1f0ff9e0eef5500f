"""The OpenAPI document and the page that shows it and sends requests by it. No key is needed.

The page is our own, small and without anything from elsewhere, so that it works without internet and under a content
security policy that allows neither inline code nor other hosts.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from litestar import Controller, Litestar, Request, Response, get

from api.http.requests import header_of, public
from api.http.responses import VARY_ENCODING, Header, json_answer, to_response, typed_answer
from api.openapi.document import document
from projections.encoding import etag_of

STATIC = Path(__file__).parent / "static"

POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SAFETY: list[Header] = [
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # A key may be typed in here.
    (b"cross-origin-opener-policy", b"same-origin"),
]
# The same for everybody; after an upgrade the next use gets the new one.
FRESH = b"public, no-cache"
SERVERS = b'"servers":[{"url":"/"}]'


class ReferenceController(Controller):
    path = "/schema"
    include_in_schema = False

    @get("/")
    async def page(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        return _file(request, "reference.html", b"text/html; charset=utf-8")

    @get("/reference.js")
    async def script(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        return _file(request, "reference.js", b"text/javascript; charset=utf-8")

    @get("/reference.css")
    async def style(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        return _file(request, "reference.css", b"text/css; charset=utf-8")

    @get("/openapi.json")
    async def openapi(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """The document never changes while the process runs, so it is made once; below a sub-path `servers` names it."""
        body = _document(request.app)
        if prefix := public(request).prefix(request.scope):
            body = body.replace(SERVERS, SERVERS.replace(b'"/"', msgspec.json.encode(prefix)), 1)
        return to_response(
            json_answer(
                body, header_of(request, b"if-none-match"), cache_control=FRESH, extra=[VARY_ENCODING]
            )
        )


@lru_cache(maxsize=1)
def _document(app: Litestar) -> bytes:
    return msgspec.json.encode(document(app))


def _file(request: Request[Any, Any, Any], name: str, media_type: bytes) -> Response[bytes]:
    body = (STATIC / name).read_bytes()
    if name.endswith(".html"):
        # Addresses relative to the page would differ with the slash at the end of its own.
        body = body.replace(b'"/schema/', f'"{public(request).prefix(request.scope)}/schema/'.encode())
    return file_answer(request, body, media_type, extra=[VARY_ENCODING])


def file_answer(
    request: Request[Any, Any, Any], body: bytes, media_type: bytes, *, extra: list[Header]
) -> Response[bytes]:
    """A file of the pages, under their security policy."""
    headers = [(b"etag", etag_of(body)), (b"cache-control", FRESH), *extra, *SAFETY]
    return to_response(typed_answer(media_type, body, header_of(request, b"if-none-match"), headers))
