"""What else the machine did meanwhile: figures taken beside busy neighbours say little."""

import os
from pathlib import Path
from time import monotonic
from typing import Self

import msgspec

from benchmarks.stage import TICKS, cpu_seconds


class Usage(msgspec.Struct, frozen=True):
    """CPU seconds of the whole machine and of this process with all its children, at one time."""

    at: float
    all: float
    ours: float

    @classmethod
    def now(cls) -> Self:
        user, nice, system, _, _, irq, soft, steal = map(
            int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        )
        busy = user + nice + system + irq + soft + steal
        return cls(monotonic(), busy / TICKS, cpu_seconds(os.getpid()))

    def since(self) -> str:
        """How much of all cores others took from this time until now."""
        now = type(self).now()
        others = (now.all - self.all) - (now.ours - self.ours)
        share = max(0.0, others / ((now.at - self.at) * (os.cpu_count() or 1)))
        return f"Other processes took {share:.0%} of the machine meanwhile."
