"""The one middleware: request id, access log, metrics, HEAD, and the answer to errors that nothing else caught.

Everything that a request passes through costs microseconds, so there is one of it. Raw paths, query strings, headers and
bodies are never logged: they may hold secrets or other people's texts. What is logged is the template of the route.
"""

import asyncio
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from datetime import UTC, datetime
from time import perf_counter, time
from typing import Any
from uuid import UUID

import msgspec

from api.http.context import RequestRecord
from api.http.errors import CLIENT_CLOSED, RateLimited, answer_for
from api.http.responses import WHOLE, Answer, send_answer, with_length
from api.http.state import HEAD_ONLY, LEFT, RECORD
from api.server.logs import request_id as current_request_id
from api.server.logs import trace_id as current_trace_id
from api.server.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

# It is written into every log line, so nothing that looks like a key is taken for an id.
SANE_ID = re.compile(rb"(?!.*sk[ts]?_)[A-Za-z0-9._:+=/-]{1,128}")
# W3C Trace Context: version, trace, span, flags. A later version than 00 may bring more; an id of zeros is none.
TRACEPARENT = re.compile(
    rb"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
IDS = frozenset({b"x-request-id", b"traceparent"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED = "unmatched"

LOG_EVERY = 0.05  # seconds that lines wait to be written together
LOG_LINES = 256  # written at once without waiting
MAX_TEXTS = 10_000  # routes and keys whose JSON is kept


# RESULTS.md: "counting and logging a request"
class AccessLog:
    """Lines to a file descriptor, several per write, each write of whole lines."""

    def __init__(self, fd: int | None = None) -> None:
        self._fd = sys.stdout.fileno() if fd is None else fd
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._texts: dict[UUID | str | None, str] = {}
        self._millisecond = 0
        self._ts = ""

    def write(
        self,
        request_id: str,
        method: str,
        route: str,
        status: int,
        seconds: float,
        size: int,
        project_id: int | None,
        key_id: UUID | str | None,
        trace_id: str | None = None,
    ) -> None:
        """One request. The texts are our own, but the ids, which hold no character that JSON escapes (see ``SANE_ID``)."""
        trace = "" if trace_id is None else f',"trace_id":"{trace_id}"'
        project = "null" if project_id is None else project_id
        key = self._texts.get(key_id) or self._text(key_id)
        place = self._texts.get(route) or self._text(route)
        self._lines.append(
            f'{{"ts":"{self._now()}","request_id":"{request_id}","method":"{method}","route":{place},"status":{status},'
            f'"ms":{seconds * 1000:.3f},"bytes":{size},"project_id":{project},"key_id":{key}{trace}}}'
        )
        if len(self._lines) >= LOG_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOG_EVERY, self.flush)

    def _text(self, value: UUID | str | None) -> str:
        """A value as JSON. Routes and keys come again and again."""
        if len(self._texts) >= MAX_TEXTS:
            self._texts.clear()
        text = self._texts[value] = msgspec.json.encode(value).decode()
        return text

    def _now(self) -> str:
        now = time()
        millisecond = int(now * 1000)
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            self._ts = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
        return self._ts

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            data = ("\n".join(self._lines) + "\n").encode()
            self._lines.clear()
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except OSError:
                # A reader that is gone must not take the service with it.
                return


def new_request_id() -> str:
    """128 random bits in hex."""
    return next(_ids)


# RESULTS.md: "an answer in one write instead of two, random bytes for many ids at once"
def _random_ids() -> Iterator[str]:
    # One look at the kernel for many ids: it costs more than all else that an id takes.
    while True:
        text = os.urandom(16 * 256).hex()
        for start in range(0, len(text), 32):
            yield text[start : start + 32]


# Begun by the first request, so in each process for itself.
_ids = _random_ids()


class Observability:
    """ASGI middleware around the whole application.

    It gives each request ``scope["state"]`` with a RequestRecord.
    """

    def __init__(
        self,
        app: Application,
        *,
        metrics: Metrics,
        log: AccessLog | None = None,
        answer_now: Callable[[Scope], Answer | None] = lambda _: None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._log = log
        self._answer_now = answer_now

    # RESULTS.md: "a GET that the process knows answered where it was parsed"
    def answer_now(self, scope: Scope) -> Answer | None:
        """The answer to a request that nothing has to be waited for, length and all; None: call the application.

        ``scope["state"]`` must be of this request alone.
        """
        if scope["method"] != "GET":
            return None
        started = perf_counter()
        record = scope["state"][RECORD] = RequestRecord()
        try:
            answer = self._answer_now(scope)
        except RateLimited as refused:
            # The application would refuse it, and count that, once more.
            answer = answer_for(refused)
        except Exception:
            # The application meets it again, where there is all that is needed to tell of it.
            return None
        if answer is None:
            return None
        sent, record.trace_id = _incoming_ids(scope)
        record.request_id = request_id = sent or new_request_id()
        self._note("GET", scope, record, answer.status, len(answer.body), started)
        headers = [*with_length(answer), (b"x-request-id", request_id.encode())]
        return Answer(answer.status, headers, answer.body)

    def observe_refusal(self, status: int) -> None:
        """Count what the protocol class refuses: it has no route, no id and no line, because it was never a request."""
        self._metrics.observe_refusal(status)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, self._closing(send))
                return
            await self._app(scope, receive, send)
            return
        started, method = perf_counter(), scope["method"]
        # The server may hand the same state to every request; what is put in here is this request's own.
        state = scope["state"] = dict(scope.get("state") or ())
        sent, trace_id = _incoming_ids(scope)
        request_id = sent or new_request_id()
        # By which its events are found again: as the client says, else by the trace that it is part of.
        record = state[RECORD] = RequestRecord(request_id, sent or trace_id or request_id, trace_id)
        current_request_id.set(request_id)
        if trace_id is not None:
            current_trace_id.set(trace_id)
        if method == "HEAD":
            # The application answers it as a GET. The scope itself belongs to the server, which has to know what was asked.
            state[HEAD_ONLY] = True
            scope = {**scope, "method": "GET"}
        exchange = _Exchange(scope, send, request_id)
        try:
            await self._app(scope, receive, exchange.send)
            if not exchange.complete:
                # Only a reader beside the sender notices that the client is gone.
                state[LEFT] = True
        except Exception as error:
            if LEFT not in state:
                answer = answer_for(error)
                if exchange.status:
                    # Half an answer is out; only cutting the connection tells the client.
                    raise
                await send_answer(exchange.send, answer)
        finally:
            status = CLIENT_CLOSED if LEFT in state else exchange.status or CLIENT_CLOSED
            self._note(method, scope, record, status, exchange.size, started)

    def _note(
        self, method: str, scope: Scope, record: RequestRecord, status: int, size: int, started: float
    ) -> None:
        """Count a request and write its line."""
        seconds = perf_counter() - started
        if method not in METHODS:
            method = "OTHER"
        route = record.route or scope.get("path_template") or UNMATCHED
        self._metrics.observe_request(method, route, status, seconds)
        if self._log is not None:
            self._log.write(
                record.request_id,
                method,
                route,
                status,
                seconds,
                size,
                record.project_id,
                record.key_id,
                record.trace_id,
            )

    def _closing(self, send: Send) -> Send:
        """The ``send`` of the lifespan, which writes the last lines and counts at its end."""

        async def wrapped(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown"):
                self._metrics.flush()
                if self._log is not None:
                    self._log.flush()
            await send(message)

        return wrapped


class _Exchange:
    """One request and its answer."""

    __slots__ = ("_head", "_id", "_send", "_whole", "complete", "size", "status")

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._send = send
        self._id = request_id.encode()
        self._head = HEAD_ONLY in scope["state"]
        self._whole = WHOLE in (scope.get("extensions") or ())
        self.status = 0
        self.size = 0
        self.complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == WHOLE:
            await self._send_whole(message)
        elif message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers") or ())
            headers.append((b"x-request-id", self._id))
            message["headers"] = headers
            await self._send(message)
            if self._head:
                # The answer may be one without an end, so it ends here.
                self.complete = True
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        elif message["type"] == "http.response.body":
            if not self._head:
                self.size += len(message.get("body") or b"")
                await self._send(message)
                self.complete = not message.get("more_body")
        else:
            await self._send(message)

    async def _send_whole(self, message: Message) -> None:
        if not self._whole:
            await self.send({**message, "type": "http.response.start"})
            await self.send({"type": "http.response.body", "body": message["body"], "more_body": False})
            return
        self.status = message["status"]
        if self._head:
            message["body"] = b""
        self.size = len(message["body"])
        message["headers"] = [*message["headers"], (b"x-request-id", self._id)]
        await self._send(message)
        self.complete = True


def _incoming_ids(scope: Scope) -> tuple[str | None, str | None]:
    """The ``X-Request-Id`` that came, and the id of the trace in ``traceparent``; None for what is missing or malformed."""
    request_id = trace_id = None
    for name, value in scope["headers"]:
        if name in IDS:
            if name == b"x-request-id":
                request_id = value.decode("ascii") if SANE_ID.fullmatch(value) else None
            elif found := TRACEPARENT.fullmatch(value):
                trace_id = found[1].decode()
    return request_id, trace_id
