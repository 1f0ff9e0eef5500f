"""Follows the end of the log: advances the positions of streams that this process, other hosts and the command line changed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import cast
from uuid import UUID

import psycopg

from api.cache.positions import ALL_STREAMS, StreamPositions
from domain.keys import UserChanged, UserErased
from domain.maintenance import LogRewound, ReadModelsReplaced
from store.log.appender import Done
from store.log.history import LogHistory
from store.log.log import CHANNEL, head
from store.postgres.connection import Connection
from store.postgres.listening import Listener
from store.postgres.pipeline import select
from store.postgres.pool import REQUESTS, connect

logger = logging.getLogger(__name__)

POLL = 0.5  # seconds; a notification is a hint, the poll is the promise
# Seconds until it listens again: what this host writes is marked by who writes it, so only others' writes wait for it.
DEBOUNCE = 0.005
# How often it looks whether the writer has marked what it wrote, if it is on this host, and the seconds between.
LOOKS, LOOK_EVERY = 5, 0.001
CATCH_UP = 10_000  # events; above it advancing ALL_STREAMS once is cheaper than each stream

# events_pkey
SELECT = "SELECT position, stream_id, topic, command_id FROM events WHERE position > %s::bigint ORDER BY position LIMIT %s::int"

# events_pkey
SELECT_COMMAND = "SELECT command_id FROM events WHERE position = %s::bigint"

# An erased person may stand in any representation, replaced tables may have had anything in them, and so had a log that went
# back.
EVERYWHERE = {UserErased.TOPIC, UserChanged.TOPIC, ReadModelsReplaced.TOPIC, LogRewound.TOPIC}


Changes = list[tuple[int, int]]  # slots, each with the position of an event


class LogFollower:
    """Follows the log from its end. ``seen`` is the last position that is marked.

    ``found_again`` is called when the database is back after it was lost.
    """

    def __init__(
        self,
        dsn: str,
        positions: StreamPositions,
        *,
        found_again: Callable[[], Awaitable[None]] | None = None,
        history: LogHistory | None = None,
    ) -> None:
        self._dsn = dsn
        self._found_again = found_again
        self._positions = positions
        self._history = history or LogHistory()
        self.seen = 0
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self.closing = False
        # Called once when the process is closing.
        self.on_closing: set[Callable[[], object]] = set()

    async def start(self) -> None:
        """Returns when the first look at the log is done, or has failed: then the caches are bypassed until one succeeds."""
        try:
            listener = await self._open()
        except psycopg.OperationalError as error:
            logger.warning("the log cannot be followed yet: %s", str(error).strip().partition("\n")[0])
            listener = None
        self._task = asyncio.create_task(self._run(listener), name="log follower")

    async def wait_beyond(self, position: int, seconds: float) -> bool:
        """Wait until something after ``position`` is in the log; False when the time is up or the process is closing."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self.seen <= position and not self.closing:
            moved = self._moved
            try:
                async with asyncio.timeout_at(deadline):
                    await moved.wait()
            except TimeoutError:
                return False
        return not self.closing

    def end_waits(self) -> None:
        """The process is closing: end all waits."""
        self.closing = True
        self._moved.set()
        while self.on_closing:
            self.on_closing.pop()()

    def _move(self, position: int) -> None:
        self.seen = position
        self._history.reach(position)
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _open(self) -> Listener:
        conn = await connect(self._dsn, application_name="skald-log-follower", limits=REQUESTS)
        # Listen first, then look: nothing can happen in between unheard. Everything older than now is distrusted.
        listener = Listener(conn)
        try:
            await conn.execute(f"LISTEN {CHANNEL}")
            # In a log that went back the end is above all that was seen.
            await self._history.settle(conn)
            self.seen = max(self.seen, await head(conn))
        except BaseException:
            await conn.close()
            raise
        self._positions.advance_all([ALL_STREAMS], self.seen)
        self._positions.confirm()
        return listener

    async def _run(self, listener: Listener | None) -> None:
        pause = 0.05
        while True:
            try:
                if listener is None:
                    listener = await self._open()
                    if self._found_again is not None:
                        await self._found_again()
                    logger.info("following the log again from position %d", self.seen)
                pause = 0.05
                await self._follow(listener)
            except (psycopg.Error, OSError) as error:
                self._positions.lost()
                logger.warning(
                    "lost sight of the log, caches are bypassed: %s",
                    str(error).strip() or type(error).__name__,
                )
                if listener is not None:
                    await listener.conn.close()
                    listener = None
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)
            except asyncio.CancelledError:
                if listener is not None:
                    await listener.conn.close()
                raise

    async def _follow(self, listener: Listener) -> None:
        while True:
            received = await listener.receive(POLL)
            # A poll without notifications reads the log for what was not received.
            found = self._named([payload for _, payload in received]) if received else None
            changes, last = found or await self._looked_up(listener.conn)
            await self._let_writers_advance(listener, changes)
            self._take(changes, last)
            self._positions.confirm()
            if received:
                await listener.pause(DEBOUNCE)
            elif not self._history.is_witnessed(self.seen):
                # Notifications name no command.
                for (command_id,) in await select(listener.conn, SELECT_COMMAND, (self.seen,)):
                    self._history.reach(self.seen, command_id)

    async def _let_writers_advance(self, listener: Listener, changes: Changes) -> None:
        """Wait a little for the writers of this host: they put what they wrote into the shared cache before they advance its position.

        A reader that finds the position advanced and the cache old reads the database; for a hot name many would at the same time.
        """
        for _ in range(LOOKS):
            if self._positions.has_reached(changes):
                return
            await listener.pause(LOOK_EVERY)

    def _take(self, changes: Changes, last: int) -> None:
        if changes:
            self._positions.advance(changes)
        if last > self.seen:
            self._move(last)

    def committed(self, done: Done) -> None:
        """Advance the positions of what this process has just appended, before its callers are answered.

        A whole batch in one go; its notification then brings nothing new.
        """
        self._positions.advance(
            (
                ALL_STREAMS
                if event.topic in EVERYWHERE
                else StreamPositions.slot(cast(UUID, event.originator_id)),
                position,
            )
            for commit, appended in done
            for position, event in enumerate(commit.events, appended.first)
        )
        if done[0][1].first == self.seen + 1:
            self._move(done[-1][1].last)

    def _named(self, payloads: list[str]) -> tuple[Changes, int] | None:
        """What notifications name, and the position of the last; None when they leave a gap or do not name all."""
        changes: Changes = []
        last = self.seen
        for payload in payloads:
            position = int(payload.partition(" ")[0])
            if position <= last:
                continue
            _, count, *streams = payload.split()
            if position - int(count) != last or len(streams) != int(count):
                return None
            # Each stream to its own event: to the last of them all, what a writer has just kept would count as old.
            changes += [
                (StreamPositions.slot(UUID(hex=stream)), last + nth) for nth, stream in enumerate(streams, 1)
            ]
            last = position
        return changes, last

    async def _looked_up(self, conn: Connection) -> tuple[Changes, int]:
        """What the log has after what was seen, and its end."""
        rows = await select(conn, SELECT, (self.seen, CATCH_UP))
        if len(rows) == CATCH_UP:
            last = await head(conn)
            return [(ALL_STREAMS, last)], last
        changes = [
            (ALL_STREAMS if topic in EVERYWHERE else StreamPositions.slot(stream), position)
            for position, stream, topic, _ in rows
        ]
        if rows:
            self._history.reach(rows[-1][0], rows[-1][3])
        return changes, rows[-1][0] if rows else self.seen
