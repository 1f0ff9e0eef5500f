"""Turns of the processes of a host: one at a time, each in its turn, and no one waits for ever."""

import asyncio
import fcntl
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from store.log.turn import MAX_WAIT, HostTurn

HOLDER = """
import sys, time
from pathlib import Path
from store.log.turn import HostTurn
print(HostTurn(Path(sys.argv[1])).take_now(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def turns(tmp_path: Path) -> Iterator[list[HostTurn]]:
    """Three, as three processes have them: the locks belong to open files."""
    with ExitStack() as stack:
        made = [HostTurn(tmp_path) for _ in range(3)]
        for turn in made:
            stack.callback(turn.close)
            stack.callback(turn.release)
        yield made


def test_without_a_folder_it_is_always_this_ones_turn() -> None:
    turn = HostTurn()
    assert turn.take_now()
    turn.release()


async def test_one_has_it_at_a_time(turns: list[HostTurn]) -> None:
    first, second, _ = turns
    assert first.take_now()
    assert not second.take_now()
    first.release()
    assert second.take_now()


async def test_who_waits_comes_before_who_has_just_had_it(
    turns: list[HostTurn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.log.turn.MAX_WAIT", 30.0)
    first, second, _ = turns
    assert first.take_now()
    waiting = asyncio.create_task(second.take())
    # The thread has the lock of the next one as soon as no one else can take it.
    while _is_free(first):
        await asyncio.sleep(0.001)
    first.release()
    again = asyncio.create_task(first.take())
    await waiting
    assert not again.done()
    second.release()
    await again
    assert not second.take_now()


def test_who_is_killed_loses_it(turns: list[HostTurn], tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"True\n"
        assert not turns[0].take_now()
        holder.kill()
        holder.wait()
    assert turns[0].take_now()


def test_all_know_when_one_has_notified(turns: list[HostTurn]) -> None:
    first, second, _ = turns
    assert second.notified_at == -math.inf
    first.notified()
    assert second.notified_at == first.notified_at <= time.monotonic()
    alone = HostTurn()
    alone.notified()
    assert first.notified_at <= alone.notified_at


async def test_who_waits_too_long_goes_on_and_keeps_no_one_else(turns: list[HostTurn]) -> None:
    frozen, waits, third = turns
    assert frozen.take_now()
    began = time.monotonic()
    await waits.take()
    assert time.monotonic() - began >= MAX_WAIT
    # The next batch does not wait again, while the thread still does.
    assert not waits.take_now()
    await waits.take()
    waits.release()
    frozen.release()
    # What the thread gets late is given back.
    async with asyncio.timeout(30):
        while not third.take_now():
            await asyncio.sleep(0.001)


def _is_free(turn: HostTurn) -> bool:
    """Whether no one waits to be the next."""
    following = turn._files[0]
    try:
        fcntl.flock(following, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(following, fcntl.LOCK_UN)
    return True
