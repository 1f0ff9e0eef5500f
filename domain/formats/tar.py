"""A tar as its members, read without trust: one pass over its blocks, whose work is bounded by their number.

The ``tarfile`` of the library cannot be bounded from outside: a size in an extension header sends it in circles, and before
Python 3.11.10 it takes quadratic time over the digits of one. This reads what programs write today: ustar, pax and GNU, with
long names, and finds out what is no plain file. It neither follows a link nor puts a sparse file together.
"""

import re
import struct
from collections.abc import Iterator
from typing import Literal, NamedTuple

BLOCK = 512
# Paths, times and attributes of one file; a name alone is never that long.
MAX_EXTENSION_BYTES = 64 * 1024
# Before one member: a global header, a pax header, a long name and a long target of a link.
MAX_EXTENSIONS = 4
# In all pax headers together: those of a file are about ten.
MAX_RECORDS = 100_000

Kind = Literal["file", "folder", "symbolic link", "hard link", "sparse file", "device or pipe"]

KINDS: dict[bytes, Kind] = {
    b"\0": "file",
    b"0": "file",
    b"7": "file",  # contiguous, where a system has that
    b"1": "hard link",
    b"2": "symbolic link",
    b"5": "folder",
    b"S": "sparse file",
}
# Of these the size tells no bytes that follow. What has an unknown type is passed over with its bytes.
WITHOUT_BYTES = (b"1", b"2", b"3", b"4", b"5", b"6")
PAX, PAX_OF_SOLARIS, PAX_GLOBAL, LONG_NAME, LONG_LINK = b"x", b"X", b"g", b"L", b"K"
EXTENSIONS = (PAX, PAX_OF_SOLARIS, PAX_GLOBAL, LONG_NAME, LONG_LINK)

SPARSE, SPARSE_NAME = b"GNU.sparse.", b"GNU.sparse.name"
WANTED = (b"path", b"size", SPARSE_NAME)

OCTAL = re.compile(rb"[0-7]*")
DECIMAL = re.compile(rb"[0-9]{1,20}")


class Damaged(ValueError):
    """Why it is no tar."""


class Member(NamedTuple):
    """``data`` lies in the tar itself; it is empty where ``kind`` has no bytes."""

    name: str
    kind: Kind
    data: memoryview


def members(tar: bytes) -> Iterator[Member]:
    """What a tar holds, in its order. Raises Damaged; names that are no UTF-8 come with surrogates."""
    return _Reading(tar).members()


class _Reading:
    def __init__(self, tar: bytes) -> None:
        self._tar = memoryview(tar)
        self._at = 0
        self._records = 0
        self._everywhere: dict[bytes, bytes] = {}

    def members(self) -> Iterator[Member]:
        if not self._tar:
            raise Damaged("it is empty")
        own: dict[bytes, bytes] = {}
        extensions = 0
        while (header := self._header()) is not None:
            if header.type not in EXTENSIONS:
                yield self._member(header, {**self._everywhere, **own})
                own, extensions = {}, 0
                continue
            extensions += 1
            if extensions > MAX_EXTENSIONS:
                raise Damaged(f"there are more than {MAX_EXTENSIONS} extension headers before one file")
            if header.size > MAX_EXTENSION_BYTES:
                raise Damaged(f"an extension header has more than {MAX_EXTENSION_BYTES:,} bytes")
            data = bytes(self._take(header.size))
            if header.type == PAX_GLOBAL:
                self._everywhere |= self._pax(data)
            elif header.type == LONG_NAME:
                own.setdefault(b"path", data.partition(b"\0")[0])
            elif header.type != LONG_LINK:
                own |= self._pax(data)
        if extensions:
            raise Damaged("it ends too early")

    def _header(self) -> "_Header | None":
        """The header here; None at the end, which is a block of zeros, or where nothing follows."""
        block = bytes(self._tar[self._at : self._at + BLOCK])
        if not block.strip(b"\0"):
            return None
        if len(block) < BLOCK or not _is_whole(block):
            raise Damaged("there is no header where one should be")
        self._at += BLOCK
        return _Header.of(block)

    def _member(self, header: "_Header", records: dict[bytes, bytes]) -> Member:
        name, kind, size = header.name, KINDS.get(header.type, "device or pipe"), header.size
        more_holes = header.more_holes
        while more_holes:
            # Their list goes on in blocks of its own.
            more_holes = self._take(BLOCK)[504] > 0
        if path := records.get(SPARSE_NAME) or records.get(b"path"):
            name = path.decode(errors="surrogateescape")
        if b"size" in records:
            size = _decimal(records[b"size"])
        if header.type == b"\0" and name.endswith("/"):
            # Before ustar there was no type of folders.
            kind = "folder"
        elif kind == "file" and SPARSE in records:
            kind = "sparse file"
        has_bytes = header.type not in WITHOUT_BYTES and kind != "folder"
        return Member(name, kind, self._take(size if has_bytes else 0))

    def _take(self, size: int) -> memoryview:
        """The bytes here, which fill whole blocks."""
        start, self._at = self._at, self._at + -(-size // BLOCK) * BLOCK
        if self._at > len(self._tar):
            raise Damaged("it ends too early")
        return self._tar[start : start + size]

    def _pax(self, data: bytes) -> dict[bytes, bytes]:
        """What counts here of records as ``length key=value``, where the length is that of the whole line."""
        found: dict[bytes, bytes] = {}
        start = 0
        while start < len(data) and data[start]:
            digits = DECIMAL.match(data, start)
            end = start + int(digits[0]) if digits else 0
            self._records += 1
            if self._records > MAX_RECORDS:
                raise Damaged(f"it has more than {MAX_RECORDS:,} records of extension headers")
            if digits is None or not digits.end() < end <= len(data) or data[end - 1] != ord("\n"):
                raise Damaged("a record of an extension header has a bad length")
            key, equals, value = data[digits.end() + 1 : end - 1].partition(b"=")
            if not equals:
                raise Damaged("a record of an extension header has no value")
            if key in WANTED:
                found[key] = value
            if key.startswith(SPARSE):
                found[SPARSE] = b""
            start = end
        return found


class _Header(NamedTuple):
    type: bytes
    name: str
    size: int
    more_holes: bool

    @classmethod
    def of(cls, block: bytes) -> "_Header":
        name = block[:100].partition(b"\0")[0]
        prefix = block[345:500].partition(b"\0")[0]
        # In the form of GNU and the one before ustar, other things stand in that place.
        if prefix and block[257:263] == b"ustar\0":
            name = prefix + b"/" + name
        kind = block[156:157]
        more_holes = kind == b"S" and block[482] > 0
        return cls(kind, name.decode(errors="surrogateescape"), _size(block[124:136]), more_holes)


def _is_whole(block: bytes) -> bool:
    """Whether the checksum fits; some old programs summed up signed bytes."""
    stored = _octal(block[148:156])
    return stored in (256 + sum(struct.unpack(form, block)) for form in ("148B8x356B", "148b8x356b"))


def _size(field: bytes) -> int:
    """In octal, or behind a first bit that is set, where that is too short, in base 256. Raises Damaged."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    size = _octal(field)
    if size is None:
        raise Damaged("a size is no number")
    return size


def _octal(field: bytes) -> int | None:
    digits = field.partition(b"\0")[0].strip(b" ")
    return int(digits or b"0", 8) if OCTAL.fullmatch(digits) else None


def _decimal(text: bytes) -> int:
    if DECIMAL.fullmatch(text) is None:
        raise Damaged("a size is no number")
    return int(text)
