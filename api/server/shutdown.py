"""Hearing that the process shall end, before the server says so.

A server tells its application to close when the last answer is out, and an answer that waits for news has no end: it has
to receive the signal itself.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def when_told_to_end(call: Callable[[], None]) -> Iterator[None]:
    """Within it ``call`` runs in the event loop on the first signal to end; the handlers before it still run."""
    if threading.current_thread() is not threading.main_thread():
        # Signals belong to the main thread; a server that runs elsewhere has its own way to end.
        yield
        return
    loop = asyncio.get_running_loop()
    previous: dict[signal.Signals, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(call)
        before = previous[signal.Signals(number)]
        if callable(before):
            before(number, frame)

    for number in SIGNALS:
        before = signal.getsignal(number)
        # A signal without a handler ends the process at once, one that is ignored shall not end anything.
        if callable(before):
            previous[number] = before
            signal.signal(number, handle)
            signal.siginterrupt(number, False)
    try:
        yield
    finally:
        for number, before in previous.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, before)
                signal.siginterrupt(number, False)
