"""HTTP/1.1 as uvicorn speaks it by httptools, with bounds on what a client may do before its request is one.

An answer that an application has as a whole is taken in one message (see ``api.http.WHOLE``) and written at once: by the two of
ASGI, its head and its body leave as two packets, each of which wakes the client.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.http import WHOLE, Header

# Bytes of a request before its body; more than any client of the API sends, and a bound on what one may hold here.
MAX_HEAD = 65_536
# Seconds from the connection, or from the first byte of a request on it, until the headers are complete.
HEAD_WITHIN = 30.0
# Bytes of a body above which it costs less to write it apart than to copy it behind its head.
LARGE_BODY = 65_536


class Protocol(HttpToolsProtocol):
    """A connection. A head that is too large gets a 431, one that does not come to its end a 408; both are closed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._incomplete = True
        self._head = 0
        self._timer: asyncio.TimerHandle | None = None

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
        self._incomplete = True
        self._head = 0

    def on_headers_complete(self) -> None:
        self._incomplete = False
        super().on_headers_complete()
        # The request begins in the next turn of the loop.
        self.scope["extensions"] = {WHOLE: partial(send_whole, self.cycle)}  # type: ignore[dict-item]

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


async def send_whole(
    cycle: RequestResponseCycle, status: int, headers: Iterable[Header], body: bytes
) -> None:
    """Write an answer whose headers are sound and say how long it is."""
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    if cycle.disconnected:
        return
    cycle.response_started = True
    parts = [STATUS_LINE[status]]
    for name, value in (*cycle.default_headers, *headers):
        parts += (name, b": ", value, b"\r\n")
    if not cycle.keep_alive:
        parts.append(b"connection: close\r\n")
    parts.append(b"\r\n")
    if len(body) <= LARGE_BODY:
        parts.append(body)
    cycle.transport.write(b"".join(parts))
    if len(body) > LARGE_BODY:
        cycle.transport.write(body)
    cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
