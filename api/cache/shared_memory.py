"""What the processes of a host have just written, shown to each other.

A hot name is requested from the others as soon as one has changed it; without this each would ask Redis or PostgreSQL, all its
connections at the same time. A name has one place by its hash, and what was put there last stays. An entry carries a digest, so one that is read in the
middle of a write is none. Whether it is still true is for ``api.cache.positions`` to say, as for any cached answer.
"""

import mmap
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple
from zlib import crc32

PLACES = 1024
PLACE = 16 * 1024  # bytes; memory is taken by those that were written to

DIGEST = 16
_front = Struct(f"<{DIGEST}sQIHHI")  # digest, as_of, slot, then the sizes of name, entity tag and body


class Encoded(NamedTuple):
    """One representation as it is sent, and until when it is true (see ``api.cache.positions``)."""

    body: bytes
    etag: bytes
    slot: int
    as_of: int


# RESULTS.md: "a new version shown to the other processes of the host before it is marked"
class SharedMemoryCache:
    """The processes that are forked after it is made share it."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, PLACES * PLACE)

    def put(self, name: bytes, entry: Encoded) -> None:
        """Show an entry, unless it is too large for a place."""
        body, etag, slot, as_of = entry
        sizes = len(name), len(etag), len(body)
        if _front.size + sum(sizes) <= PLACE:
            rest = name + etag + body
            digest = _digest(_front.pack(b"", as_of, slot, *sizes), rest)
            start = _start(name)
            end = start + _front.size + len(rest)
            self._map[start:end] = _front.pack(digest, as_of, slot, *sizes) + rest

    def get(self, name: bytes) -> Encoded | None:
        """What was shown last in the place of ``name``, if it is of that name and whole."""
        start = _start(name)
        digest, as_of, slot, *sizes = _front.unpack_from(self._map, start)
        etag_at, body_at = sizes[0], sizes[0] + sizes[1]
        end = start + _front.size + sum(sizes)
        if etag_at != len(name) or end > start + PLACE:
            return None
        rest = self._map[start + _front.size : end]
        if not rest.startswith(name) or digest != _digest(_front.pack(b"", as_of, slot, *sizes), rest):
            return None
        return Encoded(rest[body_at:], rest[etag_at:body_at], slot, as_of)


def _start(name: bytes) -> int:
    return crc32(name) % PLACES * PLACE


def _digest(front: bytes, rest: bytes) -> bytes:
    return blake2b(front + rest, digest_size=DIGEST).digest()
