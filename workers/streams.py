"""Publishes the feed of each project to Redis Streams."""

import logging
from collections.abc import Sequence
from time import monotonic
from typing import Literal

from redis.asyncio import Redis
from redis.exceptions import RedisError

from projections.cloudevents import cloudevent_json, subject_of, type_of
from projections.feed import Named
from projections.redis_streams import Entry, RedisStreams
from store.connection import Connection
from store.log import head
from workers.follower import Follower
from workers.news import News

logger = logging.getLogger(__name__)

Replay = Literal["0", "head"]

HEAL_EVERY = 60.0  # seconds between two republications because of a lost stream

# events_of_project. What is older than the newest events of its project would be trimmed away again.
START = """
SELECT coalesce(min(position), 0) FROM (
    SELECT coalesce((SELECT position FROM events WHERE project_id = projects.id
                     ORDER BY position DESC OFFSET %s LIMIT 1), 0) AS position
    FROM projects WHERE EXISTS (SELECT FROM events WHERE project_id = projects.id)
) AS starts
"""


class StreamsFollower(Follower):
    """Its checkpoint lives in Redis with the entries.

    ``maxlen``: entries to keep of each stream, 0 for all. ``replay``: where an empty Redis begins: ``0``, the oldest events
    that ``maxlen`` keeps, or ``head``, the next event. ``base``: the public address of the service, if it is known.
    """

    name = "streams"

    def __init__(
        self, news: News, redis: Redis, *, maxlen: int = 10_000, replay: Replay = "0", base: str = ""
    ) -> None:
        super().__init__(news)
        self._base = base
        self._streams = RedisStreams(redis, maxlen=maxlen, whole=replay == "0")
        self._maxlen = maxlen
        self._replay = replay
        self._healed = -HEAL_EVERY

    async def begin(self, conn: Connection) -> int:
        at = await self._streams.checkpoint()
        end = await head(conn)
        if at is not None and at <= end:
            return at
        if at is not None:
            # Filled by another database, or this one was restored from a backup.
            logger.warning("the streams in Redis are ahead of the log, publishing them anew")
            await self._streams.forget_all()
        start = end if self._replay == "head" else await self._start(conn)
        if await self._streams.apply(None, start, []) is None:
            return await self.begin(conn)
        return start

    async def handle(self, conn: Connection, after: int, events: Sequence[Named]) -> int:
        entries = [entry for event in events if (entry := _entry(event, self._base)) is not None]
        last = events[-1].position
        refused = await self._streams.apply(after, last, entries)
        if refused is None:
            # Flushed, restored, or a stream was evicted: go on from what Redis says now.
            if await self._streams.checkpoint() == after:
                await self._heal()
            return await self.begin(conn)
        return last

    async def skip(self, conn: Connection, after: int, event: Named) -> int:
        moved = await self._streams.apply(after, event.position, [])
        return event.position if moved is not None else await self.begin(conn)

    async def idle(self, conn: Connection, position: int) -> int:
        return position if await self._streams.checkpoint() == position else await self.begin(conn)

    async def _heal(self) -> None:
        """Publish again what is missing. Raises RedisError when that has just been done: it would not end."""
        if monotonic() - self._healed < HEAL_EVERY:
            raise RedisError(
                "streams are evicted from Redis; give it more memory, or evict only what expires"
            )
        self._healed = monotonic()
        logger.warning("a stream has been lost from Redis, publishing again what is missing")
        await self._streams.forget_checkpoint()

    async def _start(self, conn: Connection) -> int:
        if self._maxlen == 0:
            return 0
        row = await (await conn.execute(START, (self._maxlen,))).fetchone()
        return int(row[0]) if row else 0


def _entry(event: Named, base: str) -> Entry | None:
    """What the feed of its project shows of an event; None when it belongs to none."""
    if event.project_id is None or event.kind is None or event.name is None:
        return None
    return Entry(
        event.project_id,
        event.position,
        cloudevent_json(event, event.kind, event.name, base),
        type_of(event.topic),
        subject_of(event.kind, event.name),
    )
