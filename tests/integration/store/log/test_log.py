"""The log itself: an append is all or nothing, positions have no gaps, and what is written stays as it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import msgspec
import psycopg
import pytest
from psycopg import sql

from store.errors import AppendError, CommandRepeated, NameConflict, StreamConflict
from store.log.log import (
    LOCK,
    Commit,
    GapInLog,
    append,
    check_gapless,
    conflict,
    find_committed,
    head,
    notification,
    read_after,
    read_stream,
)
from store.postgres.connection import Connection
from store.postgres.pool import connect
from tests.support import invariants
from tests.support.histories import commit_of, created, published


@pytest.fixture
async def conn(fresh_database_url: str) -> AsyncIterator[Connection]:
    conn = await connect(fresh_database_url)
    yield conn
    await conn.close()


async def refusal(conn: Connection, *commits: Commit) -> AppendError | None:
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        await append(conn, commits)
    return conflict(caught.value)


async def counts(conn: Connection) -> dict[str, int]:
    tables = ("events", "contents", "commands", "active_names", "artifacts", "versions", "search_texts")
    found = {}
    for table in tables:
        row = await (
            await conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
        ).fetchone()
        found[table] = row[0] if row else 0
    return found


async def test_commits_of_one_batch_stand_behind_each_other(
    conn: Connection, fresh_database_url: str
) -> None:
    (one, first), (_, second) = created("one"), created("two", body="# Other\n")
    answers = await append(conn, [first, second])
    _, third = published(one)
    answers += await append(conn, [third])
    assert [(answer.first, answer.last) for answer in answers] == [(1, 1), (2, 2), (3, 3)]
    assert answers[0].recorded_at == answers[1].recorded_at < answers[2].recorded_at
    assert [event.position async for batch in read_stream(conn, one.id) for event in batch] == [1, 3]
    assert [event.position async for batch in read_stream(conn, one.id, after=1) for event in batch] == [3]
    assert [event.position for event in await read_after(conn, 1, limit=1)] == [2]
    assert await head(conn) == 3
    invariants.check(fresh_database_url)


async def test_each_guard_has_an_error_of_its_own_and_the_connection_lives_on(
    conn: Connection, fresh_database_url: str
) -> None:
    key_id = uuid4()
    one, first = created("one", idempotency_key="k", key_id=key_id)
    await append(conn, [first])
    before = await counts(conn)
    _, same_version = published(msgspec.structs.replace(one, version=0))
    _, same_name = created("one", body="# Never stored\n")
    _, same_key = created("two", body="# Nor this\n", idempotency_key="k", key_id=key_id)
    assert isinstance(await refusal(conn, same_version), StreamConflict)
    assert isinstance(await refusal(conn, same_name), NameConflict)
    # The commands are the last rows that an append writes: everything before them goes, too.
    assert isinstance(await refusal(conn, same_key), CommandRepeated)
    assert await counts(conn) == before
    _, other = created("other")
    [answer] = await append(conn, [other])
    assert answer.first == 2
    invariants.check(fresh_database_url)


async def test_one_commit_of_a_batch_takes_all_of_it_back(conn: Connection) -> None:
    _, first = created("one")
    _, second = created("two")
    _, again = created("one")
    assert isinstance(await refusal(conn, first, second, again), NameConflict)
    assert not any((await counts(conn)).values())


async def test_a_cancelled_append_leaves_nothing(conn: Connection, fresh_database_url: str) -> None:
    mine = await connect(fresh_database_url)
    async with conn.transaction():
        await conn.execute(LOCK)
        task = asyncio.create_task(append(mine, [created("one")[1]]))
        await asyncio.sleep(0.1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await mine.close()
    async with conn.transaction():
        await conn.execute(LOCK)
        assert not any((await counts(conn)).values())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET topic = topic",
        "DELETE FROM events",
        "TRUNCATE events",
        "UPDATE contents SET bytes = bytes",
        "TRUNCATE contents",
    ],
)
async def test_the_database_refuses_to_change_what_is_written(conn: Connection, statement: str) -> None:
    await append(conn, [created("one")[1]])
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        await conn.execute(statement.encode())


async def test_the_fate_of_a_lost_commit_is_found_by_its_command(conn: Connection) -> None:
    one, first = created("one")
    _, second = published(one)
    [answer] = await append(conn, [first])
    assert await find_committed(conn, first) == answer
    assert await find_committed(conn, second) is None
    # Another commit stands where this one would.
    assert await find_committed(conn, msgspec.structs.replace(first, command_id=uuid4())) is None


async def test_the_clock_of_the_log_never_runs_backwards(conn: Connection) -> None:
    [answer] = await append(conn, [created("one")[1]])
    await conn.execute("ALTER TABLE events DISABLE TRIGGER events_append_only")
    await conn.execute("UPDATE events SET recorded_at = recorded_at + interval '1 hour'")
    [later] = await append(conn, [created("two")[1]])
    assert (later.recorded_at - answer.recorded_at).total_seconds() == 3600


async def test_a_gap_is_told(conn: Connection) -> None:
    await append(conn, [created(f"skill-{n}")[1] for n in range(3)])
    events = await read_after(conn, 0, limit=10)
    check_gapless(events, 0)
    with pytest.raises(GapInLog, match="expected position 2, found 3"):
        check_gapless([events[0], events[2]], 0)
    with pytest.raises(GapInLog):
        check_gapless(events, 1)


async def test_a_notification_names_position_and_streams(conn: Connection, fresh_database_url: str) -> None:
    listener = await connect(fresh_database_url)
    await listener.execute("LISTEN skald_log")
    one, first = created("one")
    await append(conn, [first])
    notices = [notice.payload async for notice in listener.notifies(timeout=5, stop_after=1)]
    assert notices == [f"1 1 {one.id.hex}"]
    await listener.close()


def test_a_notification_stays_below_the_limit_of_postgresql() -> None:
    streams = [uuid4() for _ in range(1000)]
    assert notification(streams, [1] * 1000) == " 1000"
    assert len(notification(streams[:150], [1] * 150)) < 7900


async def test_a_notification_of_no_project_makes_listeners_look() -> None:
    assert notification([uuid4(), uuid4()], [1, None]) == " 2"


def page_faults(pid: int) -> int:
    """How often a process has been given memory by the system, see proc(5)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


