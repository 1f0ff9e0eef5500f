"""What the OpenAPI document says of a route beside its answers: the body, the query parameters, the headers it takes.

Bodies and queries are decoded by ourselves (``api.payload.decode``, ``api.http.query``), so routes name them in their ``opt``;
``api.openapi.document`` reads it. A Struct may carry two class attributes for the document: ``EXAMPLES`` (title to example) and
``HINTS`` (JSON Schema keywords that its annotations cannot say).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from api.http.query import MAX_TEXT

# In ``Meta.extra_json_schema``: the keywords that the annotation's own rules would give, and the document leaves out.
WITHOUT = "x-without"
NO_NUL = r"^[^\x00]*$"
NO_NUL_NOT_BLANK = r"^[^\x00]*[^\s\x00][^\x00]*$"


class Param(msgspec.Struct, frozen=True):
    """A query parameter or header; ``schema`` is JSON Schema."""

    name: str
    schema: dict[str, Any]
    description: str
    example: Any = None
    where: str = "query"
    required: bool = False

    def documented(self) -> dict[str, Any]:
        """As OpenAPI has it. An empty query parameter counts as absent, and no text may hold a NUL."""
        plain = self.schema.get("type") == "string" and not self.schema.keys() & {"enum", "format", "pattern"}
        pattern = NO_NUL_NOT_BLANK if self.required else NO_NUL
        schema = {"maxLength": MAX_TEXT, **self.schema, "pattern": pattern} if plain else self.schema
        shown: dict[str, Any] = {
            "name": self.name,
            "in": self.where,
            "description": self.description,
            "schema": schema if self.where == "query" else self.schema,
        }
        if self.required:
            shown["required"] = True
        elif self.where == "query":
            shown["allowEmptyValue"] = True
        if self.example is not None:
            shown["example"] = self.example
        return shown


def integer(
    minimum: int | None = 0, maximum: int | None = None, default: int | None = None
) -> dict[str, Any]:
    """The schema of a whole number in a query."""
    bounds = {"minimum": minimum, "maximum": maximum, "default": default}
    return {"type": "integer", **{name: bound for name, bound in bounds.items() if bound is not None}}


def route(
    scope: str | tuple[str, ...],
    *,
    query: tuple[Param, ...] = (),
    body: type[msgspec.Struct] | None = None,
    form: type[msgspec.Struct] | None = None,
    media: tuple[str, ...] = (),
    produces: str | None = None,
    counts: Mapping[str, str] | None = None,
    logged: bool | None = True,
    yanks: bool = False,
) -> dict[str, Any]:
    """The ``opt`` of a route handler: the scope that its guard requires, of several one, and what the document adds.

    ``form`` is a body of multipart/form-data; ``media`` are the types of text that it may answer with instead of JSON,
    ``produces`` is the one type that it answers with, ``counts`` are headers with a number and what they count; ``logged`` is False for a change that appends no event,
    None for one that appends one only where there is something to change. ``yanks``: a header says when the version that is read is yanked.
    """
    return {
        "scope": scope,
        "query": query,
        "body": body,
        "form": form,
        "media": media,
        "produces": produces,
        "headers": {name: _header(text, integer(0)) for name, text in (counts or {}).items()},
        "yanks": yanks,
        "logged": logged,
    }


# Headers of requests ---------------------------------------------------------------------------------------------

IF_NONE_MATCH = Param(
    "If-None-Match",
    {"type": "string"},
    "Entity tags that the client has, or `*`: answered by 304 without a body when one still holds.",
    where="header",
)
IF_MATCH = Param(
    "If-Match",
    {"type": "string"},
    "The entity tag that this change starts from, an alternative to `base_version`; refused by 412 when it is no "
    "longer the current one.",
    where="header",
)
IDEMPOTENCY_KEY = Param(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "1 to 255 visible ASCII characters of the client's choice. The same key with the same request gives the first "
    "answer again (`Idempotent-Replayed: true`), with another request 422, while the first one runs 409. Kept 24 hours.",
    where="header",
)

# Headers of answers ----------------------------------------------------------------------------------------------


def _header(description: str, schema: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": schema}


_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}

REQUEST_ID = {
    "X-Request-Id": _header(
        "Names the request in the service's log; the client's own one when it sent one.", _TEXT
    )
}
ETAG = {"ETag": _header("The strong entity tag of this representation.", {**_TEXT, "pattern": '^".+"$'})}
CACHE = {
    "Cache-Control": _header(
        "A file of a fixed version is `private, immutable`; everything else is asked for again.", _TEXT
    )
}
POSITION = {
    "X-Event-Position": _header(
        "Position in the log of the last event of this change.", {"type": "integer", "minimum": 1}
    )
}
POSITION_IF_CHANGED = {"X-Event-Position": {**POSITION["X-Event-Position"], "required": False}}
REPLAYED = {
    "Idempotent-Replayed": _header(
        "There when this is the answer to an earlier request with the same `Idempotency-Key`.",
        {"type": "string", "enum": ["true"]},
        required=False,
    )
}
YANKED = {
    "X-Yanked": _header(
        "There when the version that was read is yanked: it should not be used any more. `yanked` of the version says why.",
        {"type": "string", "enum": ["true"]},
        required=False,
    )
}
LOCATION = {"Location": _header("The address by name.", {**_TEXT, "format": "uri-reference"})}
AUTHENTICATE = {"WWW-Authenticate": _header("How to authenticate.", {**_TEXT, "enum": ["Bearer"]})}
RETRY_AFTER = {"Retry-After": _header("Seconds to wait before the next try.", _COUNT)}
BUDGET = {
    "RateLimit-Policy": _header("The budgets of a key: requests, and their window in seconds.", _TEXT),
    "RateLimit-Limit": _header("Requests of the budget that is used up.", _COUNT),
    "RateLimit-Remaining": _header("Requests that are left of it.", _COUNT),
    "RateLimit-Reset": _header("Seconds until it is renewed.", _COUNT),
}
