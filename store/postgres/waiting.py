"""Waiting for a connection's socket, without the events and timers that psycopg makes for each wait."""

import asyncio


# RESULTS.md: "a socket that stays registered with the event loop between flushes"
class SocketWaiter:
    """A socket for which one task at a time waits.

    It stays registered with the event loop when a wait is over, until something comes while no task waits: to register
    it for each wait takes six system calls. So ``release`` it before other code registers or closes it, and before
    another wait for the rest of what has come in part: uvloop no longer watches a socket on which it has seen an error.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready: asyncio.Future[bool] | None = None

    async def readable(self, seconds: float | None = None) -> bool:
        """Wait until there is something to read; False when there is nothing after ``seconds`` (None: however long).

        It may return early: there may be nothing to read yet.
        """
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[bool] = loop.create_future()
        self._ready = ready
        if self._loop is None:
            loop.add_reader(self._fd, self._come)
            self._loop = loop
        if seconds is None:
            return await ready
        timer = loop.call_later(seconds, _set_result, ready, False)
        try:
            return await ready
        finally:
            timer.cancel()

    async def writable_or_readable(self) -> None:
        """Wait until something can be written, or is there to read."""
        self.release()
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._fd, _set_result, ready, True)
        loop.add_writer(self._fd, _set_result, ready, True)
        try:
            await ready
        finally:
            loop.remove_reader(self._fd)
            loop.remove_writer(self._fd)

    def wake(self) -> None:
        """Wake the task that waits."""
        if self._ready is not None:
            _set_result(self._ready, True)

    def release(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        self._loop = None

    def _come(self) -> None:
        if self._ready is None or self._ready.done():
            # Bytes that no task reads would wake the loop over and over.
            self.release()
        else:
            self._ready.set_result(True)


def _set_result(ready: "asyncio.Future[bool]", what: bool) -> None:
    if not ready.done():
        ready.set_result(what)
