"""Large answers: they are put together beside the event loop, and a page of rows ends where an answer does (``projections.sizes``)."""

from collections.abc import Callable
from typing import TypeVar

from api.offload import offload

T = TypeVar("T")

# Bytes that are put together and hashed for their entity tag within a millisecond or two.
SMALL = 256 * 1024


async def rendered(size: int, work: Callable[[], T]) -> T:
    """What ``work`` makes of ``size`` bytes: here when it is soon done, else in a thread. Raises Unavailable."""
    return work() if size <= SMALL else await offload(work)
