"""The feed of each project as a Redis Stream, ``skald:events:{project}``.

An entry has the id ``<position>-0``, so Redis itself refuses an event that is in the stream already. The checkpoint moves in
the same script as the entries. A Redis that was emptied has lost both. A stream that has lost its end, or all (evicted, deleted,
put back from elsewhere), is left out until it is published again from there, so a stream has no gap after its first entry.

Streams never expire, so Redis cannot make room by itself when they fill it. They are bounded in entries and in bytes, each and
all together, and when Redis says that it is full the largest of them give way.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

logger = logging.getLogger(__name__)

PREFIX = "skald:events:"
CHECKPOINT = f"{PREFIX}checkpoint"
# The last position in the stream of each project, and by BEGAN the one after which all was published: without it this was lost.
ENDS = f"{PREFIX}ends"
BEGAN = "*"
# Of earlier releases.
KNOWN = f"{PREFIX}known"

MAX_SCRIPT_BYTES = (
    1024 * 1024
)  # of entries in one script: what waits in its buffers counts as memory of Redis
ENTRY_OVERHEAD = 64  # bytes of an entry beside its event, about
TRIM_TO = 0.9  # of a bound, so that not every entry beyond it trims again
GIVE_WAY = 0.75  # of all streams, when Redis is full
SHARE = 0.5  # of Redis's maxmemory that streams may take: cache and rate limits live there, too
PIPELINE = 500  # keys looked at in one go
LOOK_AT = 2000  # streams that one look for lost ones takes in, about

# KEYS: checkpoint, ends, streams. ARGV: before, after, maxlen, whether a lost stream matters, then for each entry: the number of its stream, its id, project,
# event, type, subject. An error in mid-way leaves what was written; the repeat is refused entry by entry.
# Returns -1 when the checkpoint is elsewhere, else {refused, whether the ends were lost, projects whose streams were lost…}.
# A stream of which nothing is known and that ends before all was published again would have a gap.
APPLY = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return -1 end
if ARGV[1] == '' then redis.call('HSET', KEYS[2], '*', ARGV[2]) end
local began = redis.call('HGET', KEYS[2], '*')
local watched = ARGV[4] == '1'
local result = {0, (watched and not began) and 1 or 0}
local lost, projects, ends = {}, {}, {}
for i = 3, #KEYS do
    projects[i] = string.match(KEYS[i], '[^:]+$')
    local kind = redis.call('TYPE', KEYS[i]).ok
    if kind ~= 'stream' and kind ~= 'none' then redis.call('DEL', KEYS[i]) end
    local last = 0
    if kind == 'stream' and redis.call('XLEN', KEYS[i]) > 0 then
        local info = redis.call('XINFO', 'STREAM', KEYS[i])
        for j = 1, #info, 2 do
            if info[j] == 'last-generated-id' then last = tonumber(string.match(info[j + 1], '^%d+')) end
        end
    end
    local known = redis.call('HGET', KEYS[2], projects[i])
    ends[i] = tonumber(known or '0')
    if watched and (not began or last < ends[i]) then
        lost[i] = true
        result[#result + 1] = tonumber(projects[i])
    elseif watched and not known and kind == 'stream' and last < tonumber(began) then
        redis.call('DEL', KEYS[i])
    end
end
for i = 5, #ARGV, 5 do
    local number = tonumber(ARGV[i])
    if not lost[number] then
        local entry = {'XADD', KEYS[number]}
        if ARGV[3] ~= '0' then
            for _, word in ipairs({'MAXLEN', '~', ARGV[3]}) do entry[#entry + 1] = word end
        end
        local position = ARGV[i + 1]
        for _, word in ipairs({position .. '-0', 'position', position, 'event', ARGV[i + 2],
                               'type', ARGV[i + 3], 'subject', ARGV[i + 4]}) do entry[#entry + 1] = word end
        local done = redis.pcall(unpack(entry))
        if type(done) == 'table' and done.err then
            if not string.find(done.err, 'equal or smaller', 1, true) then return redis.error_reply(done.err) end
            result[1] = result[1] + 1
        end
        if tonumber(position) > ends[number] then
            ends[number] = tonumber(position)
            if began then redis.call('HSET', KEYS[2], projects[number], position) end
        end
    end
end
redis.call('SET', KEYS[1], ARGV[2])
return result
"""


# KEYS: as above. ARGV: the checkpoint as it is and as it will be, then of each stream its project and where it ends, 0 for anew.
GO_BACK = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
for i = 3, #KEYS do
    local project, last = ARGV[i * 2 - 3], ARGV[i * 2 - 2]
    if last == '0' then
        redis.call('DEL', KEYS[i])
        redis.call('HDEL', KEYS[2], project)
    else
        redis.call('HSET', KEYS[2], project, last)
    end
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class StreamEntry(NamedTuple):
    """One event for one stream; ``event`` is the CloudEvent as JSON."""

    project_id: int
    position: int
    event: bytes
    type: str
    subject: str

    @property
    def size(self) -> int:
        """Bytes that it takes in Redis, about."""
        return len(self.event) + len(self.type) + len(self.subject) + ENTRY_OVERHEAD


