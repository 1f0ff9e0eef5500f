"""A wait that is over just as it is cancelled loses the cancellation in Python 3.11: wait_for returns its result instead.

Clients of Redis and pools of connections wait that way, so a task that loops over them may never hear that it shall end.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest

from api.access.rate_limit import RateLimiter
from workers.webhooks import Endpoint, Sender


class Wait:
    """The first wait loses its cancellation; it is over when that comes, or when ``over`` is set."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.over = asyncio.Event()

    async def __call__(self) -> None:
        if self.begun.is_set():
            return
        self.begun.set()
        try:
            await self.over.wait()
        except asyncio.CancelledError:
            return


async def ends(coroutine: Coroutine[Any, Any, None], wait: Wait) -> bool:
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    wait.over.set()
    # A time-out would cancel once more, and that one arrives.
    await asyncio.wait({task}, timeout=3)
    return task.done()


async def test_rate_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = RateLimiter(None, per_minute=1000, per_hour=0, timeout=10)
    wait = Wait()

    async def script(*, keys: list[str], args: list[int]) -> list[int]:
        await wait()
        return [1, 1]

    monkeypatch.setattr(limiter, "_script", script)
    limiter.start()
    await limiter.admit(uuid4())
    await wait.begun.wait()

    assert await ends(limiter.close(), wait)


async def test_webhooks() -> None:
    wait = Wait()

    @asynccontextmanager
    async def connection() -> AsyncIterator[None]:
        await wait()
        yield

    # What it then does without a real connection fails, and is tried again.
    sender = SimpleNamespace(pool=SimpleNamespace(connection=connection))
    endpoint = Endpoint(uuid4(), cast(Sender, sender))
    endpoint.wake()
    await wait.begun.wait()

    assert await ends(endpoint.end(), wait)
