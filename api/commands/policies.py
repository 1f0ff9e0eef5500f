"""The label policies of projects, as commands need them: read from their streams, of which this process keeps what it has read."""

from api.cache.lru import LRU
from domain.artifacts.policies import LabelPolicies
from projections.events import policies
from store.postgres.pool import Pool

CAPACITY = 1_000  # projects


class Policies:
    """What it hands out must be forked before it is changed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._cache: LRU[int, tuple[LabelPolicies, int]] = LRU(CAPACITY)

    async def load(self, project_id: int) -> tuple[LabelPolicies, int]:
        """The policies as the log has them now, and the position of their last event; only what is new is read."""
        async with self._pool.connection() as conn:
            found = await policies.load(conn, project_id, self._cache.get(project_id))
        self._cache.put(project_id, found)
        return found
