"""What the readers of a log hear when it went back: by feed, stream, Redis Streams and webhook."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from api.config import ApiConfig
from projections.redis.streams import stream_key
from store.log.history import FIRST_LATER, LogHistory
from store.log.log import head
from store.postgres.pool import connect
from tests.support.receiver import receiving
from tests.support.rewinding import go_back
from tests.support.service import SECRET_KEY
from tests.support.space import Space, open_space, refusal, running
from tests.support.working import working

SCOPES = ("llm_skill:write", "event:read", "webhook:write")
WITHIN = 15.0  # seconds for what a follower does, on a busy machine


@pytest_asyncio.fixture
async def own(fresh_database_url: str, tmp_path: Path) -> AsyncIterator[Space]:
    """A project in a database of its own."""
    config = ApiConfig(
        database_url=fresh_database_url,
        run_dir=tmp_path,
        rate_limit_per_minute=0,
        access_log=False,
        secret_keys=(SECRET_KEY,),
        webhook_allow_private=True,
    )
    async with running(config) as app, await connect(fresh_database_url) as conn:
        space = await open_space(app, conn, scopes=SCOPES)
        yield space
        await space.client.aclose()


async def lose(space: Space, dsn: str, count: int = 3) -> tuple[int, int]:
    """Publish ``count`` versions and lose them; the position that is kept, and the last one that was given."""
    await space.create()
    kept = await space.head()
    for number in range(1, count + 1):
        await space.publish("pdf-forms", number, body=f"# Lost {number}\n")
    last = await space.head()
    await go_back(dsn, kept)
    return kept, last


async def begin_again(dsn: str, *, known: int) -> int:
    """As the first process that connects; the position with which the new history begins."""
    history = LogHistory()
    history.reach(known)
    async with await connect(dsn) as conn:
        await history.settle(conn)
        return await head(conn)


async def entries(redis: Redis, project_id: int, count: int) -> Any:
    """The stream of a project when it has so many entries."""
    found: Any = []
    async with asyncio.timeout(WITHIN):
        while len(found) != count:
            await asyncio.sleep(0.05)
            found = await redis.xrange(stream_key(project_id))
    return found


async def events(space: Space, after: int, **query: Any) -> dict[str, Any]:
    return await space.ok(200, await space.at("GET", "events/", params={"after": after, **query}))


async def test_a_position_beyond_the_log_is_refused_with_the_one_to_go_on_from(
    own: Space, fresh_database_url: str
) -> None:
    kept, last = await lose(own, fresh_database_url)

    for path in ("events/", "events/stream"):
        answer = await own.at("GET", path, params={"after": last})
        assert refusal(answer) == (409, "log_went_back", "after")
        assert answer.json()["position"] == kept
    resumed = await own.at("GET", "events/stream", headers={"Last-Event-ID": str(last)})
    assert (resumed.status_code, resumed.json()["position"]) == (409, kept)


async def test_a_lost_position_is_refused_when_the_log_is_past_it(
    own: Space, fresh_database_url: str
) -> None:
    kept, last = await lose(own, fresh_database_url)
    begins = await begin_again(fresh_database_url, known=last)
    await own.publish("pdf-forms", 1, body="# Two\n")

    for lost in range(kept + 1, last + 1):
        answer = await own.at("GET", "events/", params={"after": lost})
        assert (refusal(answer)[:2], answer.json()["position"]) == ((409, "log_went_back"), kept)
    page = await events(own, kept)

    mark, published = page["results"]
    assert mark == {
        "specversion": "1.0",
        "id": str(begins),
        "source": f"/api/projects/{own.id}",
        "type": "skald.log.rewound.v1",
        "subject": "log/history",
        "time": mark["time"],
        "datacontenttype": "application/json",
        "position": begins,
        "history": begins,
        "dataschema": "http://skald.test/schema/events/skald.log.rewound.v1.json",
        "commandid": mark["commandid"],
        "data": {
            "shared": kept,
            "known": last,
            "links": {"events": f"/api/projects/{own.id}/events/?after={kept}"},
        },
    }
    assert (published["id"], published["position"], published["history"]) == (
        str(begins + 1),
        begins + 1,
        begins,
    )
    assert page["position"] == begins + 1
    assert (await events(own, begins + 1))["results"] == []


@pytest.mark.parametrize(
    "query", [{"type": "skald.skill.archived.v1"}, {"subject": "skill/other"}, {"limit": 1}]
)
async def test_every_reader_hears_of_it(own: Space, fresh_database_url: str, query: dict[str, Any]) -> None:
    kept, last = await lose(own, fresh_database_url)
    begins = await begin_again(fresh_database_url, known=last)
    await own.publish("pdf-forms", 1, body="# Two\n")

    page = await events(own, kept, **query)

    assert [event["position"] for event in page["results"]] == [begins]


async def test_events_of_the_first_history_stay_as_they_were(own: Space, fresh_database_url: str) -> None:
    await own.create()
    await own.publish("pdf-forms", 1, body="# Two\n")
    before = (await events(own, 0))["results"]

    async with await connect(fresh_database_url) as conn:
        await conn.execute("UPDATE histories SET server = 'another/00000001/1'")
    await begin_again(fresh_database_url, known=0)
    after = (await events(own, 0))["results"]

    assert after[: len(before)] == before
    assert not any("history" in event for event in before)
    assert after[len(before)]["type"] == "skald.log.rewound.v1"
    assert (await events(own, before[0]["position"]))["results"] == after[1:]


async def test_redis_streams_and_webhooks_go_on_with_ids_of_their_own(
    own: Space, fresh_database_url: str, redis: Redis, redis_url: str
) -> None:
    async with AsyncExitStack() as stack:
        received = await stack.enter_async_context(receiving())
        hook = {"url": received.url(), "types": ["skald.skill.published.v1"], "names": "skill/*"}
        await own.ok(201, await own.at("POST", "webhooks/", json=hook))
        worker = await stack.enter_async_context(AsyncExitStack())
        await worker.enter_async_context(working(fresh_database_url, redis_url))
        await own.create()
        kept = await own.head()
        for number in range(1, 4):
            await own.publish("pdf-forms", number, body=f"# Lost {number}\n")
        last = await own.head()
        await received.got(3, WITHIN)
        await entries(redis, own.id, 4)
        await worker.aclose()

        await go_back(fresh_database_url, kept)
        begins = await begin_again(fresh_database_url, known=last)
        await own.publish("pdf-forms", 1, body="# Two\n")
        await stack.enter_async_context(working(fresh_database_url, redis_url))
        await received.got(5, WITHIN)
        found = await entries(redis, own.id, 3)

    ids = [request.id for request in received.requests]
    assert ids[:3] == [f"evt_{position}" for position in range(kept + 1, last + 1)]
    assert sorted(ids[3:]) == [f"evt_{begins}", f"evt_{begins + 1}"]
    assert [entry_id for entry_id, _ in found] == [
        f"{kept}-0".encode(),
        f"{begins}-0".encode(),
        f"{begins + 1}-0".encode(),
    ], "what is lost is gone there too"
    mark = msgspec.json.decode(found[1][1][b"event"])
    assert (mark["type"], mark["data"]["shared"]) == ("skald.log.rewound.v1", kept)
    assert begins > FIRST_LATER
