"""Bodies of requests that are read outside of the framework."""

from typing import Any

from api.errors import RequestTooLarge
from api.http import header


async def read_body(scope: Any, receive: Any, limit: int) -> bytes | None:
    """The whole body; None when the client left before its end. Raises RequestTooLarge as soon as that is known."""
    declared = header(scope["headers"], b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise too_large()
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > limit:
            raise too_large()
        return body
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise too_large()
    return b"".join(parts)


def too_large() -> RequestTooLarge:
    return RequestTooLarge("The request body is larger than this service takes.")
