"""Reads by name that PostgreSQL has to answer, those that wait at the same time in one statement."""

from collections.abc import Callable, Sequence
from functools import partial

from psycopg import OperationalError

from api.cache.reads import Reads
from projections.coalescer import Coalescer
from projections.read import versions
from projections.read.versions import Found, Lookup
from store.postgres.connection import Connection
from store.postgres.pool import Pool

# Names in one statement.
MIN_BATCH = 4
MAX_BATCH = 16
# Statements under way, so that one that takes long does not hold up all. The other connections are for other reads.
MAX_CONCURRENT = 3


class Lookups:
    """Finds versions by name over the connections of ``pool``, or where ``reads`` finds a replica."""

    def __init__(self, pool: Pool, reads: Reads) -> None:
        self._pool = pool
        self._reads = reads
        self._coalescer = Coalescer[Lookup, Found](
            self._fetch, concurrent=MAX_CONCURRENT, max_batch=MAX_BATCH, min_batch=MIN_BATCH
        )

    async def find(self, asked: Lookup) -> Found:
        """What a name holds now. Raises psycopg.Error; psycopg_pool.PoolTimeout when no connection became free in time; NoPrimary."""
        outage = self._reads.outage
        if outage is None:
            return await self._coalescer.ask(asked)
        return await outage.spare(
            lambda: self._coalescer.ask(asked),
            lambda: self._reads.ask_stale(
                partial(versions.find, asked=asked), fixed=isinstance(asked.pick, int)
            ),
        )

    async def _fetch(self, take: Callable[[], list[Lookup]]) -> Sequence[Found | Exception]:
        asked: list[Lookup] | None = None
        if self._reads.replicated:
            # First: the replica has what was acknowledged before this, and nothing is asked after it.
            asked = take()
            found = await self._reads.ask_replica(partial(versions.find_all, asked=asked))
            if found is not None:
                return found[0]
        conn = await self._pool.getconn()
        try:
            return await _find_each(conn, take() if asked is None else asked)
        finally:
            await self._pool.putconn(conn)


async def _find_each(conn: Connection, asked: list[Lookup]) -> Sequence[Found | Exception]:
    try:
        return await versions.find_all(conn, asked)
    except Exception as error:
        if len(asked) <= 1 or isinstance(error, OperationalError):
            raise
    # One of them is to blame: each for itself now.
    return [await _find_one(conn, one) for one in asked]


async def _find_one(conn: Connection, asked: Lookup) -> Found | Exception:
    try:
        [found] = await versions.find_all(conn, [asked])
    except Exception as error:
        return error
    return found
