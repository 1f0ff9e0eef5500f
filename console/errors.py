"""Refusals as pages: the sentence of the error, and where to go from there."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from api.http import errors
from api.http.errors import ErrorBody, answer_for
from api.http.requests import public, request_path
from api.http.responses import to_response
from console.access import SAFE_METHODS, SignInFirst
from console.links import ROOT
from console.page import frame_of, page_now, redirect
from domain.errors import NameChanged, Refused

_body = msgspec.json.Decoder(ErrorBody)

# Where the name stands in the path of a page of an artifact: /console/projects/1/skills/NAME.
NAME = 5

# Of the answer that the API would give, what a page keeps.
KEPT = (b"retry-after", b"allow", b"ratelimit")


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The answer of the API to the same error, as a page."""
    if isinstance(error, SignInFirst):
        frame = frame_of(request)
        return redirect(request, frame.top("sign-in", **({"next": error.back} if error.back else {})))
    answer = answer_for(error)
    if not answer.body:
        return to_response(answer)
    body = _body.decode(answer.body)
    extra = error.extra if isinstance(error, Refused) else {}
    return page_now(
        request,
        "error.html",
        status=answer.status,
        headers=[header for header in answer.headers if header[0].startswith(KEPT)],
        title=HTTPStatus(answer.status).phrase,
        detail=body.detail,
        suggestions=extra.get("suggestions", ()),
        versions=extra.get("available_versions", ()),
    )


def renamed(request: Request[Any, Any, Any], error: NameChanged) -> Response[Any]:
    """A page of an earlier name leads to the same one of the name now; what changes something is refused."""
    if request.method not in SAFE_METHODS:
        return handle(request, error)
    segments = request_path(request).split("/")
    segments[NAME] = error.new_name
    query = request.scope["query_string"].decode("latin-1")
    address = public(request).prefix(request.scope) + "/".join(segments)
    return redirect(request, address + (f"?{query}" if query else ""))


def anywhere(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The same where no route was found: only the address says whose it would be."""
    path = request.scope["path"]
    if path == ROOT or path.startswith(f"{ROOT}/"):
        return handle(request, error)
    return errors.handle(request, error)


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    Exception: handle,
    HTTPException: handle,
    Refused: handle,
    NameChanged: renamed,
}
OF_THE_APPLICATION: dict[int | type[Exception], Any] = {HTTPException: anywhere}
