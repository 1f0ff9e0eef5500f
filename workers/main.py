"""All followers of one worker process."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from projections.declared import ASYNC
from projections.redis.client import open_redis
from store.tables.sealing import sealer_of
from workers.cache import CacheFollower
from workers.completer import Completer
from workers.event_buffer import EventBuffer
from workers.follower import Leader
from workers.projections import ProjectionFollower
from workers.streams import MAX_BYTES, MAX_TOTAL_BYTES, Replay, StreamsFollower
from workers.sweep import Sweeper
from workers.webhooks import Options, WebhookFollower

logger = logging.getLogger(__name__)

REDIS_TIMEOUT = 5.0  # seconds; a follower can wait, a request cannot


async def run(
    *,
    database_url: str,
    redis_url: str | None,
    stop: asyncio.Event,
    ready: Callable[[], None],
    stream_maxlen: int = 10_000,
    stream_max_bytes: int = MAX_BYTES,
    stream_max_total_bytes: int = MAX_TOTAL_BYTES,
    stream_replay: Replay = "0",
    secret_keys: Sequence[str] = (),
    webhook_allow_private: bool = False,
    public_url: str = "",
) -> None:
    """Run until ``stop`` is set. ``ready`` is called once they are started.

    Streams need Redis; webhooks need ``secret_keys``, by which their secrets are sealed.
    Raises store.log.log.GapInLog, which no append can cause: then the log has been damaged and nothing may go on.
    """
    news = EventBuffer()
    followers: list[Leader] = [ProjectionFollower(news, projection) for projection in ASYNC]
    sealer = sealer_of(secret_keys)
    if sealer is None:
        logger.warning("webhooks are not delivered: there is no SKALD_SECRET_KEY to open their secrets by")
    else:
        options = Options(allow_private=webhook_allow_private, base=public_url)
        followers.append(WebhookFollower(news, database_url, sealer, options))
    async with AsyncExitStack() as stack:
        if redis_url is not None:
            redis = await stack.enter_async_context(open_redis(redis_url, timeout=REDIS_TIMEOUT))
            followers += [
                CacheFollower(news, redis),
                StreamsFollower(
                    news,
                    redis,
                    maxlen=stream_maxlen,
                    max_bytes=stream_max_bytes,
                    max_total_bytes=stream_max_total_bytes,
                    replay=stream_replay,
                    base=public_url,
                ),
            ]
        async with asyncio.TaskGroup() as group:
            for task in (news, *followers):
                group.create_task(task.run(database_url, stop), name=task.name)
            group.create_task(Sweeper().run(database_url, stop), name="sweep")
            group.create_task(Completer().run(database_url, stop), name="complete")
            ready()
            await stop.wait()
