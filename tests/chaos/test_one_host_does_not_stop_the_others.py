"""A host that is cut off or frozen loses what it holds within seconds, and a server that is frozen is not waited for."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import monotonic

import httpx
import psycopg
import pytest

from api.server.health import DATABASE_TIMEOUT
from store.errors import AppenderBusy
from store.log import appender as appending
from store.log.appender import Appender
from store.postgres import pool as pools
from store.postgres.connection import Connection
from store.postgres.pipeline import select
from store.postgres.pool import APPENDS, FOLLOWERS, REQUESTS, Limits, connect, open_pool
from tests.support import invariants
from tests.support.histories import created
from tests.support.proxy import proxy
from tests.support.service import MakeService
from workers.event_buffer import EventBuffer
from workers.follower import Leader

pytestmark = pytest.mark.chaos

SOON = 1.0  # seconds that the limits of these tests are
HELD = """
SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE datname = current_database() AND locktype = 'advisory' AND granted
"""
LATE = 30.0  # seconds that are far beyond them, and far below what no limit would take


@asynccontextmanager
async def running(url: str, timeout: float = 20.0) -> AsyncIterator[Appender]:
    appender = Appender(url, timeout=timeout)
    await appender.start()
    try:
        yield appender
    finally:
        await appender.close()


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def backends(url: str, name: str) -> list[int]:
    with psycopg.connect(url) as conn:
        rows = conn.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE %s",
            (name,),
        )
        return [row[0] for row in rows]


async def test_the_lock_of_a_host_that_is_cut_off_in_mid_append_is_free_soon(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        appending, "APPENDS", Limits(None, {**APPENDS.settings, "transaction_timeout": f"{SOON}s"})
    )
    async with (
        proxy(fresh_database_url) as through,
        running(through.url) as cut_off,
        running(fresh_database_url) as other,
    ):
        through.freeze = True
        lost = asyncio.create_task(cut_off.append(created("cut-off")[1]))
        await through.frozen.wait()
        # Its server ends the connection, and its append is made once more.
        async with asyncio.timeout(LATE):
            appended = await asyncio.gather(other.append(created("other")[1]), lost)
        assert sorted(one.first for one in appended) == [1, 2]
    invariants.check(fresh_database_url)


@pytest.mark.parametrize("missing", [1, 100, 600])
async def test_a_host_that_is_cut_off_before_all_of_an_append_has_come_holds_no_lock(
    fresh_database_url: str, missing: int
) -> None:
    """A lock behind which the rest is still under way stops all hosts until the server ends the connection."""
    async with (
        proxy(fresh_database_url) as through,
        running(through.url) as cut_off,
        running(fresh_database_url) as other,
    ):
        await cut_off.append(created("before")[1])
        through.freeze, through.missing = True, missing
        lost = asyncio.create_task(cut_off.append(created("cut-off")[1]))
        await through.frozen.wait()
        with psycopg.connect(fresh_database_url) as conn:
            held = conn.execute(HELD).fetchone()
        await other.append(created("other")[1])
        assert held == (0,)
        assert not lost.done()
        await through.stop()
        await lost
    invariants.check(fresh_database_url)


async def test_what_was_never_sent_is_failed_in_time_and_stays_out_of_the_log(
    fresh_database_url: str,
) -> None:
    async with proxy(fresh_database_url) as through, running(through.url, timeout=0.3) as appender:
        through.freeze = True
        first = asyncio.create_task(appender.append(created("first")[1]))
        await through.frozen.wait()
        through.target = through.folder / "gone"
        second = asyncio.create_task(appender.append(created("second")[1]))
        with pytest.raises(AppenderBusy):
            await second
        await asyncio.gather(first, return_exceptions=True)
    async with running(fresh_database_url) as other:
        await other.append(created("third")[1])
    with psycopg.connect(fresh_database_url) as conn:
        names = conn.execute("SELECT name FROM artifacts ORDER BY created_position").fetchall()
    assert ("second",) not in names
    assert ("third",) in names


async def test_a_backend_that_is_frozen_is_left_after_the_limit(fresh_database_url: str) -> None:
    pool = await open_pool(fresh_database_url, size=1, limits=Limits(SOON))
    try:
        for _ in range(2):
            async with pool.connection() as conn:
                await select(conn, "SELECT 1 WHERE %s::bool", (True,))
                with frozen(conn.info.backend_pid):
                    began = monotonic()
                    with pytest.raises(psycopg.OperationalError):
                        async with asyncio.timeout(LATE):
                            await select(conn, "SELECT 1 WHERE %s::bool", (True,))
                    assert monotonic() - began >= SOON * 0.9
            async with pool.connection() as conn:
                with frozen(conn.info.backend_pid), pytest.raises(psycopg.OperationalError):
                    async with asyncio.timeout(LATE):
                        await conn.execute("SELECT 1")
    finally:
        await pool.close()


async def test_an_answer_that_came_while_this_process_stood_still_is_read(fresh_database_url: str) -> None:
    async with await connect(fresh_database_url, limits=Limits(0.2)) as conn:
        for question in (conn.execute("SELECT 1"), select(conn, "SELECT 1 WHERE %s::bool", (True,))):
            asked = asyncio.create_task(question)
            await asyncio.sleep(0.001)
            time.sleep(0.5)  # noqa: ASYNC251 - what stands still is the loop
            await asked


async def test_a_leader_that_is_frozen_loses_its_lock(
    fresh_database_url: str,
) -> None:
    assert float(FOLLOWERS.settings["idle_session_timeout"].removesuffix("s")) <= 15
    soon = Limits(None, {**FOLLOWERS.settings, "idle_session_timeout": f"{SOON}s"})
    async with await connect(fresh_database_url, limits=soon) as leader:
        await leader.execute("SELECT pg_advisory_lock(1, 1)")
        # Its process does nothing any more.
        async with await connect(fresh_database_url) as next_one, asyncio.timeout(LATE):
            await next_one.execute("SELECT pg_advisory_lock(1, 1)")


@pytest.mark.parametrize("limits", [REQUESTS, APPENDS, FOLLOWERS, pools.UNLIMITED])
async def test_every_connection_has_its_limits_at_both_ends(fresh_database_url: str, limits: Limits) -> None:
    async with await connect(fresh_database_url, limits=limits) as conn:
        found = await _settings(conn, limits)
        assert found == dict(limits.settings)
        assert conn.limit == limits.answer


async def _settings(conn: Connection, limits: Limits) -> dict[str, str]:
    rows = await select(
        conn,
        "SELECT name, current_setting(name) FROM (SELECT unnest(%s::text[]) AS name) AS wanted",
        (list(limits.settings),),
    )
    return dict(rows)


def test_a_service_whose_backends_are_frozen_says_so_and_comes_back(
    fresh_database_url: str, make_service: MakeService
) -> None:
    service = make_service(database_url=fresh_database_url)
    headers = {"authorization": f"Bearer {service.key}"}
    path = f"/api/projects/{service.project_id}/llm_skills/"
    with httpx.Client(base_url=service.base_url, headers=headers, timeout=LATE) as client:
        assert client.post(path, json={"name": "one", "description": "d", "body": "b"}).status_code == 201
        with frozen(*backends(fresh_database_url, "skald-api")):
            began = monotonic()
            assert client.get("/readyz").status_code == 503
            assert monotonic() - began < DATABASE_TIMEOUT + 5, "a probe waits for the requests' limit"
            assert client.get("/healthz").status_code == 200
            answer = client.get(path, params={"search": "nothing cached"})
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
        assert client.get(path).status_code == 200
        assert client.get("/readyz").status_code == 200


def test_what_only_listens_may_be_silent() -> None:
    assert "idle_session_timeout" in Leader.limits.settings
    assert "idle_session_timeout" not in EventBuffer.limits.settings
