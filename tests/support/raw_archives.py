"""Archives byte by byte: what no library would write."""

import gzip
import struct
import zlib
from collections.abc import Iterable

SKILL_MD = b"---\nname: pdf\ndescription: d\n---\n# PDF\n"
EMPTY_MEMBER = gzip.compress(b"", mtime=0)
# Of deflate, without an end.
EMPTY_BLOCK = b"\0\0\0\xff\xff"


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def header(
    name: bytes, size: int | bytes = 0, kind: bytes = b"0", *, prefix: bytes = b"", more: bytes = b""
) -> bytes:
    """A header of tar with the right checksum; ``more`` stands where GNU lists the holes of a sparse file."""
    block = bytearray(512)
    field = size if isinstance(size, bytes) else b"%011o\0" % size
    parts = {0: name, 100: b"0000644\0", 124: field, 156: kind, 257: b"ustar\x0000", 345: prefix, 386: more}
    for start, part in parts.items():
        block[start : start + len(part)] = part
    return summed(bytes(block))


def summed(block: bytes) -> bytes:
    """A header with the checksum that it should have."""
    total = sum(block[:148]) + 8 * ord(" ") + sum(block[156:512])
    return block[:148] + b"%06o\0 " % total + block[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: bytes, data: bytes = b"", kind: bytes = b"0") -> bytes:
    return header(name, len(data), kind) + padded(data)


def record(key: bytes, value: bytes) -> bytes:
    """A record of a pax header."""
    size = len(key) + len(value) + 3
    while size != (more := len(b"%d" % size) + len(key) + len(value) + 3):
        size = more
    return b"%d %s=%s\n" % (size, key, value)


def pax(*records: bytes, kind: bytes = b"x") -> bytes:
    return member(b"pax", b"".join(records), kind)


SKILL = member(b"SKILL.md", SKILL_MD)


def tar_gz(*blocks: bytes) -> bytes:
    """With SKILL.md in front."""
    return gzipped(SKILL + b"".join(blocks) + bytes(1024))


def zipped(files: Iterable[tuple[bytes, bytes]], *, extra: bytes = b"") -> bytes:
    """A zip of SKILL.md and ``files``, each with ``extra`` fields in the directory."""
    stored = [(name, data, zlib.crc32(data), len(data)) for name, data in files]
    return raw_zip([(b"SKILL.md", SKILL_MD, zlib.crc32(SKILL_MD), len(SKILL_MD)), *stored], 0, extra=extra)


def raw_zip(entries: Iterable[tuple[bytes, bytes, int, int]], method: int, *, extra: bytes = b"") -> bytes:
    """Of names, bytes as they are stored, checksums and sizes."""
    local, directory, offset, count = [], [], 0, 0
    for name, data, checksum, size in entries:
        common = struct.pack("<HHHHLLLHH", 0, method, 0, 33, checksum, len(data), size, len(name), 0)
        central = common[:-2] + struct.pack("<H", len(extra))
        local.append(b"PK\3\4\x14\0" + common + name + data)
        directory.append(
            b"PK\1\2\x14\3\x14\0" + central + struct.pack("<HHHLL", 0, 0, 0, 0, offset) + name + extra
        )
        offset += len(local[-1])
        count += 1
    ends = b"".join(directory)
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, count, count, len(ends), offset, 0)
    return b"".join(local) + ends + end
