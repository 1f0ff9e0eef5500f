"""HTTP/1.1 as uvicorn speaks it by httptools, with bounds on what a client may do before its request is one.

An answer that an application has as a whole is taken in one message (see ``api.http.WHOLE``) and written at once: by the two of
ASGI, its head and its body leave as two packets, each of which wakes the client. What an application has at hand it may give
without a task, by a method ``at_once`` (see ``api.observability``).
"""

import asyncio
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from httptools import parse_url
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.http import WHOLE, Header

# Bytes of a request before its body; more than any client of the API sends, and a bound on what one may hold here.
MAX_HEAD = 65_536
# Seconds from the connection, or from the first byte of a request on it, until the headers are complete.
HEAD_WITHIN = 30.0
# Bytes of a body above which it costs less to write it apart than to copy it behind its head.
LARGE_BODY = 65_536
EXTENSIONS: dict[str, dict[str, Any]] = {WHOLE: {}}


class Protocol(HttpToolsProtocol):
    """A connection. A head that is too large gets a 431, one that does not come to its end a 408; both are closed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._incomplete = True
        self._head = 0
        self._timer: asyncio.TimerHandle | None = None
        self._at_once = getattr(self.app, "at_once", None)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_WITHIN, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._incomplete:
            # Counted as it comes: the parser keeps a header to itself until it is whole.
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._refuse(431)
            elif self._timer is None:
                self._timer = self.loop.call_later(HEAD_WITHIN, self._late)
        elif self._timer is not None:
            self._in_time()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = EXTENSIONS  # type: ignore[typeddict-item]
        self._incomplete = True
        self._head = 0

    def on_headers_complete(self) -> None:
        """As uvicorn has it, but for its WebSockets, its limit, and what is answered at once."""
        self._incomplete = False
        scope, parser, url = self.scope, self.parser, parse_url(self.url)
        path = url.path.decode("ascii")
        version = scope["http_version"] = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        before, self.cycle = (
            self.cycle,
            Cycle(
                scope=scope,
                transport=self.transport,
                flow=self.flow,
                logger=self.logger,
                access_logger=self.access_logger,
                access_log=False,
                default_headers=self.server_state.default_headers,
                message_event=asyncio.Event(),
                expect_100_continue=self.expect_100_continue,
                keep_alive=version != "1.0" and parser.should_keep_alive(),
                on_response=self.on_response_complete,
            ),
        )
        if before is not None and not before.response_complete:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        elif not self.transport.is_closing() and not self._answered(self.cycle):
            self._start_asgi_task(self.cycle, self.app)

    def _answered(self, cycle: "Cycle") -> bool:
        """Whether the application has answered at once. What waits for its turn, or for a slow reader, gets a task."""
        if self._at_once is None or self.flow.write_paused:
            return False
        answer = self._at_once(cycle.scope)
        if answer is not None:
            cycle.answer(*answer)
        return answer is not None

    def _late(self) -> None:
        self._timer = None
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(408)

    def _in_time(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int) -> None:
        if not self.transport.is_closing():
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()


class Cycle(RequestResponseCycle):
    """A request and its answer."""

    async def send(self, message: Any) -> None:
        if message["type"] != WHOLE:
            await super().send(message)
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if not self.disconnected:
            self.answer(message["status"], message["headers"], message["body"])

    def answer(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        """Write a whole answer, whose headers are sound and say how long it is."""
        self.response_started = True
        parts = [STATUS_LINE[status]]
        for name, value in (*self.default_headers, *headers):
            parts += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        if len(body) <= LARGE_BODY:
            parts.append(body)
        self.transport.write(b"".join(parts))
        if len(body) > LARGE_BODY:
            self.transport.write(body)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
