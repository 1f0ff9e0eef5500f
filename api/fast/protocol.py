"""HTTP/1.1 as uvicorn speaks it by httptools, with bounds on what a client may do, and stricter where requests could be mistaken.

An answer that an application has as a whole is taken in one message (see ``api.http.responses.WHOLE``) and written at once: by the two of
ASGI, its head and its body leave as two packets, each of which wakes the client. What an application has at hand it may give
without a task, by a method ``answer_now`` (see ``api.server.observability``).

A fault of a head is answered here, after the answers to the requests before it. A fault of a body is raised by ``receive``, so
that the application answers it, counts it and logs it as any other. Both end the connection.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.http.errors import ClientLeft, HeadTooLarge, MalformedRequest, RequestTimeout, render, render_failure
from api.http.responses import WHOLE, Answer, Header, with_length
from api.http.state import LEFT
from domain.errors import Refused

# Bytes of a request before its body, or of a chunked body between two pieces of data; more than any client of the API sends,
# and a bound on what one may hold here.
MAX_HEAD = 65_536
# Seconds from the connection, or from the first byte of a request on it, until the headers are complete.
HEAD_WITHIN = 30.0
# Seconds that any body may take, and the bytes per second that it must have come at beyond them: less than the slowest modem.
BODY_WITHIN = 30.0
BODY_RATE = 2_048
# Seconds in which a client that has stopped reading must take something of its answer: the kernel's buffer may hold some MB
# of it, which a slow reader empties before it takes more.
READ_WITHIN = 120.0
# Seconds that the rest of what a client sends is read and dropped, behind an answer that came before its end: unread
# data makes the kernel reset the connection, and the client lose the answer.
LINGER = 2.0
# Bytes that are parsed at a time. Requests that wait for the one before cost some KB each, the bytes that they come in little.
SLICE = 16_384
# Bytes of a body above which it costs less to write it apart than to copy it behind its head.
LARGE_BODY = 65_536
EXTENSIONS: dict[str, dict[str, Any]] = {WHOLE: {}}

# Headers that say how the request itself is to be read.
FRAMING = frozenset({b"host", b"expect", b"transfer-encoding"})
# What RFC 9110 lets a Host be; it may be empty.
HOST = re.compile(rb"(\[[0-9A-Za-z:.%]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(:[0-9]*)?")

Fault = Callable[[], Exception]


class Protocol(HttpToolsProtocol):
    """A connection. A head that is too large gets a 431, one that does not come to its end a 408; both are closed."""

    cycle: "Cycle"  # the last request that came

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._incomplete = True
        self._began = False
        self._head = 0
        self._may_be_large = False
        self._timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._answer_now = getattr(self.app, "answer_now", None)
        self._observe_refusal = getattr(self.app, "observe_refusal", None)
        # The cycle whose turn it is; ``self.cycle`` is the last that came.
        self._running: Cycle | None = None
        # Bytes that wait until the requests before them are answered.
        self._unparsed = b""
        # The answer to a head that cannot be read, which waits so, too; nothing that comes behind it is looked at.
        self._refusal: bytes | None = None
        self._deaf = False
        self._hosts = 0
        self._host = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_WITHIN, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        for timer in (self._body_timer, self._reader_timer):
            if timer is not None:
                timer.cancel()
        # The last request is not the only one that has lost its client.
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        self._running = None
        self._deaf, self._unparsed = True, b""
        super().connection_lost(exc)

    # What comes in

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._unparsed:
            self._unparsed += data
            self.flow.pause_reading()
        elif len(data) <= SLICE:
            self._parse(data)
        else:
            self._parse_slices(data)

    def _parse_slices(self, data: bytes) -> None:
        """Parse what has come, a slice at a time, as long as no request waits for the one before."""
        for start in range(0, len(data), SLICE):
            if self._deaf or self.transport.is_closing():
                return
            if self.pipeline:
                self._unparsed = data[start:]
                self.flow.pause_reading()
                return
            self._parse(data[start : start + SLICE])

    def _parse(self, data: bytes) -> None:
        self._began = False
        self._may_be_large = self._incomplete and self._head + len(data) > MAX_HEAD
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._parse_plainly(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._fail(error)
            return
        if self._incomplete:
            # Counted as it comes: the parser keeps a header to itself until it is whole.
            if self._began:
                self._head = self._parsed()
                self._in_time()
            else:
                self._head += len(data)
            if self._head > MAX_HEAD:
                self._refuse(HeadTooLarge(MAX_HEAD))
            elif self._timer is None:
                self._timer = self.loop.call_later(HEAD_WITHIN, self._late)
        else:
            if self._timer is not None:
                self._in_time()
            if self.cycle.more_body:
                self._body_goes_on(len(data))

    def _parse_plainly(self, rest: bytes) -> None:
        """Parse the request to upgrade to another protocol, and ``rest`` behind its head, as what it is in this one.

        The parser takes such a request to have no body, so it is put to it again without the wish.
        """
        while True:
            data = self._plain_head() + rest
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                rest = data[upgrade.args[0] :]

    def _plain_head(self) -> bytes:
        lines = [
            b"%b %b HTTP/%b\r\n"
            % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        ]
        lines += [b"%b: %b\r\n" % pair for pair in self.headers if pair[0] != b"upgrade"]
        return b"".join(lines) + b"\r\n"

    def _parsed(self) -> int:
        """The bytes of the head as far as the parser has given them away."""
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _fail(self, error: httptools.HttpParserError) -> None:
        """End the connection for what cannot be read, in a head or in a body."""
        reason = error.__context__
        if isinstance(reason, Refused):
            self._refuse(reason)
        elif isinstance(error, httptools.HttpParserCallbackError):
            self._refuse_with(render_failure(reason or error))
        elif self._incomplete or not self.cycle.more_body:
            self._refuse(MalformedRequest())
        else:
            self._fault(MalformedRequest)

    def on_message_begin(self) -> None:
        # Not by empty lines, which may stand before a request.
        self._unset_keepalive_if_required()
        super().on_message_begin()
        self.scope["extensions"] = EXTENSIONS  # type: ignore[typeddict-item]
        self._incomplete = self._began = True
        self._head = self._hosts = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        # What comes behind a chunked body is no header of the request.
        if not self._incomplete:
            return
        name = name.lower()
        if name in FRAMING:
            self._frame(name, value)
        self.headers.append((name, value))

    def _frame(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self._hosts += 1
            # A connection has nearly always one.
            if value != self._host:
                if not HOST.fullmatch(value.rstrip(b" \t")):
                    raise MalformedRequest("The Host header names no host.")
                self._host = value
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif value.strip(b" \t").lower() != b"chunked":
            raise MalformedRequest("Transfer-Encoding can only be chunked here.")

    def on_headers_complete(self) -> None:
        """As uvicorn has it, but for its WebSockets, its limit, and what is answered at once."""
        scope, parser = self.scope, self.parser
        if self._may_be_large and self._parsed() > MAX_HEAD:
            raise HeadTooLarge(MAX_HEAD)
        version = scope["http_version"] = parser.get_http_version()
        if self._hosts != 1 or version != "1.1":
            self._check_version(version)
        method = scope["method"] = parser.get_method().decode("ascii")
        if parser.should_upgrade():
            if method == "CONNECT":
                raise MalformedRequest("This service is no proxy.")
            return
        try:
            url: Any = httptools.parse_url(self.url)
        except httptools.HttpParserInvalidURLError:
            raise MalformedRequest("The target of the request is no address.") from None
        raw_path = url.path
        if url.host is not None or raw_path == b"*":
            raw_path = self._rare_target(url, method)
        path = raw_path.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = url.query or b""
        self._incomplete = False
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

    def _check_version(self, version: str) -> None:
        if version not in ("1.0", "1.1"):
            raise MalformedRequest(f"This service speaks HTTP/1.1 and 1.0, not {version}.")
        if self._hosts > 1 or (version == "1.1" and not self._hosts):
            raise MalformedRequest("Send one Host header.")
        if version == "1.0":
            # Neither is known to such a client, so one that stands between it and us has read the request otherwise.
            self.expect_100_continue = False
            if any(name == b"transfer-encoding" for name, _ in self.headers):
                raise MalformedRequest("HTTP/1.0 has no Transfer-Encoding.")

    def _rare_target(self, url: Any, method: str) -> bytes:
        """The path of a target that is all of the service, or that says itself which host is meant."""
        if url.host is None:
            if method != "OPTIONS":
                raise MalformedRequest("Only OPTIONS can be about all of the service.")
            return b"*"
        host = b"[%b]" % url.host if b":" in url.host else url.host
        value = host if url.port is None else b"%b:%d" % (host, url.port)
        self.headers[:] = [*(pair for pair in self.headers if pair[0] != b"host"), (b"host", value)]
        return url.path or b"/"

    def _answered(self, cycle: "Cycle") -> bool:
        """Whether the application has answered at once. What waits for its turn, or for a slow reader, gets a task."""
        if self._answer_now is None or self.flow.write_paused:
            return False
        answer = self._answer_now(cycle.scope)
        if answer is not None:
            cycle.answer(*answer)
        return answer is not None

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        cycle.received += len(body)
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        # An upgrade request comes here before it has become a request.
        if not self._incomplete:
            self.cycle.more_body = False
            self.cycle.message_event.set()

    # What takes too long

    def _late(self) -> None:
        self._timer = None
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(RequestTimeout("The headers of the request did not come in time."))
        elif self._incomplete:
            # It began while the requests before it are worked on; it is not waited for longer than they are.
            self._timer = self.loop.call_later(HEAD_WITHIN, self._late)

    def _in_time(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _body_goes_on(self, came: int) -> None:
        cycle = self.cycle
        if cycle.received == cycle.seen:
            # Sizes, extensions and trailers of chunks are no data, but the parser keeps some of them.
            cycle.framing += came
        else:
            cycle.seen, cycle.framing = cycle.received, 0
        if cycle.framing > MAX_HEAD:
            self._fault(MalformedRequest)
        elif not cycle.since:
            cycle.since = self.loop.time()
            if self._body_timer is None:
                self._body_timer = self.loop.call_later(BODY_WITHIN, self._look_at_body)

    def _look_at_body(self) -> None:
        """One timer for many bodies: nearly all are there long before it looks."""
        self._body_timer = None
        cycle = self.cycle
        if not cycle.more_body or self._deaf:
            return
        now = self.loop.time()
        if self.flow.read_paused:
            # What is not read is not slow.
            cycle.since, cycle.received, cycle.seen = now, 0, 0
        due = cycle.since + BODY_WITHIN + cycle.received / BODY_RATE
        if now < due:
            self._body_timer = self.loop.call_later(due - now, self._look_at_body)
        else:
            self._fault(RequestTimeout)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reader_timer is None:
            self._wait_for_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def _wait_for_reader(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._reader_timer = self.loop.call_later(READ_WITHIN, self._look_at_reader, unread)

    def _look_at_reader(self, before: int) -> None:
        self._reader_timer = None
        if self.transport.get_write_buffer_size() >= before:
            self.transport.abort()
        else:
            self._wait_for_reader()

    def timeout_keep_alive_handler(self) -> None:
        # Whatever has not been read by now is not going to be, and closing would wait for it.
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    # What ends a request, or the connection

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            if self.transport.get_write_buffer_size():
                self.loop.call_later(READ_WITHIN, self.transport.abort)
        elif not self.pipeline and (self.cycle is None or self.cycle.response_complete):
            if self._refusal is not None:
                self._close_with(self._refusal)
            elif self._unparsed:
                data, self._unparsed = self._unparsed, b""
                self._parse_slices(data)

    def _fault(self, fault: Fault) -> None:
        """Let the request whose body is wrong meet ``fault`` when it reads on; nothing more is read of the connection."""
        self._deaf = True
        if self.cycle.response_started:
            self.transport.close()
        else:
            self.cycle.transport = Lingering(self.transport, self.loop)
            self.cycle.meet(fault)

    def _refuse(self, refused: Refused) -> None:
        self._refuse_with(render(refused))

    def _refuse_with(self, answer: Answer) -> None:
        """Answer a head that is no request, when those before it are answered, and close."""
        self._in_time()
        self._deaf = True
        if self._observe_refusal is not None:
            self._observe_refusal(answer.status)
        head = [STATUS_LINE[answer.status]]
        head += [b"%b: %b\r\n" % pair for pair in (*with_length(answer), (b"connection", b"close"))]
        refusal = b"".join((*head, b"\r\n", answer.body))
        if self.pipeline or (self.cycle is not None and not self.cycle.response_complete):
            self._refusal = refusal
        else:
            self._close_with(refusal)

    def _close_with(self, refusal: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(refusal)
            Lingering(self.transport, self.loop).close()


class Lingering:
    """A transport that is closed when its client has had the time to see why."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        if not self._transport.is_closing():
            self._transport.write_eof()
            self._loop.call_later(LINGER, self._transport.abort)


