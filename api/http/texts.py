"""Answers that are text and not JSON, with entity tags as everywhere."""

from typing import Any

from litestar import Request, Response

from api.http.responses import Answer, header, matches, to_response
from projections.encoding import etag_of


def text_answer(
    request: Request[Any, Any, Any], body: bytes, media_type: str, cache_control: bytes
) -> Response[Any]:
    """The text, or 304 when the client has it already."""
    etag = etag_of(body)
    headers = [(b"etag", etag), (b"cache-control", cache_control)]
    condition = header(request.scope["headers"], b"if-none-match")
    if condition is not None and matches(condition, etag):
        return to_response(Answer(304, headers, b""))
    return to_response(
        Answer(200, [(b"content-type", f"{media_type}; charset=utf-8".encode()), *headers], body)
    )
