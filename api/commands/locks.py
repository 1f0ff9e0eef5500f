"""Locks of one process and of one host."""

import asyncio
import fcntl
import os
from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from uuid import UUID

from api.http.errors import RequestInProgress


# RESULTS.md: "locks by name without a lock object"
class KeyedLocks:
    """A lock for each key that is in use: commands on one name wait for each other instead of racing in vain.

    Waiters get it in turn. A lock without waiters is no more than an entry in a dictionary.
    """

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    def hold(self, key: Hashable) -> "Hold":
        """To be entered by ``async with``."""
        return Hold(self._waiting, key)


class Hold:
    """One task's turn."""

    __slots__ = ("_key", "_waiting")

    def __init__(self, waiting: "dict[Hashable, deque[asyncio.Future[None]]]", key: Hashable) -> None:
        self._waiting, self._key = waiting, key

    async def __aenter__(self) -> None:
        queue = self._waiting.get(self._key)
        if queue is None:
            self._waiting[self._key] = deque()
            return
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            # It may have been given the lock at the same time.
            if turn.done() and not turn.cancelled():
                self._pass_on()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        queue = self._waiting[self._key]
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[self._key]


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