class Applied(NamedTuple):
    """How many entries Redis refused as repeats, and whether a stream, or what is known of them, was found to be lost."""

    refused: int
    lost: bool


def stream_key(project_id: int) -> str:
    return f"{PREFIX}{project_id}"


class RedisStreams:
    """``maxlen``: entries to keep of each stream, approximately (Redis removes whole nodes); 0 keeps all.

    ``max_bytes`` and ``max_total_bytes``: memory of each stream and of all, 0 for no bound; the total is never more than SHARE
    of what Redis may use. ``whole``: a stream that was lost is noticed; else the next entry makes it anew.
    """

    def __init__(
        self, redis: Redis, *, maxlen: int, whole: bool, max_bytes: int = 0, max_total_bytes: int = 0
    ) -> None:
        self._redis = redis
        self._maxlen = maxlen
        self._whole = whole
        self._max_bytes = max_bytes
        self._max_total_bytes = max_total_bytes
        self._total_bound = max_total_bytes
        # What each stream takes at most: measured once and added to since; it is measured again when that is beyond a bound.
        self._sizes: dict[int, int] = {}
        self._cursor = 0
        self._apply = redis.register_script(APPLY)
        self._go_back = redis.register_script(GO_BACK)

    async def checkpoint(self) -> int | None:
        """The position up to which all is published; None for an empty Redis. Raises RedisError."""
        value = await self._redis.get(CHECKPOINT)
        return None if value is None else int(value)

    async def measure(self) -> None:
        """See how much memory there is and what each stream takes of it. Raises RedisError."""
        self._total_bound = _tighter(self._max_total_bytes, int(SHARE * await self._maxmemory()))
        projects = await self._known()
        self._sizes = {}
        for some in _slices(projects):
            pipeline = self._redis.pipeline(transaction=False)
            for project_id in some:
                pipeline.memory_usage(stream_key(project_id), samples=0)
            sizes = await pipeline.execute()
            self._sizes |= {project_id: size or 0 for project_id, size in zip(some, sizes, strict=True)}

    async def apply(self, before: int | None, after: int, entries: Sequence[StreamEntry]) -> Applied | None:
        """Publish and move the checkpoint from ``before``, a part at a time; None when the checkpoint is elsewhere.

        The entries of a lost stream are left out. When Redis is full the largest streams are trimmed. Raises RedisError.
        """
        refused, lost = 0, False
        for last, some in _parts(after, entries):
            applied = await self._apply_part(before, last, some)
            if applied is None:
                return None
            refused, lost, before = refused + applied.refused, lost or applied.lost, last
        return Applied(refused, lost)

    async def _apply_part(
        self, before: int | None, after: int, entries: Sequence[StreamEntry]
    ) -> Applied | None:
        projects = list(dict.fromkeys(entry.project_id for entry in entries))
        places = {project_id: place for place, project_id in enumerate(projects, 3)}
        args: list[Any] = ["" if before is None else before, after, self._maxlen, int(self._whole)]
        for entry in entries:
            args += (places[entry.project_id], entry.position, entry.event, entry.type, entry.subject)
        keys = [CHECKPOINT, ENDS, *map(stream_key, projects)]
        while True:
            try:
                found = await self._apply(keys=keys, args=args)
                break
            except OutOfMemoryError:
                if not await self._give_way():
                    raise
        if found == -1:
            return None
        refused, unsound, *lost = map(int, found)
        for entry in entries:
            self._sizes[entry.project_id] = self._sizes.get(entry.project_id, 0) + entry.size
        await self._keep_bounds(projects)
        return Applied(refused, bool(unsound or lost))

    async def lost(self, *, all_of_them: bool) -> dict[int, int] | None:
        """The streams that have lost their end, each with the position that it ends at, 0 for none; None: what is known of them was lost.

        Without ``all_of_them`` some are looked at, others the next time. Raises RedisError.
        """
        if not self._whole:
            return {}
        if not await self._redis.hexists(ENDS, BEGAN):
            return None
        found: dict[int, int] = {}
        while True:
            some: Any
            self._cursor, some = await self._redis.hscan(ENDS, self._cursor, count=LOOK_AT)
            ends = {int(project): int(end) for project, end in some.items() if project != BEGAN.encode()}
            for projects in _slices(list(ends)):
                found |= {
                    project: last
                    for project, last in zip(projects, await self._last(projects), strict=True)
                    if last < ends[project]
                }
            if not (all_of_them and self._cursor):
                return found

    async def _last(self, projects: Sequence[int]) -> list[int]:
        """The last position of each stream, 0 when it has none."""
        pipeline = self._redis.pipeline(transaction=False)
        for project_id in projects:
            pipeline.xinfo_stream(stream_key(project_id))
        return [_last_position(info) for info in await pipeline.execute(raise_on_error=False)]

    async def go_back(self, starts: Mapping[int, tuple[int, int]], position: int) -> int | None:
        """Publish lost streams again; the position to go on from, None when the checkpoint is no longer at ``position``.

        ``starts`` has for each the position that it ends at and the one that its events are kept from, when that is later:
        then what it has is dropped, for it would have a gap. Raises RedisError.
        """
        start = min(position, *map(max, starts.values()))
        args: list[int] = [position, start]
        for project_id, (last, kept_from) in starts.items():
            args += (project_id, last if last >= kept_from else 0)
        keys = [CHECKPOINT, ENDS, *map(stream_key, starts)]
        return start if await self._go_back(keys=keys, args=args) else None

    async def projects(self) -> list[int]:
        """The projects that have a stream. Raises RedisError."""
        return await self._known()

    async def remove(self, project_id: int, first: int, last: int) -> None:
        """Remove the entries from position ``first`` to ``last``. Raises RedisError."""
        key = stream_key(project_id)
        while found := await self._redis.xrange(key, f"{first}-0", f"{last}-0", count=PIPELINE):
            await self._redis.xdel(key, *[entry_id for entry_id, _ in found if entry_id is not None])

    async def forget_checkpoint(self) -> None:
        """Publish again; what stands in the streams stays. Raises RedisError."""
        await self._redis.delete(CHECKPOINT, ENDS, KNOWN)

    async def forget_all(self) -> None:
        """Drop the streams too: they are of another log. Raises RedisError."""
        await self.forget_checkpoint()
        async for key in self._redis.scan_iter(match=f"{PREFIX}*", count=1000):
            await self._redis.delete(key)

    async def _known(self) -> list[int]:
        return [int(field) for field in await self._redis.hkeys(ENDS) if field != BEGAN.encode()]

    async def _maxmemory(self) -> int:
        """Bytes that Redis may use, 0 for all that there are; also when it does not say."""
        try:
            return int((await self._redis.info("memory")).get("maxmemory", 0))
        except RedisError as error:
            logger.warning("Redis does not say how much memory it may use: %s", error)
            return 0

    # Bounds in bytes -------------------------------------------------------------------------------------------

    async def _keep_bounds(self, projects: Sequence[int]) -> None:
        """Trim what has grown beyond a bound."""
        for project_id in projects:
            if 0 < self._max_bytes < self._sizes[project_id]:
                await self._trim(project_id, int(self._max_bytes * TRIM_TO))
        if 0 < self._total_bound < sum(self._sizes.values()):
            await self.measure()
            if sum(self._sizes.values()) > self._total_bound * TRIM_TO:
                await self._trim_largest(int(self._total_bound * TRIM_TO))

    async def _give_way(self) -> bool:
        """Redis is full: free a part of what the streams take. False when there is nothing left to free."""
        await self.measure()
        total = sum(self._sizes.values())
        logger.warning("Redis is full: the largest of the streams, which take %d bytes, are trimmed", total)
        await self._trim_largest(int(total * GIVE_WAY))
        return sum(self._sizes.values()) < total

    async def _trim_largest(self, target: int) -> None:
        """Trim the largest streams until all together take ``target`` bytes, and all of these the same."""
        for project_id, size in fair_sizes(self._sizes, target).items():
            if size < self._sizes[project_id]:
                await self._trim(project_id, size)

    async def _trim(self, project_id: int, target: int) -> None:
        """Remove the oldest entries until the stream takes ``target`` bytes; the newest entry stays."""
        key = stream_key(project_id)
        while True:
            size = await self._redis.memory_usage(key, samples=0) or 0
            self._sizes[project_id] = size
            length = await self._redis.xlen(key)
            if size <= target or length <= 1:
                return
            await self._redis.xtrim(
                key, maxlen=max(1, int(length * TRIM_TO * target / size)), approximate=False
            )


