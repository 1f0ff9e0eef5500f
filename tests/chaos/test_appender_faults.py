"""Faults between the appender and PostgreSQL: what was acknowledged is there, nothing is there twice."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from cli.schema import migrate
from store.log.appender import Appender
from store.postgres.pool import connect
from tests.support import invariants
from tests.support.histories import created, published
from tests.support.invariants import Acknowledged
from tests.support.proxy import proxy
from tests.support.servers import StartServers

pytestmark = pytest.mark.chaos

LOST = 20  # answers
KILLS = 20  # backends, one at a time; an appender without one needs some time until it has the next


class Load:
    """Writers that append for as long as they run; ``acknowledged`` is what they were told."""

    def __init__(self, *urls: str, writers: int = 12) -> None:
        self.urls = urls
        self.writers = writers
        self.acknowledged: list[Acknowledged] = []
        self.failures: list[BaseException] = []
        self._stop = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        appenders = [Appender(url) for url in self.urls]
        for appender in appenders:
            await appender.start()
        tasks = [
            asyncio.create_task(self._write(appenders[n % len(appenders)], n)) for n in range(self.writers)
        ]
        try:
            yield
        finally:
            self._stop.set()
            await asyncio.wait_for(asyncio.gather(*tasks), 60)
            for appender in appenders:
                await asyncio.wait_for(appender.close(), 30)

    async def _write(self, appender: Appender, writer: int) -> None:
        number = 0
        while not self._stop.is_set():
            skill, commit = created(f"skill-{writer}-{number}")
            for _ in range(5):
                try:
                    appended = await appender.append(commit)
                except Exception as error:
                    self.failures.append(error)
                    return
                self.acknowledged.append(Acknowledged(appended.last, skill.version_id, commit.command_id))
                skill, commit = published(skill)
            number += 1

    async def more(self, writes: int = 30) -> None:
        """Wait until that many further writes are acknowledged."""
        wanted = len(self.acknowledged) + writes
        async with asyncio.timeout(30):
            while len(self.acknowledged) < wanted:
                assert not self.failures, self.failures
                await asyncio.sleep(0.01)

    def check(self, url: str) -> None:
        assert not self.failures, self.failures
        invariants.check(url, self.acknowledged)
        with psycopg.connect(url) as conn:
            # No commit was refused, so everything in the log was acknowledged: nothing was written twice.
            assert conn.execute("SELECT count(*) FROM events").fetchone() == (len(self.acknowledged),)


async def test_the_answer_of_a_commit_is_lost(fresh_database_url: str) -> None:
    async with proxy(fresh_database_url) as through:
        load = Load(through.url)
        async with load.running():
            for _ in range(LOST):
                await load.more(5)
                through.cut_after_commit = True
                async with asyncio.timeout(30):
                    while through.cut_after_commit:
                        await asyncio.sleep(0.01)
            await load.more()
        assert through.cuts == LOST
    load.check(fresh_database_url)


async def test_backends_are_killed_at_random(fresh_database_url: str) -> None:
    rng = random.Random(7)
    load = Load(fresh_database_url, fresh_database_url)
    killed = 0
    async with await connect(fresh_database_url) as conn, load.running(), asyncio.timeout(60):
        while killed < KILLS:
            assert not load.failures, load.failures
            await asyncio.sleep(rng.uniform(0.01, 0.06))
            cursor = await conn.execute(
                """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                   WHERE application_name = 'skald-appender' AND datname = current_database()
                   ORDER BY random() LIMIT 1"""
            )
            killed += cursor.rowcount
        await load.more()
    load.check(fresh_database_url)


async def test_postgresql_is_stopped_and_crashes(private_servers: StartServers) -> None:
    servers = private_servers(cache=False)
    assert servers.postgres is not None
    await migrate(servers.database_url)
    load = Load(servers.database_url, servers.database_url)
    async with load.running():
        await load.more()
        servers.postgres.stop()
        await asyncio.sleep(0.3)
        servers.postgres.start()
        await load.more()
        servers.postgres.kill()
        servers.postgres.start()
        await load.more()
    load.check(servers.database_url)
