"""The follower that feeds the shared cache: from the log, in its order, whatever happens to either server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import psycopg
import pytest
from redis.asyncio import Redis

from projections.encoding import etag_of
from projections.read import skills, versions
from projections.redis import views as redis_views
from projections.redis.views import RedisViews
from store.log.appender import Appender
from store.log.log import Commit
from store.postgres.pool import connect
from store.tables import identity
from tests.support.following import following
from tests.support.histories import commit_of, created, published
from workers.cache import CacheFollower


class World:
    """A follower at work, an appender, and a reader of what the follower wrote."""

    def __init__(self, url: str, redis: "Redis") -> None:
        self.url = url
        self.redis = redis
        self.views = RedisViews(redis)
        self.appender = Appender(url)
        self.head = 0

    async def write(self, *commits: Commit) -> None:
        for commit in commits:
            self.head = (await self.appender.append(commit)).last

    async def caught_up(self) -> None:
        async def done() -> bool:
            return await self.views.checkpoint() == self.head

        await until(done, f"the checkpoint is at {self.head}")

    async def read(self, name: str) -> None:
        """As an API process does that found nothing here."""
        async with await connect(self.url) as conn:
            found = await versions.find(conn, versions.Lookup(1, "skill", name))
        assert found is not None
        assert found[1] is not None
        version, body = found[1], skills.full(found[1])
        self.views.offer(1, "skill", name, version.stream_id, version.as_of, etag_of(body), body)
        await asyncio.gather(*self.views._offers)

    async def version(self, name: str) -> int | None:
        view = await self.views.get(1, "skill", name)
        return None if view is None else msgspec.json.decode(view.body)["version"]


async def until(condition: Callable[[], Awaitable[bool]], what: str, timeout: float = 10) -> None:
    try:
        async with asyncio.timeout(timeout):
            while not await condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {timeout} s: {what}") from None


@asynccontextmanager
async def at_work(redis: "Redis", url: str, followers: int = 1) -> AsyncIterator[None]:
    async with following(url, lambda news: CacheFollower(news, redis), processes=followers):
        yield


@pytest.fixture
async def world(fresh_database_url: str, redis: "Redis") -> AsyncIterator[World]:
    world = World(fresh_database_url, redis)
    await world.appender.start()
    async with at_work(redis, fresh_database_url):
        await world.caught_up()
        yield world
    await world.appender.close()


async def test_what_has_changed_goes_and_the_rest_stays_true(world: World) -> None:
    one, first = created("one")
    await world.write(first, created("two")[1])
    await world.caught_up()
    await world.read("one")
    await world.read("two")
    await world.write(published(one)[1])
    await world.caught_up()
    assert (await world.version("one"), await world.version("two")) == (None, 1)
    view = await world.views.get(1, "skill", "two")
    assert view is not None
    assert view.as_of == world.head


async def test_what_was_read_since_the_change_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one, first = created("one")
    await world.write(first)
    await world.caught_up()
    apply = RedisViews.apply

    async def late(self: RedisViews, before: int | None, after: int, touched: Any) -> bool:
        # Somebody reads between the event and the follower.
        if touched:
            await world.read("one")
        return await apply(self, before, after, touched)

    monkeypatch.setattr(RedisViews, "apply", late)
    await world.write(published(one)[1])
    await world.caught_up()
    assert await world.version("one") == 2


async def test_an_archived_name_is_not_found_and_its_next_life_is(world: World) -> None:
    one, first = created("one")
    await world.write(first)
    await world.read("one")
    one.archive()
    await world.write(commit_of(one))
    await world.caught_up()
    assert await world.version("one") is None
    again, first = created("one", body="# Again\n")
    await world.write(first)
    await world.caught_up()
    await world.read("one")
    view = await world.views.get(1, "skill", "one")
    assert view is not None
    assert view.stream_id == again.id


async def test_a_name_that_was_given_up_is_not_found(world: World) -> None:
    """The event is about the new name; what stands under the old one would be taken for true from here on."""
    one, first = created("one")
    await world.write(first)
    await world.read("one")
    assert await world.version("one") == 1
    one.rename("two")
    await world.write(commit_of(one, known={one.body.digest: b"# Body\n"}))
    await world.caught_up()
    assert await world.version("one") is None
    await world.read("two")
    assert await world.version("two") == 1


async def test_a_flushed_redis_fills_again(world: World) -> None:
    one, first = created("one")
    await world.write(first)
    await world.caught_up()
    await world.read("one")
    await world.redis.flushdb()
    await world.write(published(one)[1])
    await world.caught_up()
    assert await world.version("one") is None
    await world.read("one")
    assert await world.version("one") == 2
    await world.redis.flushdb()
    await world.caught_up()


async def test_an_older_snapshot_is_brought_up_to_date(world: World) -> None:
    one, first = created("one")
    await world.write(first, created("two")[1])
    await world.caught_up()
    await world.read("one")
    await world.read("two")
    saved: dict[Any, Any] = {key: await world.redis.dump(key) for key in await world.redis.keys()}
    await world.write(published(one)[1])
    await world.caught_up()
    await world.redis.flushdb()
    for key, dumped in saved.items():
        await world.redis.restore(key, 0, dumped, replace=True)
    assert await world.version("one") == 1
    await world.write(created("three")[1])
    await world.caught_up()
    assert [await world.version(name) for name in ("one", "two")] == [None, 1]


async def test_an_erased_person_leaves_nothing_behind(world: World) -> None:
    await world.write(created("one")[1])
    await world.caught_up()
    await world.read("one")
    async with await connect(world.url) as conn:
        await identity.create_user(conn, email="ada@example.com")
        await identity.erase_user(conn, "ada@example.com")
    world.head += 1
    await world.caught_up()
    assert await world.redis.keys() == [redis_views.CHECKPOINT.encode()]


async def test_its_connection_may_be_killed(world: World) -> None:
    skill, first = created("one")
    await world.write(first)
    for _ in range(3):
        await world.caught_up()
        await world.read("one")
        with psycopg.connect(world.url) as conn:
            conn.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name = 'skald-cache' AND datname = current_database()"""
            )
        skill, commit = published(skill)
        await world.write(commit)
    await world.caught_up()
    assert await world.version("one") is None


async def test_one_of_two_leads(world: World) -> None:
    async with at_work(world.redis, world.url, followers=2):
        await world.write(*(created(f"skill-{n}")[1] for n in range(20)))
        await world.caught_up()
        with psycopg.connect(world.url) as conn:
            held = conn.execute(
                """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
            ).fetchone()
        assert held == (1,)
