"""What takes too long is noticed, however often it was quick before."""

import asyncio
from collections.abc import Callable

import pytest

from store.postgres.watchdog import Watchdog


class Clock:
    """The loop of a watchdog; its time goes on only as a test says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> "Timer":
        timer = Timer(self, when, callback)
        self.timers.append(timer)
        return timer

    def forward(self, seconds: float) -> None:
        until = self.now + seconds
        while due := [timer for timer in self.timers if timer.when <= until]:
            timer = min(due, key=lambda timer: timer.when)
            self.timers.remove(timer)
            self.now = max(self.now, timer.when)
            timer.callback()
        self.now = until


class Timer:
    def __init__(self, clock: Clock, when: float, callback: Callable[[], None]) -> None:
        self.clock = clock
        self.when = when
        self.callback = callback

    def cancel(self) -> None:
        if self in self.clock.timers:
            self.clock.timers.remove(self)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    return clock


@pytest.fixture
def late() -> list[float]:
    """When it was noticed that something takes too long."""
    return []


@pytest.fixture
def watchdog(clock: Clock, late: list[float]) -> Watchdog:
    """After ten seconds."""
    return Watchdog(10, lambda: late.append(clock.now))


def test_what_ends_in_time_is_left_alone(clock: Clock, watchdog: Watchdog, late: list[float]) -> None:
    for _ in range(35):
        with watchdog:
            clock.forward(9)
    clock.forward(100)

    assert late == []
    assert not clock.timers


def test_what_takes_too_long_is_told_and_told_again(
    clock: Clock, watchdog: Watchdog, late: list[float]
) -> None:
    with watchdog:
        clock.forward(6)
    # The timer of the first was set before this one began.
    with watchdog:
        clock.forward(25)

    assert late == [16, 26]


def test_it_looks_again_after_a_rest(clock: Clock, watchdog: Watchdog, late: list[float]) -> None:
    with watchdog:
        pass
    clock.forward(30)

    with watchdog:
        clock.forward(14)

    assert late == [40]


def test_one_timer_is_enough(clock: Clock, watchdog: Watchdog) -> None:
    for _ in range(5):
        with watchdog:
            assert len(clock.timers) == 1


def test_closed_it_leaves_no_timer_behind(clock: Clock, watchdog: Watchdog, late: list[float]) -> None:
    with watchdog:
        watchdog.close()
        assert not clock.timers
        clock.forward(20)

    assert late == []
