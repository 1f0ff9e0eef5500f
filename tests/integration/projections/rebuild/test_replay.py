"""Replayed read models take the place of the live ones while the service goes on, and caches hear of it."""

import asyncio

import psycopg
import pytest

from api.cache.log_follower import LogFollower
from api.cache.positions import ALL_STREAMS, StreamPositions
from projections.rebuild import rebuild as rebuilding
from projections.rebuild.rebuild import RebuildRunning, replay
from projections.rebuild.verify import verify
from store.log.appender import Appender
from tests.integration.projections.rebuild.test_rebuild import write
from tests.support import invariants
from tests.support.histories import History

NAMES = "SELECT tablename, indexname FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"


def damage(url: str) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("UPDATE artifacts SET latest_version = latest_version + 1")
        conn.execute("DELETE FROM search_texts")
        conn.execute("DELETE FROM versions WHERE number = 1")


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as conn:
        return conn.execute(query.encode()).fetchall()


async def test_what_was_wrong_is_right_afterwards_and_indexes_keep_their_names(
    fresh_database_url: str,
) -> None:
    await write(fresh_database_url, 5, 120)
    before = rows(fresh_database_url, NAMES)
    damage(fresh_database_url)
    assert not (await verify(fresh_database_url)).sound

    report = await replay(fresh_database_url)

    assert {found.table for found in report.differences} == {"artifacts", "search_texts", "versions"}
    assert (await verify(fresh_database_url)).sound
    invariants.check(fresh_database_url)
    assert rows(fresh_database_url, NAMES) == before
    assert rows(fresh_database_url, "SELECT topic FROM events ORDER BY position DESC LIMIT 1") == [
        ("models.replaced",)
    ]


async def test_equal_read_models_are_replaced_without_a_word(fresh_database_url: str) -> None:
    await write(fresh_database_url, 6, 40)
    assert (await replay(fresh_database_url)).equal
    assert rows(fresh_database_url, "SELECT max(position) FROM events") == [(40,)]
    invariants.check(fresh_database_url)


async def test_one_read_model_alone(fresh_database_url: str) -> None:
    await write(fresh_database_url, 7, 60)
    damage(fresh_database_url)
    report = await replay(fresh_database_url, only="versions")
    assert [found.table for found in report.differences] == ["versions"]
    broken = await verify(fresh_database_url)
    assert "versions:" not in str(broken.checks)
    assert "search_texts:" in str(broken.checks)
    with pytest.raises(ValueError, match="no read model 'events'"):
        await replay(fresh_database_url, only="events")


async def test_writers_go_on_and_lose_nothing(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "BATCH", 20)
    await write(fresh_database_url, 8, 100)
    appender, history = Appender(fresh_database_url), History(9, projects=(3,))
    await appender.start()
    done = asyncio.Event()

    async def go_on() -> int:
        written = 0
        while not done.is_set():
            await appender.append(history.next())
            written += 1
        return written

    writer = asyncio.create_task(go_on())
    for _ in range(3):
        await replay(fresh_database_url)
    done.set()
    assert await writer > 0
    await appender.close()
    invariants.check(fresh_database_url)


async def test_an_interrupted_replay_changes_nothing_and_can_be_run_again(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(fresh_database_url, 10, 60)
    damage(fresh_database_url)

    def interrupt(position: int, last: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await replay(fresh_database_url, progress=interrupt)
    assert not (await verify(fresh_database_url)).sound
    await replay(fresh_database_url)
    assert (await verify(fresh_database_url)).sound


async def test_of_two_replays_the_second_is_refused(fresh_database_url: str) -> None:
    await write(fresh_database_url, 11, 20)
    with psycopg.connect(fresh_database_url) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", (rebuilding.REBUILD_LOCK,))
        with pytest.raises(RebuildRunning):
            await replay(fresh_database_url)


async def test_caches_distrust_what_they_hold(fresh_database_url: str) -> None:
    await write(fresh_database_url, 12, 30)
    positions = StreamPositions()
    follower = LogFollower(fresh_database_url, positions)
    await follower.start()
    cached_at = follower.seen
    assert positions.is_fresh(ALL_STREAMS, cached_at)
    damage(fresh_database_url)
    await replay(fresh_database_url)
    for _ in range(100):
        if not positions.is_fresh(ALL_STREAMS, cached_at):
            break
        await asyncio.sleep(0.05)
    assert not positions.is_fresh(ALL_STREAMS, cached_at)
    await follower.close()
    positions.close()


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (
            "UPDATE versions SET position = position + 1000 WHERE number = 1",
            "read models are the fold of the log",
        ),
        (
            "DELETE FROM contents WHERE digest = (SELECT body FROM versions LIMIT 1)",
            "every content that is named",
        ),
        (
            "INSERT INTO dead_letters (follower, position, stream_id, error) VALUES ('x', 1, gen_random_uuid(), 'y')",
            "no event parked",
        ),
        (
            "INSERT INTO contents VALUES (decode(repeat('00', 32), 'hex'), 'not zero')",
            "contents are what their digests",
        ),
    ],
)
async def test_verify_says_what_is_wrong(fresh_database_url: str, wrong: str, check: str) -> None:
    await write(fresh_database_url, 13, 30)
    assert (await verify(fresh_database_url)).sound
    with psycopg.connect(fresh_database_url) as conn:
        conn.execute(wrong.encode())
    broken = [found.name for found in (await verify(fresh_database_url)).checks if not found.holds]
    assert any(name.startswith(check) for name in broken), broken
