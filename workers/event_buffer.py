"""The end of the log, read once for all followers of a worker process.

A commit wakes one connection, not one a follower, and its events are read once. That serves followers at the end: a
follower that is further behind, or that had no notification for a while, reads the log by itself.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from projections.events.feed import Named, read_named
from store.log.history import LogHistory
from store.log.log import CHANNEL, MAX_BATCH, check_gapless, head
from store.postgres.connection import Connection
from store.postgres.listening import Listener
from store.tables import webhooks
from workers.task import POLL, Task

BATCH = 500
KEPT = 1000  # events; a follower that is further behind than that reads the log
KEPT_BYTES = 2 * MAX_BATCH


# RESULTS.md: "one connection and one read of the news for all followers"
class EventBuffer(Task):
    """``end`` is the last position that is known, ``changes`` the ids of webhooks that changed (see ``drain_webhook_changes``)."""

    name = "news"

    def __init__(self) -> None:
        self.history = LogHistory()
        self.end = 0
        self.changes: set[str] | None = None
        self._events: deque[Named] = deque()
        self._bytes = 0
        self._readers = 0
        self._waiting: set[asyncio.Future[bool]] = set()

    @contextmanager
    def needed(self) -> Iterator[None]:
        """While no follower is inside, events are not read: only their end is noted."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1

    async def wait(self, position: int, seconds: float) -> bool:
        """Wait for something after ``position``, or for a change of a webhook; False when the time is up."""
        if self.end > position:
            return True
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(seconds, _set_result, ready, False)
        self._waiting.add(ready)
        try:
            return await ready
        finally:
            timer.cancel()
            self._waiting.discard(ready)

    def after(self, position: int) -> list[Named]:
        """The events that follow ``position``; none when there are none, or when it is too far behind."""
        behind = self.end - position
        if not 0 < behind <= len(self._events):
            return []
        first = len(self._events) - behind
        return list(islice(self._events, first, first + BATCH))

    def drain_webhook_changes(self) -> set[str] | None:
        """The webhooks that have changed since the last call; None when notifications may have been missed."""
        changes, self.changes = self.changes, set()
        return changes

    async def _work(self, conn: Connection, stop: asyncio.Event) -> None:
        listener = Listener(conn)
        for channel in (CHANNEL, webhooks.CHANNEL):
            await conn.execute(f"LISTEN {channel}")
        await self.history.settle(conn)
        self._miss()
        self._begin(await head(conn))
        while not stop.is_set():
            newest, changed = self.end, False
            for channel, payload in await listener.receive(POLL):
                if channel == CHANNEL:
                    newest = max(newest, int(payload.partition(" ")[0]))
                else:
                    changed = True
                    if self.changes is not None:
                        self.changes.add(payload)
            if not self._readers:
                self._begin(newest)
            while self.end < newest:
                events = await read_named(conn, self.end, limit=BATCH)
                check_gapless(events, self.end)
                self._keep(events)
                self._wake()
            if changed:
                self._wake()

    def _miss(self) -> None:
        self.changes = None

    def _keep(self, events: Sequence[Named]) -> None:
        self._events += events
        self._bytes += sum(len(event.state) for event in events)
        while len(self._events) > KEPT or self._bytes > KEPT_BYTES:
            self._bytes -= len(self._events.popleft().state)
        self.end = events[-1].position
        self.history.reach(self.end, events[-1].command_id)

    def _begin(self, position: int) -> None:
        self._events.clear()
        self._bytes = 0
        self.end = position
        self._wake()

    def _wake(self) -> None:
        for ready in self._waiting:
            _set_result(ready, True)


def _set_result(ready: "asyncio.Future[bool]", what: bool) -> None:
    if not ready.done():
        ready.set_result(what)
