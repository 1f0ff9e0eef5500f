"""Forms of multipart/form-data: one or more files, and short texts.

The framework's own reader takes texts of any size in whatever encoding a part names, on the event loop: a megabyte of punycode
keeps that for minutes. Here a text is short and UTF-8, and all of it runs wherever the caller lets it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from api.http.errors import ParseError

MEDIA_TYPE = "multipart/form-data"
MAX_PARTS = 100
MAX_TEXT_BYTES = 10_000
# What is given to the parser at once: it copies the rest of that for each part.
PIECE = 65_536

# By name, in their order: a text as str, a file as bytes.
Form = dict[str, list[str | bytes]]


class Part(NamedTuple):
    """A part of a form; ``filename`` is empty for a text."""

    name: str
    filename: str
    value: str | bytes


def parse(body: bytes, content_type: str) -> Form:
    """Raises ParseError."""
    form: Form = {}
    for part in parts(body, content_type):
        form.setdefault(part.name, []).append(part.value)
    return form


def parts(body: bytes, content_type: str, most: int = MAX_PARTS) -> list[Part]:
    """At most ``most`` parts in their order. Raises ParseError."""
    if not body:
        return []
    _, options = parse_options_header(content_type)
    try:
        return [
            Part(segment.name or "", segment.filename or "", data if segment.filename else _text(data))
            for segment, data in _parts(body, options.get("boundary", ""), most)
        ]
    except (MultipartError, UnicodeEncodeError):
        raise ParseError(f"The body is no valid multipart/form-data of at most {most} parts.") from None


def _parts(body: bytes, boundary: str, most: int) -> Iterator[tuple[MultipartSegment, bytes]]:
    with PushMultipartParser(boundary, max_segment_count=most) as parser:
        segment: MultipartSegment | None = None
        pieces: list[bytes] = []
        for start in range(0, len(body), PIECE):
            for event in parser.parse(body[start : start + PIECE]):
                if isinstance(event, MultipartSegment):
                    segment, pieces = event, []
                elif event:
                    pieces.append(bytes(event))
                elif segment is not None:
                    yield segment, b"".join(pieces)


def _text(data: bytes) -> str:
    if len(data) > MAX_TEXT_BYTES:
        raise ParseError(
            f"A text field has at most {MAX_TEXT_BYTES:,} bytes; send the archive with a file name."
        )
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ParseError("A field of the form is no text; send the archive with a file name.") from None