async def test_appends_of_all_kinds_do_not_make_the_server_ask_for_memory_each_time(conn: Connection) -> None:
    """With each array behind FROM it was 40 page faults an append, once a connection had archived a few skills."""
    skill, commit = created("steady", body="# Body\n" * 200)
    await append(conn, [commit])
    for number in range(20):
        other, commit = created(f"passing-{number}")
        await append(conn, [commit])
        other.archive()
        await append(conn, [commit_of(other)])

    async def publish(times: int) -> None:
        nonlocal skill
        for _ in range(times):
            skill, commit = published(skill)
            await append(conn, [commit])

    pid = conn.info.backend_pid
    await publish(100)
    before = page_faults(pid)
    await publish(200)

    assert (page_faults(pid) - before) / 200 < 10


async def test_the_statements_of_an_append_are_planned_once(conn: Connection) -> None:
    """Planning them for their values takes as long as running them; PostgreSQL tries it five times."""
    skill, commit = created("planned")
    await append(conn, [commit])
    for _ in range(10):
        skill, commit = published(skill)
        await append(conn, [commit])

    cursor = await conn.execute(
        "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name LIKE 'skald%'"
        " AND generic_plans + custom_plans > 5"
    )
    counted = await cursor.fetchall()

    assert len(counted) == 2
    assert all(generic and custom <= 5 for generic, custom in counted), counted


async def refused(conn: Connection, *commits: Commit) -> AppendError | None:
    before = await counts(conn)
    with pytest.raises(psycopg.errors.NotNullViolation) as caught:
        await append(conn, commits)
    assert await counts(conn) == before, "nothing of any commit was written"
    return conflict(caught.value)


async def test_an_event_whose_predecessor_is_not_in_its_stream_is_refused(conn: Connection) -> None:
    skill, commit = created("kept")
    await append(conn, [commit])
    skill, _ = published(skill)
    _, third = published(skill)
    _, lost = published(created("lost")[0])

    for commits in ([third], [lost], [created("beside")[1], third]):
        assert isinstance(await refused(conn, *commits), StreamConflict)


async def test_an_event_that_follows_another_one_than_its_writer_has_seen_is_refused(
    conn: Connection,
) -> None:
    skill, commit = created("kept")
    [first] = await append(conn, [commit])
    _, second = published(skill)

    other = await refused(conn, msgspec.structs.replace(second, follows=first.last + 1))
    await append(conn, [msgspec.structs.replace(second, follows=first.last)])

    assert isinstance(other, StreamConflict)


async def test_a_content_that_is_relied_on_has_to_be_stored(conn: Connection) -> None:
    skill, commit = created("kept")
    await append(conn, [commit])
    _, second = published(skill, body="# Another body\n")
    there = commit.contents[0].digest

    for sent in (second.contents, ()):
        lacking = msgspec.structs.replace(second, contents=sent, relied=(there, b"\0" * 32))
        assert isinstance(await refused(conn, lacking), StreamConflict)
    await append(conn, [msgspec.structs.replace(second, relied=(there,))])


async def test_events_of_one_commit_follow_each_other(conn: Connection) -> None:
    skill, commit = created("kept")
    fork, more = published(skill)
    fork, last = published(fork)
    both = msgspec.structs.replace(
        last,
        events=(*more.events, *last.events),
        contents=(*more.contents, *last.contents),
        writes={},
    )

    await append(conn, [msgspec.structs.replace(commit, writes={})])
    await append(conn, [both])

    assert await head(conn) == 3
