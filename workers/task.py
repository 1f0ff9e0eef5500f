"""A task on a connection of its own: opened again when it is lost."""

import asyncio
import logging
from abc import ABC, abstractmethod
from time import monotonic

import psycopg
from redis.exceptions import RedisError

from store.errors import LaterRelease
from store.postgres.connection import Connection
from store.postgres.pool import REQUESTS, connect

logger = logging.getLogger(__name__)

POLL = 0.5  # seconds; a notification is a hint, the poll is the promise
MAX_PAUSE = 5.0

# What passes, or is for a process of a later release to do: the same events are worth another try.
PASSING = (psycopg.Error, RedisError, OSError, LaterRelease)


class Task(ABC):
    """``name`` is shown in logs and, behind ``skald-``, by PostgreSQL; ``limits`` are those of its connection."""

    name: str
    limits = REQUESTS

    async def run(self, dsn: str, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set; lost connections are opened again, errors are retried with growing pauses."""
        pause = 0.1
        while not stop.is_set():
            started = monotonic()
            try:
                conn = await connect(dsn, application_name=f"skald-{self.name}", limits=self.limits)
                try:
                    await self._work(conn, stop)
                finally:
                    await conn.close()
            except PASSING as error:
                if monotonic() - started > MAX_PAUSE:
                    pause = 0.1
                logger.warning("follower %s: %s, trying again in %.1f s", self.name, first_line(error), pause)
                await sleep(stop, pause)
                pause = min(pause * 2, MAX_PAUSE)

    @abstractmethod
    async def _work(self, conn: Connection, stop: asyncio.Event) -> None:
        """Do the work until ``stop`` is set or the connection is lost."""


async def sleep(stop: asyncio.Event, seconds: float) -> None:
    """Until the time is up or ``stop`` is set."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
