"""A release that renders versions otherwise raises ``RENDERING``; what was rendered before is served no more."""

import hashlib
import subprocess
import sys
from uuid import UUID

import psycopg
import pytest
from redis.asyncio import Redis

from cli.schema import migrate
from projections.encoding import RENDERING
from projections.rebuild.rebuild import complete, replay
from projections.rebuild.verify import verify
from projections.redis.views import CHECKPOINT, RedisViews, key_of, pack
from store.log.appender import Appender
from tests.integration.projections.rebuild.test_rebuild import write
from tests.support.histories import History
from tests.support.servers import ROOT

# A release: brings the database up to date, then says what the read models and Redis have of a name.
RELEASE = """
import asyncio, sys
from projections import encoding
encoding.RENDERING += int(sys.argv[1])

from redis.asyncio import Redis

from cli.schema import migrate
from projections.read import kinds, versions
from projections.redis.views import RedisViews
from store.postgres.pool import connect

_, _, url, redis_url, project, kind, name = sys.argv

async def main():
    await migrate(url)
    async with await connect(url) as conn:
        _, version = await versions.find(conn, versions.Lookup(int(project), kind, name))
    sys.stdout.buffer.write(kinds.KINDS[kind].read(version) + b"\\n")
    redis = Redis.from_url(redis_url)
    view = await RedisViews(redis).get(int(project), kind, name)
    sys.stdout.buffer.write(b"nothing" if view is None else view.body)
    await redis.aclose()

asyncio.run(main())
"""

# The detail that the release to come knows and the one before did not.
ADDED = {"skill": b'"compatibility":', "prompt": b'"version_description":'}
ANY = """
SELECT project_id, kind, name, stream_id FROM active_names WHERE kind = %s ORDER BY project_id, name LIMIT 1
"""
STALE = b'{"description":"as an older release rendered it","license":"","allowed_tools":[],"metadata":{}}'
STALE_PROMPT = b'{"config":null,"preview":"older","size":1}'


