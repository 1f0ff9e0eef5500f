"""Refusals as pages: the sentence of the error, and where to go from there."""

from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlencode

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from api.http.errors import ErrorBody, answer_for
from api.http.requests import public, query_of, request_path
from api.http.responses import Answer, to_response
from api.sdk import errors as sdk_errors
from console.access import SAFE_METHODS, OfNow, SignInFirst
from console.kinds import SHOWN
from console.links import ROOT
from console.page import frame_of, page_now, redirect
from domain.errors import NameChanged, NotFound, Refused

_body = msgspec.json.Decoder(ErrorBody)

# Where the name stands in the path of a page of an artifact: /console/projects/1/skills/NAME.
NAME = 5
PLURALS = [kind.plural for kind in SHOWN.values()]
# What names an instant in the query of a page.
PAST = ("as_of", "position")

# Of the answer that the API would give, what a page keeps.
KEPT = (b"retry-after", b"allow", b"ratelimit")


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The answer of the API to the same error, as a page."""
    if isinstance(error, SignInFirst):
        frame = frame_of(request)
        return redirect(request, frame.top("sign-in", **({"next": error.back} if error.back else {})))
    if isinstance(error, OfNow) and request.method in SAFE_METHODS:
        return page_now(request, "present.html", status=200, address=_present(request))
    answer = answer_for(error)
    if not answer.body:
        return to_response(answer)
    extra = error.extra if isinstance(error, Refused) else {}
    return page_now(
        request,
        "error.html",
        status=answer.status,
        headers=[header for header in answer.headers if header[0].startswith(KEPT)],
        title=HTTPStatus(answer.status).phrase,
        detail=sentence_of(answer),
        suggestions=extra.get("suggestions", ()),
        versions=extra.get("available_versions", ()),
        above=_above(request) if isinstance(error, NotFound) else None,
    )


def _present(request: Request[Any, Any, Any]) -> str:
    """The address of the same page in the present."""
    values = {name: value for name, value in query_of(request).values.items() if name not in PAST}
    address = public(request).prefix(request.scope) + request_path(request)
    return f"{address}?{urlencode(values)}" if values else address


def _above(request: Request[Any, Any, Any]) -> tuple[str, str] | None:
    """The name that a page belongs to, and the page of that: what is archived says so there."""
    segments = request_path(request).split("/")
    if len(segments) <= NAME + 1 or segments[NAME - 1] not in PLURALS:
        return None
    address = public(request).prefix(request.scope) + "/".join(segments[: NAME + 1])
    then = {name: value for name, value in query_of(request).values.items() if name in PAST}
    return unquote(segments[NAME]), f"{address}?{urlencode(then)}" if then else address


def sentence_of(answer: Answer) -> str:
    """What an answer of the API says."""
    return _body.decode(answer.body).detail


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
    return sdk_errors.anywhere(request, error)


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    Exception: handle,
    HTTPException: handle,
    Refused: handle,
    NameChanged: renamed,
}
OF_THE_APPLICATION: dict[int | type[Exception], Any] = {HTTPException: anywhere}
