"""Clients that write and read over HTTP whatever happens to the service, and know what they were told."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg

from tests.support import invariants
from tests.support.invariants import Acknowledged
from tests.support.service import Service

# Answers that say "not now"; everything else must be what was asked for.
PASSING = (409, 503)
# Seconds after which what one host has acknowledged shows on all others.
BETWEEN_HOSTS = 2.0

# What a new one of each kind needs beside its name, and the field that holds its text.
KINDS: dict[str, tuple[dict[str, str], str]] = {
    "llm_skills": ({"description": "d"}, "body"),
    "llm_prompts": ({}, "prompt"),
}


class Forgotten(Exception):
    """What was acknowledged is gone."""


class Traffic:
    """Clients that create and publish skills and prompts and read them back, through whichever process takes the connection.

    A client repeats a request that got no answer, with its Idempotency-Key, as the documentation tells it to. With further
    ``hosts`` each client belongs to one of all, and looks now and then at another for what was acknowledged. ``lossy``:
    the log may go back; a client whose artifact is gone, or is older than it was, goes on with another one.
    """

    def __init__(self, service: Service, *hosts: Service, clients: int = 6, lossy: bool = False) -> None:
        self.service = service
        self.hosts = [service, *hosts]
        self.clients = clients
        self.lossy = lossy
        self.acknowledged: list[Acknowledged] = []
        self.replayed = 0
        self.refused: list[httpx.Response] = []
        self.lost = 0
        self.reads = 0
        self.forgotten = 0
        self.last_write = monotonic()
        self.longest_pause = 0.0
        self.project = service.make_project().id
        self._random = random.Random(7)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.last_write = monotonic()
        async with AsyncExitStack() as stack:
            for number in range(self.clients):
                clients = [
                    await stack.enter_async_context(host.async_client(project_id=self.project, timeout=30))
                    for host in self.hosts
                ]
                # Its own host comes first.
                own = number % len(clients)
                self._tasks.append(
                    asyncio.create_task(self._live(clients[own], clients[:own] + clients[own + 1 :]))
                )
            try:
                yield
            finally:
                self._stop.set()
                await asyncio.wait_for(asyncio.gather(*self._tasks), 60)

    async def _live(self, client: httpx.AsyncClient, others: list[httpx.AsyncClient]) -> None:
        for resource in cycle(KINDS):
            if self._stop.is_set():
                return
            try:
                await self._write_one(client, others, resource)
            except Forgotten:
                self.forgotten += 1

    async def _write_one(
        self, client: httpx.AsyncClient, others: list[httpx.AsyncClient], resource: str
    ) -> None:
        needed, text = KINDS[resource]
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
        if others and self._random.random() < 0.1:
            await asyncio.sleep(BETWEEN_HOSTS)
            await self._expect(self._random.choice(others), place, 4, made["id"])

    async def _write(
        self, client: httpx.AsyncClient, method: str, path: str, body: Any, status: int
    ) -> dict[str, Any]:
        headers = {"Idempotency-Key": uuid4().hex}
        response = await self._ask(client, method, path, json=body, headers=headers)
        self._check(response.status_code == status, response)
        made: dict[str, Any] = response.json()
        position = int(response.headers["X-Event-Position"])
        self.acknowledged.append(Acknowledged(position, UUID(made["id"])))
        self.replayed += "Idempotent-Replayed" in response.headers
        now = monotonic()
        self.longest_pause = max(self.longest_pause, now - self.last_write)
        self.last_write = now
        return made

    async def _expect(self, client: httpx.AsyncClient, place: str, number: int, id: str) -> None:
        response = await self._ask(client, "GET", place)
        self._check(response.status_code == 200, response)
        self._check((response.json()["version"], response.json()["id"]) == (number, id), response)
        self.reads += 1

    def _check(self, right: bool, response: httpx.Response) -> None:
        if not right and self.lossy:
            raise Forgotten
        assert right, (response.status_code, response.text)

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
                    if response.status_code not in PASSING or (self.lossy and response.status_code == 409):
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
            row = conn.execute("SELECT count(*) FROM events WHERE project_id = %s", (self.project,))
            assert row.fetchone() == (len(self.acknowledged),), "a request has happened more than once"
        assert self.reads > 0
