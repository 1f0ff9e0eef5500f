"""Answers that are text and not JSON, with entity tags as everywhere."""

from collections.abc import Iterable
from typing import Any

from litestar import Request, Response

from api.http.requests import header_of
from api.http.responses import REVALIDATE, Header, to_response, typed_answer
from projections.encoding import etag_of


def text_answer(
    request: Request[Any, Any, Any], body: bytes, media_type: str, *, extra: Iterable[Header] = ()
) -> Response[Any]:
    """The text, or 304 when the client has it already."""
    headers = [(b"etag", etag_of(body)), (b"cache-control", REVALIDATE), *extra]
    condition = header_of(request, b"if-none-match")
    return to_response(typed_answer(f"{media_type}; charset=utf-8".encode(), body, condition, headers))
