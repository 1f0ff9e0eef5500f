"""A connection whose socket stays registered with the event loop: nobody waits in vain, and nothing is told over and over."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest
import uvloop

from store.postgres.connection import Connection
from store.postgres.listening import Listener
from store.postgres.pipeline import execute_pipeline, read_bigint, select
from store.postgres.pool import connect, open_pool
from tests.support.proxy import half_answered

SELECT = "SELECT %s::bigint"
SLOW = "SELECT pg_sleep(0.02), %s::bigint"
MARK = b"the last"  # as a bigint, in a question that gets half an answer

Runner = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    """Runs a test on each kind of event loop: the one of the command line and that of the service."""

    def on_loop(test: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(test, 20))

    return on_loop


async def number(conn: Connection, value: int, sql: str = SELECT) -> int:
    [result] = await execute_pipeline(conn, [(sql, [value])])
    return read_bigint(result.get_value(0, result.nfields - 1))


async def end(url: str, conn: Connection) -> None:
    async with await connect(url) as other:
        await other.execute("SELECT pg_terminate_backend(%s, 5000)", [conn.pgconn.backend_pid])


def test_flushes_and_what_psycopg_does_take_turns(postgres_url: str, run: Runner) -> None:
    async def test() -> None:
        async with await connect(postgres_url) as conn:
            for value in range(5):
                assert await number(conn, value, SLOW) == value
                row = await (await conn.execute("SELECT %s::int FROM pg_sleep(0.02)", [value])).fetchone()
                assert row == (value,)

    run(test())


def test_flushes_that_follow_each_other_register_the_socket_once(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counted(uvloop.Loop):
        registered = 0

        def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:  # type: ignore[override]
            Counted.registered += 1
            super().add_reader(fd, callback, *args)

    async def test() -> None:
        async with await connect(postgres_url) as conn:
            Counted.registered = 0
            for value in range(20):
                await number(conn, value, SLOW)
        assert Counted.registered == 1

    with asyncio.Runner(loop_factory=Counted) as runner:
        runner.run(test())


def test_what_nobody_reads_is_told_once(postgres_url: str, run: Runner) -> None:
    async def test() -> None:
        told = 0
        conn = await connect(postgres_url)
        come = conn.socket._come

        def counted() -> None:
            nonlocal told
            told += 1
            come()

        conn.socket._come = counted  # type: ignore[method-assign]
        await number(conn, 1, SLOW)
        before = told
        await end(postgres_url, conn)
        await asyncio.sleep(0.1)
        assert told - before <= 1

        with pytest.raises(psycopg.OperationalError):
            await number(conn, 2)
        assert conn.closed

    run(test())


def test_a_closed_or_lost_connection_leaves_its_number_to_the_next(postgres_url: str, run: Runner) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        for value in range(6):
            conn = await connect(postgres_url)
            fd = conn.fileno()
            assert await number(conn, value, SLOW) == value
            if value % 2:
                await conn.close()
            else:
                with pytest.raises(psycopg.OperationalError):
                    await execute_pipeline(conn, [("SELECT pg_terminate_backend(pg_backend_pid())", [])])
            assert not loop.remove_reader(fd)

    run(test())


def test_connections_of_a_pool_are_replaced_when_they_are_lost(postgres_url: str, run: Runner) -> None:
    async def test() -> None:
        pool = await open_pool(postgres_url, size=2)
        for value in range(6):
            async with pool.connection() as conn:
                assert await number(conn, value, SLOW) == value
                await end(postgres_url, conn)
                with pytest.raises(psycopg.OperationalError):
                    await conn.execute("SELECT 1")
        await pool.close()

    run(test())


def test_who_listens_hears_again_and_again(postgres_url: str, run: Runner) -> None:
    async def test() -> None:
        async with await connect(postgres_url) as conn, await connect(postgres_url) as other:
            listener = Listener(conn)
            await conn.execute("LISTEN here")
            for value in range(5):
                assert await listener.receive(0.01) == []
                await other.execute(f"NOTIFY here, '{value}'".encode())
                assert await listener.receive(5) == [("here", str(value))]
                if value % 2:
                    await conn.execute("SELECT 1")

    run(test())


def test_what_comes_during_a_pause_wakes_nobody_and_is_heard_together(postgres_url: str, run: Runner) -> None:
    async def test() -> None:
        async with await connect(postgres_url) as conn, await connect(postgres_url) as other:
            listener = Listener(conn)
            await conn.execute("LISTEN here")
            told: list[bool] = []
            conn.socket._come = lambda: told.append(True)  # type: ignore[method-assign]
            assert await listener.receive(0.01) == []
            pausing = asyncio.create_task(listener.pause(0.2))
            await asyncio.sleep(0)
            await other.execute("NOTIFY here, '1'")
            await other.execute("NOTIFY here, '2'")
            await pausing
            assert await listener.receive(5) == [("here", "1"), ("here", "2")]
            assert told == []

    run(test())


def test_an_error_behind_a_part_of_an_answer_is_heard(postgres_url: str, run: Runner) -> None:
    with half_answered(postgres_url, MARK) as url:

        async def test() -> None:
            conn = await connect(url)
            for value in range(2):
                assert await number(conn, value, SLOW) == value
            with pytest.raises(psycopg.OperationalError):
                await asyncio.wait_for(number(conn, int.from_bytes(MARK, "big"), SLOW), 5)
            assert conn.closed

        run(test())


def test_a_single_query_hears_an_error_behind_a_part_of_an_answer(postgres_url: str, run: Runner) -> None:
    with half_answered(postgres_url, MARK) as url:

        async def test() -> None:
            conn = await connect(url)
            for value in range(3):  # prepared by the first, known to the others
                assert (await select(conn, SLOW, [value]))[0][1] == value
            with pytest.raises(psycopg.OperationalError):
                await asyncio.wait_for(select(conn, SLOW, [int.from_bytes(MARK, "big")]), 5)
            assert conn.closed

        run(test())
