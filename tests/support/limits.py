"""Every test ends, as a pytest plugin: what pytest-timeout alone leaves waiting.

pytest-timeout raises once, by a signal in the main thread. That is not enough for three kinds of tests:

- In a callback or a task in the background, asyncio stores or logs what was raised, and the test waits on. Here the alarm
  comes again, until it reaches the test.
- A test that has failed has lost its timer, so what hangs in its teardown has none. Here the teardown gets a new one.
- Code that lets no signal in, such as a loop in C. Here the process writes the stacks of all its threads and ends;
  pytest-xdist counts that test as failed and starts another process for the others.
"""

import contextlib
import faulthandler
import os
import signal
import sys
from collections.abc import Generator, Iterator
from types import FrameType

import pytest
from pytest_timeout import Settings

AGAIN = 10.0  # seconds from one alarm to the next
GRACE = 90.0  # seconds that a phase of a test may go on after its first alarm, before its process ends

SETTINGS = pytest.StashKey[Settings]()
RUNS = pytest.StashKey[bool]()
STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    # What a test prints is captured; this is where the process itself writes.
    assert sys.__stderr__ is not None
    config.stash[STDERR] = os.dup(sys.__stderr__.fileno())


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Settings) -> Generator[None, object, object]:
    item.stash[SETTINGS] = settings
    answer = yield
    first, _ = signal.getitimer(signal.ITIMER_REAL)
    fail = signal.getsignal(signal.SIGALRM)
    if first and callable(fail):

        def fail_a_test_alone(number: int, frame: FrameType | None) -> None:
            # Raised in pytest itself, while it writes a report, it would end the whole run.
            if item.stash.get(RUNS, False):
                fail(number, frame)

        signal.signal(signal.SIGALRM, fail_a_test_alone)
        signal.setitimer(signal.ITIMER_REAL, first, AGAIN)
    return answer


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    with _limited(item):
        yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    with _limited(item):
        yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    with _limited(item):
        yield


@contextlib.contextmanager
def _limited(item: pytest.Item) -> Iterator[None]:
    """Limits for one phase of a test; the failure of the phase before has taken its own away."""
    if settings := item.stash.get(SETTINGS, None):
        limit = settings.timeout + GRACE
        faulthandler.dump_traceback_later(limit, file=item.config.stash[STDERR], exit=True)
        if settings.method == "signal" and not any(signal.getitimer(signal.ITIMER_REAL)):
            item.ihook.pytest_timeout_set_timer(item=item, settings=settings)
    item.stash[RUNS] = True
    try:
        yield
    finally:
        item.stash[RUNS] = False
