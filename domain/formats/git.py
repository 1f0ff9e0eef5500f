"""Objects of git as plain functions over bytes: ids, trees, commits, deltas, and how a pack holds them.

A repository that is made here has one branch without merges, and its trees are known when they are made, so this little
is enough; there is no working copy and no index.
"""

import re
import zlib
from collections.abc import Iterable, Mapping
from hashlib import sha1
from typing import NamedTuple

from domain.content import is_unsafe

# Numbers that packs give to the types of objects.
COMMIT, TREE, BLOB, REF_DELTA = 1, 2, 3, 7
NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob"}

FOLDER, FILE, EXECUTABLE = b"40000", b"100644", b"100755"

OID = 20  # bytes of an id
MAX_COPY = 0xFFFF  # bytes that one instruction of a delta copies

# Small things that compress once and are sent often, and large ones that compress anew for every reader.
KEPT, SENT = 9, 3

MAX_SEGMENT = 255  # bytes of a file name, as file systems have it
# Names that git reserves and never checks out, in the disguises that file systems would see through: characters
# that one of them ignores, spaces and dots at the end that another drops, its streams and short names.
IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
ATTRIBUTES = re.compile(r"(\.gitattributes|gitatt~[0-9])[ .]*(:.*)?", re.IGNORECASE | re.DOTALL)
RESERVED = re.compile(r"(\.git|git~[0-9]|\.gitmodules|gitmod~[0-9])[ .]*(:.*)?", re.IGNORECASE | re.DOTALL)


class TreeEntry(NamedTuple):
    """One line of a tree."""

    mode: bytes
    name: bytes
    oid: bytes

    @property
    def order(self) -> bytes:
        """Git compares folders as if their names ended in a slash."""
        return self.name + b"/" if self.mode == FOLDER else self.name

    @property
    def encoded(self) -> bytes:
        return b"%b %b\0%b" % (self.mode, self.name, self.oid)


class Leaf(NamedTuple):
    """A file that a tree shall hold."""

    oid: bytes
    executable: bool


def oid_of(kind: int, *parts: bytes) -> bytes:
    """The id of an object whose bytes are ``parts`` one after the other."""
    digest = sha1(b"%b %d\0" % (NAMES[kind], sum(map(len, parts))), usedforsecurity=False)
    for part in parts:
        digest.update(part)
    return digest.digest()


def holds(path: str) -> bool:
    """Whether a checkout can have this path; one file that it cannot have would break the checkout of all.

    Attributes of git are left out: they would change how files, of others too, are checked out.
    """
    return held_before(path) and not is_unsafe(path) and not has_attributes(path)


def has_attributes(path: str) -> bool:
    """Whether git reads the file for how to check out others; it takes a folder of that name for a fault."""
    return any(ATTRIBUTES.fullmatch(IGNORED.sub("", segment)) for segment in path.split("/"))


def held_before(path: str) -> bool:
    """The rule for commits from before there was ``.gitattributes`` at the root; another one would give them other ids."""
    # The file of that name is in every skill, so there is no such folder.
    return not path.startswith("SKILL.md/") and all(
        len(segment.encode()) <= MAX_SEGMENT and not RESERVED.fullmatch(IGNORED.sub("", segment))
        for segment in path.split("/")
    )


def is_executable(start: bytes) -> bool:
    """By its first bytes, so that equal content gives an equal tree."""
    return start.startswith(b"#!")


def encode_tree(entries: Iterable[TreeEntry]) -> bytes:
    return b"".join(entry.encoded for entry in sorted(entries, key=lambda entry: entry.order))


def decode_tree(data: bytes) -> list[TreeEntry]:
    entries, start = [], 0
    while start < len(data):
        end = data.index(b"\0", start)
        mode, _, name = data[start:end].partition(b" ")
        start = end + 1 + OID
        entries.append(TreeEntry(mode, name, data[end + 1 : start]))
    return entries


