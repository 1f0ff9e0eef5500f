"""Requests to our own addresses from within: the MCP endpoint answers by calls of the API for the same caller.

So every rule, scope, error and answer is the API's own. The caller was authorized and counted at the endpoint.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import msgspec

from api.counting.doors import MCP
from api.http.context import RequestContext, record
from api.http.errors import render
from api.http.responses import JSON, Answer, header
from api.http.state import RECORD
from domain.errors import Refused

# What belongs to the outer request alone, and must not reach the inner one.
OUTER = frozenset(
    {
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"transfer-encoding",
        b"accept",
        b"accept-encoding",
        b"if-match",
        b"if-none-match",
        b"idempotency-key",
    }
)
COPIED = ("asgi", "http_version", "scheme", "server", "client", "root_path")
REDIRECTS = (302, 307)


class InternalClient:
    """Requests for one caller in one project, on behalf of the request whose ASGI ``scope`` is given."""

    def __init__(self, app: Any, scope: Any, context: RequestContext) -> None:
        self.principal = context.principal
        self.project_id = context.project_id
        self._app = app
        self._context = context
        self._outer = scope

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        door: str = MCP,
    ) -> Answer:
        """The answer to a request; ``path`` is percent-encoded and below the project, as is what it is redirected to.

        ``door`` is what a read counts for.

        One message may ask for many things, one after the other, so the key is looked at again for each.
        """
        try:
            await self._context.services.authorizer.authenticator.check_again(self.principal, self.project_id)
        except Refused as refused:
            return render(refused)
        place = f"/api/projects/{self.project_id}/{path}"
        answer = await self._ask(method, place, urlencode(query or {}), body, door)
        if answer.status in REDIRECTS and (location := header(answer.headers, b"location")):
            target = urlsplit(location.decode())
            prefix = self._context.services.public_address.prefix(self._outer)
            answer = await self._ask(method, target.path.removeprefix(prefix), target.query, body, door)
        return answer

    async def _ask(self, method: str, path: str, query: str, body: bytes, door: str) -> Answer:
        headers = [pair for pair in self._outer["headers"] if pair[0] not in OUTER]
        if body:
            headers += [JSON, (b"content-length", b"%d" % len(body))]
        scope = {
            **{key: self._outer[key] for key in COPIED if key in self._outer},
            "type": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": headers,
            "state": {
                RECORD: msgspec.structs.replace(record(self._outer), admitted=self.principal, door=door)
            },
        }
        return await exchange(self._app, scope, body)


async def exchange(app: Any, scope: Any, body: bytes) -> Answer:
    """The whole answer of an ASGI application to a request whose body is here."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]
    status, headers, answer = 0, [], bytearray()

    async def receive() -> dict[str, Any]:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message["headers"])
        else:
            answer.extend(message.get("body", b""))

    await app(scope, receive, send)
    return Answer(status, headers, bytes(answer))


def segment(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="")
