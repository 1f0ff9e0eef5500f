"""Locks of one process and of one host."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from hashlib import blake2b
from pathlib import Path
from uuid import UUID

from api.errors import RequestInProgress


class KeyedLocks:
    """A lock for each key that is in use: commands on one name wait for each other instead of racing in vain."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, key: Hashable) -> AsyncIterator[None]:
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)


class RunningCommands:
    """Which idempotency keys are at work on this host: each locks one byte of a file, far beyond its end.

    The kernel lets go of a byte when its process dies, so a crash never leaves a key locked.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        # Locks of a file belong to the process, so they do not keep its own tasks apart.
        self._mine: set[int] = set()

    def close(self) -> None:
        os.close(self._file)

    @contextmanager
    def hold(self, key_id: UUID, idempotency_key: str) -> Iterator[None]:
        """Raises RequestInProgress when another task or process holds the key."""
        digest = blake2b(key_id.bytes + idempotency_key.encode(), digest_size=8).digest()
        place = int.from_bytes(digest, "big") >> 2
        if place in self._mine or not self._lock(place):
            raise RequestInProgress(
                "The first request with this Idempotency-Key is still running; try again shortly."
            )
        self._mine.add(place)
        try:
            yield
        finally:
            self._mine.discard(place)
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)

    def _lock(self, place: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError:
            return False
        return True