def folders(leaves: Mapping[str, Leaf]) -> dict[bytes, bytes]:
    """The trees of files by path: id to bytes, the root last. No path may be another's folder."""
    root: dict[str, object] = {}
    for path, leaf in leaves.items():
        *parents, name = path.split("/")
        here = root
        for parent in parents:
            here = here.setdefault(parent, {})  # type: ignore[assignment]
        here[name] = leaf
    trees: dict[bytes, bytes] = {}

    def add(folder: Mapping[str, object]) -> bytes:
        entries = []
        for name, held in folder.items():
            if isinstance(held, Leaf):
                entries.append(TreeEntry(EXECUTABLE if held.executable else FILE, name.encode(), held.oid))
            elif isinstance(held, dict):
                entries.append(TreeEntry(FOLDER, name.encode(), add(held)))
        data = encode_tree(entries)
        oid = oid_of(TREE, data)
        # Last come, last in: the root has to be.
        trees.pop(oid, None)
        trees[oid] = data
        return oid

    add(root)
    return trees


def encode_commit(tree: bytes, parent: bytes | None, who: str, seconds: int, message: str) -> bytes:
    """A commit whose author is its committer; ``seconds`` since the epoch, shown in UTC."""
    lines = [f"tree {tree.hex()}"]
    if parent is not None:
        lines.append(f"parent {parent.hex()}")
    lines += [f"{role} {who} {seconds} +0000" for role in ("author", "committer")]
    return ("\n".join(lines) + f"\n\n{message}").encode()


def with_parent(commit: bytes, tree: bytes, parent: bytes | None) -> bytes:
    """The same commit with another tree and parent."""
    head, end, message = commit.partition(b"\n\n")
    people = [line for line in head.split(b"\n") if line.startswith((b"author ", b"committer "))]
    links = [b"tree " + tree.hex().encode()]
    if parent is not None:
        links.append(b"parent " + parent.hex().encode())
    return b"\n".join([*links, *people]) + end + message


# Packs ------------------------------------------------------------------------------------------------------------


def delta(old: bytes, new: bytes, same_before: int, same_after: int) -> bytes:
    """How ``new`` comes from ``old``, when so many bytes at the start and at the end are the same."""
    parts = [_size(len(old)), _size(len(new)), *_copies(0, same_before)]
    middle = new[same_before : len(new) - same_after]
    parts += [
        bytes([len(piece)]) + piece for piece in (middle[at : at + 127] for at in range(0, len(middle), 127))
    ]
    parts += _copies(len(old) - same_after, same_after)
    return b"".join(parts)


def patch(old: bytes, instructions: bytes) -> bytes:
    """The inverse of ``delta``: for deltas of our own making, which are sound."""
    at = 0
    for _ in range(2):
        while instructions[at] & 0x80:
            at += 1
        at += 1
    parts = []
    while at < len(instructions):
        command = instructions[at]
        at += 1
        if not command & 0x80:
            parts.append(instructions[at : at + command])
            at += command
            continue
        fields = []
        for place in range(7):
            fields.append(instructions[at] if command & (1 << place) else 0)
            at += bool(command & (1 << place))
        start = int.from_bytes(bytes(fields[:4]), "little")
        parts.append(old[start : start + int.from_bytes(bytes(fields[4:]), "little")])
    return b"".join(parts)


def _copies(start: int, length: int) -> Iterable[bytes]:
    while length > 0:
        piece = min(length, MAX_COPY)
        fields = start.to_bytes(4, "little") + piece.to_bytes(2, "little")
        command = 0x80 | sum(1 << place for place, byte in enumerate(fields) if byte)
        yield bytes([command]) + bytes(byte for byte in fields if byte)
        start += piece
        length -= piece


def _size(number: int) -> bytes:
    groups = []
    while True:
        groups.append(number & 0x7F)
        number >>= 7
        if not number:
            return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def pack_header(count: int) -> bytes:
    return b"PACK" + (2).to_bytes(4) + count.to_bytes(4)


def entry_header(kind: int, size: int, base: bytes = b"") -> bytes:
    """What stands before the compressed bytes; ``size`` is that of the bytes before compression."""
    first, rest = kind << 4 | size & 0x0F, size >> 4
    return (bytes([first | 0x80]) + _size(rest) if rest else bytes([first])) + base


def compress(data: bytes, level: int = SENT) -> bytes:
    return zlib.compress(data, level)


def decompress(data: bytes) -> bytes:
    return zlib.decompress(data)
