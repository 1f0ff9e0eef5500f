"""Keeps an async projection: its rows, and the checkpoint that they are true for, in one transaction."""

from collections.abc import Sequence

from projections.declared import ArtifactProjection, AsyncProjection
from projections.events.feed import Named
from projections.rebuild.folding import Folder
from store.log.statements import SetStatement, merge
from store.postgres.connection import Connection
from store.tables import checkpoints
from workers.event_buffer import EventBuffer
from workers.follower import Follower

# Rows and checkpoint are lost together when the server crashes before they are on disk, and are made again from the log, so
# that no commit waits for the disk, which the appends need.
RELAXED = "SET synchronous_commit = off"

CAPACITY = (
    2_000  # artifacts whose state is kept, of a projection that needs it; some 10 KB each with a few files
)


class ProjectionFollower(Follower):
    """One for each projection; `skald replay` may put new tables and another checkpoint in their place at any time."""

    gather = 0.2  # seconds: a batch costs a transaction, and readers who cannot wait so long are rare

    def __init__(self, news: EventBuffer, projection: AsyncProjection | ArtifactProjection) -> None:
        super().__init__(news)
        self.name = projection.name
        self._folder = Folder(projection, capacity=CAPACITY)

    async def begin(self, conn: Connection) -> int:
        await conn.execute(RELAXED)
        return await checkpoints.begin(conn, self.name)

    async def handle(self, conn: Connection, after: int, events: Sequence[Named]) -> int:
        """As many of them as memory should hold."""
        try:
            writes, taken = await self._folder.fold(conn, events)
            last = events[taken - 1].position
            async with conn.transaction():
                at = await checkpoints.hold(conn, self.name)
                # Of what was moved by a replay, or does not follow, nothing is taken.
                if at != after or events[0].position != at + 1:
                    return at
                for statement, rows in merge([writes]):
                    await conn.execute(statement.sql.encode(), SetStatement.columns(rows))
                await checkpoints.move(conn, self.name, last)
            self._folder.keep()
            return last
        finally:
            self._folder.forget()

    async def skip(self, conn: Connection, after: int, event: Named) -> int:
        async with conn.transaction():
            at = await checkpoints.hold(conn, self.name)
            if event.position != at + 1:
                return at
            await checkpoints.move(conn, self.name, event.position)
        return event.position

    async def idle(self, conn: Connection, position: int) -> int:
        """A replay moves the checkpoint to the end of the log, where there is nothing that would tell."""
        return (await checkpoints.positions(conn)).get(self.name, 0)

    async def _report(self, conn: Connection, position: int, *, last: bool = False) -> None:
        """The checkpoint is the report: written at another time, it might be that of rows which a replay has replaced."""
