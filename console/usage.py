"""Who reads an artifact, as pages show it: a chart by version and day, and what a change would reach ("blast radius").

Counts are of the present: no instant of the past has them.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from litestar import Request

from api.services import services
from console import access
from projections.read import usage
from projections.read.usage import Day, LastRead, Period
from projections.read.versions import Version
from store.postgres.connection import Connection

READ = "usage:read"
DAYS = 30
# Of the chart, in its own units: a day is as wide as a bar and a gap.
BAR, GAP, HEIGHT = 7, 2, 60


class Bar(msgspec.Struct, frozen=True):
    """A part of a day; ``series`` is the place of its version among those of the chart."""

    series: int
    x: int
    y: float
    height: float


class Chart(msgspec.Struct, frozen=True):
    """Reads by day, the oldest first. ``versions`` are the series, the newest first; None are all others together."""

    days: list[date]
    versions: list[int | None]
    reads: dict[tuple[date, int | None], int]
    bars: list[Bar]
    total: int
    most: int

    @property
    def width(self) -> int:
        return len(self.days) * (BAR + GAP)

    @property
    def height(self) -> int:
        return HEIGHT

    @property
    def bar(self) -> int:
        return BAR

    def of_version(self, version: int | None) -> int:
        return sum(reads for (_, one), reads in self.reads.items() if one == version)

    def of_day(self, day: date) -> int:
        return sum(reads for (one, _), reads in self.reads.items() if one == day)


class BlastRadius(msgspec.Struct, frozen=True):
    """Keys, shares and the public, each with the version that it read last in ``days``; ``count`` are all, ``readers`` the first."""

    days: int
    latest: int
    count: int
    readers: list[LastRead]

    @property
    def behind(self) -> list[LastRead]:
        """Those that have read an earlier version than the latest."""
        return [reader for reader in self.readers if reader.version < self.latest]

    def at(self, version: int) -> list[LastRead]:
        """Those that have read this version."""
        return [reader for reader in self.readers if reader.version == version]

    def sorted(self, leaving: int | None) -> list[LastRead]:
        """Those that a change reaches first, then the furthest behind."""
        return sorted(self.readers, key=lambda one: (one.version != leaving, one.version, -one.reads))


def period(now: datetime) -> Period:
    """The days that pages speak of, the present one included."""
    until = now.astimezone(UTC)
    return Period(until.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS - 1), until)


async def blast_radius(request: Request[Any, Any, Any], version: Version) -> BlastRadius | None:
    """Who reads the artifact; None when the session may not see that."""
    if not access.may(request, READ):
        return None
    # What this process has counted shows at once, what others have within some seconds.
    await services(request).read_counter.add()
    async with services(request).pool.connection() as conn:
        return await readers(conn, version, period(datetime.now(UTC)))


async def chart_of(request: Request[Any, Any, Any], conn: Connection, version: Version) -> Chart | None:
    """The chart of the artifact; None when the session may not see it."""
    if not access.may(request, READ):
        return None
    within = period(datetime.now(UTC))
    return chart(await usage.days(conn, version.stream_id, within), within)


async def readers(conn: Connection, version: Version, within: Period) -> BlastRadius:
    count, found = await usage.last_of_readers(conn, version.stream_id, within)
    return BlastRadius(DAYS, version.latest_version, count, found)


def chart(counted: Sequence[Day], within: Period) -> Chart:
    """Bars of the days of the period; a version has the same series on all of them."""
    first = within.since.date()
    days = [first + timedelta(days=number) for number in range((within.until.date() - first).days + 1)]
    reads = {(one.day, one.version): one.reads for one in counted}
    # The newest first; what is not told apart comes last.
    versions = sorted({one.version for one in counted}, key=lambda version: -(version or 0))
    most = max((sum(reads.get((day, version), 0) for version in versions) for day in days), default=0)
    bars = []
    for place, day in enumerate(days):
        top = float(HEIGHT)
        for series, version in enumerate(versions):
            if number := reads.get((day, version), 0):
                height = max(number * HEIGHT / most, 1.0)
                top = max(top - height, 0.0)
                bars.append(Bar(series, place * (BAR + GAP), round(top, 1), round(height, 1)))
    return Chart(days, versions, reads, bars, sum(reads.values()), most)
