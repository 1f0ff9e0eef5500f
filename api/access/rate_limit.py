"""A budget of requests per key and minute and per key and hour, shared by all API processes through Redis.

A request costs no round trip: each process counts for itself and tells Redis in slices. A slice is a hundredth of what is
left of the tighter window, so five processes that know nothing of each other stay within five percent, and near the end, as
with every small limit, each request counts in Redis, exactly. Every 100 ms what is left over is reported as well.

Without Redis each process counts alone; no request waits for it longer than one time-out.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from math import ceil, inf
from time import monotonic, time
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.http.errors import RateLimited

logger = logging.getLogger(__name__)

MINUTE = 60
HOUR = 3600
SLICES = 100  # parts that the rest of a budget is divided into
FLUSH_EVERY = 0.1  # seconds
RETRY_EVERY = 1.0  # seconds between attempts while Redis is away
SWEEP_EVERY = 60.0  # seconds between looks for idle keys

# KEYS: one counter per window. ARGV: 1 when one more request is to be admitted, then for each window its limit, what was
# admitted already and is only reported now, and the seconds to keep the counter. Returns 1 or 0 for this request,
# then the counts. A request that is refused is not counted, in neither window.
SCRIPT = """
local counts = {}
local free = tonumber(ARGV[1]) == 1
for i, key in ipairs(KEYS) do
  local base = (i - 1) * 3 + 1
  counts[i] = redis.call('INCRBY', key, ARGV[base + 2])
  redis.call('EXPIRE', key, ARGV[base + 3])
  if counts[i] + 1 > tonumber(ARGV[base + 1]) then free = false end
end
if free then
  for i, key in ipairs(KEYS) do counts[i] = redis.call('INCRBY', key, 1) end
