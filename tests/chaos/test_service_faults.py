"""Faults under the whole service while clients write and read over HTTP.

In the end every request has happened once, every answer was true when it was given, and the log and its read models agree.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from time import monotonic
from uuid import UUID

import httpx
import psycopg
import pytest
from redis import Redis

from cli.embedded.servers import EmbeddedServers
from cli.schema import migrate
from tests.support import invariants
from tests.support.invariants import Acknowledged
from tests.support.proxy import proxy_in_a_thread
from tests.support.servers import descendants, make_folder
from tests.support.service import Service
from tests.support.traffic import Traffic

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


class World:
    """A service of two API processes with its followers, on servers of its own."""

    def __init__(self, stack: ExitStack) -> None:
        folder = make_folder()
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        self.servers = stack.enter_context(EmbeddedServers(folder))
        asyncio.run(migrate(self.servers.database_url))
        self.service = Service(self.servers.database_url, self.servers.redis_url, workers=2, followers=True)
        stack.callback(self.service.close)
        self.service.start()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack)


async def test_redis_is_flushed_stopped_and_back(world: World) -> None:
    traffic, valkey = Traffic(world.service), world.servers.valkey
    assert valkey is not None
    async with traffic.running():
        await traffic.more()
        with Redis.from_url(world.servers.redis_url) as redis:
            for _ in range(3):
                redis.flushall()
                await traffic.more(10)
        valkey.kill()
        await traffic.more()
        valkey.start()
        await traffic.more()
    assert not traffic.lost
    assert not [response.text for response in traffic.refused]
    traffic.check()


async def test_postgresql_is_away_for_a_moment(world: World) -> None:
    traffic, postgres = Traffic(world.service), world.servers.postgres
    assert postgres is not None
    async with traffic.running():
        await traffic.more()
        postgres.stop()
        async with asyncio.timeout(15):
            while not traffic.refused:
                await asyncio.sleep(0.05)
        postgres.start()
        up = monotonic()
        await traffic.more()
        assert monotonic() - up < 15
        postgres.kill()
        postgres.start()
        await traffic.more()
    away = [response for response in traffic.refused if response.status_code == 503]
    assert away
    assert all(int(response.headers["Retry-After"]) >= 1 for response in away)
    assert all(response.json()["type"] == "server_error" for response in away)
    traffic.check()


async def test_backends_and_followers_are_killed(world: World) -> None:
    traffic = Traffic(world.service)
    async with traffic.running():
        for application in ("skald-appender", "skald-log-follower", "skald-api", "skald-cache", "skald-%"):
            with psycopg.connect(world.servers.database_url) as conn:
                conn.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s",
                    (application,),
                )
            await traffic.more()
    traffic.check()


async def test_an_api_process_is_killed(world: World) -> None:
    traffic = Traffic(world.service)
    async with traffic.running():
        await traffic.more()
        for _ in range(2):
            os.kill(world.service.api_pids()[0], signal.SIGKILL)
            await traffic.more()
    traffic.check()


async def test_the_whole_service_is_killed(world: World) -> None:
    traffic = Traffic(world.service)
    async with traffic.running():
        await traffic.more()
        pids = world.service.pids()
        world.service.kill()
        assert not any(descendants(pid) for pid in pids)
        world.service.start()
        await traffic.more()
    traffic.check()


def test_a_kill_between_commit_and_answer_is_repaired_by_the_key(fresh_database_url: str) -> None:
    body = {"name": "once", "description": "d", "body": "# Once\n"}
    headers = {"Idempotency-Key": "the-first-try"}
    with proxy_in_a_thread(fresh_database_url) as through, ExitStack() as stack:
        # The key is made past the proxy; the service talks through it.
        service = Service(fresh_database_url, None)
        stack.callback(service.close)
        direct, service._env["SKALD_DATABASE_URL"] = fresh_database_url, through.url
        service.start()
        through.withhold_answer = True
        with service.client(timeout=5) as client:
            with pytest.raises(httpx.TransportError):
                # The answer never comes: who waits gives up, and then the service dies.
                client.post("llm_skills/", json=body, headers=headers, timeout=2)
            assert through.withheld.wait(5)
            service.kill()
            service.start()
            again = client.post("llm_skills/", json=body, headers=headers)
            assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
            third = client.post("llm_skills/", json=body, headers=headers)
            assert third.content == again.content
            assert client.get("llm_skills/").json()["count"] == 1
        written = Acknowledged(int(again.headers["X-Event-Position"]), UUID(again.json()["id"]))
        invariants.check(direct, [written])
