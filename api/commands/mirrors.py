"""Which projects are mirrors, as commands need it: each costs a query only when it is new here or when the log says that it changed."""

from typing import NamedTuple

from api.cache.lru import LRU
from api.cache.positions import StreamPositions
from domain.artifacts.mirrors import Mirror
from projections.events import mirrors
from store.log.log import head
from store.postgres.pool import Pool

CAPACITY = 10_000  # projects


class Kept(NamedTuple):
    """A mirror as of a position, and the slot of its stream."""

    mirror: Mirror
    slot: int
    as_of: int


class Mirrors:
    """What it hands out must be forked before it is changed."""

    def __init__(self, pool: Pool, positions: StreamPositions) -> None:
        self._pool = pool
        self._positions = positions
        self._cache: LRU[int, Kept] = LRU(CAPACITY)

    def known(self, project_id: int) -> Mirror | None:
        """What is known here and still true; None when that takes a look into the database."""
        kept = self._cache.get(project_id)
        if kept is None or not self._positions.is_fresh(kept.slot, kept.as_of):
            return None
        return kept.mirror

    async def load(self, project_id: int) -> tuple[Mirror, int]:
        """The mirror as the log has it now, and the position of its last event."""
        async with self._pool.connection() as conn:
            as_of = await head(conn)
            mirror, position = await mirrors.load(conn, project_id)
        self._cache.put(project_id, Kept(mirror, self._positions.slot(mirror.id), as_of))
        return mirror, position
