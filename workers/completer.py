"""Completes what hosts of an older release write beside this one during a rolling upgrade: versions in an older rendering.

The log is the same for both releases; the rows that the older one does not know are made anew from it, by a replay.
"""

import asyncio
import logging
from time import monotonic

import psycopg

from projections.rebuild import rebuild
from projections.rebuild.rebuild import LogDamaged, Outdated
from workers.task import first_line, sleep

logger = logging.getLogger(__name__)

EVERY = 60.0  # seconds; a look at what was written since the one before
# A replay reads the whole log, so it waits until the older hosts are silent, but for no more than this many seconds.
PATIENCE = 900.0


class Completer:
    """Any number may run: of two replays at a time the second waits, and finds nothing to do."""

    def __init__(self, every: float = EVERY, patience: float = PATIENCE) -> None:
        self._every = every
        self._patience = patience
        self._newest: int | None = None
        self._since = monotonic()

    async def run(self, dsn: str, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await sleep(stop, self._every)
            try:
                if not stop.is_set() and self._is_due(await rebuild.outdated(dsn)):
                    # In a thread, because to fold a batch keeps a loop from the followers that share it.
                    await asyncio.to_thread(asyncio.run, rebuild.complete(dsn))
                    logger.info("the versions that an older release wrote are completed")
            except (psycopg.Error, LogDamaged) as error:
                logger.warning(
                    "versions that an older release wrote wait for `skald replay`: %s", first_line(error)
                )

    def _is_due(self, found: Outdated | None) -> bool:
        """Whether nothing has been added to what is outdated since the look before, or for long enough not."""
        newest = found.newest if found else None
        before, self._newest = self._newest, newest
        if before is None:
            self._since = monotonic()
        if newest is None:
            return False
        return newest == before or monotonic() - self._since >= self._patience
