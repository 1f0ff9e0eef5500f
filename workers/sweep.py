"""Removes what is kept for a time only: the answers behind idempotency keys, shares that open nothing any more, hours of usage,
files that were sent and not published."""

import asyncio
import logging

import psycopg

from store.postgres.pool import FOLLOWERS, connect
from store.tables import shares, uploads, usage

logger = logging.getLogger(__name__)

EVERY = 600.0  # seconds
RETRY = 10.0
KEEP_COMMANDS = "24 hours"

# commands_age
SWEEP = "DELETE FROM commands WHERE recorded_at < clock_timestamp() - %s::interval"


class Sweeper:
    """Any number may run; they find nothing to do behind each other."""

    async def run(self, dsn: str, stop: asyncio.Event) -> None:
        while not stop.is_set():
            pause = EVERY
            try:
                conn = await connect(dsn, application_name="skald-sweep", limits=FOLLOWERS)
                async with conn:
                    await conn.execute(SWEEP, (KEEP_COMMANDS,))
                    await shares.sweep(conn)
                    await usage.sweep(conn)
                    await uploads.sweep(conn)
            except psycopg.Error as error:
                logger.warning("the sweep has to wait: %s", type(error).__name__)
                pause = RETRY
            try:
                await asyncio.wait_for(stop.wait(), pause)
            except TimeoutError:
                continue
