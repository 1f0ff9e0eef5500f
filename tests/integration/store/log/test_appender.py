"""Group commit: what goes together, what waits, and what callers hear when something breaks."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import psycopg
import pytest

from store.errors import AppenderBusy, NameConflict, StreamConflict
from store.log.appender import TIMEOUT, Appender, Done
from store.log.log import LOCK, Appended, Commit, append
from store.log.turn import HostTurn
from store.postgres.connection import Connection
from store.postgres.pool import connect
from tests.support import invariants
from tests.support.histories import History, created, published


@asynccontextmanager
async def running(url: str, **options: Any) -> AsyncIterator[Appender]:
    appender = Appender(url, **options)
    await appender.start()
    try:
        yield appender
    finally:
        await appender.close()


@asynccontextmanager
async def log_held(url: str) -> AsyncIterator[None]:
    """Nobody can append inside: another writer has the order lock."""
    conn = await connect(url)
    async with conn, conn.transaction():
        await conn.execute(LOCK)
        yield


async def outcomes(appender: Appender, *commits: Commit) -> list[Any]:
    """Append all at once; positions or errors in the order of the commits."""
    results = await asyncio.gather(*map(appender.append, commits), return_exceptions=True)
    return [result if isinstance(result, BaseException) else result.last for result in results]


async def test_what_comes_during_a_commit_goes_together_in_the_next(fresh_database_url: str) -> None:
    sizes: list[int] = []
    async with running(fresh_database_url, observe=lambda commits, _: sizes.append(len(commits))) as appender:
        async with log_held(fresh_database_url):
            first = asyncio.create_task(appender.append(created("first")[1]))
            await asyncio.sleep(0.05)
            others = [asyncio.create_task(appender.append(created(f"skill-{n}")[1])) for n in range(50)]
            await asyncio.sleep(0.05)
        answers = await asyncio.gather(first, *others)
    assert sizes == [1, 50]
    assert [answer.first for answer in answers] == list(range(1, 52))
    invariants.check(fresh_database_url)


async def test_what_comes_while_another_process_of_the_host_has_its_turn_goes_together(
    fresh_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.log.turn.MAX_WAIT", 30.0)
    sizes: list[int] = []
    mine, other = HostTurn(tmp_path), HostTurn(tmp_path)
    async with running(
        fresh_database_url, turn=mine, observe=lambda done, _: sizes.append(len(done))
    ) as appender:
        assert other.take_now()
        tasks = []
        for number in range(20):
            tasks.append(asyncio.create_task(appender.append(created(f"skill-{number}")[1])))
            await asyncio.sleep(0.001)
        assert sizes == []
        other.release()
        await asyncio.gather(*tasks)
    assert sizes == [20]
    assert other.take_now()
    invariants.check(fresh_database_url)


async def test_a_notification_by_one_process_of_a_host_is_owed_by_none(
    fresh_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.log.appender.MIN_NOTIFY_INTERVAL", 600.0)
    async with (
        await connect(fresh_database_url) as listening,
        running(fresh_database_url, turn=HostTurn(tmp_path)) as first,
        running(fresh_database_url, turn=HostTurn(tmp_path)) as second,
    ):
        await listening.execute("LISTEN skald_log")
        await first.append(created("one")[1])
        await second.append(created("two")[1])
        monkeypatch.setattr("store.log.appender.MIN_NOTIFY_INTERVAL", 0.0)
        await first.append(created("three")[1])
        found = [notice.payload.split()[0] async for notice in listening.notifies(timeout=1.0)]
    assert found == ["1", "3"]


async def test_commits_on_one_stream_go_to_different_batches_in_their_order(fresh_database_url: str) -> None:
    sizes: list[int] = []
    async with running(fresh_database_url, observe=lambda commits, _: sizes.append(len(commits))) as appender:
        skill, commit = created("one")
        commits = [commit]
        for _ in range(5):
            skill, commit = published(skill)
            commits.append(commit)
        others = [created(f"skill-{n}")[1] for n in range(3)]
        results = await outcomes(appender, *commits, *others)
    assert results[:6] == sorted(results[:6])
    assert sorted(results) == list(range(1, 10))
    assert sizes == [4, 1, 1, 1, 1, 1]
    invariants.check(fresh_database_url)


async def test_of_twenty_on_one_version_or_name_one_wins(fresh_database_url: str) -> None:
    async with running(fresh_database_url) as appender:
        skill, commit = created("one")
        await appender.append(commit)
        publishing = await outcomes(appender, *(published(skill, f"# {n}\n")[1] for n in range(20)))
        creating = await outcomes(appender, *(created("two", body=f"# {n}\n")[1] for n in range(20)))
    assert [type(result) for result in publishing] == [int] + [StreamConflict] * 19
    assert [type(result) for result in creating] == [int] + [NameConflict] * 19
    invariants.check(fresh_database_url)


async def test_a_conflict_hits_its_own_commit_alone(fresh_database_url: str) -> None:
    async with running(fresh_database_url) as appender, running(fresh_database_url) as elsewhere:
        await elsewhere.append(created("taken")[1])
        commits = [created(name)[1] for name in ("a", "b", "taken", "c")]
        results = await outcomes(appender, *commits)
    assert isinstance(results.pop(2), NameConflict)
    assert results == [2, 3, 4]
    invariants.check(fresh_database_url)


async def test_a_full_queue_is_told_at_once(fresh_database_url: str) -> None:
    async with running(fresh_database_url, max_queue=3) as appender:
        async with log_held(fresh_database_url):
            under_way = asyncio.create_task(appender.append(created("under-way")[1]))
            await asyncio.sleep(0.05)
            waiting = [asyncio.create_task(appender.append(created(f"skill-{n}")[1])) for n in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(AppenderBusy):
                await appender.append(created("too-much")[1])
        answers = await asyncio.gather(under_way, *waiting)
    assert [answer.first for answer in answers] == [1, 2, 3, 4]


async def test_a_silent_server_is_told_when_patience_ends(fresh_database_url: str) -> None:
    async with running(fresh_database_url, timeout=0.3) as appender:
        async with log_held(fresh_database_url):
            started = monotonic()
            with pytest.raises(AppenderBusy):
                await appender.append(created("one")[1])
            assert monotonic() - started < 3
        answer = await appender.append(created("two")[1])
        # Its fate was open: the server may have finished it after all, once.
        assert answer.first in (1, 2)
    invariants.check(fresh_database_url)


async def test_a_caller_that_leaves_takes_nothing_with_it(fresh_database_url: str) -> None:
    async with running(fresh_database_url) as appender:
        async with log_held(fresh_database_url):
            tasks = [asyncio.create_task(appender.append(created(f"skill-{n}")[1])) for n in range(4)]
            await asyncio.sleep(0.05)
            late = [asyncio.create_task(appender.append(created(f"late-{n}")[1])) for n in range(4)]
            await asyncio.sleep(0)
            tasks[1].cancel()
            late[1].cancel()
        results = await asyncio.gather(*tasks, *late, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results].count(True) == 2
    with psycopg.connect(fresh_database_url) as conn:
        # The first was under way and is in the log, the second never left the queue.
        rows = conn.execute("SELECT name FROM active_names ORDER BY name").fetchall()
    assert len(rows) == 7
    assert ("late-1",) not in rows
    invariants.check(fresh_database_url)


async def test_what_is_durable_is_ready_before_it_is_marked_and_marked_before_it_is_answered(
    fresh_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "store.log.appender")
    told: list[tuple[str, int]] = []

    def committed(done: Done) -> None:
        told.extend(("marked", appended.last) for _, appended in done)

    def ready(appended: Appended) -> None:
        told.append(("ready", appended.last))
        if appended.last == 3:
            raise RuntimeError("no answer can be made of it")

    async def write(name: str) -> int:
        appended = await appender.append(created(name)[1], ready)
        told.append(("answered", appended.last))
        return appended.last

    async with running(fresh_database_url, committed=committed) as appender:
        async with log_held(fresh_database_url):
            first = asyncio.create_task(write("first"))
            await asyncio.sleep(0.05)
            others = [asyncio.create_task(write(f"skill-{n}")) for n in range(3)]
            others.append(asyncio.create_task(write("last")))
            await asyncio.sleep(0.05)
            first.cancel()
        results = await asyncio.gather(first, *others, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [2, 3, 4, 5]
    # The first was under way when its caller left: it is in the log, so it is shown and marked.
    assert told[:2] == [("ready", 1), ("marked", 1)]
    assert told[2:] == [(what, n) for what in ("ready", "marked", "answered") for n in range(2, 6)]
    invariants.check(fresh_database_url)


async def test_the_next_batch_is_under_way_before_the_last_is_answered(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []

    async def noted(
        conn: Connection, commits: Sequence[Commit], sent: Callable[[], None], **options: Any
    ) -> list[Appended]:
        def on_its_way() -> None:
            seen.append(("sent", len(commits)))
            sent()

        return await append(conn, commits, on_its_way, **options)

    monkeypatch.setattr("store.log.appender.append", noted)
    async with running(
        fresh_database_url, committed=lambda done: seen.append(("marked", len(done)))
    ) as appender:
        async with log_held(fresh_database_url):
            first = asyncio.create_task(appender.append(created("first")[1]))
            await asyncio.sleep(0.05)
            others = [asyncio.create_task(appender.append(created(f"skill-{n}")[1])) for n in range(3)]
            await asyncio.sleep(0.05)
        await asyncio.wait_for(asyncio.gather(first, *others), 10)
    assert seen == [("sent", 1), ("sent", 3), ("marked", 1), ("marked", 3)]


async def test_who_is_durable_hears_of_it_whatever_becomes_of_the_next_batch(
    fresh_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "store.log.appender")
    empty = msgspec.structs.replace(created("x", idempotency_key="k")[1], events=())
    async with running(fresh_database_url) as appender:
        async with log_held(fresh_database_url):
            first = asyncio.create_task(appender.append(created("first")[1]))
            await asyncio.sleep(0.05)
            # It cannot even be sent.
            broken = asyncio.create_task(appender.append(empty))
            await asyncio.sleep(0.05)
        assert (await asyncio.wait_for(first, 10)).last == 1
        with pytest.raises(IndexError):
            await asyncio.wait_for(broken, 10)
    invariants.check(fresh_database_url)


async def test_marks_that_fail_are_told_to_those_whose_they_are_and_nobody_else(
    fresh_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def committed(done: Done) -> None:
        if done[0][1].first == 1:
            raise OSError("no locks are left")

    caplog.set_level(logging.CRITICAL, "store.log.appender")
    async with running(fresh_database_url, committed=committed) as appender:
        async with log_held(fresh_database_url):
            first = asyncio.create_task(appender.append(created("first")[1]))
            await asyncio.sleep(0.05)
            second = asyncio.create_task(appender.append(created("second")[1]))
            await asyncio.sleep(0.05)
        with pytest.raises(OSError, match="no locks"):
            await asyncio.wait_for(first, 10)
        assert (await asyncio.wait_for(second, 10)).last == 2
    invariants.check(fresh_database_url)


async def test_patience_ends_also_where_the_event_loop_has_lost_the_socket(fresh_database_url: str) -> None:
    async with running(fresh_database_url, timeout=0.3) as appender:
        async with log_held(fresh_database_url):
            lost = asyncio.create_task(appender.append(created("one")[1]))
            await asyncio.sleep(0.05)
            assert appender._conn is not None
            asyncio.get_running_loop().remove_reader(appender._conn.fileno())
            with pytest.raises(AppenderBusy):
                await asyncio.wait_for(lost, 5)
        assert (await asyncio.wait_for(appender.append(created("two")[1]), 5)).first in (1, 2)
    invariants.check(fresh_database_url)


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Callable[[float], Awaitable[list[int]]]]:
    """Inside, gives the positions that notifications tell until none comes for as many seconds."""
    conn = await connect(url)
    await conn.execute("LISTEN skald_log")

    async def told(seconds: float) -> list[int]:
        found: list[int] = []
        while new := [notice async for notice in conn.notifies(timeout=seconds, stop_after=1)]:
            found += [int(notice.payload.split()[0]) for notice in new]
        return found

    async with conn:
        yield told


async def test_while_batch_follows_batch_not_each_is_announced_but_the_last_is(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.log.appender.MIN_NOTIFY_INTERVAL", 0.2)
    async with listening(fresh_database_url) as told, running(fresh_database_url) as appender:
        started = monotonic()
        for number in range(20):
            await appender.append(created(f"skill-{number}")[1])
        took = monotonic() - started

        positions = await told(1)

        assert positions[0] == 1, "a lone write is announced with its commit"
        assert positions[-1] == 20
        assert len(positions) <= 2 + took / 0.2


async def test_what_was_not_announced_is_when_the_appender_closes(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.log.appender.MIN_NOTIFY_INTERVAL", 3600.0)
    async with listening(fresh_database_url) as told:
        async with running(fresh_database_url) as appender:
            for number in range(3):
                await appender.append(created(f"skill-{number}")[1])
            assert await told(0.3) == [1]
        assert await told(0.3) == [3]


async def test_a_commit_that_outlived_its_connection_is_announced(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.log.appender.MIN_NOTIFY_INTERVAL", 0.2)

    async def cut(conn: Connection, commits: Sequence[Commit], **_: Any) -> list[Appended]:
        await append(conn, commits, notify=False)
        raise psycopg.OperationalError("cut off behind the commit")

    async with listening(fresh_database_url) as told, running(fresh_database_url) as appender:
        with monkeypatch.context() as patch:
            patch.setattr("store.log.appender.append", cut)
            answer = await appender.append(created("lost-and-found")[1])
        assert answer.last == 1
        assert await told(1) == [1]


async def test_it_outlives_an_announcement_that_fails(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("store.log.appender.MIN_NOTIFY_INTERVAL", 0.1)
    caplog.set_level(logging.CRITICAL, "store.log.appender")

    async def fail(conn: Connection) -> None:
        raise psycopg.OperationalError("gone")

    async with listening(fresh_database_url) as told, running(fresh_database_url) as appender:
        with monkeypatch.context() as patch:
            patch.setattr("store.log.appender.notify_pending", fail)
            for number in range(2):
                await appender.append(created(f"skill-{number}")[1])
            assert await told(0.5) == [1]
        # The next one leaves a gap behind the first, so whoever listens looks.
        await appender.append(created("later")[1])
        assert await told(0.5) == [3]


async def test_it_outlives_whatever_a_batch_raises(
    fresh_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def observe(_: Any, __: float) -> None:
        raise RuntimeError("the figures are broken")

    caplog.set_level(logging.CRITICAL, "store.log.appender")
    async with running(fresh_database_url, observe=observe) as appender:
        assert (await appender.append(created("one")[1])).first == 1
        empty = msgspec.structs.replace(created("x", idempotency_key="k")[1], events=())
        with pytest.raises(IndexError):
            await asyncio.wait_for(appender.append(empty), 10)
        assert (await asyncio.wait_for(appender.append(created("two")[1]), 10)).first == 2
        assert appender.running
    invariants.check(fresh_database_url)


async def test_nobody_waits_for_a_task_that_was_ended(fresh_database_url: str) -> None:
    appender = Appender(fresh_database_url)
    await appender.start()
    async with log_held(fresh_database_url):
        waiting = [asyncio.create_task(appender.append(created("under-way")[1]))]
        await asyncio.sleep(0.05)
        waiting += [asyncio.create_task(appender.append(created(f"skill-{n}")[1])) for n in range(3)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(appender.close())
        await asyncio.sleep(0)
        closing.cancel()
        results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
    assert [type(result) for result in results] == [AppenderBusy] * 4
    assert not appender.running
    with pytest.raises(AppenderBusy):
        await appender.append(created("late")[1])


async def test_closing_commits_what_is_queued(fresh_database_url: str) -> None:
    appender = Appender(fresh_database_url)
    await appender.start()
    tasks = [asyncio.create_task(appender.append(created(f"skill-{n}")[1])) for n in range(300)]
    await asyncio.sleep(0)
    await appender.close()
    answers = await asyncio.gather(*tasks)
    assert [answer.first for answer in answers] == list(range(1, 301))
    invariants.check(fresh_database_url)


async def test_analyze_and_new_indexes_do_not_hold_it_up(fresh_database_url: str) -> None:
    slowest = 0.0
    history, stop = History(1), asyncio.Event()

    async def write(appender: Appender) -> None:
        nonlocal slowest
        while not stop.is_set():
            started = monotonic()
            await appender.append(history.next())
            slowest = max(slowest, monotonic() - started)

    async with running(fresh_database_url) as appender, await connect(fresh_database_url) as conn:
        writer = asyncio.create_task(write(appender))
        await asyncio.sleep(0.2)
        for n in range(3):
            await conn.execute("ANALYZE")
            await conn.execute(
                f"CREATE INDEX CONCURRENTLY during_{n} ON events (topic)".encode(), prepare=False
            )
            await conn.execute("VACUUM events", prepare=False)
        stop.set()
        await writer
    # Held up, it would wait until the time-out of the appender.
    assert slowest < TIMEOUT / 2
    invariants.check(fresh_database_url)
