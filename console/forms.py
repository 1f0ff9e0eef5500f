"""What forms send, and the message that the next page shows for it. Where a form comes from is checked in ``console.access``."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec
from litestar import Request

from api.http.errors import ParseError, UnsupportedMediaType
from api.http.requests import header_of
from api.http.responses import Header
from console.access import Connection, is_secure

MEDIA_TYPE = b"application/x-www-form-urlencoded"
MAX_FIELDS = 500  # of a form; the largest has a field for each file of a skill

FLASH = "skald_console_flash"
FLASH_SECONDS = 60  # within which the next page comes
MAX_FLASH = 500  # characters


class Form(msgspec.Struct, frozen=True):
    """The fields of a form; of several with one name the last counts, see ``all``."""

    fields: list[tuple[str, str]]

    def text(self, name: str) -> str:
        """A field as it was sent, empty when it is missing."""
        return next((value for key, value in reversed(self.fields) if key == name), "")

    def line(self, name: str) -> str:
        """A field without white space around it."""
        return self.text(name).strip()

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]


async def form_of(request: Request[Any, Any, Any]) -> Form:
    """Raises UnsupportedMediaType, ParseError, and what a body that is too large raises."""
    media_type = (header_of(request, b"content-type") or b"").partition(b";")[0].strip().lower()
    if media_type != MEDIA_TYPE:
        raise UnsupportedMediaType("Send the form as application/x-www-form-urlencoded.")
    body = await request.body()
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise ParseError("The form is malformed, or has too many fields.") from None
    # Browsers end the lines of a text by CRLF, whatever it had before.
    return Form([(name, value.replace("\r\n", "\n")) for name, value in fields])


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
