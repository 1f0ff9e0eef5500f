"""Keeps the shared cache in Redis up to date: the latest representation of each name that an event touches."""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from redis.asyncio import Redis

from domain.keys import UserErased
from domain.maintenance import ReadModelsReplaced
from projections import prompts, skills, versions
from projections.encoding import etag_of
from projections.feed import Named
from projections.redis_views import RedisViews, key_of, pack
from store.log import Connection, head
from workers.follower import Follower
from workers.news import News

RENDERERS: Mapping[str, Callable[[versions.Version], bytes]] = {
    "skill": skills.full,
    "prompt": prompts.by_name,
}

# An erased person may stand in any value, and replaced tables may have had anything in them.
EVERYWHERE = {UserErased.TOPIC, ReadModelsReplaced.TOPIC}


class CacheFollower(Follower):
    """Its checkpoint lives in Redis with the values; an empty Redis begins at the end of the log, with nothing cached."""

    name = "cache"

    def __init__(self, news: News, redis: Redis) -> None:
        super().__init__(news)
        self._views = RedisViews(redis)
        self._at: int | None = None

    async def begin(self, conn: Connection) -> int:
        at = await self._views.checkpoint()
        end = await head(conn)
        if at is None or at > end:
            # Emptied, or filled by another database: values of unknown age must not be trusted.
            await self._views.forget_all()
            await self._views.apply(None, end, [])
            at = end
        self._at = at
        return at

    async def handle(self, conn: Connection, after: int, events: Sequence[Named]) -> int:
        last = events[-1].position
        if any(event.topic in EVERYWHERE for event in events):
            await self._views.forget_all()
            return await self.begin(conn)
        values = [await self._value(conn, *name) for name in _names(events)]
        if not await self._views.apply(after, last, values):
            # Flushed or restored behind our back: go on from what it says now.
            return await self.begin(conn)
        return last

    async def skip(self, conn: Connection, after: int, event: Named) -> int:
        # What could not be rendered must not stay in its old form.
        values = [
            (key_of(*name), pack(event.position, event.stream_id, b"", b"")) for name in _names([event])
        ]
        return (
            event.position
            if await self._views.apply(after, event.position, values)
            else await self.begin(conn)
        )

    async def idle(self, conn: Connection, position: int) -> int:
        if await self._views.checkpoint() is None:
            await self._views.apply(None, position, [])
        return position

    async def _value(self, conn: Connection, project_id: int, kind: str, name: str) -> tuple[str, bytes]:
        """The value to store: the representation now, or an empty one that says that nothing is there any more."""
        found = await versions.by_name(conn, project_id, kind, name)
        key = key_of(project_id, kind, name)
        if found is None or found[1] is None:
            return key, pack(await head(conn), UUID(int=0), b"", b"")
        version = found[1]
        body = RENDERERS[kind](version)
        return key, pack(version.as_of, version.stream_id, etag_of(body), body)


def _names(events: Sequence[Named]) -> set[tuple[int, str, str]]:
    return {
        (event.project_id, event.kind, event.name)
        for event in events
        if event.project_id is not None and event.kind is not None and event.name is not None
    }
