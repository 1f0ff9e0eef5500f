"""Answers under the conditions of their requests: ``If-None-Match``, ``If-Match``."""

from collections.abc import Iterable
from typing import Any

from litestar import Request, Response

from api.http.context import RequestContext
from api.http.requests import header_of
from api.http.responses import (
    VARY_ENCODING,
    Header,
    json_answer,
    matches_strongly,
    to_response,
)
from domain.errors import PreconditionFailed


def answer(
    request: Request[Any, Any, Any],
    body: bytes,
    *,
    extra: Iterable[Header] = (),
) -> Response[Any]:
    """JSON that no write is conditional on."""
    condition = header_of(request, b"if-none-match")
    return to_response(json_answer(body, condition, extra=[*extra, VARY_ENCODING]))


def check_if_match(context: RequestContext, *current: bytes) -> None:
    """Raises PreconditionFailed when ``If-Match`` is there and names none of the current entity tags."""
    condition = context.header(b"if-match")
    if condition is not None and not any(matches_strongly(condition, etag) for etag in current):
        raise PreconditionFailed(
            "If-Match names another version than the current one; fetch it again and apply your change to that."
        )


def conditional(context: RequestContext) -> bool:
    return context.header(b"if-match") is not None
