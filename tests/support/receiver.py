"""A small HTTP server that webhooks are sent to: it keeps what it gets, and answers as the test says."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from standardwebhooks import Webhook


class Received(msgspec.Struct, frozen=True):
    """One request; names of headers in lower case. ``at`` is in seconds of the event loop's clock."""

    target: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        decoded: dict[str, Any] = msgspec.json.decode(self.body)
        return decoded

    @property
    def subject(self) -> str:
        return str(self.event["subject"])

    def verify(self, secret: str) -> None:
        """Raises standardwebhooks.WebhookVerificationError."""
        Webhook(secret).verify(self.body, self.headers)


class Reply(msgspec.Struct, frozen=True):
    """What to answer, and how many seconds to think about it."""

    status: int = 200
    body: bytes = b"thanks"
    headers: dict[str, str] = {}
    delay: float = 0.0


class Receiver:
    """``reply`` is asked for every request; ``requests`` has all of them, also those whose answer is still to come."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.reply: Callable[[Received], Reply] = lambda _: Reply()
        self.port = 0
        self.under_way = 0
        self.most_at_once = 0

    def url(self, path: str = "/hook", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    @property
    def positions(self) -> list[int]:
        return [request.event["position"] for request in self.requests]

    async def got(self, count: int, timeout: float = 10) -> list[Received]:
        """Wait for so many requests; fails when there are more."""
        async with asyncio.timeout(timeout):
            while len(self.requests) < count:
                await asyncio.sleep(0.01)
        assert len(self.requests) == count, self.positions
        return self.requests

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in head[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                request = Received(head[0].split()[1], headers, body, asyncio.get_running_loop().time())
                self.requests.append(request)
                reply = self.reply(request)
                self.under_way += 1
                self.most_at_once = max(self.most_at_once, self.under_way)
                try:
                    await asyncio.sleep(reply.delay)
                finally:
                    self.under_way -= 1
                shown = {"content-length": str(len(reply.body)), **reply.headers}
                lines = [
                    f"HTTP/1.1 {reply.status} Whatever",
                    *(f"{name}: {value}" for name, value in shown.items()),
                ]
                writer.write("\r\n".join([*lines, "", ""]).encode() + reply.body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving(*, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a free port of 127.0.0.1."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
