"""The retry line and each comment ended a message for httpx-sse, which has read an id: `message` without data came all the time.

And a stream with a filter never said how far it had looked: a reader that connected again began at its last event, and
as long as other events came, not even a comment did.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from itertools import count

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent, aconnect_sse

from api.events.controller import POSITION_EVERY
from tests.support.event_source import EventStream
from tests.support.histories import seed
from tests.support.service import MakeService, Service

HEARTBEAT = 0.2
WITHIN = 20  # seconds
UNSEEN = {"type": "skald.skill.archived.v1"}

_names = (f"skill-{number}" for number in count(1))


@pytest.fixture(scope="module")
def service(postgres_url: str, redis_url: str) -> Iterator[Service]:
    service = Service(postgres_url, redis_url, settings={"SKALD_STREAM_HEARTBEAT": str(HEARTBEAT)})
    try:
        yield service.start()
    finally:
        service.close()


@contextlib.asynccontextmanager
async def client_of(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A project of its own."""
    project = service.make_project()
    key = service.make_key(("llm_skill:write", "event:read"), [project.id])
    async with service.async_client(key, project.id) as client, asyncio.timeout(WITHIN):
        yield client


async def publish(client: httpx.AsyncClient) -> int:
    answer = await client.post("llm_skills/", json={"name": next(_names), "description": "d", "body": "b"})
    return int(answer.raise_for_status().headers["x-event-position"])


async def test_httpx_sse_gets_events_and_nothing_else(service: Service) -> None:
    async with client_of(service) as client:
        position = await publish(client)
        async with aconnect_sse(client, "GET", "events/stream") as source:
            stream = source.aiter_sse()
            first = await anext(stream)
            assert (first.event, first.id) == ("skald.skill.created.v1", str(position))
            assert (first.retry, first.json()["position"]) == (1000, position)
            for _ in range(2):
                await asyncio.sleep(HEARTBEAT * 3)
                position = await publish(client)
                following = await anext(stream)
                assert (following.id, following.json()["position"]) == (str(position), position)


async def test_a_comment_ends_no_message(service: Service) -> None:
    async with client_of(service) as client:
        position = await publish(client)
        sent = b""
        async with client.stream("GET", "events/stream") as answer:
            async for part in answer.aiter_raw():
                sent += part
                if sent.count(b"\n: still here\n") == 2:
                    break
        decoded = decoded_by_httpx_sse(sent + b"\n")
        assert [one.id for one in decoded if one.data] == [str(position)]
        # The empty line that the test has put at the end.
        assert len(decoded) == 2


def decoded_by_httpx_sse(sent: bytes) -> list[ServerSentEvent]:
    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=sent)
    return list(EventSource(answer).iter_sse())


async def test_a_filtered_stream_says_how_far_it_is(service: Service) -> None:
    async with client_of(service) as client:
        position = await publish(client)
        async with client.stream("GET", "events/stream", params=UNSEEN) as answer:
            stream = EventStream(answer)
            await stream.moves_to(position)
            position = await publish(client)
            await stream.moves_to(position)
            assert stream.dispatched == []
        # The same for the client that dispatches what has no data: it comes under a name of its own, with the position as id.
        async with aconnect_sse(client, "GET", "events/stream", params=UNSEEN) as source:
            async for one in source.aiter_sse():
                assert (one.event, one.data) == ("position", "")
                if int(one.id) >= position:
                    break


async def test_who_goes_on_from_such_a_position_misses_nothing(service: Service) -> None:
    async with client_of(service) as client:
        await publish(client)
        async with client.stream("GET", "events/stream", params=UNSEEN) as answer:
            stream = EventStream(answer)
            await stream.moves_to(await publish(client))
        name = next(_names)
        await client.post("llm_skills/", json={"name": name, "description": "d", "body": "b"})
        await client.post(f"llm_skills/name/{name}/archive")
        again = {"Last-Event-ID": stream.last_event_id}
        async with client.stream("GET", "events/stream", params=UNSEEN, headers=again) as answer:
            stream = EventStream(answer)
            await stream.reads_until(lambda: bool(stream.dispatched))
        [(kind, data, at)] = stream.dispatched
        assert (kind, data["subject"], data["position"]) == (UNSEEN["type"], f"skill/{name}", int(at))


async def test_a_stream_whose_events_are_all_left_out_is_not_silent(service: Service) -> None:
    async with client_of(service) as client:

        async def write() -> None:
            while True:
                await publish(client)

        # Events come faster than the time of silence is over.
        writers = [asyncio.create_task(write()) for _ in range(4)]
        try:
            async with client.stream("GET", "events/stream", params={"subject": "skill/none"}) as answer:
                stream = EventStream(answer)
                for _ in range(3):
                    await stream.moves_to(int(stream.last_event_id or 0) + 1)
        finally:
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)


async def test_a_stream_without_a_filter_has_events_and_comments_alone(service: Service) -> None:
    async with client_of(service) as client, client_of(service) as other:
        position = await publish(client)
        async with client.stream("GET", "events/stream") as answer:
            stream = EventStream(answer)
            await stream.reads_until(lambda: bool(stream.dispatched))
            await publish(other)
            await stream.reads_until(lambda: stream.comments >= 3)
            assert (len(stream.dispatched), stream.last_event_id) == (1, str(position))


async def test_far_behind_a_position_does_not_wait_for_silence(make_service: MakeService) -> None:
    service = make_service(settings={"SKALD_STREAM_HEARTBEAT": "600"})
    async with client_of(service) as client:
        first = await publish(client)
        async with client.stream("GET", "events/stream", params={"after": first, **UNSEEN}) as answer:
            stream = EventStream(answer)
            await seed(service.database_url, 1, POSITION_EVERY)
            await stream.moves_to(first + POSITION_EVERY)
