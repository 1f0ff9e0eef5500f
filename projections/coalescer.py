"""Questions that wait at the same time go out together: one statement of PostgreSQL, one command of Redis.

A question that comes while a batch is under way waits for the next one and never joins it, so the snapshot of an answer is
taken after every question that gets it: a read after an answered write sees that write. Equal questions are asked once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from itertools import chain, islice
from typing import Generic, TypeVar

Question = TypeVar("Question", bound=Hashable)
Found = TypeVar("Found")

# Reads what ``take`` gives, which it calls once, as late as it can; returns an answer for each, or what went wrong with it.
Fetch = Callable[[Callable[[], list[Question]]], Awaitable[Sequence[Found | Exception]]]
Waiter = asyncio.Future[Found]


# RESULTS.md: "cold reads that wait asked for in one statement"
class Coalescer(Generic[Question, Found]):
    """At most ``concurrent`` batches are under way, each with half of what is asked for, within ``min_batch`` and ``max_batch``.

    Half, because the other side works on one half while Python takes in the other.
    """

    def __init__(
        self, fetch: Fetch[Question, Found], *, concurrent: int, max_batch: int, min_batch: int
    ) -> None:
        self._fetch = fetch
        self._concurrent = concurrent
        self._max_batch = max_batch
        self._min_batch = min_batch
        self._waiting: dict[Question, list[Waiter[Found]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # Questions in them.
        self._under_way = 0
        # Whether one of the tasks has yet to take what it will ask for.
        self._taking = False

    async def ask(self, question: Question) -> Found:
        """The answer. Raises what the fetch raises, for all of its batch, or returns for this question."""
        waiter: Waiter[Found] = asyncio.get_running_loop().create_future()
        waiters = self._waiting.get(question)
        if waiters is None:
            self._waiting[question] = [waiter]
            self._start()
        else:
            waiters.append(waiter)
        return await waiter

    def _start(self) -> None:
        if self._waiting and not self._taking and len(self._tasks) < self._concurrent:
            self._taking = True
            # A task of its own: a client that goes away cancels its own wait and no other.
            task = asyncio.create_task(self._run(), name="coalescer")
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._start()

    async def _run(self) -> None:
        batch: dict[Question, list[Waiter[Found]]] | None = None

        def take() -> list[Question]:
            nonlocal batch
            half = (len(self._waiting) + self._under_way + 1) // 2
            batch = self._take(min(self._max_batch, max(self._min_batch, half)))
            self._under_way += len(batch)
            return list(batch)

        try:
            found = await self._fetch(take)
            assert batch is not None
            for waiters, one in zip(batch.values(), found, strict=True):
                _settle(waiters, one)
        except asyncio.CancelledError:
            for waiter in chain.from_iterable((self._take(None) if batch is None else batch).values()):
                waiter.cancel()
            raise
        except Exception as error:
            # Before anything was taken, there is no connection: the others would not get one sooner.
            for waiters in (self._take(None) if batch is None else batch).values():
                _settle(waiters, error)
        finally:
            self._under_way -= len(batch or ())

    def _take(self, most: int | None) -> dict[Question, list[Waiter[Found]]]:
        """The questions that were asked first, without those whose callers are gone."""
        self._taking = False
        batch = {}
        for question in list(islice(self._waiting, most)):
            waiters = self._waiting.pop(question)
            if not all(waiter.done() for waiter in waiters):
                batch[question] = waiters
        self._start()
        return batch


def _settle(waiters: list[Waiter[Found]], found: Found | Exception) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if isinstance(found, Exception):
            waiter.set_exception(found)
        else:
            waiter.set_result(found)
