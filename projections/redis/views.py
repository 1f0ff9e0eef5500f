"""The shared cache: the latest representation of each name, encoded, in Redis.

Each value carries the log position that it is true at; a follower removes what an event has outdated, in the order of the
log, and moves its checkpoint in the same transaction. So a value is known to be true at ``max(its position, the checkpoint)``,
an older value never replaces a newer one, and an emptied Redis, which has lost the checkpoint too, starts again from nothing.

It spares the database, where many hosts read or one starts; the figures are in benchmarks/RESULTS.md.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from math import inf
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from projections.coalescer import Coalescer
from projections.encoding import RENDERING

logger = logging.getLogger(__name__)

# Releases that render otherwise share no values, and each has a checkpoint of its own.
EVERY_RENDERING = "skald:v"
PREFIX = f"{EVERY_RENDERING}{RENDERING}"
CHECKPOINT = f"{PREFIX}:checkpoint"
TTL = 7 * 24 * 3600  # seconds; a name without a read in a week is read from PostgreSQL again
RETRY = 1.0  # seconds without Redis after a failure
ETAG = 34  # bytes of a quoted entity tag
HEADER = 8 + 16 + ETAG
MAX_OFFERS = 64  # fills under way; more of them are dropped, a later read fills again
# Commands that fetch values under way, so that a large one does not hold up everybody; and the values of one.
MAX_CONCURRENT = 2
MAX_BATCH = 16

# A reader's value counts only if no later event has been applied meanwhile and nothing newer stands there: what was removed
# for an event cannot come back as it was before.
OFFER = """
local position = struct.unpack('>I8', ARGV[1])
local checkpoint = tonumber(redis.call('GET', KEYS[2]) or '-1')
if checkpoint < 0 or checkpoint > position then return 0 end
local old = redis.call('GETRANGE', KEYS[1], 0, 7)
if #old == 8 and struct.unpack('>I8', old) >= position then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""

# The follower's batch: only from the checkpoint it read, so a flushed or restored Redis is noticed.
APPLY = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
for i = 2, #KEYS do
    local old = redis.call('GETRANGE', KEYS[i], 0, 7)
    if #old == 8 and struct.unpack('>I8', old) < tonumber(ARGV[i + 1]) then redis.call('DEL', KEYS[i]) end
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class CachedRepresentation(NamedTuple):
    """A value as found: ``as_of`` is the position up to which it is known to be true."""

    stream_id: UUID
    etag: bytes
    body: bytes
    as_of: int


def key_of(project_id: int, kind: str, name: str) -> str:
    return f"{PREFIX}:{project_id}:{kind}:{name}"


def pack(position: int, stream_id: UUID, etag: bytes, body: bytes) -> bytes:
    return position.to_bytes(8, "big") + stream_id.bytes + etag.ljust(ETAG) + body


def _view(value: bytes | None, checkpoint: bytes | None) -> CachedRepresentation | None:
    # Earlier releases left an empty one for what had been archived.
    if value is None or checkpoint is None or len(value) == HEADER:
        return None
    position = int.from_bytes(value[:8], "big")
    return CachedRepresentation(
        UUID(bytes=value[8:24]), value[24:HEADER].rstrip(), value[HEADER:], max(position, int(checkpoint))
    )


# RESULTS.md: "what several want from Redis at the same time fetched by one command"
class RedisViews:
    """Reads never wait for a Redis that is away, ``timeout`` seconds at most: after a failure it is left alone for a second."""

    def __init__(self, redis: Redis, *, timeout: float | None = None) -> None:
        self._redis = redis
        self._timeout = timeout
        self._offer = redis.register_script(OFFER)
        self._apply = redis.register_script(APPLY)
        self._away_until = -inf
        self._offers: set[asyncio.Task[None]] = set()
        self._coalescer = Coalescer[str, CachedRepresentation | None](
            self._fetch, concurrent=MAX_CONCURRENT, max_batch=MAX_BATCH, min_batch=MAX_BATCH
        )

    @property
    def available(self) -> bool:
        return monotonic() >= self._away_until

    async def get(self, project_id: int, kind: str, name: str) -> CachedRepresentation | None:
        """The value of a name; None when there is none, or no Redis."""
        if not self.available:
            return None
        return await self._coalescer.ask(key_of(project_id, kind, name))

    async def _fetch(self, take: Callable[[], list[str]]) -> Sequence[CachedRepresentation | None]:
        keys = take()
        if keys and self.available:
            try:
                # A connection may be opened first, which takes time-outs of its own.
                async with asyncio.timeout(self._timeout):
                    found: list[Any] = await self._redis.mget(*keys, CHECKPOINT)
            except (RedisError, OSError, TimeoutError) as error:
                self._failed(error)
            else:
                return [_view(value, found[-1]) for value in found[:-1]]
        return [None] * len(keys)

    def offer(
        self, project_id: int, kind: str, name: str, stream_id: UUID, as_of: int, etag: bytes, body: bytes
    ) -> None:
        """Give a value read from PostgreSQL to the others, in the background."""
        if not self.available or len(self._offers) >= MAX_OFFERS:
            return
        task = asyncio.create_task(
            self._fill(key_of(project_id, kind, name), pack(as_of, stream_id, etag, body))
        )
        self._offers.add(task)
        task.add_done_callback(self._offers.discard)

    async def _fill(self, key: str, value: bytes) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._offer(keys=[key, CHECKPOINT], args=[value, TTL])
        except OutOfMemoryError:
            # Full of what does not expire; what it holds can still be read.
            logger.warning("Redis is full, a value is not shared")
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)

    async def checkpoint(self) -> int | None:
        """The position up to which the values are written; None for an empty Redis. Raises RedisError."""
        value = await self._redis.get(CHECKPOINT)
        return None if value is None else int(value)

    async def apply(self, before: int | None, after: int, touched: Mapping[str, int]) -> bool:
        """Remove what is older than the last event that touched it, by key, and move the checkpoint.

        False when that is not at ``before``. Raises RedisError.
        """
        expected = "" if before is None else str(before)
        return bool(await self._apply(keys=[CHECKPOINT, *touched], args=[expected, after, *touched.values()]))

    async def forget_all(self) -> None:
        """Drop every value and the checkpoint: an erased person may stand in any. Raises RedisError.

        The values of other renderings go, too; their checkpoints stay, each release keeps its own.
        """
        await self._redis.delete(CHECKPOINT)
        async for key in self._redis.scan_iter(match=f"{EVERY_RENDERING}*:*:*", count=1000):
            await self._redis.delete(key)

    def _failed(self, error: Exception) -> None:
        if self.available:
            logger.warning("Redis is away, going on without it: %s", type(error).__name__)
        self._away_until = monotonic() + RETRY
