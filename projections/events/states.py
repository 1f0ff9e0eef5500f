"""The states that a stream went through, folded from the log in batches, so that a long one does not fill the memory."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar
from uuid import UUID

from domain.artifacts.versioned import Versioned, VersionEvent
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


async def at_number(conn: Connection, cls: type[A], stream_id: UUID, number: int) -> A:
    """The state in which a version was published. Raises LookupError for a number that the stream does not have."""
    async with aclosing(walk(conn, cls, stream_id)) as steps:
        async for _, event, _, state in steps:
            if isinstance(event, VersionEvent) and event.number == number:
                return state
    raise LookupError(f"{stream_id} has no version {number}")
