"""Work that may hold the processor for more than about 5 ms runs here, so that the event loop goes on.

A few threads, a bounded queue before them, and a deadline: more work than that is refused with 503 before it starts. A thread
cannot be stopped, so the deadline frees the caller and not the thread; what runs here is therefore bounded by its input first
(see the limits in ``domain``), and the deadline is the second fence.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import ParamSpec, TypeVar

from domain.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 2  # they share the interpreter's lock with the event loop: more of them only take more of its time
MAX_WAITING = 32  # pieces of work in the queue; each holds a request and its body
DEADLINE = (
    20.0  # seconds from the call to the result, above what the largest input that the limits allow takes
)


class Offload:
    """A bounded executor of one process."""

    def __init__(
        self, *, threads: int = THREADS, max_waiting: int = MAX_WAITING, deadline: float = DEADLINE
    ) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="offload")
        self._room = BoundedSemaphore(threads + max_waiting)
        self._deadline = deadline

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of ``work``, or what it raises. Raises Unavailable when the queue is full or the deadline passes."""
        if not self._room.acquire(blocking=False):
            raise Unavailable("The service has more heavy requests than it can work on; try again shortly.")
        future = self._executor.submit(work, *args, **kwargs)
        # The place is taken until the thread is free again, also when the caller has left before that.
        future.add_done_callback(lambda _: self._room.release())
        deadline = asyncio.timeout(self._deadline)
        try:
            async with deadline:
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise Unavailable("The work for this request took too long; send less at once.") from None


# Bytes that work looks through, above which it leaves the event loop: to find headings in them, to hash them or to read them as
# JSON takes milliseconds.
HEAVY = 50_000

_process: Offload | None = None


async def offload(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``Offload.run`` of this process, made by the first call (threads do not survive a fork)."""
    global _process
    if _process is None:
        _process = Offload()
    return await _process.run(work, *args, **kwargs)


async def heavy(size: int, work: Callable[[], T]) -> T:
    """The result of ``work``, which looks through ``size`` bytes: at once when these are few, else by ``offload``."""
    return await offload(work) if size > HEAVY else work()
