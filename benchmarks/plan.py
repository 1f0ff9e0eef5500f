"""How long and how often to measure."""

import msgspec


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """``seconds`` are those that count, after ``warmup`` seconds that do not; ``workers`` are API processes.

    ``minutes`` is the length of the soak.
    """

    rounds: int
    warmup: float
    seconds: float
    workers: int
    minutes: float = 2.0

    @property
    def timeout(self) -> float:
        """Seconds after which a run is given up."""
        return self.warmup + self.seconds + 60
