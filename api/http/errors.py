"""One shape for every error, and the one map from what can be refused to its HTTP status."""

import errno
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi import ResponseSpec
from psycopg.errors import DiskFull

from api.http.responses import JSON, Answer, Header, to_response
from domain.errors import (
    Conflict,
    Invalid,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    Refused,
    Throttled,
    Unavailable,
    Yanked,
)
from store.errors import StorageFull, trouble

logger = logging.getLogger(__name__)

CLIENT_CLOSED = 499  # what is logged for a client that left before its answer
RETRY_WHEN_FULL = 10  # seconds; an operator has to make room


class ParseError(Invalid):
    """The body is no JSON object."""

    code = "parse_error"


class UnsupportedMediaType(Refused):
    """The body is of another type than JSON."""

    code = "unsupported_media_type"


class UnsupportedEncoding(UnsupportedMediaType):
    """The body is packed by something else than gzip."""


class RequestTooLarge(Refused):
    """The body is over the configured cap."""

    code = "request_too_large"


class MalformedRequest(Refused):
    """What came is no HTTP/1.1, or could be taken for two different requests; the connection ends."""

    code = "malformed_request"

    def __init__(self, detail: str = "The request is no valid HTTP.") -> None:
        super().__init__(detail)


class RequestTimeout(Refused):
    """The request comes so slowly that it is not waited for; the connection ends."""

    code = "request_timeout"

    def __init__(self, detail: str = "The body of the request did not come in time.") -> None:
        super().__init__(detail)


class HeadTooLarge(Refused):
    """The request has too much before its body; the connection ends."""

    code = "request_head_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The target and the headers of a request have at most {limit:,} bytes together.")


class ClientLeft(Exception):
    """The connection ended before the request did, or before it was looked at: an answer would reach no client."""


class MethodNotAllowed(Refused):
    """The route exists, the method does not; ``allow`` lists those that do."""

    code = "method_not_allowed"

    def __init__(self, detail: str, *, allow: Sequence[str]) -> None:
        super().__init__(detail)
        self.allow = tuple(allow)


class IdempotencyKeyReused(Refused):
    """The same ``Idempotency-Key`` came with another request before."""

    code = "idempotency_key_reused"


class RequestInProgress(Conflict):
    """The first request with this ``Idempotency-Key`` is still running."""

    code = "request_in_progress"


class RateLimited(Throttled):
    """The budget is used up; ``headers`` tell how large it is and when it is renewed."""

    def __init__(self, detail: str, *, retry_after: int, headers: Sequence[Header]) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.headers = tuple(headers)


# The most specific class of a refusal decides.
STATUS: dict[type[Refused], tuple[int, str]] = {
    Refused: (400, "validation_error"),
    Invalid: (400, "validation_error"),
    ParseError: (400, "invalid_request"),
    MalformedRequest: (400, "invalid_request"),
    NotAuthenticated: (401, "authentication_error"),
    PermissionDenied: (403, "authentication_error"),
    NotFound: (404, "invalid_request"),
    MethodNotAllowed: (405, "invalid_request"),
    RequestTimeout: (408, "invalid_request"),
    Conflict: (409, "validation_error"),
    Yanked: (410, "invalid_request"),
    PreconditionFailed: (412, "validation_error"),
    RequestTooLarge: (413, "invalid_request"),
    UnsupportedMediaType: (415, "invalid_request"),
    IdempotencyKeyReused: (422, "validation_error"),
    Throttled: (429, "throttled_error"),
    HeadTooLarge: (431, "invalid_request"),
    Unavailable: (503, "server_error"),
}


class NoRoom(Unavailable):
    """A disk of the service is full; only writes need it."""

    code = "storage_full"