def release(raised: int, *arguments: str) -> list[bytes]:
    command = [sys.executable, "-c", RELEASE, str(raised), *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout.split(b"\n")


def outdate(url: str, kind: str) -> tuple[int, str, str, UUID]:
    """A name whose versions are stored without a detail."""
    with psycopg.connect(url, autocommit=True) as conn:
        found = conn.execute(ANY, (kind,)).fetchone()
        assert found is not None
        data = STALE if kind == "skill" else STALE_PROMPT
        digest = hashlib.sha256(data).digest()
        conn.execute("INSERT INTO contents (digest, bytes) VALUES (%s, %s)", (digest, data))
        for table in ("versions", "artifacts"):
            conn.execute(f"UPDATE {table} SET details = %s WHERE stream_id = %s", (digest, found[3]))
        return found


async def test_a_version_stored_by_an_older_release_is_rendered_anew(
    fresh_database_url: str, redis_url: str
) -> None:
    await write(fresh_database_url, 5, 60)
    project, kind, name, _ = outdate(fresh_database_url, "skill")
    arguments = (fresh_database_url, redis_url, str(project), kind, name)
    assert ADDED[kind] not in release(0, *arguments)[0]
    assert ADDED[kind] in release(1, *arguments)[0]
    with psycopg.connect(fresh_database_url) as conn:
        assert conn.execute("SELECT DISTINCT rendering FROM versions").fetchall() == [(RENDERING + 1,)]


async def test_a_list_shows_what_was_rendered_anew(fresh_database_url: str, redis_url: str) -> None:
    await write(fresh_database_url, 5, 60)
    project, kind, name, stream = outdate(fresh_database_url, "prompt")
    release(1, fresh_database_url, redis_url, str(project), "prompt", name)
    with psycopg.connect(fresh_database_url) as conn:
        select = "SELECT bytes FROM artifacts JOIN contents ON digest = details WHERE stream_id = %s"
        [(details,)] = conn.execute(select, (stream,)).fetchall()
    assert ADDED[kind] in details


async def test_a_value_of_an_older_release_in_redis_is_not_served(
    fresh_database_url: str, redis_url: str, redis: "Redis"
) -> None:
    await write(fresh_database_url, 5, 60)
    project, kind, name, stream = outdate(fresh_database_url, "skill")
    value = pack(10**6, stream, b'"' + b"a" * 32 + b'"', b"as it was")
    await redis.set(CHECKPOINT, 1)
    await redis.set(key_of(project, kind, name), value)
    arguments = (fresh_database_url, redis_url, str(project), kind, name)
    assert release(0, *arguments)[1] == b"as it was"
    assert release(1, *arguments)[1] == b"nothing"


async def test_what_an_older_release_writes_after_the_raise_is_rendered_at_the_next_start(
    fresh_database_url: str, redis_url: str
) -> None:
    """In a rolling upgrade, a host of the older release goes on writing."""
    history = History(5)
    await append(fresh_database_url, history, 60)
    project, kind, name, _ = outdate(fresh_database_url, "skill")
    arguments = (fresh_database_url, redis_url, str(project), kind, name)
    release(1, *arguments)
    await append(fresh_database_url, history, 40)
    assert renderings(fresh_database_url) == {RENDERING, RENDERING + 1}
    release(1, *arguments)
    assert renderings(fresh_database_url) == {RENDERING + 1}


async def append(url: str, history: History, events: int) -> None:
    appender = Appender(url)
    await appender.start()
    for _ in range(events):
        await appender.append(history.next())
    await appender.close()


def renderings(url: str) -> set[int]:
    with psycopg.connect(url) as conn:
        return {row[0] for row in conn.execute("SELECT DISTINCT rendering FROM versions")}


def age_all(url: str) -> None:
    """As no release leaves them: a look at these rows finds something to do."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("UPDATE versions SET rendering = %s", (RENDERING - 1,))


async def test_a_start_looks_at_what_was_written_since_the_one_before_alone(fresh_database_url: str) -> None:
    history = History(5)
    await append(fresh_database_url, history, 60)
    assert not await complete(fresh_database_url)
    age_all(fresh_database_url)
    assert not await complete(fresh_database_url)
    await append(fresh_database_url, history, 40)
    assert not await complete(fresh_database_url)


async def test_a_table_that_a_replay_put_there_is_looked_through_anew(fresh_database_url: str) -> None:
    """The replay may have been that of an older release."""
    await write(fresh_database_url, 5, 60)
    assert not await complete(fresh_database_url)
    await replay(fresh_database_url)
    age_all(fresh_database_url)
    assert await complete(fresh_database_url)
    assert renderings(fresh_database_url) == {RENDERING}


async def test_a_database_that_takes_no_writes_is_looked_through_each_time(fresh_database_url: str) -> None:
    await write(fresh_database_url, 5, 60)
    with psycopg.connect(fresh_database_url, autocommit=True) as conn:
        conn.execute("TRUNCATE rendered")
        role = f'ALTER ROLE "{conn.info.user}" IN DATABASE "{conn.info.dbname}"'
        conn.execute(f"{role} SET default_transaction_read_only = on")
    assert not await complete(fresh_database_url)
    with psycopg.connect(fresh_database_url) as conn:
        assert conn.execute("SELECT count(*) FROM rendered").fetchone() == (0,)


async def test_an_erased_person_goes_from_the_values_of_every_release(redis: "Redis") -> None:
    views = RedisViews(redis)
    assert await views.apply(None, 5, {})
    others = {b"skald:v0:1:skill:x": b"value", b"skald:v77:1:skill:checkpoint": b"value"}
    for key, value in others.items():
        await redis.set(key, value)
    await redis.set("skald:v0:checkpoint", 3)
    await redis.set("skald:events:1", 3)
    await views.forget_all()
    # The checkpoint of another release is its own: two that took it from each other would never come to an end.
    assert sorted(await redis.keys()) == [b"skald:events:1", b"skald:v0:checkpoint"]


@pytest.mark.parametrize("seed", [5])
async def test_the_same_rendering_replays_nothing(fresh_database_url: str, seed: int) -> None:
    await write(fresh_database_url, seed, 60)
    await migrate(fresh_database_url)
    with psycopg.connect(fresh_database_url) as conn:
        [(replays,)] = conn.execute("SELECT count(*) FROM events WHERE topic = 'models.replaced'").fetchall()
    assert replays == 0
    assert (await verify(fresh_database_url)).sound
