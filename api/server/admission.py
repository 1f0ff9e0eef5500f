"""How many requests of this process are worked on at once: more of them would only make each other wait.

Under overload a service keeps its pace by refusing early. Everything behind this (connections to the
database, the queue of the appender) waits in turn, so the time that an admitted request takes is bounded by how many there are.
Reads that the process answers from memory do not pass here: they wait for nothing, and a refusal costs as much.
"""

import asyncio
from types import TracebackType
from typing import Any, Self

from api.http.state import SLOT
from domain.errors import Unavailable

# Health checks must be answered above all under overload.
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
QUEUE_TIMEOUT = 0.2  # seconds that a request waits for a place before it is refused
MAX_HELD = 2_000  # requests that wait so; some 10 KB each
RETRY_AFTER = 1  # seconds; the requests that are in are answered in less


class Overloaded(Unavailable):
    """The process is overloaded; nothing has been begun."""

    code = "overloaded"


class Admission:
    """``limit`` requests at once; 0: any number."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self._held = 0

    async def slot(self, scope: Any) -> "Slot":
        """Use it as a context around the work on one request. Raises Overloaded."""
        if self.limit and self.taken >= self.limit:
            await self._hold()
            if self.taken >= self.limit:
                raise Overloaded(
                    "The service has more to do than it can now; try again shortly.", retry_after=RETRY_AFTER
                )
        slot = scope["state"][SLOT] = Slot(self)
        return slot

    async def _hold(self) -> None:
        """Wait a little: refusals that are retried at once would take the time of admitted requests."""
        if self._held < MAX_HELD:
            self._held += 1
            try:
                await asyncio.sleep(QUEUE_TIMEOUT)
            finally:
                self._held -= 1


class Slot:
    """One request's place. It is given back while the client is waited for, and for good when the answer begins."""

    # It knows nothing of its request: that would be a cycle of references, which only the collector can free.
    __slots__ = ("_admission", "_ended", "_taken")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._taken = self._ended = False

    def __enter__(self) -> Self:
        self._take()
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    async def receive(self, receive: Any) -> Any:
        """What the ASGI ``receive`` of the request does."""
        # A slow upload holds no place.
        self._give_back()
        try:
            return await receive()
        finally:
            if not self._ended:
                self._take()

    async def send(self, send: Any, message: Any) -> None:
        """What its ASGI ``send`` does."""
        # A stream goes on for hours, and a large answer as slowly as its reader.
        if not self._ended:
            self.end()
        await send(message)

    def end(self) -> None:
        """Give the place back for good: from here on the request only waits."""
        self._ended = True
        self._give_back()

    def _take(self) -> None:
        self._taken = True
        self._admission.taken += 1

    def _give_back(self) -> None:
        if self._taken:
            self._taken = False
            self._admission.taken -= 1


def only_waits(scope: Any) -> None:
    """Say that what a request does from here on is to wait for something that happens elsewhere."""
    slot = scope["state"].get(SLOT)
    if slot is not None:
        slot.end()