def _is_full(error: BaseException) -> bool:
    """Whether a disk had no room: the database's, or the one for temporary files."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, StorageFull | DiskFull)


class ErrorBody(msgspec.Struct, frozen=True):
    """The shape of every error; some carry further keys, named in the description of their status."""

    type: str
    code: str
    detail: str
    attr: str | None = None


def classify(refused: Refused) -> tuple[int, str]:
    """The HTTP status and the ``type`` of a refusal."""
    for cls in type(refused).__mro__:
        if found := STATUS.get(cls):
            return found
    raise TypeError(f"{type(refused)} is no refusal")


def render(refused: Refused) -> Answer:
    """The answer to a request that is refused."""
    status, kind = classify(refused)
    return _answer(status, kind, refused.code, refused.detail, refused.attr, refused.extra, _headers(refused))


def _headers(refused: Refused) -> list[Header]:
    if isinstance(refused, NotAuthenticated):
        return [(b"www-authenticate", b"Bearer")]
    if isinstance(refused, UnsupportedEncoding):
        return [(b"accept-encoding", b"gzip")]
    if isinstance(refused, MethodNotAllowed):
        return [(b"allow", ", ".join(refused.allow).encode())]
    if isinstance(refused, Throttled | Unavailable):
        more = refused.headers if isinstance(refused, RateLimited) else ()
        return [(b"retry-after", b"%d" % refused.retry_after), *more]
    return []


def _answer(
    status: int,
    kind: str,
    code: str,
    detail: str,
    attr: str | None = None,
    extra: Mapping[str, Any] | None = None,
    headers: Sequence[Header] = (),
) -> Answer:
    fields = {"type": kind, "code": code, "detail": detail, "attr": attr, **(extra or {})}
    try:
        body = msgspec.json.encode(fields)
    except UnicodeEncodeError:
        # A lone surrogate from the address may stand in a sentence; it has no place in UTF-8.
        fields["detail"] = detail.encode("utf-8", "replace").decode()
        fields["attr"] = attr and attr.encode("utf-8", "replace").decode()
        body = msgspec.json.encode(fields)
    return Answer(status, [JSON, (b"cache-control", b"no-store"), *headers], body)


def render_http(error: HTTPException) -> Answer:
    """The answer to what the framework itself refuses: unknown routes, methods, oversized bodies, bad parameters."""
    status = error.status_code
    if status >= 500:
        return render_failure(error)
    if status == 405:
        return render(method_not_allowed((error.headers or {}).get("allow", "")))
    if status == 404:
        return render(NotFound("There is nothing at this address."))
    if status == 413:
        return render(RequestTooLarge("The request body is larger than this service takes."))
    if status == 415:
        return render(UnsupportedMediaType("Send the body as application/json."))
    code = "invalid_input" if status == 400 else HTTPStatus(status).name.lower()
    kind = "validation_error" if status in (400, 409, 412, 422) else "invalid_request"
    return _answer(status, kind, code, error.detail)


def method_not_allowed(allow: str) -> MethodNotAllowed:
    """From the ``Allow`` that the router knows; every GET takes HEAD too."""
    methods = {method.strip().upper() for method in allow.split(",") if method.strip()}
    if "GET" in methods:
        methods.add("HEAD")
    ordered = sorted(methods)
    return MethodNotAllowed(f"This address takes {', '.join(ordered) or 'no method'}.", allow=ordered)


def render_failure(error: BaseException) -> Answer:
    """The answer to an unforeseen error: without internals, which the log has under the request id."""
    if _is_full(error):
        logger.warning("no room: %s: %s", type(error).__name__, str(error).partition("\n")[0])
        return render(
            NoRoom(
                "The service's disk is full, so nothing can be written now; reads go on. Its operator has to make room.",
                retry_after=RETRY_WHEN_FULL,
            )
        )
    if (found := trouble(error)) is not None:
        logger.warning("unavailable: %s: %s", type(error).__name__, str(error).partition("\n")[0])
        return render(Unavailable(found.reason, retry_after=found.retry_after))
    logger.error("unhandled %s", type(error).__name__, exc_info=error)
    return _answer(
        500, "server_error", "error", "Something went wrong on our side. The request id names it in our log."
    )


def passes(error: BaseException) -> bool:
    """Whether the same request may do later what it cannot now: there are too many, no room, or no database."""
    return isinstance(error, Throttled | Unavailable) or _is_full(error) or trouble(error) is not None


def answer_for(error: BaseException) -> Answer:
    """The answer to any exception that a request ended with."""
    if isinstance(error, Refused):
        return render(error)
    if isinstance(error, HTTPException):
        return render_http(error)
    if isinstance(error, ClientLeft):
        return Answer(CLIENT_CLOSED, [], b"")
    return render_failure(error)


def handle(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The exception handler of the Litestar application, for all exceptions."""
    return to_response(answer_for(error))


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    Exception: handle,
    HTTPException: handle,
    Refused: handle,
}


DESCRIPTIONS = {
    400: "The request is malformed or breaks a rule; `attr` names the field.",
    401: "No credential, or a wrong, expired or revoked key.",
    403: "The key lacks the scope, or may not enter the project.",
    404: "Nothing is at this address; `suggestions` has close names, `available_versions` the newest versions, `renamed_to` "
    "the new name of what had this one.",
    409: "The state has moved on: `version_conflict` with `current_version`, or `file_exists`.",
    410: "The label points to a version that is yanked: `version` and `yanked` say which one and why.",
    412: "`If-Match` names another representation than the current one.",
    413: "The request body is larger than this service takes.",
    415: "The body is of another type than this address takes.",
    422: "The `Idempotency-Key` came with another request before.",
    429: "The key has used up its budget; `Retry-After` and `RateLimit-*` say when it is renewed.",
    503: "The service cannot take the request now; `Retry-After` says when to try again.",
}


def documented(*statuses: int) -> dict[int, ResponseSpec]:
    """The error answers of a route for the OpenAPI document."""
    return {
        status: ResponseSpec(ErrorBody, generate_examples=False, description=DESCRIPTIONS[status])
        for status in statuses
    }
