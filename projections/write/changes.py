"""Events with the artifact before and after them, for async projections whose rows follow from both."""

from uuid import UUID

import msgspec

from domain.artifacts.kinds import KINDS, kind_of
from domain.artifacts.versioned import Versioned
from store.log.log import Recorded, read_stream
from store.log.mapper import decode
from store.postgres.connection import Connection


class Change(msgspec.Struct, frozen=True):
    """What one event made of an artifact; ``before`` is None for its first one."""

    before: Versioned | None
    after: Versioned
    project_id: int


class States:
    """The artifacts as the events so far left them, up to ``capacity`` (None: all).

    With a capacity, one that is not held is loaded from its stream; else a stream begins with its first event.
    What a batch brings counts from ``keep`` on, when its rows are written; ``forget`` takes it back.
    """

    def __init__(self, capacity: int | None = None) -> None:
        self._capacity = capacity
        self._held: dict[UUID, Versioned] = {}
        self._new: dict[UUID, Versioned] = {}

    async def change(self, conn: Connection, recorded: Recorded) -> Change | None:
        """The change by the next event; None when it is of no artifact. Raises ValueError for a broken stream."""
        kind = kind_of(recorded.topic)
        if kind is None:
            return None
        if recorded.project_id is None:
            raise ValueError("it belongs to no project")
        before = await self._before(conn, kind, recorded)
        event = decode(recorded.topic, recorded.state)
        if (event.originator_id, event.originator_version) != (recorded.stream_id, recorded.stream_version):
            raise ValueError("its state is that of another event")
        after = before.fork() if before else KINDS[kind](id=recorded.stream_id)
        after.evolve(event)
        return Change(before, after, recorded.project_id)

    def add(self, change: Change) -> None:
        """The next event of the stream follows this change."""
        self._new[change.after.id] = change.after

    async def _before(self, conn: Connection, kind: str, recorded: Recorded) -> Versioned | None:
        stream, version = recorded.stream_id, recorded.stream_version - 1
        if version == 0:
            return None
        held = self._new.get(stream) or self._held.get(stream)
        if self._capacity is None or (held is not None and held.version == version):
            return held
        state = KINDS[kind](id=stream)
        async for batch in read_stream(conn, stream, upto=version):
            for event in batch:
                state.evolve(decode(event.topic, event.state))
        return state if state.version else None

    def keep(self) -> None:
        for stream, state in self._new.items():
            # At the end of the order, so that what has not changed for longest goes first.
            self._held.pop(stream, None)
            self._held[stream] = state
        self._new = {}
        while self._capacity is not None and len(self._held) > self._capacity:
            del self._held[next(iter(self._held))]

    def forget(self) -> None:
        self._new = {}
