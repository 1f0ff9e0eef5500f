"""Faults under the whole service while clients write and read over HTTP.

A client repeats a request that got no answer, with its Idempotency-Key, as the documentation tells it to. In the end every
request has happened once, every answer was true when it was given, and the log and its read models agree.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from itertools import cycle
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

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

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

# Answers that say "not now"; everything else must be what was asked for.
PASSING = (409, 503)


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


# What a new one of each kind needs beside its name, and the field that holds its text.
KINDS: dict[str, tuple[dict[str, str], str]] = {
    "llm_skills": ({"description": "d"}, "body"),
    "llm_prompts": ({}, "prompt"),
}


class Traffic:
    """Clients that create and publish skills and prompts and read them back, through whichever process takes the connection."""

    def __init__(self, service: Service, clients: int = 6) -> None:
        self.service = service
        self.clients = clients
        self.acknowledged: list[Acknowledged] = []
        self.replayed = 0
        self.refused: list[httpx.Response] = []
        self.lost = 0
        self.reads = 0
        self.last_write = monotonic()
        self._project = service.make_project().id
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for _ in range(self.clients):
                client = await stack.enter_async_context(
                    self.service.async_client(project_id=self._project, timeout=30)
                )
                self._tasks.append(asyncio.create_task(self._live(client)))
            try:
                yield
            finally:
                self._stop.set()
                await asyncio.wait_for(asyncio.gather(*self._tasks), 60)

    async def _live(self, client: httpx.AsyncClient) -> None:
        for resource, (needed, text) in cycle(KINDS.items()):
            if self._stop.is_set():
                return
            name = f"one-{uuid4().hex[:12]}"
            made = await self._write(
                client, "POST", f"{resource}/", {"name": name, **needed, text: "# One\n"}, 201
            )
            place = f"{resource}/name/{name}"
            for number in (1, 2, 3):
                await self._expect(client, place, number, made["id"])
                change = {"base_version": number, text: f"# {number + 1}\n"}
                made = await self._write(client, "PATCH", place, change, 200)
            await self._expect(client, place, 4, made["id"])

    async def _write(
        self, client: httpx.AsyncClient, method: str, path: str, body: Any, status: int
    ) -> dict[str, Any]:
        headers = {"Idempotency-Key": uuid4().hex}
        response = await self._ask(client, method, path, json=body, headers=headers)
        assert response.status_code == status, (response.status_code, response.text)
        made: dict[str, Any] = response.json()
        position = int(response.headers["X-Event-Position"])
        self.acknowledged.append(Acknowledged(position, UUID(made["id"])))
        self.replayed += "Idempotent-Replayed" in response.headers
        self.last_write = monotonic()
        return made

    async def _expect(self, client: httpx.AsyncClient, place: str, number: int, id: str) -> None:
        response = await self._ask(client, "GET", place)
        assert response.status_code == 200, (response.status_code, response.text)
        assert (response.json()["version"], response.json()["id"]) == (number, id)
        self.reads += 1

    async def _ask(self, client: httpx.AsyncClient, method: str, path: str, **more: Any) -> httpx.Response:
        """The first answer that is more than "not now"."""
        async with asyncio.timeout(45):
            while True:
                try:
                    # Each time another connection, so that both processes are asked.
                    response = await client.request(
                        method,
                        path,
                        **{**more, "headers": {**more.get("headers", {}), "Connection": "close"}},
                    )
                    if response.status_code not in PASSING:
                        return response
                    self.refused.append(response)
                except httpx.TransportError:
                    self.lost += 1
                await asyncio.sleep(0.05)

    async def more(self, writes: int = 20, timeout: float = 30) -> None:
        """Wait until that many further writes are acknowledged."""
        wanted = len(self.acknowledged) + writes
        async with asyncio.timeout(timeout):
            while len(self.acknowledged) < wanted:
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)

    def check(self) -> None:
        invariants.check(self.service.database_url, self.acknowledged)
        with psycopg.connect(self.service.database_url) as conn:
            row = conn.execute("SELECT count(*) FROM events WHERE project_id = %s", (self._project,))
            assert row.fetchone() == (len(self.acknowledged),), "a request has happened more than once"
        assert self.reads > 0


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
        for application in ("skald-appender", "skald-tail", "skald-api", "skald-cache", "skald-%"):
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
