"""A limit of time for what happens over and over, without a timer for each time."""

import asyncio
from collections.abc import Callable


class Watchdog:
    """Calls ``late`` when what is inside ``with`` takes longer than ``seconds``, and again after as long again.

    Its timer is set when none is, and looks at what is inside when it ends: to set and cancel one for each batch of the
    appender costs more than that.
    """

    def __init__(self, seconds: float, late: Callable[[], None]) -> None:
        self._seconds = seconds
        self._late = late
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(self._deadline, self._look)

    def __exit__(self, *_: object) -> None:
        self._deadline = None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        loop = asyncio.get_running_loop()
        if self._deadline <= loop.time():
            self._late()
            self._deadline = loop.time() + self._seconds
        self._timer = loop.call_at(self._deadline, self._look)
