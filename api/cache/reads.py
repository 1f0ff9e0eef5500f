"""Where a read goes: to a replica that has all that the primary had when the read began, else to the primary.

A read asks the primary for the last event of its log first, and a replica counts when that very event is in it, looked up on the
connection that then reads. So an answer of a replica is never older than one of the primary would have been: not than any write
that was acknowledged before, nor than any answer that was given, on this host or another. A replica of a history that the log
does not have any more lacks the event, however far it is.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from time import monotonic
from typing import TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from psycopg_pool import PoolTimeout

from api.cache.outage import LAST, NoPrimary, Outage, staleness
from projections.coalescer import Coalescer
from store.postgres.connection import Connection
from store.postgres.pipeline import select
from store.postgres.pool import Limits, Pool

logger = logging.getLogger(__name__)

# Seconds that an exchange with a replica may take, then the primary is asked: a replica has no say in whether a read is answered.
REPLICAS = Limits(3.0, {"idle_in_transaction_session_timeout": "10s"})
REPLICA_PATIENCE = (
    0.25  # seconds to wait for a connection to a replica; behind a longer queue the primary is the faster one
)
RETURN_EVERY = 1.0  # seconds between two looks whether a replica is back

# Questions for the end of the log under way; the second goes out while the first is on its way back.
MAX_CONCURRENT = 2

# events_pkey
HAS = "SELECT FROM events WHERE position = %s::bigint AND command_id = %s::uuid"

# The position and the command of the last event; None of an empty log.
End = tuple[int, UUID] | None

Result = TypeVar("Result")
Read = Callable[[Connection], Awaitable[Result]]


class Reads:
    """Runs what reads the tables and writes nothing, on ``primary`` or on ``replicas``; without these always on the primary.

    With an ``outage``, a replica does while there is no primary, if it is not too old: see there. ``count`` is called for each read that looked for a replica, as for a look-up in a cache.
    """

    def __init__(
        self,
        primary: Pool,
        replicas: Pool | None = None,
        *,
        count: Callable[[str, str], None] = lambda cache, result: None,
        outage: Outage | None = None,
    ) -> None:
        self._primary = primary
        self._replicas = replicas
        self._count = count
        self.outage = outage
        self._ends = Coalescer[None, End](self._ask_ends, concurrent=MAX_CONCURRENT, max_batch=1, min_batch=1)
        # The last end of the log that was found on a connection: what it has once had it keeps.
        self._found: WeakKeyDictionary[Connection, End] = WeakKeyDictionary()
        self._answered_at = -RETURN_EVERY
        # While no replica answers: looks for one.
        self._returning: asyncio.Task[None] | None = None

    @property
    def replicated(self) -> bool:
        """Whether there may be a replica."""
        return self._replicas is not None

    async def ask(self, read: Read[Result], *, fixed: bool = False) -> Result:
        """What ``read`` returns, which may be called again on another connection. Raises what it raises on the primary, and
        psycopg_pool.PoolTimeout and NoPrimary.

        What is ``fixed`` is the same as long as it is found.
        """
        if self.outage is None:
            return await self._ask(read)
        return await self.outage.spare(lambda: self._ask(read), lambda: self.ask_stale(read, fixed=fixed))

    async def ask_primary(
        self, read: Read[Result], last: Callable[[], Result | None] = lambda: None
    ) -> Result:
        """The same of what a replica is not asked for as long as there is a primary: who may read. Without one, what ``last``
        knows counts, as it is then.
        """
        if self.outage is None:
            return await self._ask_primary(read)

        async def otherwise() -> Result:
            known = last()
            return known if known is not None else await self._on_replica(read)

        return await self.outage.spare(lambda: self._ask_primary(read), otherwise)

    async def _ask(self, read: Read[Result]) -> Result:
        if self._replicas is not None:
            found = await self.ask_replica(read)
            if found is not None:
                return found[0]
        return await self._ask_primary(read)

    async def _ask_primary(self, read: Read[Result]) -> Result:
        async with self._primary.connection() as conn:
            return await read(conn)

    async def ask_stale(self, read: Read[Result], *, fixed: bool = False) -> Result:
        """What ``read`` returns on a replica while there is no primary; the answer says how old it may be, unless it is
        ``fixed``. Raises NoPrimary.
        """
        return await self._on_replica(read, noted=not fixed, longest=inf if fixed else None)

    async def _on_replica(
        self, read: Read[Result], *, noted: bool = False, longest: float | None = None
    ) -> Result:
        """``longest``: how old it may be; None: as the operator says."""
        if self.outage is None or self._replicas is None or self._returning is not None:
            raise NoPrimary
        try:
            async with self._replicas.connection(REPLICA_PATIENCE) as conn:
                age = await self.outage.age_of(conn)
                if age > (self.outage.longest if longest is None else longest) or age == inf:
                    raise NoPrimary
                if noted and (answer := staleness.get()) is not None:
                    answer.note(age)
                found = await read(conn)
        except (psycopg.OperationalError, OSError) as error:
            self._leave(self._replicas, error)
            raise
        self._answered_at = monotonic()
        return found

    async def ask_replica(self, read: Read[Result]) -> tuple[Result] | None:
        """What ``read`` returns on a replica; None when none has all that the primary has, or none answers it.

        What was asked after the call may be older. Raises psycopg.Error when the primary is away, and what is no error of the
        database.
        """
        if self._replicas is None:
            return None
        if self._returning is not None:
            self._count("replica", "bypass")
            return None
        end = await self._ends.ask(None)
        try:
            async with self._replicas.connection(REPLICA_PATIENCE) as conn:
                if await self._has(conn, end):
                    found = (await read(conn),)
                    self._answered_at = monotonic()
                    self._count("replica", "hit")
                    return found
                self._count("replica", "stale")
        except (psycopg.Error, OSError) as error:
            # Another error, such as that of a table which the migrations have yet to bring there, is the primary's to tell.
            self._count("replica", "miss")
            busy = isinstance(error, PoolTimeout) and monotonic() - self._answered_at < RETURN_EVERY
            if isinstance(error, psycopg.OperationalError | OSError) and not busy:
                self._leave(self._replicas, error)
        return None

    async def close(self) -> None:
        if self._returning is not None:
            self._returning.cancel()
            await asyncio.gather(self._returning, return_exceptions=True)

    async def _ask_ends(self, take: Callable[[], list[None]]) -> Sequence[End]:
        async with self._primary.connection() as conn:
            asked = take()
            rows = await select(conn, LAST, ())
        return [(rows[0][0], rows[0][1]) if rows else None for _ in asked]

    async def _has(self, conn: Connection, end: End) -> bool:
        if end is None:
            return False
        if self._found.get(conn) == end:
            return True
        if not await select(conn, HAS, end):
            return False
        self._found[conn] = end
        return True

    def _leave(self, replicas: Pool, error: Exception) -> None:
        if self._returning is None:
            logger.warning(
                "no replica answers, reads go to the primary: %s", str(error).strip() or type(error).__name__
            )
            self._returning = asyncio.create_task(self._return(replicas), name="replicas")

    async def _return(self, replicas: Pool) -> None:
        """Ends when a replica answers. Only this waits for it, and no request."""
        while True:
            await asyncio.sleep(RETURN_EVERY)
            try:
                await replicas.check()
                async with replicas.connection(RETURN_EVERY) as conn:
                    await conn.execute("SELECT")
                break
            except (psycopg.Error, OSError):
                pass
        self._returning = None
        logger.info("a replica answers again")
