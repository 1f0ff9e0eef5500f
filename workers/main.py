"""All followers of one worker process."""

import asyncio
from collections.abc import Callable

from redis.asyncio import Redis

from workers.cache import CacheFollower
from workers.follower import Follower
from workers.sweep import Sweeper

REDIS_TIMEOUT = 5.0  # seconds; a follower can wait, a request cannot


async def run(
    *, database_url: str, redis_url: str | None, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Run until ``stop`` is set. ``ready`` is called once they are started.

    Raises store.log.GapInLog, which no append can cause: then the log has been damaged and nothing may go on.
    """
    followers: list[Follower] = []
    redis = None
    if redis_url is not None:
        redis = Redis.from_url(redis_url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT)
        followers.append(CacheFollower(redis))
    try:
        async with asyncio.TaskGroup() as group:
            for follower in followers:
                group.create_task(follower.run(database_url, stop), name=follower.name)
            group.create_task(Sweeper().run(database_url, stop), name="sweep")
            ready()
            await stop.wait()
    finally:
        if redis is not None:
            await redis.aclose()
