"""Contents by digest, text edits and file paths: the rules that every versioned text shares."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from domain.errors import EditFailed, Invalid, TooBig

MAX_CONTENT_BYTES = 1_000_000
MAX_PATH_LENGTH = 500
MAX_CONTENT_TYPE_LENGTH = 100
MAX_FILES = 200


class Ref(msgspec.Struct, frozen=True):
    """Where a content is found: ``sha256`` in hex, ``size`` in bytes."""

    sha256: str
    size: int

    @property
    def digest(self) -> bytes:
        return bytes.fromhex(self.sha256)


class Content(msgspec.Struct, frozen=True):
    """Bytes and their address; ``digest`` is that of ``ref``."""

    data: bytes
    ref: Ref
    digest: bytes

    @classmethod
    def of(cls, value: str | bytes) -> "Content":
        data = value.encode() if isinstance(value, str) else value
        digest = hashlib.sha256(data).digest()
        return cls(data, Ref(digest.hex(), len(data)), digest)


def text_of(data: bytes) -> str | None:
    """The content as text; None when it is none: not UTF-8, or with a NUL, which no JSON text of ours may hold."""
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


class Edit(msgspec.Struct, frozen=True):
    """Replace the one occurrence of ``old`` by ``new``."""

    old: str
    new: str


def apply_edits(
    text: str, edits: Sequence[Edit], *, attr: str, max_bytes: int = MAX_CONTENT_BYTES, **where: Any
) -> str:
    """Each edit applied to the result of the one before.

    ``attr`` is the path of the list of edits (``edits``, ``file_edits__0__edits``), ``where`` goes into every error.
    Raises EditFailed when ``old`` does not occur exactly once, TooBig when the result is over ``max_bytes``.
    """
    for index, edit in enumerate(edits):
        count = text.count(edit.old)
        if count != 1:
            if count == 0:
                code, hint = "edit_not_found", "It must occur exactly once; copy it from the current text."
            else:
                code, hint = (
                    "edit_ambiguous",
                    "It must occur exactly once; include more of the text around it.",
                )
            raise EditFailed(
                f"The text to replace occurs {count} times. {hint}",
                code=code,
                attr=f"{attr}__{index}__old",
                edit_index=index,
                **where,
            )
        text = text.replace(edit.old, edit.new, 1)
    # No character has more than four bytes.
    if len(text) * 4 > max_bytes and len(text.encode()) > max_bytes:
        raise too_big(max_bytes, attr=f"{attr}__{len(edits) - 1}__new", edit_index=len(edits) - 1, **where)
    return text


def too_big(limit: int, *, attr: str | None = None, **extra: Any) -> TooBig:
    return TooBig(f"The content is larger than the limit of {limit:,} bytes.", attr=attr, **extra)


def check_path(path: str) -> str:
    """A file path in its one normal form. Raises Invalid; ``attr`` is left to the caller."""
    if not path:
        raise Invalid("A path may not be blank.", code="blank")
    path = path.replace("\\", "/")
    if len(path) > MAX_PATH_LENGTH:
        raise Invalid(f"A path has at most {MAX_PATH_LENGTH} characters.", code="max_length")
    if any(ord(char) < 32 or 127 <= ord(char) < 160 for char in path):
        raise Invalid("A path may not contain control characters.", code="invalid_path")
    if path.startswith("/"):
        raise Invalid("A path is relative: it may not start with '/'.", code="invalid_path")
    if path.endswith("/"):
        raise Invalid("A path names a file: it may not end with '/'.", code="invalid_path")
    if any(segment in ("", ".", "..") for segment in path.split("/")):
        raise Invalid("A path may not have empty, '.' or '..' segments.", code="invalid_path")
    if path.lower() == "skill.md":
        raise Invalid("SKILL.md is reserved: it is the skill's own body.", code="reserved_path")
    return path


def check_tree(paths: Iterable[str], *, attr: str = "files") -> None:
    """Normal paths that must fit in one folder tree. Raises Invalid that blames the first path that does not.

    ``attr`` is the path of the list; empty when the caller puts it before.
    """
    prefix = f"{attr}__" if attr else ""
    files: set[str] = set()
    folders: set[str] = set()
    for index, path in enumerate(paths):
        where = f"{prefix}{index}__path"
        if path in files:
            raise Invalid(f"The path '{path}' is given more than once.", code="duplicate_path", attr=where)
        parents = parent_folders(path)
        clash = next((folder for folder in parents if folder in files), path if path in folders else None)
        if clash is not None:
            raise Invalid(
                f"'{clash}' cannot be a file and a folder at once.", code="path_conflict", attr=where
            )
        files.add(path)
        folders.update(parents)


def parent_folders(path: str) -> list[str]:
    """``a/b/c`` gives ``a`` and ``a/b``."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def clashes(path: str, existing: Iterable[str]) -> bool:
    """Whether ``path`` would be a file where ``existing`` paths have a folder, or the other way round."""
    parents = set(parent_folders(path))
    prefix = path + "/"
    return any(other in parents or other.startswith(prefix) for other in existing)
