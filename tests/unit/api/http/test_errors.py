"""One shape for every error."""

import json

import pytest
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from psycopg import OperationalError

from api.http import errors
from domain.errors import (
    Conflict,
    EditFailed,
    FileExists,
    Invalid,
    NameTaken,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    Refused,
    Throttled,
    TooBig,
    Unavailable,
    VersionConflict,
    VersionNotFound,
)

CASES: list[tuple[Exception, int, str, str]] = [
    (Refused("x"), 400, "validation_error", "invalid_input"),
    (Invalid("x"), 400, "validation_error", "invalid_input"),
    (EditFailed("x", code="edit_not_found"), 400, "validation_error", "edit_not_found"),
    (TooBig("x"), 400, "validation_error", "max_size"),
    (NameTaken("skill", "a"), 400, "validation_error", "unique"),
    (errors.ParseError("x"), 400, "invalid_request", "parse_error"),
    (NotAuthenticated("x"), 401, "authentication_error", "authentication_failed"),
    (PermissionDenied("x"), 403, "authentication_error", "permission_denied"),
    (NotFound("x", suggestions=[]), 404, "invalid_request", "not_found"),
    (VersionNotFound("skill", "a", 9, [2, 1]), 404, "invalid_request", "version_not_found"),
    (NotFoundException(), 404, "invalid_request", "not_found"),
    (Conflict("x"), 409, "validation_error", "invalid_input"),
    (VersionConflict(1, 2), 409, "validation_error", "version_conflict"),
    (FileExists("x"), 409, "validation_error", "file_exists"),
    (errors.RequestInProgress("x"), 409, "validation_error", "request_in_progress"),
    (PreconditionFailed("x"), 412, "validation_error", "precondition_failed"),
    (errors.RequestTooLarge("x"), 413, "invalid_request", "request_too_large"),
    (HTTPException(status_code=413), 413, "invalid_request", "request_too_large"),
    (errors.UnsupportedMediaType("x"), 415, "invalid_request", "unsupported_media_type"),
    (errors.IdempotencyKeyReused("x"), 422, "validation_error", "idempotency_key_reused"),
    (Throttled("x", retry_after=7), 429, "throttled_error", "throttled"),
    (Unavailable("x"), 503, "server_error", "unavailable"),
    (OperationalError("server closed the connection"), 503, "server_error", "unavailable"),
    (HTTPException(status_code=500, detail="secret"), 500, "server_error", "error"),
    (RuntimeError("secret"), 500, "server_error", "error"),
]


@pytest.mark.parametrize(("error", "status", "kind", "code"), CASES, ids=lambda case: type(case).__name__)
def test_status_type_code_and_shape(error: Exception, status: int, kind: str, code: str) -> None:
    answer = errors.answer_for(error)
    body = json.loads(answer.body)

    assert (answer.status, body["type"], body["code"]) == (status, kind, code)
    assert list(body)[:4] == ["type", "code", "detail", "attr"]
    assert dict(answer.headers)[b"content-type"] == b"application/json"
    assert body["detail"]
    assert "secret" not in body["detail"]


def test_extra_keys_stand_beside_the_four() -> None:
    assert json.loads(errors.render(VersionConflict(1, 2)).body)["current_version"] == 2
    assert json.loads(errors.render(NotFound("x", suggestions=["a"])).body)["suggestions"] == ["a"]
    assert json.loads(errors.render(VersionNotFound("skill", "a", 9, [2, 1])).body)["available_versions"] == [
        2,
        1,
    ]


def test_headers() -> None:
    assert (b"www-authenticate", b"Bearer") in errors.render(NotAuthenticated("x")).headers
    assert (b"retry-after", b"7") in errors.render(Throttled("x", retry_after=7)).headers
    assert (b"retry-after", b"1") in errors.answer_for(OperationalError()).headers
    limited = errors.RateLimited("x", retry_after=7, headers=[(b"ratelimit-limit", b"5")])
    assert (b"ratelimit-limit", b"5") in errors.render(limited).headers
    method = errors.answer_for(MethodNotAllowedException(headers={"allow": "GET, OPTIONS"}))
    assert method.status == 405
    assert json.loads(method.body)["code"] == "method_not_allowed"
    assert (b"allow", b"GET, HEAD, OPTIONS") in method.headers


def test_a_lone_surrogate_in_a_sentence_does_no_harm() -> None:
    assert json.loads(errors.render(NotFound("There is no '\ud800'.")).body)["detail"] == "There is no '?'."
