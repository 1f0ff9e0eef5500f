"""The followers of the log in the process of a test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.service import SECRET_KEY
from workers.main import run


@asynccontextmanager
async def working(dsn: str, redis_url: str) -> AsyncIterator[None]:
    """The followers of the log, as `skald worker` runs them."""
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(
        run(
            database_url=dsn,
            redis_url=redis_url,
            stop=stop,
            ready=ready.set,
            secret_keys=(SECRET_KEY,),
            webhook_allow_private=True,
        )
    )
    try:
        await ready.wait()
        yield
    finally:
        stop.set()
        await task
