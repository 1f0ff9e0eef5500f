"""What forms send, and the message that the next page shows for it. Where a form comes from is checked in ``console.access``."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from api.http.errors import ParseError, UnsupportedMediaType
from api.http.requests import header_of
from api.http.responses import Header
from api.offload import heavy
from console.access import Connection, is_secure
from domain.errors import TooBig

MEDIA_TYPE = b"application/x-www-form-urlencoded"
WITH_FILES = b"multipart/form-data"
MAX_FIELDS = 500  # of a form; the largest has two fields for each file of a skill
MAX_BYTES = 16_000_000  # of a form with files: the largest texts and files that a draft takes
# Of any other form. Texts of any size come in the one above; to read each of a million escapes takes half a second.
MAX_PLAIN_BYTES = 1_000_000
PIECE = 65_536  # is given to the parser of files at once: it copies the rest of that for each field

MALFORMED = "The form is malformed, or has too many fields."

INTEGER = re.compile(r"[0-9]{1,9}")

FLASH = "skald_console_flash"
FLASH_SECONDS = 60  # within which the next page comes
MAX_FLASH = 500  # characters


class Upload(msgspec.Struct, frozen=True):
    """A file in the field ``name``; its own name has no folders."""

    name: str
    filename: str
    content_type: str
    data: bytes


class Form(msgspec.Struct, frozen=True):
    """The fields of a form; of several with one name the last counts, see ``all``."""

    fields: Annotated[list[tuple[str, str]], msgspec.Meta(max_length=MAX_FIELDS)]
    uploads: Annotated[list[Upload], msgspec.Meta(max_length=MAX_FIELDS)] = []

    def text(self, name: str) -> str:
        """A field as it was sent, empty when it is missing."""
        return next((value for key, value in reversed(self.fields) if key == name), "")

    def line(self, name: str) -> str:
        """A field without white space around it."""
        return self.text(name).strip()

    def joined(self, name: str) -> str:
        """A field in one line, however many a person has written."""
        return " ".join(self.text(name).split())

    def integer(self, name: str) -> int | str:
        """A field as a number when it is one of at most 9 digits; as it is otherwise, for a rule to refuse it."""
        text = self.line(name)
        return int(text) if INTEGER.fullmatch(text) else text

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]


async def form_of(request: Request[Any, Any, Any]) -> Form:
    """Raises UnsupportedMediaType, ParseError, TooBig, and what a body that is too large raises."""
    content_type = header_of(request, b"content-type") or b""
    media_type = content_type.partition(b";")[0].strip().lower()
    if media_type not in (MEDIA_TYPE, WITH_FILES):
        raise UnsupportedMediaType(
            "Send the form as application/x-www-form-urlencoded or multipart/form-data."
        )
    body = await request.body()
    most = MAX_BYTES if media_type == WITH_FILES else MAX_PLAIN_BYTES
    if len(body) > most:
        raise TooBig(f"A form has at most {most:,} bytes; this has {len(body):,}.")
    if media_type == MEDIA_TYPE:
        return await heavy(len(body), lambda: _fields(body))
    return await heavy(len(body), lambda: _parts(body, content_type.decode("latin-1")))


def _fields(body: bytes) -> Form:
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise ParseError(MALFORMED) from None
    return Form([(name, _plain(value)) for name, value in fields])


def _parts(body: bytes, content_type: str) -> Form:
    """A form with files. Fields without a file name are texts; a file that was not chosen has none and no bytes."""
    _, options = parse_options_header(content_type)
    form = Form([], [])
    segment: MultipartSegment | None = None
    pieces: list[bytes] = []
    try:
        with PushMultipartParser(options.get("boundary", ""), max_segment_count=MAX_FIELDS) as parser:
            for start in range(0, len(body), PIECE):
                for event in parser.parse(body[start : start + PIECE]):
                    if isinstance(event, MultipartSegment):
                        segment, pieces = event, []
                    elif event:
                        pieces.append(bytes(event))
                    elif segment is not None:
                        _take(form, segment, b"".join(pieces))
    except (MultipartError, ValueError):
        raise ParseError(MALFORMED) from None
    return form


def _take(form: Form, segment: MultipartSegment, data: bytes) -> None:
    name = segment.name or ""
    if segment.filename is None:
        form.fields.append((name, _plain(data.decode())))
    elif segment.filename:
        filename = segment.filename.replace("\\", "/").rpartition("/")[2]
        content_type = (segment.content_type or "").partition(";")[0].strip()
        form.uploads.append(Upload(name, filename, content_type, data))


def _plain(text: str) -> str:
    """Browsers end the lines of a text by CRLF, whatever it had before."""
    return text.replace("\r\n", "\n")


class Flash(msgspec.Struct, frozen=True):
    """A sentence for the next page: what was done, or why it was not."""

    kind: Literal["done", "refused"]
    text: str


_flash = msgspec.json.Decoder(Flash)


def flash(connection: Connection, kind: Literal["done", "refused"], text: str) -> Header:
    """The header that leaves a message with the browser until its next page."""
    value = urlsafe_b64encode(msgspec.json.encode(Flash(kind, text[:MAX_FLASH]))).decode()
    return cookie(connection, FLASH, value, FLASH_SECONDS)


def flash_of(connection: Connection) -> Flash | None:
    """The message that was left, if there is one. It is text, whatever it holds."""
    value = connection.cookies.get(FLASH)
    if not value:
        return None
    try:
        return _flash.decode(urlsafe_b64decode(value))
    except (ValueError, msgspec.MsgspecError):
        return None


def no_flash(connection: Connection) -> Header:
    return cookie(connection, FLASH, "", 0)


def cookie(connection: Connection, name: str, value: str, seconds: int) -> Header:
    """A cookie that no script sees and no other site sends along; 0 seconds end it."""
    secure = "; Secure" if is_secure(connection) else ""
    text = f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    return b"set-cookie", text.encode()
