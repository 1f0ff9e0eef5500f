"""Batches of the log counted events and not bytes: 500 events of 14 MB, which earlier releases took, filled the memory."""

from uuid import UUID, uuid4

import pytest

from domain.artifacts.skills import Changes, Skill
from projections.events import feed
from projections.events.feed import read_named
from projections.events.states import walk
from store.log import log
from store.log.appender import Appender
from store.log.log import read_after, read_stream
from store.postgres.pool import connect
from tests.support.histories import commit_of, new_skill
from workers import event_buffer
from workers.event_buffer import EventBuffer

EVENTS = 11
BATCH = 10_000  # bytes; two events of these tests fit, and the third is the one that goes beyond


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MAX_BATCH", BATCH)
    monkeypatch.setattr(feed, "MAX_BATCH", BATCH)


async def fill(url: str) -> UUID:
    """A stream whose events have some 4 KB each, but for the first."""
    skill, contents = new_skill("large")
    known = {content.digest: content.data for content in contents}
    first = commit_of(skill, contents)
    appender = Appender(url)
    await appender.start()
    await appender.append(first)
    for number in range(EVENTS - 1):
        skill = skill.fork()
        changes = Changes(fields={"metadata": {"large": f"{number} " + "x" * 4_000}})
        contents = skill.publish(changes, version_id=uuid4(), base_version=skill.number, texts={})
        await appender.append(commit_of(skill, contents, known=known))
    await appender.close()
    return skill.id


async def test_a_batch_ends_where_its_events_are_large(fresh_database_url: str) -> None:
    stream = await fill(fresh_database_url)
    async with await connect(fresh_database_url) as conn:
        batches = [batch async for batch in read_stream(conn, stream)]
        assert [event.stream_version for batch in batches for event in batch] == list(range(1, EVENTS + 1))
        assert [len(batch) for batch in batches] == [4, 3, 3, 1]
        part = [event async for batch in read_stream(conn, stream, after=2, upto=9) for event in batch]
        assert [event.stream_version for event in part] == list(range(3, 10))
        assert [event.position for event in await read_after(conn, 4, limit=100)] == [5, 6, 7]
        assert [event.position for event in await read_named(conn, 4, limit=100)] == [5, 6, 7]
        assert [event.position for event in await read_named(conn, 4, limit=2)] == [5, 6]
        assert await read_named(conn, EVENTS, limit=100) == []
        last = [state async for _, _, _, state in walk(conn, Skill, stream)][-1]
        assert last.number == EVENTS


async def test_an_event_that_is_larger_than_a_batch_comes_alone(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MAX_BATCH", 100)
    stream = await fill(fresh_database_url)
    async with await connect(fresh_database_url) as conn:
        assert [len(batch) async for batch in read_stream(conn, stream)] == [1] * EVENTS


async def test_the_news_are_kept_up_to_a_size(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_buffer, "KEPT_BYTES", BATCH)
    await fill(fresh_database_url)
    source, position = EventBuffer(), 0
    async with await connect(fresh_database_url) as conn:
        while events := await read_named(conn, position, limit=100):
            source._keep(events)
            position = source.end
    assert source.end == EVENTS
    assert [event.position for event in source.after(EVENTS - 2)] == [EVENTS - 1, EVENTS]
    assert source.after(0) == [], "further behind than what is kept"
