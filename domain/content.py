"""Contents by digest, text edits and file paths: the rules that every versioned text shares."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from domain.errors import EditFailed, Invalid, TooBig

MAX_CONTENT_BYTES = 1_000_000
MAX_PATH_LENGTH = 500
MAX_CONTENT_TYPE_LENGTH = 100
MAX_FILES = 200
MAX_EDITS = 1000  # in one list; what changes in more places is better sent as the whole text
# Characters that all edits of one request may look through together, each its whole text: a tenth of a second for edits as
# people make them, some seconds of a thread for texts and edits that are made to be hard to search.
MAX_EDIT_WORK = 100_000_000
EDIT_COST = 1_000  # what an edit of an empty text counts: many edits of little files are work, too
# Bytes of the texts that the edits of one request start from: they are all in memory, as what a request brings is.
MAX_EDITED_BYTES = 32 * 1024 * 1024

SKILL_MD = "skill.md"

# Characters that a file system ignores, so that a name with them is one without them there.
IGNORED = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u206a-\u206f\ufe00-\ufe0f\ufeff]")
# What git keeps for itself, with what else names it: spaces and dots at the end, which Windows drops, its streams (``:``)
# and short names (``~1``).
DOT_GIT = re.compile(r"(\.git|git~[0-9]|\.gitmodules|gitmod~[0-9])[ .]*(:.*)?", re.IGNORECASE | re.DOTALL)
DRIVE = re.compile(r"[A-Za-z]:")
# Every ASCII path that ``is_unsafe`` has this in it.
SUSPECT = re.compile(r"git|skill\.md/|^[a-z]:", re.IGNORECASE | re.MULTILINE)

F = TypeVar("F")


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


def line_count(text: str) -> int:
    """How many lines a text has; a last one without an end counts, too."""
    return text.count("\n") + (text != "" and not text.endswith("\n"))


class Edit(msgspec.Struct, frozen=True):
    """Replace the one occurrence of ``old`` by ``new``."""

    old: str
    new: str


class EditWork:
    """The work that the edits of one request have done; it is bounded before each of them."""

    def __init__(self) -> None:
        self._left = MAX_EDIT_WORK

    def spend(self, characters: int, attr: str, **where: Any) -> None:
        """Count an edit of a text of so many characters. Raises Invalid when that is more than a request may ask for."""
        self._left -= characters + EDIT_COST
        if self._left < 0:
            raise Invalid(
                f"The edits look through more than {MAX_EDIT_WORK:,} characters together; send fewer at once, "
                "or the whole text.",
                code="too_much_work",
                attr=attr,
                **where,
            )


def edit_cost(texts: Iterable[tuple[int, int]]) -> int:
    """What edits will look through at least: for each text its size in bytes and the number of its edits."""
    return sum(count * (size + EDIT_COST) for size, count in texts)


def check_edited(refs: Sequence[Ref], attr: str) -> None:
    """Raises Invalid when the texts that edits start from are more than may be in memory for one request."""
    if sum(ref.size for ref in refs) > MAX_EDITED_BYTES:
        raise Invalid(
            f"The edited files have more than {MAX_EDITED_BYTES:,} bytes together; edit fewer at once.",
            code="max_size",
            attr=attr,
        )


def apply_edits(
    text: str,
    edits: Sequence[Edit],
    *,
    attr: str,
    max_bytes: int = MAX_CONTENT_BYTES,
    work: EditWork | None = None,
    **where: Any,
) -> str:
    """Each edit applied to the result of the one before.

    ``attr`` is the path of the list of edits (``edits``, ``file_edits__0__edits``), ``where`` goes into every error.
    ``work`` is that of the whole request. Raises EditFailed when ``old`` does not occur exactly once, TooBig when the
    result is over ``max_bytes``, Invalid (too_much_work) before an edit that is one too many.
    """
    work = work or EditWork()
    for index, edit in enumerate(edits):
        work.spend(len(text), f"{attr}__{index}", edit_index=index, **where)
        count = text.count(edit.old)
        if count != 1:
            if count == 0:
                code, hint = "edit_not_found", _why_not_found(text, edit.old)
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


def _why_not_found(text: str, old: str) -> str:
    """How ``old`` has to change. Line ends cannot be seen, and many editors and clients replace them."""
    if "\n" in old and "\r\n" in text and "\r" not in old:
        return (
            "The text has lines that end with CRLF (\\r\\n), and this has LF alone (\\n): write \\r\\n in it."
        )
    if "\r\n" in old and "\r" not in text:
        return "The text has lines that end with LF (\\n), and this has CRLF (\\r\\n): write \\n in it."
    return "It must occur exactly once; copy it from the current text."


def too_big(limit: int, *, attr: str | None = None, **extra: Any) -> TooBig:
    return TooBig(f"The content is larger than the limit of {limit:,} bytes.", attr=attr, **extra)


def check_path(path: str) -> str:
    """A file path that a version may have, in its one normal form. Raises Invalid; ``attr`` is left to the caller."""
    path = normal_path(path)
    first, *rest = path.split("/")
    if rest and first.casefold() == SKILL_MD:
        raise Invalid("SKILL.md is reserved: it is the skill's own body, no folder.", code="reserved_path")
    if any(is_dot_git(segment) for segment in (first, *rest)):
        raise Invalid(
            "'.git' and '.gitmodules' are git's own, however they are written: name the file or folder otherwise.",
            code="unsafe_path",
        )
    if DRIVE.match(path):
        raise Invalid("A path is relative: it may not start with a drive letter.", code="unsafe_path")
    return path


def normal_path(path: str) -> str:
    """The normal form of a path to look up, which may be one that ``check_path`` refuses today. Raises Invalid."""
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
    if path.casefold() == SKILL_MD:
        raise Invalid("SKILL.md is reserved: it is the skill's own body.", code="reserved_path")
    return path


def is_dot_git(segment: str) -> bool:
    """Whether a file system may take the name for git's own: a checkout with such a file runs what it says."""
    return DOT_GIT.fullmatch(segment if segment.isascii() else IGNORED.sub("", segment)) is not None


def is_unsafe(path: str) -> bool:
    """Whether an old version has a path that ``check_path`` refuses today. Such a file is in the log alone."""
    try:
        check_path(path)
    except Invalid:
        return True
    return False


def served(files: Mapping[str, F]) -> Mapping[str, F]:
    """The files by path that leave the registry: all but unsafe ones. The same object when there is none."""
    joined = "\n".join(files)
    if joined.isascii() and SUSPECT.search(joined) is None:
        return files
    kept = {path: file for path, file in files.items() if not is_unsafe(path)}
    return files if len(kept) == len(files) else kept


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
