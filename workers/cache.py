"""Keeps the shared cache in Redis true: what an event touches goes, and the checkpoint vouches for what stays.

It renders nothing: the first read of a name after a change stores the new value for all others. So it need not hurry: until
the checkpoint has moved, the positions in the API processes (``api.cache.positions``) rule out what the event has touched.
"""

from collections.abc import Sequence

from redis.asyncio import Redis

from domain.artifacts.versioned import Renamed
from domain.events import EVENT_TYPES
from domain.keys import UserChanged, UserErased
from domain.maintenance import LogRewound, ReadModelsReplaced
from projections.events.feed import Named
from projections.redis.views import RedisViews, key_of
from store.log.log import head
from store.log.mapper import decode
from store.postgres.connection import Connection
from workers.event_buffer import EventBuffer
from workers.follower import Follower

# An erased or renamed person may stand in any value, replaced tables may have had anything in them, and so had a log that went back.
EVERYWHERE = {UserErased.TOPIC, UserChanged.TOPIC, ReadModelsReplaced.TOPIC, LogRewound.TOPIC}


def _names(event: Named) -> list[str]:
    """Under which names there may be a value that the event has outdated."""
    found = [] if event.name is None else [event.name]
    if issubclass(EVENT_TYPES[event.topic], Renamed):
        happened = decode(event.topic, event.state)
        assert isinstance(happened, Renamed)
        found.append(happened.old_name)
    return found


class CacheFollower(Follower):
    """Its checkpoint is in Redis with the values; an empty Redis begins at the end of the log, with nothing cached."""

    name = "cache"
    gather = 0.1

    def __init__(self, news: EventBuffer, redis: Redis) -> None:
        super().__init__(news)
        self._views = RedisViews(redis)

    async def begin(self, conn: Connection) -> int:
        at = await self._views.checkpoint()
        end = await head(conn)
        if at is None or at > end:
            # Emptied, or filled by another database: values of unknown age must not be trusted.
            await self._views.forget_all()
            await self._views.apply(None, end, {})
            at = end
        return at

    async def handle(self, conn: Connection, after: int, events: Sequence[Named]) -> int:
        last = events[-1].position
        if any(event.topic in EVERYWHERE for event in events):
            await self._views.forget_all()
            return await self.begin(conn)
        touched = {
            key_of(event.project_id, event.kind, name): event.position
            for event in events
            if event.project_id is not None and event.kind is not None
            for name in _names(event)
        }
        if not await self._views.apply(after, last, touched):
            # Flushed or restored behind our back: go on from what it says now.
            return await self.begin(conn)
        return last

    async def skip(self, conn: Connection, after: int, event: Named) -> int:
        # What it has touched is not known, so nothing that is cached may be trusted.
        await self._views.forget_all()
        return await self.begin(conn)

    async def idle(self, conn: Connection, position: int) -> int:
        if await self._views.checkpoint() is None:
            await self._views.apply(None, position, {})
        return position
