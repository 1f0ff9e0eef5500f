"""A service that is asked for more than it can do says no at once, tells when to come again, and goes on."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from store.log.log import LOCK
from tests.support.service import MakeService, Service

LIMIT = 4


@pytest.fixture
def service(make_service: MakeService) -> Service:
    """One API process that works on four requests at once."""
    return make_service(settings={"SKALD_MAX_IN_FLIGHT": str(LIMIT)})


@contextmanager
def no_append(service: Service) -> Iterator[None]:
    """Appends wait as long as the block runs: someone else holds the order lock."""
    with psycopg.connect(service.database_url) as conn:
        conn.execute(LOCK)
        yield


async def create(client: httpx.AsyncClient, name: str) -> httpx.Response:
    body = {"name": name, "description": "One of many.", "body": "# Many\n"}
    return await client.post("llm_skills/", json=body)


async def test_what_is_too_much_is_refused_at_once_and_what_is_in_is_answered(service: Service) -> None:
    async with service.async_client() as client:
        assert (await create(client, "before")).status_code == 201
        assert (await client.get("llm_skills/name/before")).status_code == 200
        with no_append(service):
            admitted = [asyncio.create_task(create(client, f"admitted-{number}")) for number in range(LIMIT)]
            await asyncio.sleep(0.5)
            started = time.monotonic()
            refused = await asyncio.gather(*(create(client, f"refused-{number}") for number in range(20)))
            listed = await client.get("llm_skills/")
            took = time.monotonic() - started
            known = await client.get("llm_skills/name/before")
        answers = await asyncio.gather(*admitted)
        after = await asyncio.gather(*(create(client, f"after-{number}") for number in range(LIMIT)))
        names = {row["name"] for row in (await client.get("llm_skills/")).json()["results"]}
    assert [answer.status_code for answer in (*refused, listed)] == [503] * 21
    for answer in (*refused, listed):
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["x-request-id"]
        assert (answer.json()["type"], answer.json()["code"]) == ("server_error", "overloaded")
    assert took < 5
    assert known.status_code == 200, "a read from memory waits for nothing, so it is never refused"
    assert [answer.status_code for answer in answers] == [201] * LIMIT
    assert [answer.status_code for answer in after] == [201] * LIMIT
    assert not [name for name in names if name.startswith("refused")]


async def test_probes_answer_when_nothing_else_is_let_in(service: Service) -> None:
    async with service.async_client() as client:
        with no_append(service):
            admitted = [asyncio.create_task(create(client, f"probed-{number}")) for number in range(LIMIT)]
            await asyncio.sleep(0.5)
            assert (await client.get("llm_skills/")).status_code == 503
            probes = [
                await client.get(f"{service.base_url}/{path}") for path in ("healthz", "readyz", "metrics")
            ]
        await asyncio.gather(*admitted)
    assert [probe.status_code for probe in probes] == [200] * 3


async def test_a_full_pool_makes_no_probe_say_that_the_database_is_away(make_service: MakeService) -> None:
    service = make_service(settings={"SKALD_POOL_SIZE": "1"})
    async with service.async_client(timeout=60) as client:
        assert (await create(client, "x")).status_code == 201
        with psycopg.connect(service.database_url) as conn:
            # Whoever lists waits for this lock, with the only connection in hand.
            conn.execute("LOCK TABLE artifacts IN ACCESS EXCLUSIVE MODE")
            lists = [asyncio.create_task(client.get("llm_skills/")) for _ in range(3)]
            await asyncio.sleep(0.5)
            ready = await client.get(f"{service.base_url}/readyz")
            conn.rollback()
        assert (await asyncio.gather(*lists))[0].status_code == 200
    assert ready.status_code == 200


async def test_who_only_waits_keeps_nobody_out(service: Service) -> None:
    key = service.make_key(["llm_skill:write", "event:read"])
    async with service.async_client(key) as client:
        position = int((await create(client, "first")).headers["x-event-position"])
        with open_uploads(service, key, 2 * LIMIT), open_streams(service, key, position, 2 * LIMIT):
            polls = [
                asyncio.create_task(client.get(f"events/?after={position}&wait=20")) for _ in range(2 * LIMIT)
            ]
            await asyncio.sleep(0.7)
            answers = [await client.get("llm_skills/") for _ in range(LIMIT)]
            await create(client, "second")
            pages = await asyncio.gather(*polls)
    assert [answer.status_code for answer in answers] == [200] * LIMIT
    assert {page.status_code for page in pages} <= {200, 503}
    assert any(page.status_code == 200 and page.json()["results"] for page in pages)


@contextmanager
def open_uploads(service: Service, key: str, count: int) -> Iterator[None]:
    """Requests whose bodies never come to their end."""
    head = (
        f"POST {service.url('llm_skills/').removeprefix(service.base_url)} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        "content-type: application/json\r\ncontent-length: 1000\r\n\r\n{"
    )
    sockets = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(count)]
    try:
        for one in sockets:
            one.sendall(head.encode())
        yield
    finally:
        for one in sockets:
            one.close()


@contextmanager
def open_streams(service: Service, key: str, after: int, count: int) -> Iterator[None]:
    """Streams of events that somebody follows."""
    path = service.url(f"events/stream?after={after}").removeprefix(service.base_url)
    head = f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n"
    sockets = []
    try:
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", service.port), timeout=10)
            sockets.append(one)
            one.sendall(head.encode())
            assert one.recv(100).startswith(b"HTTP/1.1 200")
        yield
    finally:
        for one in sockets:
            one.close()
