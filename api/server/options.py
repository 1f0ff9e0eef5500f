"""OPTIONS: which methods an address takes. No key is needed; it tells nothing else.

The handlers that Litestar adds for it know only some of the methods when a controller brings several for one address, so
the question is put as one for a method that no address takes: that answer has all of them.
"""

from typing import Any

from api.http.responses import Answer, send_answer

UNKNOWN = "TRACE"
# The target that stands for the whole service, and what that takes somewhere.
SERVICE = "*"
ALL = (b"allow", b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")


class Options:
    """ASGI middleware around the Litestar application."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "OPTIONS":
            await self._app(scope, receive, send)
            return
        if scope["path"] == SERVICE:
            await send_answer(send, Answer(204, [ALL], b""))
            return
        known = True

        async def answer(message: Any) -> None:
            nonlocal known
            if message["type"] == "http.response.start":
                known = message["status"] == 405
                if known:
                    allow = [pair for pair in message["headers"] if pair[0].lower() == b"allow"]
                    message = {**message, "status": 204, "headers": allow}
            elif known:
                message = {**message, "body": b"", "more_body": False}
            await send(message)

        await self._app({**scope, "method": UNKNOWN}, receive, answer)
