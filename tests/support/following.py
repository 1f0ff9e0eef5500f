"""Followers at work inside a test, as ``workers.main`` runs them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from workers.event_buffer import EventBuffer
from workers.follower import Leader
from workers.task import Task


@asynccontextmanager
async def following(
    url: str, *makers: Callable[[EventBuffer], Leader], processes: int = 1
) -> AsyncIterator[None]:
    """What the makers make, with one source of news for each of as many processes as a host would have."""
    stop = asyncio.Event()
    tasks: list[Task] = []
    for _ in range(processes):
        news = EventBuffer()
        tasks += [news, *(make(news) for make in makers)]
    running = [asyncio.create_task(task.run(url, stop)) for task in tasks]
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*running), 15)
