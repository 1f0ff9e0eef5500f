"""Keeps the parts of the service running: a part that ends by itself is started again, with growing pauses."""

import contextlib
import math
import time
from collections.abc import Callable
from typing import Protocol

from cli.errors import Failure
from cli.output import say

FIRST_PAUSE = 0.5  # seconds before the second restart in a row; the first one is at once
LONGEST_PAUSE = 30.0
STEADY = 60.0  # a part that ran so many seconds starts with a clean record


class Running(Protocol):
    """A process that may end by itself."""

    def exit_code(self) -> int | None: ...


class Part:
    """One part of the service; ``start`` starts it, waits until it works and returns its process.

    ``running`` is its process if it runs already; ``clock`` gives seconds.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], Running],
        *,
        running: Running | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._start = start
        self._clock = clock
        self._running = running
        self._started_at = clock()
        self._failures = 0
        self._next_try = -math.inf

    def start(self) -> None:
        """Start it the first time; a Failure goes up to the caller."""
        self._running = self._start()
        self._started_at = self._clock()

    def watch(self) -> None:
        """Start it again if it has ended and its pause is over. Failures are printed to standard error and tried again."""
        if self._running is not None:
            code = self._running.exit_code()
            if code is None:
                return
            self._running = None
            now = self._clock()
            self._failures = 0 if now - self._started_at >= STEADY else self._failures
            self._next_try = now + self._pause()
            tell(f"{self.name} ended {how(code)}; starting it again")
        if self._clock() < self._next_try:
            return
        self._failures += 1
        try:
            self.start()
        except (Failure, OSError) as failure:
            # An OSError is the system's: no room for a log, no memory for a process.
            tell(f"{self.name} did not start: {failure}")
            self._next_try = self._clock() + self._pause()

    def _pause(self) -> float:
        return 0.0 if self._failures == 0 else min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self._failures - 1))


def how(code: int) -> str:
    """An exit code in words; a negative one is the signal's number."""
    return f"by signal {-code}" if code < 0 else f"with code {code}"


def tell(message: str) -> None:
    """A line for the operator. What it goes to may be a full disk or a closed pipe: the service goes on without it."""
    with contextlib.suppress(OSError):
        say(f"skald: {message}", err=True)
