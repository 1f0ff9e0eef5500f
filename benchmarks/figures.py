"""What a run gives, and how runs are summed up."""

from collections.abc import Sequence
from statistics import median
from typing import Self

import msgspec


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one contender. ``rate`` is per second, ``p50`` and ``p99`` are seconds.

    ``answered`` counts the warm-up too; ``busy`` is the share of one core that the generator itself took.
    """

    rate: float
    p50: float
    p99: float
    answered: int
    busy: float

    @classmethod
    def of(cls, latencies: Sequence[float], *, seconds: float, answered: int, busy: float) -> Self:
        if not latencies:
            raise ValueError("nothing was answered in the time measured; take more seconds")
        ordered = sorted(latencies)
        return cls(
            rate=len(ordered) / seconds,
            p50=ordered[len(ordered) // 2],
            p99=ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
            answered=answered,
            busy=busy,
        )


class Summary(msgspec.Struct, frozen=True):
    """Several runs of one contender; ``cpu`` is seconds of the servers' CPU time a request, by part of the service."""

    loads: list[Load]
    cpu: dict[str, list[float]]

    @property
    def rate(self) -> str:
        """Median and spread."""
        rates = [load.rate for load in self.loads]
        return f"{median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})"

    @property
    def p50(self) -> str:
        return milliseconds(median(load.p50 for load in self.loads))

    @property
    def p99(self) -> str:
        return milliseconds(median(load.p99 for load in self.loads))

    @property
    def busy(self) -> str:
        return f"{median(load.busy for load in self.loads):.0%}"

    def cpu_of(self, part: str) -> str:
        """Median in microseconds a request."""
        return f"{median(self.cpu[part]) * 1e6:,.0f}" if self.cpu.get(part) else "–"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f}"


def ratios(ours: Summary, theirs: Summary) -> list[float]:
    """How many times faster, round by round: the two runs of a round saw the same machine."""
    return [mine.rate / other.rate for mine, other in zip(ours.loads, theirs.loads, strict=True)]


def show_ratio(values: Sequence[float], target: float | None) -> str:
    """Median and spread, and whether the target is met."""
    text = f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f})"
    if target is None:
        return text
    return f"{text} {'≥' if median(values) >= target else 'MISSES'} {target:g}"


def show_most(values: Sequence[float], most: float) -> str:
    """The same for what must stay below."""
    return f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f}) {'≤' if median(values) <= most else 'MISSES'} {most:g}"
