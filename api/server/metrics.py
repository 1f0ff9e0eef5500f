"""What is measured, and how one scrape shows all API processes of a host.

Each process writes its numbers into files of a shared folder; a scrape adds them up. prometheus_client looks for that
folder when it is imported, so it is imported here, late.
"""

import asyncio
import fcntl
import os
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from api.allocated import allocate
from api.config import MIB
from api.server import processes
from store.log.log import Commit
from store.tables.readiness import FollowerState
from store.tables.webhooks import Totals

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

# Seconds. Fine around a millisecond, where cached reads and single appends are.
LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FLUSH_EVERY = 0.1  # seconds that observations wait to be written together
IN_FLIGHT_EVERY = (
    1.0  # seconds between two looks at the requests in flight: they are no part of what is counted by request
)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)  # commits

# A process has a file of each kind, which the library maps into memory. It would start small and sparse and grow by need;
# here all that can be counted, each route with each status, has its place from the start.
FILES = {"counter": 4 * MIB, "histogram": MIB, "gauge_livesum": MIB // 16}  # bytes

PROCESSES = "processes"  # the folder of their numbers, below that of the metrics

_opened: "Metrics | None" = None


class Metrics:
    """The metrics of this process. Use ``open_metrics``: a process has one set."""

    def __init__(self, folder: Path) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.folder = folder
        registry = CollectorRegistry()
        self.requests = Counter(
            "skald_http_requests_total",
            "Requests by method, route template and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "skald_http_request_seconds",
            "Time from the request to the last byte of its answer.",
            ["route"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.refusals = Counter(
            "skald_http_refused_heads_total",
            "What could not be read as a request (400), came too slowly (408) or was too large (431), by status.",
            ["status"],
            registry=registry,
        )
        self.appends = Counter("skald_appends_total", "Commits appended to the log.", registry=registry)
        self.events = Counter("skald_events_total", "Events appended, by type.", ["type"], registry=registry)
        self.rate_limited = Counter(
            "skald_rate_limited_total",
            "Requests refused by a limit, by whose it is (key, share, address) and its window (minute, hour).",
            ["whose", "window"],
            registry=registry,
        )
        self.in_flight = Gauge(
            "skald_http_requests_in_flight",
            "Requests that are worked on; what only waits for its client, or streams, is not.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.batch_size = Histogram(
            "skald_append_batch_size",
            "Commits that went into one transaction.",
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.git_left_out = Counter(
            "skald_git_left_out_total",
            "Files that new commits of git repositories lack, because git cannot hold them.",
            registry=registry,
        )
        self.append_seconds = Histogram(
            "skald_append_seconds",
            "Time of one append transaction.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.cache_requests = Counter(
            "skald_cache_requests_total",
            "Look-ups by cache and result (hit, miss, stale, bypass).",
            ["cache", "result"],
            registry=registry,
        )
        self.reads = Counter(
            "skald_reads_total",
            "Versions read, by kind, door and result (read, revalidated), as far as they have been added to the usage.",
            ["kind", "door", "result"],
            registry=registry,
        )
        self.reads_lost = Counter(
            "skald_reads_lost_total",
            "Reads that the usage lacks, because the database took no counts for long.",
            registry=registry,
        )
        # Pools belong to living processes: the files of dead ones do not count.
        self.pool_size = Gauge(
            "skald_db_pool_connections", "Open connections.", registry=registry, multiprocess_mode="livesum"
        )
        self.pool_available = Gauge(
            "skald_db_pool_available", "Idle connections.", registry=registry, multiprocess_mode="livesum"
        )
        self.pool_waiting = Gauge(
            "skald_db_pool_waiting",
            "Requests that wait for a connection.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        # What has been observed since the last write: writing it into the shared files takes most of the time.
        self._requests: dict[tuple[str, str, int], int] = {}
        self._seconds: dict[str, _Values] = {}
        self._batches = _Values(BATCH_BUCKETS)
        self._append_seconds = _Values(LATENCY_BUCKETS)
        self._caches: dict[tuple[str, str], int] = {}
        self._refusals: dict[int, int] = {}
        self._events: dict[str, int] = {}
        self._rate_limited: dict[tuple[str, str], int] = {}
        self._flushing = False

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request. ``route`` is a template: the number of routes is bounded, that of paths is not."""
        key = (method, route, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        spent = self._seconds.get(route)
        if spent is None:
            spent = self._seconds[route] = _Values(LATENCY_BUCKETS)
        spent.observe(seconds)
        if not self._flushing:
            self._flush_soon()

    def _flush_soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._flushing = True
            loop.call_later(FLUSH_EVERY, self.flush)

    def flush(self) -> None:
        """Write what has been observed into the files that a scrape of any process reads."""
        self._flushing = False
        for (method, route, status), count in self._requests.items():
            self.requests.labels(method, route, str(status)).inc(count)
        for status, count in self._refusals.items():
            self.refusals.labels(str(status)).inc(count)
        for type_, count in self._events.items():
            self.events.labels(type_).inc(count)
        for (whose, window), count in self._rate_limited.items():
            self.rate_limited.labels(whose, window).inc(count)
        for (cache, result), count in self._caches.items():
            self.cache_requests.labels(cache, result).inc(count)
        for route, spent in self._seconds.items():
            spent.move_to(self.seconds.labels(route))
        if self._batches.total:
            self.appends.inc(self._batches.total)
            self._batches.move_to(self.batch_size)
            self._append_seconds.move_to(self.append_seconds)
        for observed in (
            self._requests,
            self._refusals,
            self._events,
            self._rate_limited,
            self._caches,
            self._seconds,
        ):
            observed.clear()

    def observe_append(self, commits: Sequence[Commit], seconds: float) -> None:
        """Count one append transaction; fits ``store.log.appender.Appender(observe=…)``."""
        self._batches.observe(len(commits))
        self._append_seconds.observe(seconds)
        for commit in commits:
            for event in commit.events:
                self._events[event.topic] = self._events.get(event.topic, 0) + 1
        if not self._flushing:
            self._flush_soon()

    def observe_cache(self, cache: str, result: str) -> None:
        """Count one look-up in a cache."""
        key = (cache, result)
        self._caches[key] = self._caches.get(key, 0) + 1
        if not self._flushing:
            self._flush_soon()

    def observe_reads(self, kind: str, door: str, reads: int, revalidated: int) -> None:
        """Count reads that were gathered by ``api.counting.reads``, some seconds of them at a time."""
        for result, count in (("read", reads), ("revalidated", revalidated)):
            if count:
                self.reads.labels(kind, door, result).inc(count)

    def observe_refusal(self, status: int) -> None:
        """Count one head that is no request."""
        self._refusals[status] = self._refusals.get(status, 0) + 1
        if not self._flushing:
            self._flush_soon()

    def observe_rate_limited(self, whose: str, window: str) -> None:
        """Count one request that a limit refused."""
        key = (whose, window)
        self._rate_limited[key] = self._rate_limited.get(key, 0) + 1
        if not self._flushing:
            self._flush_soon()

    async def keep_in_flight(self, count: Callable[[], int]) -> None:
        """Show how many requests this process works on, until it is cancelled: a scrape may come to another process."""
        shown = 0
        while True:
            if (now := count()) != shown:
                self.in_flight.set(now)
                shown = now
            await asyncio.sleep(IN_FLIGHT_EVERY)

    def observe_pool(self, stats: Mapping[str, int]) -> None:
        """Take over what ``AsyncConnectionPool.get_stats()`` says."""
        self.pool_size.set(stats.get("pool_size", 0))
        self.pool_available.set(stats.get("pool_available", 0))
        self.pool_waiting.set(stats.get("requests_waiting", 0))

    def exposition(
        self, followers: Mapping[str, FollowerState] | None = None, webhooks: Totals | None = None
    ) -> bytes:
        """The text of one scrape: all processes of the host, how each follower is, and what came of all webhooks."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.core import GaugeMetricFamily
        from prometheus_client.multiprocess import MultiProcessCollector

        self.flush()
        lag = GaugeMetricFamily(
            "skald_follower_lag_positions", "Events that a follower has not seen yet.", labels=["follower"]
        )
        failing = GaugeMetricFamily(
            "skald_follower_failing", "1 for a follower that does not go on.", labels=["follower"]
        )
        parked = GaugeMetricFamily(
            "skald_follower_parked_events",
            "Events that a follower could not take and has left out.",
            labels=["follower"],
        )
        for follower, state in (followers or {}).items():
            lag.add_metric([follower], state.lag)
            failing.add_metric([follower], state.failure is not None)
            parked.add_metric([follower], state.parked)
        build = GaugeMetricFamily(
            "skald_build_info", "1; the labels say what runs here.", labels=["version", "python"]
        )
        build.add_metric([version("skald"), python_version()], 1)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self.folder))  # type: ignore[no-untyped-call]
        known = [build, lag, failing, parked, *_of_processes(self.folder), *_of_webhooks(webhooks)]
        registry.register(_Fixed(lambda: known))
        return generate_latest(registry)


def _of_processes(folder: Path) -> list[Any]:
    """The figures that Prometheus has for every process, by role and number."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    labels = ["role", "pid"]
    cpu = CounterMetricFamily("process_cpu_seconds_total", "User and system CPU time.", labels=labels)
    resident = GaugeMetricFamily("process_resident_memory_bytes", "Resident memory.", labels=labels)
    files = GaugeMetricFamily("process_open_fds", "Open file descriptors.", labels=labels)
    started = GaugeMetricFamily(
        "process_start_time_seconds", "When it started, since the Unix epoch.", labels=labels
    )
    for one in processes.living(folder / PROCESSES):
        for family, value in (
            (cpu, one.cpu),
            (resident, one.resident),
            (files, one.open_files),
            (started, one.started_at),
        ):
            family.add_metric([one.role, str(one.pid)], value)
    return [cpu, resident, files, started]


def _of_webhooks(totals: Totals | None) -> list[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    if totals is None:
        return []
    attempts = CounterMetricFamily(
        "skald_webhook_attempts_total",
        "Attempts to deliver, by outcome: delivered, retry (failed, to be tried again), failed (given up).",
        labels=["outcome"],
    )
    for outcome, count in totals.attempts.items():
        attempts.add_metric([outcome], count)
    pending = GaugeMetricFamily(
        "skald_webhook_pending_deliveries", "Deliveries that wait for their attempt.", value=totals.pending
    )
    return [attempts, pending]


class _Values:
    """What a histogram has yet to take in: the sum of the values, and how many fell into each bucket."""

    __slots__ = ("_bounds", "buckets", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._clear()

    def _clear(self) -> None:
        self.total = 0.0
        self.buckets = [0] * (len(self._bounds) + 1)

    def observe(self, value: float) -> None:
        self.total += value
        self.buckets[bisect_left(self._bounds, value)] += 1

    def move_to(self, histogram: Any) -> None:
        # The library has no way to observe several values at once; a test holds this to what ``observe`` does.
        histogram._sum.inc(self.total)
        for bucket, count in zip(histogram._buckets, self.buckets, strict=True):
            if count:
                bucket.inc(count)
        self._clear()


class _Fixed:
    """A collector of metrics that are known at the time of the scrape."""

    def __init__(self, collect: Callable[[], list[Any]]) -> None:
        self.collect = collect


def open_metrics(folder: Path) -> Metrics:
    """The metrics of this process, with their files in ``folder``; a second call gives the same set again. Raises OSError."""
    global _opened
    if _opened is None:
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[FOLDER_VARIABLE] = str(folder)
        _make_files(folder)
        processes.announce(folder / PROCESSES, "api")
        _opened = Metrics(folder)
    return _opened


def _make_files(folder: Path) -> None:
    """Make the files of this process before the library does, or go on with those of one that is dead.

    So a process that starts again on a full disk has its place, the counters go on, and no files pile up. The gauges of
    the dead do not count.
    """
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        for kind, size in FILES.items():
            left = [file for file in sorted(folder.glob(f"{kind}_*.db")) if not _is_alive(file)]
            if kind.startswith("gauge"):
                for file in left:
                    _empty(file)
            mine = folder / f"{kind}_{os.getpid()}.db"
            if left and not mine.exists():
                left[0].rename(mine)
            opened = os.open(mine, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                allocate(opened, size)
            finally:
                os.close(opened)
    finally:
        os.close(held)


def _is_alive(file: Path) -> bool:
    """Whether the process that a file belongs to still runs."""
    pid = file.stem.rpartition("_")[2]
    return not pid.isdigit() or Path(f"/proc/{pid}").exists()


def _empty(file: Path) -> None:
    """Forget the values: a file begins with the number of its bytes that are in use."""
    with suppress(FileNotFoundError), file.open("r+b") as opened:
        opened.write(bytes(8))
