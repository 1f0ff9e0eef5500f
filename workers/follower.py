"""How a follower reads the log: in order, in batches, without gaps, one leader at a time."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from time import monotonic
from zlib import crc32

import psycopg
from redis.exceptions import RedisError

from store.log import CHANNEL, Connection, Recorded, check_gapless, read_after
from store.pool import connect

logger = logging.getLogger(__name__)

BATCH = 500
POLL = 0.5  # seconds; a notification is a hint, the poll is the promise
MAX_PAUSE = 5.0
LEADER_LOCKS = 7_203_016  # the class of the advisory locks by which followers elect a leader

RECORD = """
INSERT INTO checkpoints (follower, position, updated_at) VALUES (%s, %s, clock_timestamp())
ON CONFLICT (follower) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at
"""

# dead_letters_stream
PARKED = "SELECT 1 FROM dead_letters WHERE follower = %s AND stream_id = %s LIMIT 1"
PARK = "INSERT INTO dead_letters (follower, position, stream_id, error) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"


class Leader(ABC):
    """A task that runs in one process at a time, on a connection that holds its lock."""

    name: str

    async def run(self, dsn: str, stop: asyncio.Event) -> None:
        """Follow until ``stop`` is set; lost connections are opened again, errors are retried with growing pauses."""
        pause = 0.1
        while not stop.is_set():
            started = monotonic()
            try:
                conn = await connect(dsn, application_name=f"skald-{self.name}")
                try:
                    if await self._lead(conn, stop):
                        await self._follow(conn, stop)
                finally:
                    await conn.close()
            except (psycopg.Error, RedisError, OSError) as error:
                if monotonic() - started > MAX_PAUSE:
                    pause = 0.1
                logger.warning(
                    "follower %s: %s, trying again in %.1f s", self.name, _first_line(error), pause
                )
                await _sleep(stop, pause)
                pause = min(pause * 2, MAX_PAUSE)

    async def _lead(self, conn: Connection, stop: asyncio.Event) -> bool:
        """Wait until this process is the one that runs the follower; the lock goes with the connection."""
        number = crc32(self.name.encode()) & 0x7FFFFFFF
        while not stop.is_set():
            row = await (
                await conn.execute("SELECT pg_try_advisory_lock(%s, %s)", (LEADER_LOCKS, number))
            ).fetchone()
            if row and row[0]:
                return True
            await _sleep(stop, 1.0)
        return False

    @abstractmethod
    async def _follow(self, conn: Connection, stop: asyncio.Event) -> None:
        """Do the work until ``stop`` is set or the connection is lost, and with it the lock."""


class Follower(Leader):
    """One consumer of the log. Subclasses keep their checkpoint with their effect; ``run`` does the rest."""

    @abstractmethod
    async def begin(self, conn: Connection) -> int:
        """The position to go on from."""

    @abstractmethod
    async def handle(self, conn: Connection, after: int, events: Sequence[Recorded]) -> int:
        """Take in the events that follow ``after`` and return the new checkpoint."""

    async def _follow(self, conn: Connection, stop: asyncio.Event) -> None:
        await conn.execute(f"LISTEN {CHANNEL}")
        position = await self.begin(conn)
        await conn.execute(RECORD, (self.name, position))
        logger.info("follower %s goes on from position %d", self.name, position)
        while not stop.is_set():
            events = await read_after(conn, position, limit=BATCH)
            if events:
                check_gapless(events, position)
                position = await self._take(conn, position, events)
                await conn.execute(RECORD, (self.name, position))
                continue
            if (moved := await self.idle(conn, position)) != position:
                position = moved
                continue
            async for _ in conn.notifies(timeout=POLL, stop_after=1):
                pass

    async def _take(self, conn: Connection, position: int, events: Sequence[Recorded]) -> int:
        """A batch at once; when it holds a poison event, one by one, and that event's stream is parked."""
        try:
            return await self.handle(conn, position, events)
        except (psycopg.Error, RedisError, OSError):
            raise
        except Exception:
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
            except (psycopg.Error, RedisError, OSError):
                raise
            except Exception as error:
                logger.exception("follower %s: parked event %d (%s)", self.name, event.position, event.topic)
                reason = f"{type(error).__name__}: {error}"
            await conn.execute(PARK, (self.name, event.position, event.stream_id, reason))
            position = await self.skip(conn, position, event)
        return position

    @abstractmethod
    async def skip(self, conn: Connection, after: int, event: Recorded) -> int:
        """Move the checkpoint over a parked event and return it."""

    async def idle(self, conn: Connection, position: int) -> int:
        """Called when there is nothing to read, before waiting; returns the checkpoint, moved when its store was emptied."""
        return position


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
