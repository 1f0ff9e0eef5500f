"""What a handler reads from its request."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

from litestar import Request

from api.http.context import context
from api.http.proxies import PublicAddress
from api.http.query import Query
from api.http.responses import REVALIDATE, Answer, header
from api.services import services


def project_of(request: Request[Any, Any, Any]) -> int:
    return context(request).project_id


def query_of(request: Request[Any, Any, Any]) -> Query:
    return Query(request.scope["query_string"])


def header_of(request: Request[Any, Any, Any], name: bytes) -> bytes | None:
    return header(request.scope["headers"], name)


def request_path(request: Request[Any, Any, Any]) -> str:
    """The path as the client wrote it, below the sub-path of this service."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    return raw.partition(b"?")[0].decode("latin-1")


def public(request: Request[Any, Any, Any]) -> PublicAddress:
    return services(request).public_address


def base(request: Request[Any, Any, Any]) -> str:
    """What stands before a path in an absolute address of this service, as its clients have it."""
    return public(request).base(request.scope)


def redirect(request: Request[Any, Any, Any], path: str) -> Answer:
    """302 to another path of this service, with the query of the request."""
    query: bytes = request.scope["query_string"]
    location = (public(request).prefix(request.scope) + path).encode()
    headers = [(b"location", location + (b"?" + query if query else b"")), (b"cache-control", REVALIDATE)]
    return Answer(302, headers, b"")


def link(request: Request[Any, Any, Any], values: Mapping[str, Any]) -> str:
    """The absolute address of this request with another query."""
    return f"{base(request)}{request_path(request)}?{urlencode(values, quote_via=quote, safe='')}"


def as_uuid(text: str) -> UUID | None:
    """A UUID in its usual form, None for anything else."""
    try:
        return UUID(text) if len(text) == 36 else None
    except ValueError:
        return None
