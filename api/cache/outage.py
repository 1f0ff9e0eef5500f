"""Whether no primary can be reached, and what is known from before: on this, reads may go on without one.

An answer from a cache is as old as the last look at the log that found nothing newer. An answer from a replica is as old as the
newest end of the log that this process has seen and that the replica has, too: it holds all that was acknowledged until then. So
both have an age that does not depend on the clocks of other machines, and a replica of another history has none.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from math import inf
from time import monotonic
from typing import NamedTuple, TypeVar
from uuid import UUID

import psycopg

from api.cache.positions import LOG_TIMEOUT, StreamPositions
from domain.errors import Unavailable
from store.errors import AWAY, trouble
from store.postgres.connection import Connection
from store.postgres.pipeline import select
from store.postgres.pool import Limits, connect

logger = logging.getLogger(__name__)

LOOK_EVERY = 1.0  # seconds between two looks at the end of the log
LOOKS = Limits(LOG_TIMEOUT)
WAITS = 0.1  # seconds after which a request that waits for the primary looks whether there is one
MAX_MARKS = 60  # kept of the time for which reads may go on

# events_pkey
LAST = "SELECT position, command_id FROM events ORDER BY position DESC LIMIT 1"

# events_pkey
NEWEST = """
SELECT events.position FROM unnest(%s::bigint[], %s::uuid[]) AS mark (position, command_id)
JOIN events ON events.position = mark.position AND events.command_id = mark.command_id
ORDER BY events.position DESC LIMIT 1
"""

T = TypeVar("T")


class NoPrimary(Unavailable):
    """No primary can be reached, and what is known from before does not do."""

    def __init__(self) -> None:
        super().__init__(AWAY.reason, retry_after=AWAY.retry_after)


class Staleness:
    """Of one answer: ``age`` in seconds, None while it is as it always is."""

    age: float | None = None

    def note(self, age: float) -> None:
        self.age = max(age, self.age or 0.0)


# Of the request that is answered, where the answer can say so.
staleness: ContextVar[Staleness | None] = ContextVar("staleness", default=None)


class Mark(NamedTuple):
    """The last event of the log at a time of this process's clock."""

    at: float
    position: int
    command_id: UUID


class Outage:
    """Looks at the primary behind ``dsn``; ``longest`` is how old an answer may be without one, in seconds."""

    def __init__(self, dsn: str, positions: StreamPositions, longest: float) -> None:
        self._dsn = dsn
        self._positions = positions
        self.longest = longest
        self._looked_at = -inf
        self._marks: deque[Mark] = deque(maxlen=MAX_MARKS)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._look(), name="outage")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def lasts(self) -> bool:
        """Whether there has been no primary for a while: neither for these looks nor for the log follower."""
        return not self._positions.healthy and monotonic() - self._looked_at > LOG_TIMEOUT

    @property
    def bridged(self) -> bool:
        """Whether reads may go on for now, by what was known when the log was last seen."""
        return self.age <= self.longest

    @property
    def age(self) -> float:
        """Of what the caches held as true when the log was last seen."""
        return monotonic() - self._positions.seen_at

    async def spare(self, asking: Callable[[], Awaitable[T]], otherwise: Callable[[], Awaitable[T]]) -> T:
        """What ``asking`` brings from the primary; what ``otherwise`` does, once it turns out that there is none."""
        if self.lasts:
            return await otherwise()
        task = asyncio.ensure_future(asking())
        try:
            while not task.done() and not self.lasts:
                await asyncio.wait({task}, timeout=WAITS)
        finally:
            ended = task.done() or not task.cancel()
        if ended and not (_is_away(task) and await self._begins()):
            return task.result()
        return await otherwise()

    async def _begins(self) -> bool:
        """Whether it does just now: a server that restarts, or has no connection to spare, is waited for elsewhere."""
        deadline = monotonic() + LOG_TIMEOUT + LOOK_EVERY
        while not self.lasts and monotonic() < deadline:
            await asyncio.sleep(WAITS)
            if self._positions.healthy:
                return False
        return self.lasts

    async def age_of(self, conn: Connection) -> float:
        """Of what a replica holds; inf when it has nothing in common with what was seen."""
        if not self._marks:
            return inf
        positions, commands = (
            [mark.position for mark in self._marks],
            [mark.command_id for mark in self._marks],
        )
        rows = await select(conn, NEWEST, (positions, commands))
        times = [mark.at for mark in self._marks if rows and mark.position == rows[0][0]]
        return monotonic() - max(times) if times else inf

    def _mark(self, mark: Mark) -> None:
        """Keep it in place of the last one where that is close to the one before, and of all when the log has gone back."""
        marks = self._marks
        while marks and marks[-1].position > mark.position:
            marks.pop()
        if len(marks) > 1 and (
            marks[-1].position == mark.position or marks[-1].at - marks[-2].at < self.longest / MAX_MARKS
        ):
            marks.pop()
        marks.append(mark)

    async def _look(self) -> None:
        conn: Connection | None = None
        try:
            while True:
                try:
                    if conn is None:
                        conn = await connect(self._dsn, application_name="skald-outage", limits=LOOKS)
                    at = monotonic()
                    rows = await select(conn, LAST, ())
                    self._looked_at = monotonic()
                    for position, command_id in rows:
                        self._mark(Mark(at, position, command_id))
                except (psycopg.Error, OSError):
                    # The log follower tells of it.
                    if conn is not None:
                        await conn.close()
                        conn = None
                await asyncio.sleep(LOOK_EVERY)
        finally:
            if conn is not None:
                await conn.close()


def _is_away(task: "asyncio.Future[T]") -> bool:
    """Whether it ended for want of a server, and not by what a server has said."""
    error = None if task.cancelled() else task.exception()
    found = None if error is None else trouble(error)
    return isinstance(error, OSError) or (found is not None and not found.refusal)
