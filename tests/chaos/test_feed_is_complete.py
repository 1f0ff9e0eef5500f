"""Every consumer of the feed sees every event once and in order, whatever happens to connections on the way."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import httpx
import msgspec
import psycopg
import pytest

from store.log.appender import Appender
from store.log.log import INSERT_EVENTS, LOCK, STORE, arguments, rows_of
from store.log.statements import merge
from store.postgres.pool import connect
from tests.support.histories import created, published
from tests.support.service import MakeService, Service

WRITERS = 8
WRITES = 60  # of each writer
PATIENCE = 100.0  # seconds; a third of it is enough on a quiet machine

SCOPES = ("llm_skill:write", "event:read")


class Event(msgspec.Struct):
    position: int
    subject: str


class Page(msgspec.Struct):
    results: list[Event]
    position: int


Consume = Callable[["Consumer"], Awaitable[None]]


class Consumer:
    """Keeps its position with what it has seen, as a real one does, and goes on from there after every break."""

    def __init__(
        self, service: Service, key: str, project_id: int, last: "asyncio.Future[int]", rng: random.Random
    ) -> None:
        self.service, self.key, self.project_id, self.last, self.rng = service, key, project_id, last, rng
        self.position = 0
        self.seen: list[int] = []
        self.breaks = 0

    def take(self, event: Event) -> None:
        self.seen.append(event.position)
        self.position = event.position

    @property
    def done(self) -> bool:
        """Whether it has seen the last position of all writers."""
        return self.last.done() and self.position >= self.last.result()

    async def run(self, consume: Consume) -> None:
        """Until it is done, whatever breaks."""
        while not self.done:
            try:
                await consume(self)
            except (httpx.HTTPError, EOFError):
                self.breaks += 1
                await asyncio.sleep(0.02)

    async def get(self, client: httpx.AsyncClient, **query: Any) -> None:
        answer = await client.get(
            "events/", params={"after": self.position, "limit": self.rng.choice((1, 7, 100)), **query}
        )
        if answer.status_code == 503:
            raise EOFError
        assert answer.status_code == 200, answer.text
        page = msgspec.json.decode(answer.content, type=Page)
        for event in page.results:
            self.take(event)
        self.position = page.position

    def client(self) -> httpx.AsyncClient:
        return self.service.async_client(self.key, self.project_id, timeout=10)


async def poll(consumer: Consumer) -> None:
    async with consumer.client() as client:
        for _ in range(consumer.rng.randint(1, 20)):
            await consumer.get(client)
            await asyncio.sleep(consumer.rng.random() * 0.1)


async def long_poll(consumer: Consumer) -> None:
    async with consumer.client() as client:
        for _ in range(consumer.rng.randint(1, 20)):
            if not consumer.done:
                await consumer.get(client, wait=1)


async def stream(consumer: Consumer) -> None:
    """Reads some events, then drops the connection: among messages that are under way, or in silence."""
    rest = consumer.rng.choice((1, 5, 30, 200))
    headers = {"Last-Event-ID": str(consumer.position)}
    async with (
        consumer.client() as client,
        client.stream("GET", "events/stream", headers=headers) as answer,
    ):
        if answer.status_code == 503:
            raise EOFError
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                consumer.take(msgspec.json.decode(line[6:], type=Event))
                rest -= 1
            if rest == 0 or line.startswith(":"):
                return


async def write(database_url: str, project_id: int, other_project: int, writer: int) -> list[int]:
    """Positions of the acknowledged events of one writer; every fifth one goes to another project."""
    appender = Appender(database_url)
    await appender.start()
    positions = []
    try:
        skill, commit = created(f"writer-{writer}", project_id=project_id)
        positions.append((await appender.append(commit)).last)
        for number in range(1, WRITES):
            if number % 5 == 0:
                await appender.append(created(f"other-{writer}-{number}", project_id=other_project)[1])
            skill, commit = published(skill, f"# {number}\n", project_id=project_id)
            positions.append((await appender.append(commit)).last)
            await asyncio.sleep(0.02)
    finally:
        await appender.close()
    return positions


async def hold_open(database_url: str, project_id: int, rounds: int) -> None:
    """Appends whose transaction stays open for a while, and half of which are then taken back: nothing may overtake."""
    for number in range(rounds):
        _, commit = created(f"held-{number}", project_id=project_id)
        rows = rows_of(commit)
        with contextlib.suppress(psycopg.OperationalError):
            async with await connect(database_url) as conn, conn.transaction() as transaction:
                for sql, parameters in (
                    (STORE, columns((one.ref.digest, one.data) for one in commit.contents)),
                    (LOCK, []),
                    (INSERT_EVENTS, arguments(rows)),
                    *((statement.sql, columns(changed)) for statement, changed in merge([commit.writes])),
                ):
                    await conn.execute(sql, parameters)
                await asyncio.sleep(0.3)
                if number % 2:
                    raise psycopg.Rollback(transaction)
        await asyncio.sleep(0.2)


def columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


async def break_connections(database_url: str, rng: random.Random, stop: asyncio.Event) -> int:
    """End backends of the service and of the writers at random; how many."""
    ended = 0
    async with await connect(database_url, application_name="fault") as conn:
        while not stop.is_set():
            cursor = await conn.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = ANY(%s)",
                (["skald-log-follower", "skald-api", "skald-appender"],),
            )
            found = [row[0] for row in await cursor.fetchall()]
            for pid in rng.sample(found, min(2, len(found))):
                await conn.execute("SELECT pg_terminate_backend(%s)", (pid,))
                ended += 1
            await asyncio.sleep(0.25)
    return ended


@pytest.mark.chaos
@pytest.mark.timeout(150)
async def test_every_consumer_sees_each_event_once_and_in_order(
    fresh_database_url: str, make_service: MakeService
) -> None:
    service = make_service(
        database_url=fresh_database_url, workers=2, settings={"SKALD_STREAM_HEARTBEAT": "0.3"}
    )
    project_id, other_project = service.make_project().id, service.make_project().id
    key = service.make_key(SCOPES, [project_id])
    rng = random.Random(7)
    last: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    consumers = {
        f"{consume.__name__} {number}": (
            Consumer(service, key, project_id, last, random.Random(number)),
            consume,
        )
        for consume in (poll, long_poll, stream)
        for number in range(2)
    }
    async with asyncio.timeout(PATIENCE):
        consuming = [asyncio.create_task(consumer.run(consume)) for consumer, consume in consumers.values()]
        breaking = asyncio.create_task(break_connections(fresh_database_url, rng, stop))
        holding = asyncio.create_task(hold_open(fresh_database_url, project_id, 5))
        written = await asyncio.gather(
            *(write(fresh_database_url, project_id, other_project, writer) for writer in range(WRITERS))
        )
        await holding
        stop.set()
        ended = await breaking
        async with await connect(fresh_database_url) as conn:
            rows = await (
                await conn.execute(
                    "SELECT position FROM events WHERE project_id = %s ORDER BY position", (project_id,)
                )
            ).fetchall()
        expected = [row[0] for row in rows]
        last.set_result(expected[-1])
        await asyncio.gather(*consuming)
    acknowledged = {position for positions in written for position in positions}
    assert acknowledged <= set(expected)
    assert len(acknowledged) == WRITERS * WRITES
    assert ended > 5, "nothing was broken"
    for name, (consumer, _) in consumers.items():
        assert consumer.seen == expected, name
