"""Publishes the feed of each project to Redis Streams."""

import logging
from collections.abc import Sequence
from math import inf
from time import monotonic
from typing import Literal

import msgspec
from redis.asyncio import Redis

from domain.maintenance import LogRewound
from projections.events.cloudevents import cloudevent_json, subject_of, type_of, without_data
from projections.events.feed import HISTORY, LOG, Named
from projections.redis.streams import RedisStreams, StreamEntry
from store.log.log import head
from store.log.mapper import decode
from store.postgres.connection import Connection
from workers.event_buffer import EventBuffer
from workers.follower import Follower

logger = logging.getLogger(__name__)

Replay = Literal["0", "head"]

HEAL_EVERY = 30.0  # seconds between two republications because of a lost stream
LOOK_EVERY = 5.0  # seconds between looks for streams that have been lost
# Bytes of an event that an entry takes as it is. Usual ones have 1 KB; a larger one is read from the feed.
MAX_EVENT = 16 * 1024
# Of the 256 MB that the embedded Valkey has, cache and rate limits keep half.
MAX_BYTES = 16 * 1024 * 1024
MAX_TOTAL_BYTES = 128 * 1024 * 1024

# events_of_project. As START, of some projects.
STARTS = """
SELECT id, coalesce((SELECT position FROM events WHERE project_id = projects.id
                     ORDER BY position DESC OFFSET %s LIMIT 1), 0)
FROM projects WHERE id = ANY(%s)
"""

# events_of_project. What is older than the newest events of its project would be trimmed away again.
START = """
SELECT coalesce(min(position), 0) FROM (
    SELECT coalesce((SELECT position FROM events WHERE project_id = projects.id
                     ORDER BY position DESC OFFSET %s LIMIT 1), 0) AS position
    FROM projects WHERE EXISTS (SELECT FROM events WHERE project_id = projects.id)
) AS starts
"""


class StreamsFollower(Follower):
    """Its checkpoint is in Redis with the entries.

    ``maxlen``: entries to keep of each stream, ``max_bytes`` and ``max_total_bytes``: memory of each and of all, 0 for no bound. ``replay``: where an empty Redis begins: ``0``, the oldest events
    that ``maxlen`` keeps, or ``head``, the next event. ``base``: the public address of the service, if it is known.
    """

    name = "streams"

    def __init__(
        self,
        news: EventBuffer,
        redis: Redis,
        *,
        maxlen: int = 10_000,
        max_bytes: int = MAX_BYTES,
        max_total_bytes: int = MAX_TOTAL_BYTES,
        replay: Replay = "0",
        base: str = "",
    ) -> None:
        super().__init__(news)
        self._base = base
        self._streams = RedisStreams(
            redis,
            maxlen=maxlen,
            whole=replay == "0",
            max_bytes=max_bytes,
            max_total_bytes=max_total_bytes,
        )
        self._maxlen = maxlen
        self._replay = replay
        self._healed = -inf
        self._looked = -inf
        self._lost = False

    async def begin(self, conn: Connection) -> int:
        await self._streams.measure()
        # Redis may be another one than before.
        self._lost = True
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
        entries: list[StreamEntry] = []
        for event in events:
            if event.topic == LogRewound.TOPIC:
                entries += await self._went_back(event)
            elif (entry := _entry(event, self._base)) is not None:
                entries.append(entry)
        return await self._publish(conn, after, events[-1].position, entries)

    async def _went_back(self, event: Named) -> list[StreamEntry]:
        """Remove what is lost from each stream; the entry for each that says so."""
        rewound = decode(event.topic, event.state)
        assert isinstance(rewound, LogRewound)
        projects = await self._streams.projects()
        for project_id in projects:
            await self._streams.remove(project_id, rewound.shared + 1, event.position - 1)
        named = msgspec.structs.replace(event, kind=LOG, name=HISTORY)
        marks = [
            _entry(msgspec.structs.replace(named, project_id=project_id), self._base)
            for project_id in projects
        ]
        return [mark for mark in marks if mark is not None]

    async def skip(self, conn: Connection, after: int, event: Named) -> int:
        return await self._publish(conn, after, event.position, [])

    async def idle(self, conn: Connection, position: int) -> int:
        if await self._streams.checkpoint() != position:
            return await self.begin(conn)
        return await self._heal(conn, position)

    async def _publish(self, conn: Connection, after: int, last: int, entries: Sequence[StreamEntry]) -> int:
        applied = await self._streams.apply(after, last, entries)
        if applied is None:
            # Flushed or restored: go on from what Redis says now.
            return await self.begin(conn)
        self._lost |= applied.lost
        return await self._heal(conn, last)

    async def _heal(self, conn: Connection, position: int) -> int:
        """Publish again what is missing, if a stream has been lost; the position to go on from.

        Not without a pause: a Redis that evicts streams again and again must not keep the other ones from going on.
        """
        now = monotonic()
        if now - self._healed < HEAL_EVERY or not (self._lost or now - self._looked >= LOOK_EVERY):
            return position
        lost = await self._streams.lost(all_of_them=self._lost)
        self._looked, self._lost = now, False
        if lost == {}:
            return position
        self._healed = now
        logger.warning(
            "a stream has been lost from Redis, publishing again what is missing; let Redis evict only what expires"
        )
        if lost is None:
            await self._streams.forget_checkpoint()
            return await self.begin(conn)
        starts = await self._starts(conn, list(lost))
        start = await self._streams.go_back(
            {project_id: (last, starts.get(project_id, 0)) for project_id, last in lost.items()}, position
        )
        return await self.begin(conn) if start is None else start

    async def _starts(self, conn: Connection, projects: Sequence[int]) -> dict[int, int]:
        """The position before the oldest event that is kept, of each project."""
        if self._maxlen == 0:
            return {}
        return dict(await (await conn.execute(STARTS, (self._maxlen, list(projects)))).fetchall())

    async def _start(self, conn: Connection) -> int:
        if self._maxlen == 0:
            return 0
        row = await (await conn.execute(START, (self._maxlen,))).fetchone()
        return int(row[0]) if row else 0


def _entry(event: Named, base: str) -> StreamEntry | None:
    """What the feed of its project shows of an event; None when it belongs to none."""
    if event.project_id is None or event.kind is None or event.name is None:
        return None
    shown = cloudevent_json(event, event.kind, event.name, base, event.history)
    if len(shown) > MAX_EVENT:
        shown = without_data(shown, event, base)
    return StreamEntry(
        event.project_id, event.position, shown, type_of(event.topic), subject_of(event.kind, event.name)
    )
