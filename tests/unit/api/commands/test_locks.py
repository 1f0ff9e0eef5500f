"""Locks by key: one holder at a time, in the order of asking, whoever gives up."""

import asyncio
from contextlib import suppress

import pytest

from api.commands.locks import KeyedLocks


class Turns:
    """Tasks that take one lock in turn and hold it until they are let go."""

    def __init__(self) -> None:
        self.locks = KeyedLocks()
        self.entered: list[int] = []
        self.let_go = [asyncio.Event() for _ in range(4)]
        self.tasks: list[asyncio.Task[None]] = []

    async def _take(self, number: int, key: str) -> None:
        async with self.locks.hold(key):
            self.entered.append(number)
            await self.let_go[number].wait()

    async def start(self, number: int, key: str = "name") -> None:
        self.tasks.append(asyncio.create_task(self._take(number, key)))
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_at_a_time_in_the_order_of_asking() -> None:
    turns = Turns()
    for number in range(3):
        await turns.start(number)
    assert turns.entered == [0]
    for number in range(3):
        turns.let_go[number].set()
        await settle()
        assert turns.entered == [0, 1, 2][: number + 2]
    assert not turns.locks._waiting


async def test_another_key_does_not_wait() -> None:
    turns = Turns()
    await turns.start(0)
    await turns.start(1, "other")
    assert turns.entered == [0, 1]


async def test_whoever_gives_up_is_passed_over() -> None:
    turns = Turns()
    for number in range(3):
        await turns.start(number)
    turns.tasks[1].cancel()
    await settle()
    turns.let_go[0].set()
    await settle()
    assert turns.entered == [0, 2]


async def test_who_gives_up_in_the_moment_of_its_turn_passes_it_on() -> None:
    turns = Turns()
    for number in range(3):
        await turns.start(number)
    turns.let_go[0].set()
    # The holder leaves in this step of the loop, and has given the lock to the next one, who has not run yet.
    await asyncio.sleep(0)
    turns.tasks[1].cancel()
    await settle()
    assert turns.entered == [0, 2]
    turns.let_go[2].set()
    await settle()
    assert not turns.locks._waiting


async def test_a_failure_lets_go() -> None:
    locks = KeyedLocks()
    with suppress(ValueError):
        async with locks.hold("name"):
            raise ValueError
    async with asyncio.timeout(1), locks.hold("name"):
        pass


@pytest.mark.parametrize("key", ["name", (1, "skill", "name")])
async def test_nothing_is_left_of_a_lock_that_nobody_holds(key: object) -> None:
    locks = KeyedLocks()
    async with locks.hold(key):
        assert key in locks._waiting
    assert not locks._waiting
