"""Waiting for a connection's socket, without the events and timers that psycopg makes for each wait."""

import asyncio


async def readable(fd: int, seconds: float | None = None) -> bool:
    """Wait until there is something to read; False when there is nothing after ``seconds`` (None: however long)."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(fd, _tell, ready, True)
    timer = None if seconds is None else loop.call_later(seconds, _tell, ready, False)
    try:
        return bool(await ready)
    finally:
        loop.remove_reader(fd)
        if timer is not None:
            timer.cancel()


async def writable_or_readable(fd: int) -> None:
    """Wait until something can be written, or is there to read."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(fd, _tell, ready, True)
    loop.add_writer(fd, _tell, ready, True)
    try:
        await ready
    finally:
        loop.remove_reader(fd)
        loop.remove_writer(fd)


def _tell(ready: "asyncio.Future[bool]", what: bool) -> None:
    if not ready.done():
        ready.set_result(what)
