"""A draft: a version as a form shows it, every field as the text that was typed, whether it is right or not."""

from collections.abc import Sequence
from typing import Any

import msgspec

from console.forms import Form, Upload
from domain.artifacts.skills import FileRef
from domain.content import MAX_CONTENT_TYPE_LENGTH, text_of

# Of a file that is written here; an upload has the type that the browser sends.
TEXT_TYPE = "text/plain"
BINARY_TYPE = "application/octet-stream"


class DraftFile(msgspec.Struct):
    """A file of a draft: as it is in the log (``kept``), or with the content ``data``.

    ``id`` is its own within the draft; ``origin`` is its path in the version that the draft starts from.
    """

    id: int
    path: str
    content_type: str
    kept: FileRef | None = None
    data: bytes | None = None
    origin: str | None = None
    is_removed: bool = False

    @property
    def size(self) -> int:
        return len(self.data) if self.data is not None else self.kept.size if self.kept else 0

    def write(self, data: bytes) -> None:
        """Give it another content."""
        self.data, self.kept = data, None


class Draft(msgspec.Struct):
    """``base`` is the version that it starts from, 0 for what is new; ``fields`` are by name.

    ``is_json``: the text is JSON, as of a chat prompt. ``remarks`` are what a merge has to say, ``is_marked`` whether it marked
    conflicts in texts.
    """

    name: str
    base: int
    text: str
    fields: dict[str, str]
    is_json: bool = False
    note: str = ""
    files: list[DraftFile] = []
    next_file: int = 1
    # Lines of an imported SKILL.md that no form shows; they stay.
    frontmatter: str = ""
    # Tags belong to the name: those that it had when the draft was begun.
    tags_before: str = ""
    remarks: list[str] = []
    is_marked: bool = False

    @property
    def standing(self) -> list[DraftFile]:
        """The files that it will have."""
        return [file for file in self.files if not file.is_removed]

    def has_changed(self, before: "Draft") -> bool:
        """Whether anything of it is not as in the version that it starts from, or as in an empty form."""
        return _shown(self) != _shown(before)

    def file(self, id: int) -> DraftFile | None:
        return next((file for file in self.files if file.id == id), None)

    def add(self, path: str, content_type: str, data: bytes) -> DraftFile:
        """A file; one that stands at the path gets the content."""
        for file in self.standing:
            if file.path == path:
                file.write(data)
                file.content_type = content_type
                return file
        added = DraftFile(self.next_file, path, content_type, data=data)
        self.next_file += 1
        self.files.append(added)
        return added


def _shown(draft: Draft) -> tuple[Any, ...]:
    fields = {name: plain(text) for name, text in draft.fields.items()}
    files = [(file.path, file.content_type, file.kept, file.data) for file in draft.standing]
    name = "" if draft.base else draft.name
    return name, draft.frontmatter, plain(draft.text), draft.is_json, plain(draft.note), fields, files


_decoder = msgspec.msgpack.Decoder(Draft)


def encode(draft: Draft) -> bytes:
    return msgspec.msgpack.encode(draft)


def decode(content: bytes) -> Draft:
    return _decoder.decode(content)


def plain(text: str) -> str:
    """A text with line feeds alone, as a form brings every text."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def with_ends_of(before: str, text: str) -> str:
    """What a form has sent of ``before``, which the browser has given other line ends."""
    if text == plain(before):
        return before
    if "\r\n" in before and before.count("\r\n") == before.count("\n"):
        return text.replace("\n", "\r\n")
    return text


def apply(draft: Draft, form: Form, names: Sequence[str]) -> None:
    """Change the draft as a form says; ``names`` are the fields of its kind. What the form has not sent stays."""
    sent = {name for name, _ in form.fields}
    if "name" in sent and not draft.base:
        draft.name = form.line("name")
    if "text" in sent:
        draft.text = with_ends_of(draft.text, form.text("text"))
    if "is_json" in sent:
        draft.is_json = form.line("is_json") == "true"
    if "note" in sent:
        draft.note = form.text("note")
    for name in names:
        if f"field.{name}" in sent:
            draft.fields[name] = with_ends_of(draft.fields[name], form.text(f"field.{name}"))
    for file in draft.files:
        if f"path.{file.id}" in sent:
            file.path = form.line(f"path.{file.id}")
            file.is_removed = f"remove.{file.id}" in sent
    for upload in form.uploads:
        take(draft, upload, form.line("folder"))


def take(draft: Draft, upload: Upload, folder: str) -> None:
    """A file that a form brings: of a name of its own, or in the place of another."""
    content_type = upload.content_type[:MAX_CONTENT_TYPE_LENGTH] or BINARY_TYPE
    if content_type == BINARY_TYPE and text_of(upload.data) is not None:
        content_type = TEXT_TYPE
    if upload.name.startswith("replace."):
        number = upload.name.removeprefix("replace.")
        file = draft.file(int(number)) if number.isdecimal() and len(number) < 9 else None
        if file is not None:
            file.write(upload.data)
            file.content_type = content_type
        return
    folder = folder.strip("/")
    draft.add(f"{folder}/{upload.filename}" if folder else upload.filename, content_type, upload.data)
