"""What takes too long is noticed, however often it was quick before."""

import asyncio
from time import monotonic

from store.postgres.watchdog import Watchdog


async def test_what_ends_in_time_is_left_alone() -> None:
    late: list[float] = []
    watchdog = Watchdog(0.1, lambda: late.append(monotonic()))
    until = monotonic() + 0.35
    while monotonic() < until:
        with watchdog:
            await asyncio.sleep(0.01)

    await asyncio.sleep(0.15)

    assert late == []


async def test_what_takes_too_long_is_told_and_told_again() -> None:
    late: list[float] = []
    watchdog = Watchdog(0.1, lambda: late.append(monotonic()))
    with watchdog:
        await asyncio.sleep(0.06)
    # The timer of the first was set before this one began.
    began = monotonic()
    with watchdog:
        await asyncio.sleep(0.25)
    watchdog.close()

    assert [round(at - began, 1) for at in late] == [0.1, 0.2]


async def test_it_looks_again_after_a_rest() -> None:
    late: list[float] = []
    watchdog = Watchdog(0.05, lambda: late.append(monotonic()))
    with watchdog:
        pass
    await asyncio.sleep(0.15)

    with watchdog:
        await asyncio.sleep(0.07)
    watchdog.close()

    assert len(late) == 1


async def test_closed_it_leaves_no_timer_behind() -> None:
    late: list[float] = []
    watchdog = Watchdog(0.05, lambda: late.append(monotonic()))
    with watchdog:
        watchdog.close()
        await asyncio.sleep(0.1)

    assert late == []
