"""Which web pages may use this service from a browser (CORS), and the answers that tell a browser so.

A page of another origin sends what it likes, but the browser shows it an answer, and sends what no form could, only when the
service names the origin. That is for the operator to say: for the API and for the MCP endpoint, each by its setting. Keys are
sent by the page itself in a header; there are no cookies, so answers never allow credentials, and ``*`` opens nothing but what
a key opens.

It stands around everything else, so every answer has it: errors, 304, streams, and what is answered without a task.
"""

import re
from typing import Any

from api.http.responses import WHOLE, Answer, Header, header

ANY = "*"
MCP = re.compile(r"(/api/(environments|projects)/[^/]+)?/mcp/?")

# What a page may read of an answer beside the few headers that it always may.
EXPOSED = (
    b"Age, Allow, Content-Disposition, ETag, Idempotent-Replayed, Link, Location, Mcp-Session-Id, RateLimit-Limit, "
    b"RateLimit-Policy, RateLimit-Remaining, RateLimit-Reset, Retry-After, WWW-Authenticate, Warning, X-Event-Position, X-Request-Id, X-Yanked"
)
METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
# A page that may come in may send any header: what the service does not know it ignores. Names alone, and not without end.
ASKED_HEADERS = re.compile(rb"[A-Za-z0-9_!#$%&'*+.^`|~-]+([ \t]*,[ \t]*[A-Za-z0-9_!#$%&'*+.^`|~-]+){0,63}")
MAX_AGE = b"7200"  # seconds; browsers keep no preflight for longer

ALLOW_ORIGIN = b"access-control-allow-origin"
VARY: Header = (b"vary", b"Origin")


class Cors:
    """ASGI middleware around everything; ``api`` and ``mcp`` are the origins (or ``*``) that may use either."""

    def __init__(self, app: Any, *, api: tuple[str, ...] = (), mcp: tuple[str, ...] = ()) -> None:
        self._app = app
        self._api = api
        self._mcp = mcp

    def answer_now(self, scope: Any) -> Answer | None:
        answer: Answer | None = self._app.answer_now(scope)
        if answer is None:
            return None
        return answer._replace(headers=_shared(answer.headers, self._headers(scope)))

    def observe_refusal(self, status: int) -> None:
        self._app.observe_refusal(status)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not self._allowed(scope):
            await self._app(scope, receive, send)
            return
        more = self._headers(scope)
        preflight = _preflight(scope) if len(more) > 1 else None
        passes = False

        async def answer(message: Any) -> None:
            nonlocal passes
            if message["type"] in ("http.response.start", WHOLE):
                headers = _shared(message.get("headers") or (), more)
                # Of an address that is not there, too: the page shall read that it is a 404.
                passes = preflight is not None and message["status"] in (204, 404)
                if passes:
                    headers = [pair for pair in headers if not pair[0].startswith(b"content-")]
                    message = {**message, "status": 204, "headers": [*headers, *(preflight or ())]}
                else:
                    message = {**message, "headers": headers}
            if passes and "body" in message:
                message = {**message, "body": b""}
            await send(message)

        await self._app(scope, receive, answer)

    def _allowed(self, scope: Any) -> tuple[str, ...]:
        return self._mcp if MCP.fullmatch(scope["path"]) else self._api

    def _headers(self, scope: Any) -> list[Header]:
        """What an answer to this request has more; no more than ``Vary`` for a page that may not read it."""
        allowed = self._allowed(scope)
        if not allowed:
            return []
        origin = header(scope["headers"], b"origin")
        if origin is None or not (ANY in allowed or origin.decode("latin-1").lower() in allowed):
            return [VARY]
        named = b"*" if ANY in allowed else origin
        return [VARY, (ALLOW_ORIGIN, named), (b"access-control-expose-headers", EXPOSED)]


def _shared(headers: Any, more: list[Header]) -> list[Header]:
    """``headers`` with ``more``, unless they say by themselves which pages may read the answer (``api.sharing.well_known``)."""
    has_origin = any(name == ALLOW_ORIGIN for name, _ in headers)
    return [*headers, *(more[:1] if has_origin else more)]


def _preflight(scope: Any) -> list[Header] | None:
    """The answer to a preflight request of a browser; None for any other request."""
    if scope["method"] != "OPTIONS" or header(scope["headers"], b"access-control-request-method") is None:
        return None
    allowed: list[Header] = [
        (b"access-control-allow-methods", METHODS),
        (b"access-control-max-age", MAX_AGE),
    ]
    asked = header(scope["headers"], b"access-control-request-headers")
    if asked is not None and ASKED_HEADERS.fullmatch(asked.strip()):
        allowed.append((b"access-control-allow-headers", asked.strip()))
    return allowed
