"""What secrets open, remembered by their digest while the log says that nothing of it has changed."""

import hmac
from datetime import datetime
from time import time
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from api.cache.positions import StreamPositions


class Found(Protocol):
    """What the database has for a digest, as of a position of the log."""

    @property
    def digest(self) -> bytes: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def as_of(self) -> int: ...


T = TypeVar("T", bound=Found)

MAX_ENTRIES = 10_000  # some 2 KB each


class KnownSecrets(Generic[T]):
    """At most ``MAX_ENTRIES``."""

    def __init__(self, positions: StreamPositions) -> None:
        self._positions = positions
        # Each with its slot of the positions and when it expires: seconds since the epoch, inf for never.
        self._entries: dict[bytes, tuple[T, int, float]] = {}

    def __contains__(self, digest: bytes) -> bool:
        """Whether it opened something when the database was last asked."""
        return digest in self._entries

    def get(self, digest: bytes) -> T | None:
        """What it opens now; None when that takes a look into the database."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        found, slot, expires = entry
        if expires <= time():
            del self._entries[digest]
            return None
        return found if self._positions.is_fresh(slot, found.as_of) else None

    def last(self, digest: bytes) -> T | None:
        """What it opened when the log was last seen."""
        entry = self._entries.get(digest)
        if entry is None or entry[2] <= time():
            return None
        found, slot, _ = entry
        return found if self._positions.was_fresh(slot, found.as_of) else None

    def keep(self, digest: bytes, found: T | None, stream_id: UUID | None) -> T | None:
        """Remember what the database has, whose changes are events of the stream; None when it opens nothing."""
        self._entries.pop(digest, None)
        if found is None or stream_id is None or not hmac.compare_digest(found.digest, digest):
            return None
        expires = found.expires_at.timestamp() if found.expires_at else float("inf")
        if expires <= time():
            return None
        if len(self._entries) >= MAX_ENTRIES:
            # The oldest entry goes; a secret in use is back after one query.
            del self._entries[next(iter(self._entries))]
        self._entries[digest] = found, self._positions.slot(stream_id), expires
        return found