end
return {free and 1 or 0, unpack(counts)}
"""


class Window:
    """One key's count in one fixed window: what Redis knows, what is on its way there, what only this process knows."""

    __slots__ = ("end", "flying", "known", "length", "limit", "pending")

    def __init__(self, length: int, limit: int) -> None:
        self.length = length
        self.limit = limit
        self.end = 0.0
        self.known = 0
        self.flying = 0
        self.pending = 0

    def roll(self, now: float) -> None:
        """Begin anew when the window is over."""
        if now >= self.end:
            self.end = (now // self.length + 1) * self.length
            self.known = self.flying = self.pending = 0

    @property
    def used(self) -> int:
        return self.known + self.flying + self.pending


class RateLimiter:
    """Admits or refuses requests of a key. A limit of 0 is no limit; ``redis`` None counts in this process alone.

    What is counted may be something else with an id of its own; ``whose`` is what a refusal calls it. ``refused`` is called
    with the window (minute, hour) at each.
    """

    def __init__(
        self,
        redis: "Redis | None",
        *,
        per_minute: int,
        per_hour: int,
        timeout: float = 0.1,
        prefix: str = "skald",
        whose: str = "this key",
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._redis = redis
        self._script = redis.register_script(SCRIPT) if redis is not None else None
        self._limits = [(MINUTE, per_minute)] * (per_minute > 0) + [(HOUR, per_hour)] * (per_hour > 0)
        self._timeout = timeout
        self._prefix = prefix
        self._whose = whose
        self._refused = refused
        self._keys: dict[UUID, list[Window]] = {}
        self._unsaid: set[UUID] = set()
        self._away_until = -inf
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        policy = ", ".join(f"{limit};w={length}" for length, limit in self._limits)
        self._policy = (b"ratelimit-policy", policy.encode())

    def start(self) -> None:
        """Begin to tell Redis in the background."""
        if self._script is not None and self._limits:
            self._task = asyncio.create_task(self._keep_telling(), name="rate-limits")

    async def close(self) -> None:
        """Tell what is left and stop."""
        if self._task is not None:
            # Not cancelled: the client of Redis may lose that, by the wait_for of Python 3.11, and it would go on for ever.
            self._closing.set()
            await self._task
            self._task = None
            await self._tell_all()

    def admit_now(self, key_id: UUID) -> bool:
        """True when the request is admitted without asking Redis; else ``admit`` decides. Raises RateLimited."""
        if not self._limits:
            return True
        windows = self._windows(key_id)
        slice_ = self._free_slice(windows)
        if self._script is not None and monotonic() >= self._away_until and windows[0].pending + 1 >= slice_:
            return False
        self._count(key_id, windows)
        return True

    async def admit(self, key_id: UUID) -> None:
        """Let the request in and count it. Raises RateLimited when a budget is used up."""
        if self.admit_now(key_id):
            return
        windows = self._keys[key_id]
        admitted = await self._report(key_id, windows, asking=True)
        if admitted is None:
            # Redis is away: this process decides by what it knows.
            self._free_slice(windows)
            self._count(key_id, windows)
        elif not admitted:
            raise self._refusal(windows)

    def _windows(self, key_id: UUID) -> list[Window]:
        windows = self._keys.get(key_id)
        if windows is None:
            windows = self._keys[key_id] = [Window(length, limit) for length, limit in self._limits]
        now = time()
        for window in windows:
            window.roll(now)
        return windows

    def _free_slice(self, windows: list[Window]) -> int:
        """How many requests may pass between two tellings. Raises RateLimited when a budget is used up."""
        left = min(window.limit - window.used for window in windows)
        if left <= 0:
            raise self._refusal(windows)
        return max(1, min(window.limit - window.known for window in windows) // SLICES)

    def _count(self, key_id: UUID, windows: list[Window]) -> None:
        for window in windows:
            window.pending += 1
        self._unsaid.add(key_id)

    async def _report(self, key_id: UUID, windows: list[Window], *, asking: bool) -> bool | None:
        """Tell Redis what is pending and learn the counts; None when it cannot be reached."""
        if self._script is None:
            return None
        reported = [(window, window.end, window.pending) for window in windows]
        arguments = [int(asking)]
        names = []
        for window, end, pending in reported:
            window.flying += pending
            window.pending = 0
            # One hash tag for all counters of a key, so that a cluster keeps them on one node.
            names.append(f"{self._prefix}:rate:{{{key_id.hex}}}:{window.length}:{int(end)}")
            arguments += [window.limit, pending, window.length + MINUTE]
        self._unsaid.discard(key_id)
        try:
            async with asyncio.timeout(self._timeout):
                admitted, *counts = await self._script(keys=names, args=arguments)
        except asyncio.CancelledError:
            # The client went away in mid-question. Most likely Redis has the count by now.
            for window, end, pending in reported:
                if window.end == end:
                    window.flying -= pending
                    window.known += pending
            raise
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(error)
            for window, end, pending in reported:
                if window.end == end:
                    window.flying -= pending
                    window.pending += pending
            self._unsaid.add(key_id)
            return None
        for (window, end, pending), count in zip(reported, counts, strict=True):
            if window.end == end:
                window.flying -= pending
                # Answers may come out of order, and a flushed Redis counts from zero; this process does not forget.
                window.known = max(window.known, int(count))
        return bool(admitted)

    def _lost(self, error: Exception) -> None:
        if monotonic() >= self._away_until + RETRY_EVERY:
            logger.warning("rate limits are counted per process, Redis is away: %s", type(error).__name__)
        self._away_until = monotonic() + RETRY_EVERY

    async def _keep_telling(self) -> None:
        swept = monotonic()
        while not self._closing.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_EVERY):
                    await self._closing.wait()
            try:
                await self._tell_all()
                if monotonic() - swept > SWEEP_EVERY:
                    swept = monotonic()
                    self._sweep()
            except Exception:
                logger.exception("telling the rate limits failed")

    async def _tell_all(self) -> None:
        for key_id in list(self._unsaid):
            if monotonic() < self._away_until:
                return
            await self._report(key_id, self._windows(key_id), asking=False)

    def _sweep(self) -> None:
        now = time()
        quiet = [
            key_id for key_id, windows in self._keys.items() if all(now >= window.end for window in windows)
        ]
        for key_id in quiet:
            del self._keys[key_id]
            self._unsaid.discard(key_id)

    def _refusal(self, windows: list[Window]) -> RateLimited:
        now = time()
        # Redis may have refused by a count that this process has only just learned.
        spent = [window for window in windows if window.used >= window.limit] or windows[:1]
        window = max(spent, key=lambda one: one.end)
        wait = max(1, ceil(window.end - now))
        unit = "minute" if window.length == MINUTE else "hour"
        self._refused(unit)
        return RateLimited(
            f"Request was throttled: {self._whose} may make {window.limit} requests per {unit}. "
            f"Expected available in {wait} seconds.",
            retry_after=wait,
            headers=[
                (b"ratelimit-limit", b"%d" % window.limit),
                (b"ratelimit-remaining", b"0"),
                (b"ratelimit-reset", b"%d" % wait),
                self._policy,
            ],
        )
