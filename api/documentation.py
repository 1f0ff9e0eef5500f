"""What the OpenAPI document says of a route beside its answers: the body, the query parameters, the headers it takes."""

from typing import Any

import msgspec


class Param(msgspec.Struct, frozen=True):
    """A query parameter or header; ``schema`` is JSON Schema."""

    name: str
    schema: dict[str, Any]
    description: str
    example: Any = None
    where: str = "query"


def integer(minimum: int = 0, maximum: int | None = None, default: int | None = None) -> dict[str, Any]:
    """The schema of a whole number in a query."""
    schema: dict[str, Any] = {"type": "integer", "minimum": minimum}
    if maximum is not None:
        schema["maximum"] = maximum
    if default is not None:
        schema["default"] = default
    return schema


def route(
    scope: str, *, query: tuple[Param, ...] = (), body: type[msgspec.Struct] | None = None
) -> dict[str, Any]:
    """The ``opt`` of a route handler: the scope that its guard requires, and what the document adds."""
    return {"scope": scope, "query": query, "body": body}
