"""Whose turn it is to append, among the processes of a host.

PostgreSQL lets one append go on at a time. A batch that is formed before its process may append waits there with what it
has, while more commits come in behind it: with each further process batches get smaller, and each pays for a flush. So the
processes of a host wait for each other before they form a batch. It is a matter of speed alone: what keeps the log in order
is the lock in the database, so a process that has waited for too long goes on without its turn.
"""

import asyncio
import fcntl
import os
from contextlib import suppress
from math import inf
from pathlib import Path
from queue import SimpleQueue
from struct import Struct
from threading import Thread
from time import monotonic

# Seconds that a batch waits: more than a commit takes, and nothing to a caller when the process ahead is frozen.
MAX_WAIT = 0.25

TIME = Struct("d")

Waiting = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


# RESULTS.md: "the processes of a host take turns before they form a batch"
class HostTurn:
    """``folder`` is shared by the processes that take turns; without one it is always this one's.

    There are two locks, which the kernel takes from a process that dies. The one that appends holds ``turn``; the next one
    holds ``next`` while it waits for ``turn``, so the first cannot take its turn again before.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._files = [] if folder is None else [_open(folder / name) for name in ("next", "turn")]
        self._held = False
        self._notified_at = -inf
        # Whether the thread waits, and what it is to do.
        self._waits = False
        self._requests: SimpleQueue[Waiting | None] = SimpleQueue()
        self._thread: Thread | None = None

    def close(self) -> None:
        """Files of a thread that waits stay open until it has got what it waits for."""
        if self._thread is not None:
            self._requests.put(None)
        if not self._waits:
            for file in self._files:
                os.close(file)
        self._files = []

    def take_now(self) -> bool:
        """Take the turn if that is possible without waiting."""
        if not self._files:
            return True
        if self._waits:
            return False
        following, turn = self._files
        if not _lock_now(following):
            return False
        self._held = _lock_now(turn)
        fcntl.flock(following, fcntl.LOCK_UN)
        return self._held

    async def take(self) -> None:
        """Wait for the turn, at most ``MAX_WAIT``."""
        if self.take_now() or self._waits:
            return
        if self._thread is None:
            self._thread = Thread(target=self._serve, name="turn", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        self._waits = True
        self._requests.put((loop, ready))
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_WAIT):
                await ready

    @property
    def notified_at(self) -> float:
        """When a process of the host last notified the followers of the log (monotonic seconds, the same for all of them)."""
        if self._files:
            found = os.pread(self._files[1], TIME.size, 0)
            self._notified_at = TIME.unpack(found)[0] if found else -inf
        return self._notified_at

    def notified(self) -> None:
        """The followers are notified of all that is in the log by now."""
        self._notified_at = monotonic()
        if self._files:
            os.pwrite(self._files[1], TIME.pack(self._notified_at), 0)

    def release(self) -> None:
        if self._held:
            self._held = False
            fcntl.flock(self._files[1], fcntl.LOCK_UN)

    def _serve(self) -> None:
        following, turn = self._files
        while (request := self._requests.get()) is not None:
            loop, ready = request
            fcntl.flock(following, fcntl.LOCK_EX)
            fcntl.flock(turn, fcntl.LOCK_EX)
            fcntl.flock(following, fcntl.LOCK_UN)
            # The loop of a process that ends is closed, and its locks go with it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._taken, ready)

    def _taken(self, ready: "asyncio.Future[None]") -> None:
        self._waits = False
        if not self._files:
            return
        self._held = True
        if ready.done():
            self.release()
        else:
            ready.set_result(None)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _lock_now(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
