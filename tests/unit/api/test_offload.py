"""Heavy work is bounded: in threads, in the queue before them, and in time."""

import asyncio
from threading import Event

import pytest

from api.offload import Offload
from domain.errors import Unavailable


async def test_the_event_loop_goes_on_while_work_runs() -> None:
    go, offload = Event(), Offload()
    work = asyncio.create_task(offload.run(go.wait, 10))
    await asyncio.sleep(0)
    go.set()
    assert await work is True


async def test_what_the_work_raises_is_raised_also_when_it_is_a_time_out() -> None:
    def fail(error: Exception) -> None:
        raise error

    with pytest.raises(KeyError):
        await Offload().run(fail, KeyError("k"))
    with pytest.raises(TimeoutError):
        await Offload().run(fail, TimeoutError("its own"))


async def test_more_than_the_queue_holds_is_refused_until_there_is_room() -> None:
    go, offload = Event(), Offload(threads=1, max_waiting=1)
    running = [asyncio.create_task(offload.run(go.wait, 10)) for _ in range(2)]
    await asyncio.sleep(0.01)

    with pytest.raises(Unavailable, match="more heavy requests"):
        await offload.run(int)

    go.set()
    await asyncio.gather(*running)
    assert await offload.run(int) == 0


async def test_a_deadline_frees_the_caller_and_keeps_the_place_until_the_thread_is_free() -> None:
    go, offload = Event(), Offload(threads=1, max_waiting=0, deadline=0.05)
    with pytest.raises(Unavailable, match="too long"):
        await offload.run(go.wait, 10)
    with pytest.raises(Unavailable, match="more heavy requests"):
        await offload.run(int)
    go.set()
    while True:
        try:
            assert await offload.run(int) == 0
            return
        except Unavailable:
            await asyncio.sleep(0.01)
