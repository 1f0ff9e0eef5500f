"""Events of the log to the rows of an async projection, whatever it folds: events, or artifacts with their contents."""

import asyncio
from collections.abc import Sequence

from projections.declared import ArtifactProjection, AsyncProjection
from projections.read.kinds import KINDS
from projections.write.changes import Change, States
from store.log.log import Recorded
from store.log.statements import Writes
from store.postgres.connection import Connection

MAX_STEP_BYTES = (
    4_000_000  # of contents that are folded at once, unless one event brings more: half a second of Python
)


class Folder:
    """Folds batch after batch. What it knows of one counts from ``keep`` on; ``forget`` takes it back."""

    def __init__(
        self, projection: AsyncProjection | ArtifactProjection, *, capacity: int | None = None
    ) -> None:
        """``capacity`` as with ``States``."""
        self._projection = projection
        self._states = States(capacity)

    async def fold(self, conn: Connection, events: Sequence[Recorded]) -> tuple[Writes, int]:
        """The rows of the first events, and of how many: at least one, as many as memory should hold."""
        projection = self._projection
        if isinstance(projection, AsyncProjection):
            return projection.fold(events), len(events)
        changes: list[Change] = []
        taken = size = 0
        for event in events:
            change = await self._states.change(conn, event)
            if change is not None:
                size += projection.size_of(change)
                if size > MAX_STEP_BYTES and changes:
                    break
                self._states.add(change)
                changes.append(change)
            taken += 1
        contents = await projection.read(conn, changes)
        # Other followers of the process go on meanwhile.
        return await asyncio.to_thread(projection.fold, changes, contents, KINDS), taken

    def keep(self) -> None:
        self._states.keep()

    def forget(self) -> None:
        self._states.forget()
