"""Says of an answer that it is older than usual: no primary could be reached, and the operator lets reads go on without one."""

from typing import Any

from api.cache.outage import Staleness, staleness
from api.http.responses import Header

WARNING: Header = (b"warning", b'110 - "Response is Stale"')


class StaleReads:
    """ASGI middleware around what reads through ``api.cache.reads``; without the setting it is not there at all."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        of_this = Staleness()
        staleness.set(of_this)

        async def marked(message: Any) -> None:
            if (
                of_this.age is not None
                and message["type"] == "http.response.start"
                and message["status"] < 500
            ):
                age = (b"age", b"%d" % of_this.age)
                message = {**message, "headers": [*message["headers"], WARNING, age]}
            await send(message)

        await self._app(scope, receive, marked)
