"""Whether the disk of the database has room for writes.

PostgreSQL goes down when its log of changes finds no room, and cannot come up before there is some. Writes are refused
before that, so that it stays up for the reads.
"""

import os
from pathlib import Path
from time import monotonic

# What stays free: a segment of the WAL, the requests that are admitted at the same time, a checkpoint, the followers. On a
# small disk an eighth of it has to do.
RESERVE = 128 * 1024 * 1024  # bytes
RESERVED_PART = 8
RESERVED_FILES = 128  # tables and WAL are files that are made as they grow
LOOK_EVERY = 0.1  # seconds for which a look is good


class Room:
    """``folder`` is on the database's disk; without one there is always room, and the database has to say otherwise."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._found = True
        self._looked_at: float | None = None

    def is_left(self) -> bool:
        if self._folder is None:
            return True
        now = monotonic()
        if self._looked_at is None or now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            self._found = _look(self._folder)
        return self._found


def _look(folder: Path) -> bool:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return True
    reserve = min(RESERVE, disk.f_blocks * disk.f_frsize // RESERVED_PART)
    # A file system that counts no files says 0 of 0.
    has_files = disk.f_files == 0 or disk.f_favail >= RESERVED_FILES
    return has_files and disk.f_bavail * disk.f_frsize >= reserve
