"""Bodies of requests: how they are read outside of the framework, and how they are unpacked for all of it."""

import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from api.http.errors import ClientLeft, ParseError, RequestTooLarge, UnsupportedEncoding
from api.http.responses import header
from api.offload import offload

Receive = Callable[[], Awaitable[Any]]

GZIP = (b"gzip", b"x-gzip")
# Bytes of a packed body that are unpacked at once: they come to at most 2 MB, in some 5 ms.
SMALL = 2_048
# Parts that a gzip file may be put together of; each costs a copy of what is behind it.
MAX_MEMBERS = 16


def unpacked(scope: Any, receive: Receive, limit: int) -> Receive:
    """``receive`` of a request, with its body unpacked, which has at most ``limit`` bytes before and after.

    What is wrong with it is raised when it is read: the request may not be authorized at all.
    """
    encoding = header(scope["headers"], b"content-encoding")
    if encoding is None or encoding.strip().lower() in (b"", b"identity"):
        return receive
    read = False

    async def receive_unpacked() -> Any:
        nonlocal read
        if read:
            return await receive()
        read = True
        if encoding.strip().lower() not in GZIP:
            raise UnsupportedEncoding(
                f"Send the body as it is or packed by gzip, not by {encoding.decode('latin-1')}."
            )
        body = await read_body(scope, receive, limit)
        if len(body) <= SMALL:
            body = gunzip(body, limit)
        else:
            body = await offload(gunzip, body, limit)
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_unpacked


def gunzip(data: bytes, limit: int) -> bytes:
    """What was packed, at most ``limit`` bytes. Raises RequestTooLarge before there are more, ParseError when it is broken."""
    parts: list[bytes] = []
    while data:
        if len(parts) == MAX_MEMBERS:
            raise ParseError(f"The gzip body may have at most {MAX_MEMBERS} members.")
        member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            parts.append(member.decompress(data, limit + 1))
        except zlib.error as error:
            raise ParseError(f"The body is not packed by gzip: {error}.") from None
        limit -= len(parts[-1])
        if limit < 0:
            raise too_large()
        if not member.eof:
            raise ParseError("The gzip body ends too soon.")
        data = member.unused_data
    return b"".join(parts)


async def read_body(scope: Any, receive: Receive, limit: int) -> bytes:
    """The whole body. Raises RequestTooLarge as soon as that is known, ClientLeft."""
    declared = header(scope["headers"], b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise too_large()
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientLeft
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > limit:
            raise too_large()
        return body
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise too_large()
    return b"".join(parts)


def too_large() -> RequestTooLarge:
    return RequestTooLarge("The request body is larger than this service takes.")
