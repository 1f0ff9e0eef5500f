"""Packs what is large and may be packed by gzip for clients that take it.

An answer says by ``Vary: Accept-Encoding`` that it may be (see ``VARY_ENCODING`` in ``api.http.responses``): lists, pages of events, what is
compared or searched, the OpenAPI document. Skills, prompts and files are not: their entity tags stand for the bytes that are kept,
and writes ask for them by ``If-Match``. What is packed has a strong tag of its own (the same text gives the same bytes), which
``If-None-Match`` takes as the tag of the plain one (see ``api.http.responses.matches``).
"""

import gzip
from functools import lru_cache
from typing import Any

from api.cache.lru import LRU
from api.http.responses import Answer, Header, header, packed_tag, send_answer
from api.offload import offload
from domain.errors import Unavailable

# Below it the packed body and the two headers save no packet.
SMALLEST = 1_024
# Up to it a body is packed where the event loop runs, in about 1 ms.
INLINE = 65_536
# Three quarters of what the best level saves, at a fifth of its time.
LEVEL = 1
# Bytes of packed bodies that are kept, by entity tag: what is requested again and again, such as the OpenAPI document.
KEPT = 4 * 1024 * 1024


class Compression:
    """ASGI middleware around the Litestar application."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._kept: LRU[bytes, bytes] = LRU(KEPT)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not takes_gzip(header(scope["headers"], b"accept-encoding")):
            await self._app(scope, receive, send)
            return
        start: Any = None

        async def answer(message: Any) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _varies(message["headers"]):
                # How long the answer is shows when its body comes.
                start = message
                return
            if start is None:
                await send(message)
                return
            begun, start = start, None
            if message.get("more_body"):
                await send(begun)
                await send(message)
            else:
                plain = Answer(begun["status"], list(begun["headers"]), message.get("body", b""))
                await send_answer(send, await self._packed(plain, header(scope["headers"], b"if-none-match")))

        await self._app(scope, receive, answer)

    async def _packed(self, plain: Answer, condition: bytes | None) -> Answer:
        headers = [pair for pair in plain.headers if pair[0].lower() != b"content-length"]
        etag = header(headers, b"etag")
        if plain.status == 304 and etag is not None and condition is not None:
            # The tag of what the client has, or would get.
            if packed_tag(etag) in condition or self._kept.get(etag) is not None:
                headers = _tagged(headers)
            return plain._replace(headers=headers)
        if plain.status != 200 or len(plain.body) < SMALLEST:
            return plain._replace(headers=headers)
        body = self._kept.get(etag) if etag is not None else None
        if body is None:
            try:
                body = await _pack(plain.body)
            except Unavailable:
                # The work that the threads are for comes first.
                return plain._replace(headers=headers)
            if etag is not None:
                self._kept.put(etag, body, len(body))
        return Answer(200, [*_tagged(headers), (b"content-encoding", b"gzip")], body)


async def _pack(body: bytes) -> bytes:
    if len(body) <= INLINE:
        return gzip.compress(body, LEVEL, mtime=0)
    return await offload(gzip.compress, body, LEVEL, mtime=0)


@lru_cache(maxsize=256)
def takes_gzip(accepted: bytes | None) -> bool:
    """Whether an ``Accept-Encoding`` names gzip, or all, with a weight above 0."""
    weights: dict[bytes, bool] = {}
    for part in (accepted or b"").lower().split(b","):
        name, *parameters = (piece.strip() for piece in part.split(b";"))
        refused = any(one.startswith(b"q=") and not one[2:].strip(b"0.") for one in parameters)
        weights[name] = not refused
    return weights.get(b"gzip", weights.get(b"x-gzip", weights.get(b"*", False)))


def _varies(headers: list[Header]) -> bool:
    return any(name == b"vary" and b"accept-encoding" in value for name, value in headers)


def _tagged(headers: list[Header]) -> list[Header]:
    return [(name, packed_tag(value) if name == b"etag" else value) for name, value in headers]
