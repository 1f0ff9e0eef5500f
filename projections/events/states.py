"""The states that a stream went through, folded from the log in batches, so that a long one does not fill the memory."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar
from uuid import UUID

from domain.artifacts.versioned import Renamed, Versioned, VersionEvent
from domain.artifacts.yanks import VersionUnyanked, VersionYanked
from domain.events import Event
from store.log.log import Recorded, read_stream
from store.log.mapper import decode
from store.postgres.connection import Connection

A = TypeVar("A", bound=Versioned)


async def walk(
    conn: Connection, cls: type[A], stream_id: UUID, *, upto: int | None = None
) -> AsyncGenerator[tuple[Recorded, Event, A, A], None]:
    """Each event with the state before and after it, up to the stream version ``upto``. The states must not be changed."""
    state = cls(id=stream_id)
    async with aclosing(read_stream(conn, stream_id, upto=upto)) as batches:
        async for batch in batches:
            for recorded in batch:
                event = decode(recorded.topic, recorded.state)
                before, state = state, state.fork()
                state.evolve(event, recorded.actor_id)
                yield recorded, event, before, state


async def events_between(
    conn: Connection, stream_id: UUID, after: int, upto: int
) -> AsyncGenerator[Event, None]:
    """The events with stream versions above ``after``, up to ``upto``."""
    async with aclosing(read_stream(conn, stream_id, after=after, upto=upto)) as batches:
        async for batch in batches:
            for recorded in batch:
                yield decode(recorded.topic, recorded.state)


class Lineage:
    """Which version each one was made from, as the events of a stream go by; not the one before where that was yanked then."""

    def __init__(self, number: int = 0) -> None:
        """``number`` is the latest version before the first event."""
        self.branched = False
        self._latest = number
        self._made_from: dict[int, int] = {}

    def follow(self, event: Event) -> None:
        if isinstance(event, VersionEvent):
            self._made_from[event.number], self._latest = self._latest, event.number
        elif isinstance(event, VersionYanked | VersionUnyanked) and event.latest is not None:
            self.branched, self._latest = True, event.latest.number

    def behind(self, number: int) -> dict[int, int]:
        """By version which one it was made from: of this one, of that, and so on, as far as the events have gone by."""
        found: dict[int, int] = {}
        while number in self._made_from:
            found[number] = self._made_from[number]
            number = self._made_from[number]
        return found


def line_between(events: Sequence[Event], first: int, last: int) -> list[Event]:
    """Those of the events between two versions that lead from the first to the last one; none when that was not made from it."""
    lineage = Lineage(first)
    for event in events:
        lineage.follow(event)
    behind = lineage.behind(last)
    if first not in behind.values():
        return []
    return [event for event in events if isinstance(event, VersionEvent) and event.number in behind]


async def at_number(conn: Connection, cls: type[A], stream_id: UUID, number: int) -> A:
    """The state in which a version was published. Raises LookupError for a number that the stream does not have."""
    async with aclosing(walk(conn, cls, stream_id)) as steps:
        async for _, event, _, state in steps:
            if isinstance(event, VersionEvent) and event.number == number:
                return state
    raise LookupError(f"{stream_id} has no version {number}")


async def as_last_shown(
    conn: Connection, cls: type[A], stream_id: UUID, number: int, *, upto: int
) -> tuple[A, str]:
    """The state in which a version was published, and the name that the artifact had when it was the latest version last.

    Looks at the stream up to the version ``upto``. Raises LookupError for a number that the stream does not have.
    """
    found: A | None = None
    name = ""
    async with aclosing(walk(conn, cls, stream_id, upto=upto)) as steps:
        async for _, event, _, state in steps:
            if isinstance(event, VersionEvent) and event.number == number:
                found, name = state, state.name
            elif state.number == number and isinstance(event, Renamed | VersionYanked | VersionUnyanked):
                name = state.name
    if found is None:
        raise LookupError(f"{stream_id} has no version {number}")
    return found, name
