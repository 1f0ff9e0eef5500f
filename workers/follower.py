"""How a follower reads the log: in order, in batches, without gaps, one leader at a time."""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from time import monotonic
from zlib import crc32

import psycopg
from redis.exceptions import DataError as RedisDataError

from projections.events.feed import Named, read_named
from store.log.log import Recorded, check_gapless
from store.postgres.connection import Connection
from store.postgres.pool import FOLLOWERS
from workers.event_buffer import BATCH, EventBuffer
from workers.task import PASSING, POLL, Task, first_line, sleep

logger = logging.getLogger(__name__)

REPORT_EVERY = (
    0.5  # seconds; positions are written for monitoring, a follower's checkpoint is with its effect
)
LEADER_LOCKS = 7_203_016  # the class of the advisory locks by which followers elect a leader

RECORD = """
INSERT INTO checkpoints (follower, position, updated_at) VALUES (%s, %s, clock_timestamp())
ON CONFLICT (follower) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at,
    error = NULL, failed_at = NULL
"""
RECORD_FAILURE = """
INSERT INTO checkpoints (follower, position, error, failed_at) VALUES (%s, 0, %s, clock_timestamp())
ON CONFLICT (follower) DO UPDATE SET error = excluded.error, failed_at = coalesce(checkpoints.failed_at, excluded.failed_at)
"""
MAX_ERROR = 300  # characters

# dead_letters_stream
PARKED = "SELECT 1 FROM dead_letters WHERE follower = %s AND stream_id = %s LIMIT 1"
PARK = "INSERT INTO dead_letters (follower, position, stream_id, error) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"


async def park(conn: Connection, follower: str, event: Recorded, reason: str) -> None:
    """Note an event that a follower could not take and leaves out; `skald verify`, /readyz and the metrics show it."""
    await conn.execute(PARK, (follower, event.position, event.stream_id, reason))


def is_outage(error: Exception) -> bool:
    """Whether what failed is a server, or this release, so that the same events are worth another try; else it is an event itself."""
    return isinstance(error, PASSING) and not isinstance(error, (psycopg.DataError, RedisDataError))


class Leader(Task):
    """A task that runs in one process at a time, on a connection that holds its lock."""

    limits = FOLLOWERS

    def __init__(self, news: EventBuffer) -> None:
        self.news = news
        self._reported: tuple[int, float] = (-1, -inf)

    async def _work(self, conn: Connection, stop: asyncio.Event) -> None:
        if await self._lead(conn, stop):
            await self.news.history.settle(conn)
            self._reported = (-1, -inf)
            with self.news.needed():
                try:
                    await self._follow(conn, stop)
                except PASSING as error:
                    await self._report_failure(conn, error)
                    raise

    async def _lead(self, conn: Connection, stop: asyncio.Event) -> bool:
        """Wait until this process is the one that runs the follower; the lock goes with the connection."""
        number = crc32(self.name.encode()) & 0x7FFFFFFF
        while not stop.is_set():
            row = await (
                await conn.execute("SELECT pg_try_advisory_lock(%s, %s)", (LEADER_LOCKS, number))
            ).fetchone()
            if row and row[0]:
                return True
            await sleep(stop, 1.0)
        return False

    @abstractmethod
    async def _follow(self, conn: Connection, stop: asyncio.Event) -> None:
        """Do the work until ``stop`` is set or the connection is lost, and with it the lock."""

    async def _report(self, conn: Connection, position: int, *, last: bool = False) -> None:
        """Write how far it is, now and then and at the ``last``: a commit for each batch would cost more than the batch."""
        reported, at = self._reported
        if position != reported and (last or monotonic() - at >= REPORT_EVERY):
            await conn.execute(RECORD, (self.name, position))
            self._reported = (position, monotonic())

    async def _report_failure(self, conn: Connection, error: Exception) -> None:
        """Write why it does not go on; its next report takes that back."""
        # A database that is away cannot be written to; then its silence shows.
        with suppress(psycopg.Error):
            await conn.execute(RECORD_FAILURE, (self.name, first_line(error)[:MAX_ERROR]))


class Follower(Leader):
    """One consumer of the log. Subclasses keep their checkpoint with their effect; ``run`` does the rest.

    ``gather``: seconds that events gather before the next batch is taken.
    """

    gather = 0.0

    @abstractmethod
    async def begin(self, conn: Connection) -> int:
        """The position to go on from."""

    @abstractmethod
    async def handle(self, conn: Connection, after: int, events: Sequence[Named]) -> int:
        """Take in the events that follow ``after`` and return the new checkpoint."""

    async def _follow(self, conn: Connection, stop: asyncio.Event) -> None:
        position = await self.begin(conn)
        logger.info("follower %s goes on from position %d", self.name, position)
        events = await read_named(conn, position, limit=BATCH)
        while not stop.is_set():
            if events:
                check_gapless(events, position)
                position = await self._take(conn, position, events)
                if self.gather and len(events) < BATCH:
                    await sleep(stop, self.gather)
            elif (moved := await self.idle(conn, position)) != position:
                position = moved
            await self._report(conn, position)
            events = await self._next(conn, position)
        await self._report(conn, position, last=True)

    async def _next(self, conn: Connection, position: int) -> list[Named]:
        """What follows, of the news or, when there were none for a while, by a look of its own."""
        if await self.news.wait(position, POLL) and (events := self.news.after(position)):
            return events
        return await read_named(conn, position, limit=BATCH)

    async def _take(self, conn: Connection, position: int, events: Sequence[Named]) -> int:
        """A batch at once; when it holds a poison event, one by one, and that event's stream is parked."""
        try:
            return await self.handle(conn, position, events)
        except Exception as error:
            if is_outage(error):
                raise
            logger.exception(
                "follower %s: a batch after position %d failed, taking it apart", self.name, position
            )
        for event in events:
            parked = await (await conn.execute(PARKED, (self.name, event.stream_id))).fetchone()
            try:
                if parked is None:
                    position = await self.handle(conn, position, [event])
                    continue
                reason = "waits behind an earlier event of its stream"
            except Exception as error:
                if is_outage(error):
                    raise
                logger.exception("follower %s: parked event %d (%s)", self.name, event.position, event.topic)
                reason = f"{type(error).__name__}: {error}"
            await park(conn, self.name, event, reason)
            position = await self.skip(conn, position, event)
        return position

    @abstractmethod
    async def skip(self, conn: Connection, after: int, event: Named) -> int:
        """Move the checkpoint over a parked event and return it."""

    async def idle(self, conn: Connection, position: int) -> int:
        """Called after a silence; returns the checkpoint, moved when its store was emptied."""
        return position
