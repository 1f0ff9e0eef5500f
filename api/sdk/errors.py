"""Refusals as the SDKs read them: the same statuses, headers and sentences as everywhere, in the shape of each."""

import re
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi import ResponseSpec

from api.http import errors
from api.http.context import record
from api.http.errors import DESCRIPTIONS, ErrorBody, answer_for
from api.http.requests import request_path
from api.http.responses import to_response
from api.sdk.schemas import SdkError
from api.sdk.sides import headers_for, side_of
from domain.errors import NameChanged, Refused

BELOW = re.compile(r"/+api/+(?:environments|projects)/+[^/]+/+v1(?:/|$)")

_body = msgspec.json.Decoder(ErrorBody)


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The exception handler of all routes here."""
    answer = answer_for(error)
    if not answer.body:
        return to_response(answer)
    shown = side_of(request).error(answer.status, _body.decode(answer.body), record(request.scope).request_id)
    return to_response(
        answer._replace(body=msgspec.json.encode(shown), headers=[*answer.headers, *headers_for(request)])
    )


def anywhere(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The same where no route was found: only the address says that a client of these is asking."""
    if BELOW.match(request_path(request)):
        return handle(request, error)
    return errors.handle(request, error)


# An id is the same through renames, so none leads to another address.
EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    Exception: handle,
    HTTPException: handle,
    Refused: handle,
    NameChanged: handle,
}


def documented(*statuses: int) -> dict[int, ResponseSpec]:
    """The error answers of a route for the OpenAPI document."""
    return {
        status: ResponseSpec(SdkError, generate_examples=False, description=DESCRIPTIONS[status])
        for status in statuses
    }