def fair_sizes(sizes: dict[int, int], target: int) -> dict[int, int]:
    """What each may keep so that all together take ``target`` at most: the small ones all, the large ones the same."""
    left, kept = target, {}
    for place, (name, size) in enumerate(sorted(sizes.items(), key=lambda one: one[1])):
        kept[name] = min(size, left // (len(sizes) - place))
        left -= kept[name]
    return kept


def _parts(after: int, entries: Sequence[StreamEntry]) -> Iterator[tuple[int, Sequence[StreamEntry]]]:
    """The entries in parts of MAX_SCRIPT_BYTES, each with the position that it leads to."""
    start = size = 0
    for place, entry in enumerate(entries):
        if size and size + entry.size > MAX_SCRIPT_BYTES:
            yield entries[place - 1].position, entries[start:place]
            start, size = place, 0
        size += entry.size
    yield after, entries[start:]


def _last_position(info: Any) -> int:
    """Of an answer to XINFO STREAM."""
    if isinstance(info, ResponseError) and str(info).startswith(("no such key", "WRONGTYPE")):
        return 0
    if isinstance(info, Exception):
        raise info
    return int(info["last-generated-id"].split(b"-")[0]) if info["length"] else 0


def _slices(projects: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(projects), PIPELINE):
        yield projects[start : start + PIPELINE]


def _tighter(one: int, other: int) -> int:
    """The smaller of two bounds of which 0 is none."""
    return min(one, other) if one and other else one or other
