"""Skills as the SDKs send them: a form with a part for each file, named ``folder/path``, or with one zip."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec
from litestar import Request

from api.http.errors import UnsupportedMediaType
from api.http.query import BOOLEANS
from api.http.requests import header_of
from api.offload import offload
from api.payload import forms
from api.payload.forms import Part
from api.sdk.schemas import MAX_DISPLAY_NAME
from api.services import services
from domain.content import MAX_FILES
from domain.errors import Invalid
from domain.formats import incoming
from domain.formats.archives import SKILL_MD, Limits
from domain.formats.incoming import Incoming
from domain.formats.skill_md import Document
from domain.names import check_line

# All files of a skill, SKILL.md, what macOS leaves beside files, and a few texts.
MAX_PARTS = 2 * MAX_FILES
FILES = ("files", "files[]")
DISPLAY_NAMES = ("display_name", "display_title")
JSON = "application/json"


class Upload(msgspec.Struct, frozen=True):
    """A sound skill under one top folder, and what came with it."""

    skill: Incoming
    document: Document
    display_name: str
    default: bool
    parts: Sequence[Part]

    def identity(self) -> bytes:
        """The same for the same parts, whatever their boundary is."""
        shown = [
            (part.name, part.filename, sha256(part.value).hexdigest())
            if isinstance(part.value, bytes)
            else (part.name, part.value)
            for part in self.parts
        ]
        return msgspec.json.encode(shown)


async def upload_of(request: Request[Any, Any, Any]) -> Upload:
    """Raises UnsupportedMediaType, ParseError, Invalid."""
    content_type = (header_of(request, b"content-type") or b"").decode("latin-1")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == JSON:
        # What an SDK sends that was given no files.
        raise _missing()
    if media_type != forms.MEDIA_TYPE:
        raise UnsupportedMediaType(f"Send the files of the skill as {forms.MEDIA_TYPE}.")
    body = await request.body()
    return await offload(read, body, content_type, services(request).archive_limits)


def read(body: bytes, content_type: str, limits: Limits) -> Upload:
    """Raises ParseError, Invalid."""
    parts = forms.parts(body, content_type, MAX_PARTS)
    texts: dict[str, str] = {}
    files: list[tuple[str, bytes]] = []
    for part in parts:
        if part.name in FILES:
            if not isinstance(part.value, bytes):
                raise Invalid("Send each of the files with a file name.", attr="files")
            files.append((part.filename, part.value))
        elif isinstance(part.value, str):
            texts[part.name] = part.value
    shown = display_name_of(texts)
    default = default_of(texts)
    skill = _skill(files, limits)
    incoming.check(skill, "files")
    assert skill.document is not None
    if not skill.folder:
        raise Invalid(
            f"All files must lie under one top folder, SKILL.md in it: send them as '{skill.name}/{SKILL_MD}' and so on.",
            code="no_top_folder",
            attr="files",
        )
    return Upload(skill, skill.document, shown, default, parts)


def _skill(files: list[tuple[str, bytes]], limits: Limits) -> Incoming:
    if not files:
        raise _missing()
    name, data = files[0]
    if len(files) == 1 and name.rpartition("/")[2].lower() != SKILL_MD.lower():
        return incoming.read(data, limits)
    return incoming.read_files(files, limits)


def display_name_of(texts: dict[str, str]) -> str:
    """Empty where the name is shown. Raises Invalid."""
    for field in DISPLAY_NAMES:
        if text := texts.get(field, "").strip():
            if len(text) > MAX_DISPLAY_NAME:
                raise Invalid(f"Use at most {MAX_DISPLAY_NAME} characters.", code="max_length", attr=field)
            try:
                return check_line(text)
            except Invalid as error:
                raise error.within(field) from None
    return ""


def default_of(texts: dict[str, str]) -> bool:
    """Raises Invalid."""
    text = texts.get("default") or "false"
    if text not in BOOLEANS:
        raise Invalid("This must be true or false.", attr="default")
    return text == "true"


def _missing() -> Invalid:
    return Invalid(
        "This field is required: the files of a skill, each with folder/path as its file name, or one zip.",
        code="required",
        attr="files",
    )
