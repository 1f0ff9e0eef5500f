"""Answers without an end: they end when the reader leaves, when they have nothing to say, and when the process closes."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from litestar.response import Stream

from api.cache.log_follower import LogFollower
from domain.errors import Refused

logger = logging.getLogger(__name__)

# Seconds that a reader has, when the process closes, to take what is on its way to it.
END_TIMEOUT = 2.0


class CutStream(Stream):
    """A stream whose connection is cut when it cannot go on, so that what came is not taken for all there is."""

    def to_asgi_response(self, *args: Any, **options: Any) -> Any:
        return Cutting(super().to_asgi_response(*args, **options))


class EndlessStream(CutStream):
    """A stream of bytes that does not hold up the end of the process, even with a reader that has stopped reading.

    A chunk is made when the one before is in the hands of the connection, so a slow reader costs two.
    """

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        log_follower: LogFollower,
        *,
        media_type: str,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(chunks, media_type=media_type, headers=dict(headers))
        self._log_follower = log_follower

    def to_asgi_response(self, *args: Any, **options: Any) -> Any:
        return _Ending(super().to_asgi_response(*args, **options), self._log_follower)


class Cutting:
    """An ASGI response that ends by a cut when its parts are refused on the way, or the database is lost."""

    def __init__(self, response: Any) -> None:
        self._response = response

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._response(scope, receive, send)
        except* (Refused, psycopg.OperationalError) as errors:
            reason: BaseException = errors
            while isinstance(reason, BaseExceptionGroup):
                reason = reason.exceptions[0]
            logger.warning("an answer is cut off: %s", str(reason).strip() or type(reason).__name__)
            cut(scope.get("client"))
            # The server finds out by itself; to end before that would look like a mistake of ours.
            with suppress(TimeoutError):
                async with asyncio.timeout(END_TIMEOUT):
                    while (await receive())["type"] != "http.disconnect":
                        pass


class _Ending:
    """An ASGI response whose connection is cut when it is still there some time after the process began to close.

    The server waits until everything is sent, and ASGI has no word for giving up a connection.
    """

    def __init__(self, response: Any, log_follower: LogFollower) -> None:
        self._response = response
        self._log_follower = log_follower

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        loop, client = asyncio.get_running_loop(), scope.get("client")

        def cut_later() -> None:
            loop.call_later(END_TIMEOUT, cut, client)

        self._log_follower.on_closing.add(cut_later)
        try:
            await self._response(scope, receive, send)
        finally:
            self._log_follower.on_closing.discard(cut_later)


def cut(client: tuple[str, int | str] | None) -> None:
    """Cut this process's connection with a client, if there is one."""
    folder = Path("/proc/self/fd")
    if client is None or not folder.exists():
        return
    for entry in folder.iterdir():
        with suppress(OSError):
            if not entry.readlink().name.startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(entry.name))) as connection:
                address = connection.getpeername()
                # A server may give the port as text; peers of UNIX sockets have none.
                if len(address) > 1 and (address[0], str(address[1])) == (client[0], str(client[1])):
                    connection.shutdown(socket.SHUT_RDWR)
