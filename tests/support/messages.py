"""A request to the application whose answer is met message by message, as a server meets it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.space import Space


async def meet(
    space: Space,
    path: str,
    taken: Callable[[bytes], Awaitable[bool | None]],
    *,
    gone: asyncio.Event | None = None,
    method: str = "GET",
    body: bytes = b"",
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> list[dict[str, Any]]:
    """All messages. ``taken`` gets each part of the body, and says True when the client leaves behind it.

    ``gone`` is set when the client is away, by whoever cuts it off, too.
    """
    place, _, query = path.partition("?")
    address = place if place.startswith("/") else f"/api/projects/{space.id}/{place}"
    gone = gone or asyncio.Event()
    incoming = [{"type": "http.request", "body": body, "more_body": False}]
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if incoming:
            return incoming.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)
        part = message.get("body") or b""
        if (part and await taken(part)) or (
            message["type"] == "http.response.body" and not message["more_body"]
        ):
            gone.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": address,
        "raw_path": address.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [
            (b"authorization", f"Bearer {space.key}".encode()),
            (b"host", b"skald.test"),
            (b"content-length", b"%d" % len(body)),
            *headers,
        ],
        "client": ("127.0.0.1", 50_001),
        "server": ("skald.test", 80),
        "state": {},
        "extensions": {},
    }
    await asyncio.wait_for(space.app(scope, receive, send), 20)
    return messages
