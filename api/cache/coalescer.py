"""Reads by name that PostgreSQL has to answer: those that wait at the same time are asked in one statement.

Whoever asks while a statement is under way waits for the next one and never joins it, so the snapshot of an answer is taken
after everybody who gets it has asked: a read after an answered write sees that write. Equal questions are asked once.

Whoever asks while nothing else is asked has nobody to share with, and goes ahead on a connection kept for that.
"""

import asyncio
from itertools import chain, islice

from psycopg import OperationalError

from projections.read import versions
from projections.read.versions import Found, Lookup
from store.postgres.connection import Connection
from store.postgres.pool import Pool
from store.postgres.quick import QuickConnection

# Names in one statement: half of what is asked for, within these bounds. PostgreSQL reads one half while Python renders the
# other.
AT_LEAST = 4
AT_ONCE = 16
# Statements under way, so that one that takes long does not hold up everybody. The other connections are for other reads.
MAX_CONCURRENT = 3

Waiter = asyncio.Future[Found]
Batch = dict[Lookup, list[Waiter]]


class Lookups:
    """Finds versions by name over the connections of ``pool``, and one at a time over ``quick`` (``versions.ALONE``)."""

    def __init__(self, pool: Pool, quick: QuickConnection | None = None) -> None:
        self._pool = pool
        self._quick = quick
        self._waiting: Batch = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # Names in them.
        self._under_way = 0
        # Whether one of the tasks has yet to take what it will ask for.
        self._taking = False

    async def find(self, asked: Lookup) -> Found:
        """What a name holds now. Raises psycopg.Error; psycopg_pool.PoolTimeout when no connection became free in time."""
        if self._quick is not None and not self._waiting and not self._tasks and self._quick.ready():
            return await versions.find_alone(self._quick, asked)
        waiter: Waiter = asyncio.get_running_loop().create_future()
        waiters = self._waiting.get(asked)
        if waiters is None:
            self._waiting[asked] = [waiter]
            self._start()
        else:
            waiters.append(waiter)
        return await waiter

    def _start(self) -> None:
        """See to it that somebody asks for what is waiting."""
        if self._waiting and not self._taking and len(self._tasks) < MAX_CONCURRENT:
            self._taking = True
            # A task of its own: a client that goes away cancels its own wait and nobody else's.
            task = asyncio.create_task(self._run(), name="lookup")
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._start()

    async def _run(self) -> None:
        batch: Batch = {}
        try:
            conn = await self._pool.getconn()
            try:
                # Only now, so that all who asked meanwhile come along.
                half = (len(self._waiting) + self._under_way + 1) // 2
                batch = self._take(min(AT_ONCE, max(AT_LEAST, half)))
                self._under_way += len(batch)
                await self._answer(conn, batch)
            finally:
                self._under_way -= len(batch)
                await self._pool.putconn(conn)
        except asyncio.CancelledError:
            for waiter in chain.from_iterable((batch or self._take(None)).values()):
                waiter.cancel()
            raise
        except Exception as error:
            # Nobody has been taken when there is no connection; those who wait would not get one sooner.
            for waiters in (batch or self._take(None)).values():
                _fail(waiters, error)

    def _take(self, most: int | None) -> Batch:
        """The questions that were asked first, without those that nobody waits for any longer."""
        self._taking = False
        batch = {}
        for asked in list(islice(self._waiting, most)):
            waiters = self._waiting.pop(asked)
            if not all(waiter.done() for waiter in waiters):
                batch[asked] = waiters
        self._start()
        return batch

    async def _answer(self, conn: Connection, batch: Batch) -> None:
        try:
            found = await versions.find_all(conn, list(batch))
        except Exception as error:
            if len(batch) == 1 or isinstance(error, OperationalError):
                raise
            # One of them is to blame: each for itself now.
            for asked, waiters in batch.items():
                try:
                    await self._answer(conn, {asked: waiters})
                except Exception as its_own:
                    _fail(waiters, its_own)
            return
        for waiters, one in zip(batch.values(), found, strict=True):
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(one)


def _fail(waiters: list[Waiter], error: Exception) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(error)
