"""The feed of each project as a Redis Stream, ``skald:events:{project}``.

An entry has the id ``<position>-0``, so Redis itself refuses an event that is in the stream already. The checkpoint moves in
the same script as the entries; a Redis that was emptied has lost both, and one that has evicted a stream is noticed by the
first event that would make it anew.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis

PREFIX = "skald:events:"
CHECKPOINT = f"{PREFIX}checkpoint"
# A set of the projects that have a stream.
KNOWN = f"{PREFIX}known"

# KEYS: checkpoint, known, streams. ARGV: before, after, maxlen, whether a lost stream matters, then for each entry: the number of its stream, its id, project,
# event, type, subject. An error in mid-way leaves what was written; the repeat is refused entry by entry.
APPLY = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return -1 end
for i = 3, #KEYS do
    local project = string.match(KEYS[i], '[^:]+$')
    if redis.call('SADD', KEYS[2], project) == 0 and ARGV[4] == '1' and redis.call('XLEN', KEYS[i]) == 0 then return -2 end
end
local refused = 0
for i = 5, #ARGV, 5 do
    local entry = {'XADD', KEYS[tonumber(ARGV[i])]}
    if ARGV[3] ~= '0' then
        for _, word in ipairs({'MAXLEN', '~', ARGV[3]}) do entry[#entry + 1] = word end
    end
    local position = ARGV[i + 1]
    for _, word in ipairs({position .. '-0', 'position', position, 'event', ARGV[i + 2],
                           'type', ARGV[i + 3], 'subject', ARGV[i + 4]}) do entry[#entry + 1] = word end
    local done = redis.pcall(unpack(entry))
    if type(done) == 'table' and done.err then
        if not string.find(done.err, 'equal or smaller', 1, true) then return redis.error_reply(done.err) end
        refused = refused + 1
    end
end
redis.call('SET', KEYS[1], ARGV[2])
return refused
"""


class Entry(NamedTuple):
    """One event for one stream; ``event`` is the CloudEvent as JSON."""

    project_id: int
    position: int
    event: bytes
    type: str
    subject: str


def stream_key(project_id: int) -> str:
    return f"{PREFIX}{project_id}"


class RedisStreams:
    """``maxlen``: entries to keep of each stream, approximately (Redis removes whole nodes); 0 keeps all.

    ``whole``: a stream that was lost is noticed; else the next entry makes it anew.
    """

    def __init__(self, redis: Redis, *, maxlen: int, whole: bool) -> None:
        self._redis = redis
        self._maxlen = maxlen
        self._whole = whole
        self._apply = redis.register_script(APPLY)

    async def checkpoint(self) -> int | None:
        """The position up to which all is published; None for an empty Redis. Raises RedisError."""
        value = await self._redis.get(CHECKPOINT)
        return None if value is None else int(value)

    async def apply(self, before: int | None, after: int, entries: Sequence[Entry]) -> int | None:
        """Publish and move the checkpoint from ``before``; how many entries Redis refused as repeats.

        None when the checkpoint is elsewhere or a stream has been lost: nothing was written. Raises RedisError.
        """
        projects = list(dict.fromkeys(entry.project_id for entry in entries))
        places = {project_id: place for place, project_id in enumerate(projects, 3)}
        args: list[Any] = ["" if before is None else before, after, self._maxlen, int(self._whole)]
        for entry in entries:
            args += (places[entry.project_id], entry.position, entry.event, entry.type, entry.subject)
        keys = [CHECKPOINT, KNOWN, *map(stream_key, projects)]
        refused = int(await self._apply(keys=keys, args=args))
        return None if refused < 0 else refused

    async def forget_checkpoint(self) -> None:
        """Publish again; what stands in the streams stays. Raises RedisError."""
        await self._redis.delete(CHECKPOINT, KNOWN)

    async def forget_all(self) -> None:
        """Drop the streams too: they are of another log. Raises RedisError."""
        await self.forget_checkpoint()
        async for key in self._redis.scan_iter(match=f"{PREFIX}*", count=1000):
            await self._redis.delete(key)