class Cycle(RequestResponseCycle):
    """A request and its answer."""

    transport: Any
    # Bytes of the body, and when it was first found not to be whole.
    received = 0
    since = 0.0
    # Bytes of it at the last look, and what came since without any of them.
    seen = 0
    framing = 0
    _delivered = False
    _fault: Fault | None = None
    # Whether the end of the answer is that of the connection: a client of HTTP/1.0 knows no chunks.
    _until_close = False

    def meet(self, fault: Fault) -> None:
        """End the request by ``fault``, which is raised by ``receive``, and the connection behind its answer."""
        self._fault = fault
        self.keep_alive = False
        self.message_event.set()

    async def receive(self) -> Any:
        """Raises ClientLeft, or what is wrong with the body, instead of a part of one that has no end."""
        message: Any = await super().receive()
        if message["type"] == "http.disconnect":
            if not self._delivered and not self.response_started:
                raise ClientLeft
        elif self._fault is not None and not self.response_started:
            raise self._fault()
        else:
            self._delivered = not message["more_body"]
        return message

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            self.scope["state"][LEFT] = True
            return
        if self.waiting_for_100_continue:
            # The body may come, or not, now that the answer does without it: what follows could be taken for it.
            self.keep_alive = False
        if message["type"] == WHOLE:
            self.answer(message["status"], message["headers"], message["body"])
        else:
            if self.scope["http_version"] == "1.0":
                self._unchunked(message)
            await super().send(message)

    def _unchunked(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._until_close = not any(
                name.lower() == b"content-length" for name, _ in message.get("headers", ())
            )
            self.chunked_encoding = False if self._until_close else None
        elif self._until_close:
            # As long as it turns out to be.
            self.expected_content_length = len(message.get("body", b""))

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
