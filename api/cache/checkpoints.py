"""How far the async projections are, for requests that wait until theirs has come to a position."""

import asyncio
from collections.abc import Mapping
from time import monotonic

from api.cache.log_follower import LogFollower
from store.postgres.pool import Pool
from store.tables import checkpoints

LOOK_EVERY = 0.05  # seconds: a quarter of what a follower gathers events for


class Checkpoints:
    """One look at a time, however many requests of this process wait."""

    def __init__(self, pool: Pool, log_follower: LogFollower) -> None:
        self._pool = pool
        self._log_follower = log_follower
        self._found: Mapping[str, int] = {}
        self._looked_at = -LOOK_EVERY
        self._looking: asyncio.Task[None] | None = None

    async def wait_for(self, follower: str, position: int, seconds: float) -> bool:
        """Wait until a follower has come to a position; False when the time is up or the process is closing."""
        deadline = monotonic() + seconds
        while True:
            await self._look()
            if self._found.get(follower, 0) >= position:
                return True
            if self._log_follower.closing or monotonic() >= deadline:
                return False
            await asyncio.sleep(LOOK_EVERY)

    async def _look(self) -> None:
        """What was found a moment ago will do, as checkpoints only grow."""
        if self._looking is None and monotonic() - self._looked_at < LOOK_EVERY:
            return
        if self._looking is None:
            self._looking = asyncio.create_task(self._read())
        # A request that leaves cancels its own wait and not the shared look.
        await asyncio.shield(self._looking)

    async def _read(self) -> None:
        try:
            async with self._pool.connection() as conn:
                self._found = await checkpoints.positions(conn)
            self._looked_at = monotonic()
        finally:
            self._looking = None
