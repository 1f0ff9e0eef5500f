"""Which cached answers are still true: one table of log positions, shared by all API processes of a host.

A writer raises the slot of the stream that it changed to the position of its event before it answers. A cached answer
carries ``as_of``, the log position of the snapshot that it was read in, and is true while its slot is not above that.
So no process of the host serves an answer that is older than a write which any of them has acknowledged, and a reader
that fills the cache late cannot harm: its ``as_of`` is old. Two streams may share a slot; that costs a miss, no error.

Writes of other hosts advance the slots by ``api.cache.log_follower``; while that does not keep up, nothing is fresh.
"""

import fcntl
import mmap
import os
from collections.abc import Iterable
from math import inf
from pathlib import Path
from time import monotonic
from uuid import UUID

from api.allocated import allocate

SLOTS = 1 << 16
ALL_STREAMS = 0  # the slot that stands for all streams
LOG_TIMEOUT = 2.0  # seconds without a look at the end of the log after which the cache is bypassed


class StreamPositions:
    """The table in ``path`` (created when absent), or a private one when ``path`` is None."""

    def __init__(self, path: Path | None = None) -> None:
        size = 8 * (SLOTS + 1)
        self._file: int | None = None
        if path is None:
            self._map = mmap.mmap(-1, size)
        else:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            # Where the kernel cannot allocate, the C library writes: not while another process raises a slot.
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, 0)
            try:
                allocate(self._file, size)
            except OSError:
                os.close(self._file)
                raise
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, 0)
            self._map = mmap.mmap(self._file, size)
        self._slots = memoryview(self._map).cast("Q")
        self._confirmed_at = self.seen_at = -inf

    def close(self) -> None:
        self._slots.release()
        self._map.close()
        if self._file is not None:
            os.close(self._file)

    @staticmethod
    def slot(stream_id: UUID) -> int:
        return 1 + (stream_id.int & (SLOTS - 1))

    def advance_all(self, slots: Iterable[int], position: int) -> None:
        """Raise each slot to ``position`` unless it is higher: the slower of two writers must not lower it."""
        self.advance((slot, position) for slot in slots)

    def advance(self, positions: Iterable[tuple[int, int]]) -> None:
        """The same for slots with a position each."""
        if self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, 0)
        try:
            for slot, position in positions:
                if self._slots[slot] < position:
                    self._slots[slot] = position
        finally:
            if self._file is not None:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, 0)

    @property
    def all_streams(self) -> int:
        """Below which position nothing is fresh, whatever it is of."""
        return int(self._slots[ALL_STREAMS])

    def has_reached(self, positions: Iterable[tuple[int, int]]) -> bool:
        """Whether each slot is at its position or above it."""
        return all(self._slots[slot] >= position for slot, position in positions)

    def confirm(self) -> None:
        """The log follower has just seen the end of the log."""
        self._confirmed_at = self.seen_at = monotonic()

    def lost(self) -> None:
        """The log follower cannot see the log."""
        self._confirmed_at = -inf

    @property
    def healthy(self) -> bool:
        return monotonic() - self._confirmed_at < LOG_TIMEOUT

    def was_fresh(self, slot: int, as_of: int) -> bool:
        """Whether it was, when the log was last seen: at ``seen_at``."""
        return self._slots[slot] <= as_of and self._slots[ALL_STREAMS] <= as_of

    def is_fresh(self, slot: int, as_of: int) -> bool:
        slots = self._slots
        return (
            slots[slot] <= as_of
            and slots[ALL_STREAMS] <= as_of
            and monotonic() - self._confirmed_at < LOG_TIMEOUT
        )
