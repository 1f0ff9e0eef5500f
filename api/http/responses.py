"""Answers as plain values (status, headers, body): entity tags, conditional requests, and how they are sent.

The hot path sends them as they are; controllers wrap them in a Litestar response.
"""

from collections.abc import AsyncIterator, Collection, Iterable
from typing import Any, NamedTuple

from litestar import Response

from api.http.state import HEAD_ONLY, LEFT
from api.http.stream import Cutting
from projections.encoding import NOT_YANKED, etag_of
from projections.read.versions import Version

Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
VARY_ACCEPT: Header = (b"vary", b"accept")
# Says that ``api.server.compression`` may pack the answer; it then has another entity tag, so no write may ask for that by If-Match.
VARY_ENCODING: Header = (b"vary", b"accept-encoding")
# Tells a fixed version from everything that may change.
IMMUTABLE = b"private, max-age=31536000, immutable"
# May be kept, but must be revalidated before each use.
REVALIDATE = b"private, no-cache"

# What says of an answer without JSON of its own that it is of a version that should not be used any more.
YANKED: Header = (b"x-yanked", b"true")

# An ASGI extension, of servers that take an answer in one message and put it into one packet; also the message's type.
# RESULTS.md: "an answer in one write instead of two"
WHOLE = "skald.response.whole"


class Answer(NamedTuple):
    """A whole answer; ``headers`` has everything but the content length."""

    status: int
    headers: list[Header]
    body: bytes


class LongAnswer(NamedTuple):
    """An answer of ``length`` bytes that are made while they are sent."""

    status: int
    headers: list[Header]
    length: int
    pieces: AsyncIterator[bytes]


def yanked(version: Version) -> list[Header]:
    """What an exact read says of a version beside its bytes, which are the same whether it is yanked or not."""
    return [] if version.yanked == NOT_YANKED else [YANKED]


def matches(condition: bytes, etag: bytes) -> bool:
    """Whether an ``If-None-Match`` names ``etag``, plain or packed: by weak comparison, as RFC 9110 has it for reads."""
    if condition == etag or condition.strip() == b"*":
        return True
    tags = (etag, packed_tag(etag))
    return any(tag.strip().removeprefix(b"W/") in tags for tag in condition.split(b","))


def packed_tag(etag: bytes) -> bytes:
    """The entity tag of the same representation packed by gzip."""
    return etag[:-1] + b'-gzip"'


def matches_strongly(condition: bytes, etag: bytes) -> bool:
    """Whether an ``If-Match`` names ``etag``: a weak tag never does, as RFC 9110 has it for writes."""
    if condition == etag or condition.strip() == b"*":
        return True
    return any(tag.strip() == etag for tag in condition.split(b","))


def header(headers: Iterable[Header], name: bytes) -> bytes | None:
    """The header of that lower-case name in an ASGI scope; several of one name are a list, as RFC 9110 has it."""
    found: bytes | None = None
    for key, value in headers:
        if key == name:
            found = value if found is None else b"%b, %b" % (found, value)
    return found


def headers_by_name(headers: Collection[Header]) -> dict[bytes, bytes]:
    """All of them, for a request of which several are needed; one that came more than once as ``header`` has it."""
    found = dict(headers)
    if len(found) < len(headers):
        return {name: header(headers, name) or b"" for name in found}
    return found


def json_answer(
    body: bytes,
    if_none_match: bytes | None = None,
    *,
    etag: bytes | None = None,
    status: int = 200,
    cache_control: bytes = REVALIDATE,
    extra: Iterable[Header] = (),
) -> Answer:
    """A JSON answer with its entity tag, or 304 without a body when the client has it already.

    ``etag`` is computed from the body when it is not given (stored answers carry theirs).
    """
    tag = etag or etag_of(body)
    if if_none_match is not None and matches(if_none_match, tag):
        return unchanged(tag, cache_control, extra)
    return Answer(status, [(b"etag", tag), (b"cache-control", cache_control), *extra, JSON], body)


def not_modified(if_none_match: bytes | None, headers: list[Header]) -> Answer | None:
    """304 when the client has the representation already, whose entity tag is the first of ``headers``."""
    if if_none_match is None or not matches(if_none_match, headers[0][1]):
        return None
    return Answer(304, headers, b"")


def typed_answer(
    media_type: bytes, body: bytes, if_none_match: bytes | None, headers: list[Header]
) -> Answer:
    """An answer of any type with ``headers``, of which the entity tag is the first, or 304."""
    return not_modified(if_none_match, headers) or Answer(
        200, [(b"content-type", media_type), *headers], body
    )


def unchanged(etag: bytes, cache_control: bytes, extra: Iterable[Header] = ()) -> Answer:
    """The 304 to a client that has the representation already."""
    return Answer(304, [(b"etag", etag), (b"cache-control", cache_control), *extra], b"")


def with_length(answer: Answer) -> list[Header]:
    """Its headers, the content length too."""
    # A 304 may not tell a length of its own: it would be taken for that of the representation.
    if answer.status in (204, 304):
        return answer.headers
    return [*answer.headers, (b"content-length", b"%d" % len(answer.body))]


async def send_answer(send: Any, answer: Answer) -> None:
    """Send an answer through an ASGI ``send``."""
    await send({"type": "http.response.start", "status": answer.status, "headers": with_length(answer)})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


async def send_whole(send: Any, answer: Answer) -> None:
    """The same as one message, for callers with nothing between them and ``api.server.observability``, which knows what to do with it."""
    await send({"type": WHOLE, "status": answer.status, "headers": with_length(answer), "body": answer.body})


class RawResponse(Response[Any]):
    """An answer that is whole: Litestar sends it as it is, and spends no time on rendering it."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        async def respond(scope: Any, receive: Any, send: Any) -> None:
            await send_answer(send, self.answer)

        return respond


class RawStream(Response[Any]):
    """An answer that is sent piece by piece, each when the one before is in the hands of the connection."""

    def __init__(self, answer: LongAnswer) -> None:
        self.answer = answer

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        async def respond(scope: Any, receive: Any, send: Any) -> None:
            status, headers, length, pieces = self.answer
            headers = [*headers, (b"content-length", b"%d" % length)]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            state = scope["state"]
            if HEAD_ONLY not in state:
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    if LEFT in state:
                        # Without a reader, no more chunks are made.
                        return
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        return Cutting(respond)


def to_response(answer: Answer | LongAnswer) -> Response[Any]:
    """The same as a Litestar response, for controllers."""
    return RawResponse(answer) if isinstance(answer, Answer) else RawStream(answer)
