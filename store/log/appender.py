"""Group commit: one task a process, and while one batch commits the next one collects.

There is no timer: a lone write goes out at once, and under load the batch is whatever arrived during the last commit.
The callers of a batch get their answers once the next batch is on its way: answering takes time, and the database has work by then.

Not each batch notifies the followers of the log: under a steady load one notification per MIN_NOTIFY_INTERVAL is enough.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from time import monotonic, perf_counter
from typing import NamedTuple

import psycopg
from psycopg import OperationalError
from psycopg.errors import DiskFull

from store.errors import AppenderBusy, StorageFull, trouble
from store.log.history import LogHistory
from store.log.log import Appended, Commit, append, conflict, find_committed, notify_pending
from store.log.turn import HostTurn
from store.postgres.connection import Connection
from store.postgres.pool import APPENDS, connect
from store.postgres.room import Room
from store.postgres.watchdog import Watchdog

logger = logging.getLogger(__name__)

MAX_BATCH = 128  # commits; beyond it a batch's own latency grows faster than its throughput
MAX_BATCH_BYTES = (
    4_000_000  # contents in one pipeline; keeps a heavy import from delaying the commits behind it
)
MAX_QUEUE = 2_000  # commits that wait; at 1,000 a second that is two seconds of timeout
# Seconds from one notification to the next. Each wakes a process of PostgreSQL for every listener, at the time when it and
# this one have work: without a limit 8 writers append a tenth less.
# RESULTS.md: "a notification at most every 5 ms while batch follows batch"
MIN_NOTIFY_INTERVAL = 0.005
TIMEOUT = 20.0  # seconds that a commit waits for a lost or unresponsive database before it fails

# Seconds after which nothing of an attempt that has failed can become durable any more: what was sent comes within the
# tcp_user_timeout or never, and the server ends a transaction within APPENDS. Callers are answered no earlier.
SETTLED = 18.0

Observer = Callable[[Sequence[Commit], float], None]
Done = Sequence[tuple[Commit, Appended]]
Durable = Callable[[Appended], None]


class Pending(NamedTuple):
    commit: Commit
    durable: Durable | None
    claims: frozenset[Hashable]
    answer: "asyncio.Future[Appended]"
    since: float


# RESULTS.md: "the next batch sent before the last is answered"
class Appender:
    """Appends commits of this process to the log, in batches, on a connection of its own.

    ``committed`` is called with what has just become durable, in the order of the log, before its callers get their
    answers; ``observe(commits, seconds)`` after every committed batch. Nothing more is taken when ``room`` has none. ``turn``
    is shared with the other processes of the host.
    """

    def __init__(
        self,
        dsn: str,
        *,
        committed: Callable[[Done], None] | None = None,
        observe: Observer | None = None,
        room: Room | None = None,
        turn: HostTurn | None = None,
        history: LogHistory | None = None,
        max_queue: int = MAX_QUEUE,
        timeout: float = TIMEOUT,
    ) -> None:
        self._dsn = dsn
        self._committed = committed
        self._observe = observe
        self._room = room or Room()
        self._turn = turn or HostTurn()
        self._history = history or LogHistory()
        self._max_queue = max_queue
        self._timeout = timeout
        self._watchdog = Watchdog(timeout, self._cut)
        self._queue: deque[Pending] = deque()
        self._batch: list[Pending] = []
        # Durable, but not answered yet.
        self._done: list[tuple[Pending, Appended]] = []
        # Since when there is something in the log without a notification, and what wakes the task for it.
        self._unnotified_since: float | None = None
        self._reminder: asyncio.TimerHandle | None = None
        self._work = asyncio.Event()
        self._conn: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        # What the database said to the last append, when it took none, and when that was.
        self._failure: tuple[BaseException, float] | None = None

    async def start(self) -> None:
        """Connect and begin. While the database cannot be reached, each batch tries again."""
        try:
            await self._connection()
        except OperationalError as error:
            logger.warning("the database is away: %s", str(error).strip().partition("\n")[0])
        self._task = asyncio.create_task(self._run(), name="appender")

    async def close(self) -> None:
        """Commit what is queued, then stop."""
        self._closing = True
        self._work.set()
        if self._task is not None:
            await self._task
        self._watchdog.close()
        if self._reminder is not None:
            self._reminder.cancel()
        if self._conn is not None:
            await self._conn.close()

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    def failing(self, within: float) -> BaseException | None:
        """Why the last append failed, when it was less than ``within`` seconds ago; None when the database takes appends."""
        if self._failure is None or monotonic() - self._failure[1] > within:
            return None
        return self._failure[0]

    async def append(self, commit: Commit, durable: Durable | None = None) -> Appended:
        """Wait until the commit is durable and say where it stands.

        ``durable`` is called with that before ``committed`` is, and whether or not the caller still waits. It must not raise.
        Raises StreamConflict, NameConflict, CommandRepeated, StorageFull (nothing written) or AppenderBusy (queue full, or the
        database was away for too long, then its fate is unknown and only an idempotency key makes a retry safe).
        """
        if self._closing or not self.running or len(self._queue) >= self._max_queue:
            raise AppenderBusy("the appender takes no more work now")
        if not self._room.is_left():
            raise StorageFull("the disk of the database is nearly full")
        claims = frozenset(commit.claims) | {event.originator_id for event in commit.events}
        pending = Pending(commit, durable, claims, asyncio.get_running_loop().create_future(), monotonic())
        self._queue.append(pending)
        self._work.set()
        return await pending.answer

    async def _run(self) -> None:
        try:
            while True:
                if self._queue:
                    await self._append_next()
                    continue
                self._publish_results()
                if self._is_owed() and (self._closing or self._is_due()):
                    await self._notify_pending()
                    continue
                if self._closing:
                    return
                self._work.clear()
                self._remind()
                await self._work.wait()
        finally:
            # Only a cancelled task gets here with work left; its callers must get an error.
            self._closing = True
            self._fail([*self._batch, *self._queue], AppenderBusy("the service is stopping"))
            self._queue.clear()

    async def _append_next(self) -> None:
        """Append what is queued when this process gets its turn; what comes meanwhile goes with it."""
        if not self._turn.take_now():
            self._publish_results()
            await self._turn.take()
        try:
            self._batch = self._next_batch()
            if self._batch:
                await self._attempt(self._batch)
        finally:
            self._turn.release()

    async def _attempt(self, batch: list[Pending]) -> None:
        try:
            await self._commit(batch)
        except Exception as error:
            # The task outlives any batch; the failure goes to each caller, so that none waits for ever.
            logger.exception("a batch of %d commits failed", len(batch))
            # It may be the figures that failed, when all of it was durable.
            self._publish_results()
            self._fail(batch, error)
            await self._drop_connection()

    def _next_batch(self) -> list[Pending]:
        """What may be committed together: no two of the batch share a stream, a name or an idempotency key."""
        batch: list[Pending] = []
        waiting: list[Pending] = []
        taken: set[Hashable] = set()
        size = 0
        while self._queue and len(batch) < MAX_BATCH and size < MAX_BATCH_BYTES:
            pending = self._queue.popleft()
            if pending.answer.done():  # it has left, or been failed
                continue
            # A commit that waits also blocks later ones with the same claims, so that order is kept.
            if taken.isdisjoint(pending.claims):
                batch.append(pending)
                size += sum(content.ref.size for content in pending.commit.contents)
            else:
                waiting.append(pending)
            taken |= pending.claims
        self._queue.extendleft(reversed(waiting))
        return batch

    async def _commit(self, batch: list[Pending]) -> None:
        started, began = perf_counter(), monotonic()
        notify = self._is_due()
        try:
            try:
                conn = await self._connection()
                with self._watchdog:
                    commits = [pending.commit for pending in batch]
                    answers = await append(conn, commits, sent=self._publish_results, notify=notify)
            finally:
                # Those of the batch before; whether this one could be sent is not their concern.
                self._publish_results()
        except Exception as error:
            found = trouble(error)
            if found is not None and found.refusal:
                await self._refused(batch, error)
                return
            if isinstance(error, OperationalError):
                await self._recover(batch, error, began)
                return
            # One commit is to blame and the transaction took none of them: each for itself now.
            if len(batch) > 1:
                for pending in batch:
                    await self._attempt([pending])
                return
            if not isinstance(error, psycopg.Error):
                raise
            self._fail(batch, conflict(error) or error)
            return
        self._done = list(zip(batch, answers, strict=True))
        self._history.reach(answers[-1].last, batch[-1].commit.command_id)
        self._failure = None
        if notify:
            self._turn.notified()
        self._unnotified_since = None if notify else monotonic()
        if self._observe is not None:
            self._observe(commits, perf_counter() - started)

    async def _refused(self, batch: list[Pending], error: Exception) -> None:
        """The database takes no append at all: read-only, full, without rights, too slow."""
        logger.warning("the database refuses to append: %s", str(error).partition("\n")[0])
        self._failure = error, monotonic()
        full = isinstance(error, DiskFull)
        self._fail(batch, StorageFull("the disk of the database is full") if full else error)
        # What its operator changes may hold for new connections alone, and another server may have taken over.
        await self._drop_connection()

    def _is_due(self) -> bool:
        """Whether the followers of the log may be notified again."""
        return monotonic() - self._turn.notified_at >= MIN_NOTIFY_INTERVAL

    def _is_owed(self) -> bool:
        """Whether something that this process appended has been notified of by none of the host."""
        return self._unnotified_since is not None and self._turn.notified_at <= self._unnotified_since

    def _remind(self) -> None:
        """Wake the task when the notification that is owed is due."""
        if self._is_owed() and self._reminder is None:
            self._reminder = asyncio.get_running_loop().call_later(MIN_NOTIFY_INTERVAL, self._reminded)

    def _reminded(self) -> None:
        self._reminder = None
        self._work.set()

    async def _notify_pending(self) -> None:
        # A failure is harmless: each follower polls the log now and then.
        self._unnotified_since = None
        self._turn.notified()
        try:
            conn = await self._connection()
            with self._watchdog:
                await notify_pending(conn)
        except Exception as error:
            logger.warning("the followers of the log could not be notified: %s", error)
            await self._drop_connection()

    def _publish_results(self) -> None:
        """For each durable commit: its ``durable`` callback, then ``committed``, then the caller's answer."""
        done, self._done = self._done, []
        if not done:
            return
        for pending, answer in done:
            if pending.durable is not None:
                try:
                    pending.durable(answer)
                except Exception:
                    # It is in the log: the other callers must not get this failure.
                    logger.exception("what is to be done with a durable commit failed")
        if self._committed is not None:
            try:
                self._committed([(pending.commit, answer) for pending, answer in done])
            except Exception as error:
                # A caller that got a success would find the old state in the caches.
                logger.exception("durable commits could not be marked")
                self._fail([pending for pending, _ in done], error)
        for pending, answer in done:
            if not pending.answer.done():
                pending.answer.set_result(answer)

    async def _recover(self, batch: list[Pending], error: OperationalError, began: float) -> None:
        """After a lost connection: find out which commits made it, and append only the others again.

        ``began``: when what has failed was sent.
        """
        logger.warning(
            "lost the connection during an append: %s", str(error).splitlines()[0] if str(error) else error
        )
        undecided = list(batch)
        pause = 0.05
        while undecided:
            await self._drop_connection()
            self._failure = error, monotonic()
            busy = AppenderBusy("the database could not be reached in time")
            busy.__cause__ = error
            self._fail(self._late(self._queue), busy)
            if monotonic() - began > min(SETTLED, self._timeout):
                self._fail(self._late(undecided), busy)
            undecided = [pending for pending in undecided if not pending.answer.done()]
            if not undecided:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)
            try:
                for pending in undecided:
                    conn = await self._connection()
                    began = monotonic()
                    with self._watchdog:
                        await self._append_again(conn, pending)
            except OperationalError as again:
                error = again
                logger.warning(
                    "the database is still away: %s", str(again).splitlines()[0] if str(again) else again
                )
            undecided = [pending for pending in undecided if not pending.answer.done()]

    def _late(self, waiting: Iterable[Pending]) -> list[Pending]:
        """Those whose time is up."""
        return [pending for pending in waiting if monotonic() - pending.since > self._timeout]

    async def _append_again(self, conn: Connection, pending: Pending) -> None:
        """Append a commit unless it is in the log already."""
        done = await find_committed(conn, pending.commit)
        if done is None:
            try:
                [done] = await append(conn, [pending.commit])
            except Exception as refused:
                found = trouble(refused)
                if found is not None and found.refusal:
                    await self._refused([pending], refused)
                    return
                if isinstance(refused, OperationalError):
                    raise
                # A backend that outlived its connection may have been first, with this very commit.
                conn = await self._connection()
                done = await find_committed(conn, pending.commit)
                if done is None:
                    known = conflict(refused) if isinstance(refused, psycopg.Error) else None
                    self._fail([pending], known or refused)
                    return
        self._history.reach(done.last, pending.commit.command_id)
        # It may be in the log since before, without a notification.
        self._unnotified_since, self._failure = monotonic(), None
        self._done = [(pending, done)]
        self._publish_results()

    def _cut(self) -> None:
        """End the connection when the server does not answer in time: then it fails as any lost one does."""
        if self._conn is not None:
            self._conn.cut()

    async def _connection(self) -> Connection:
        if self._conn is None or self._conn.closed:
            conn = await connect(self._dsn, application_name="skald-appender", limits=APPENDS)
            try:
                # Nothing is appended to a log that has lost what this process or another one knows.
                await self._history.settle(conn)
            except BaseException:
                await conn.close()
                raise
            self._conn = conn
        return self._conn

    async def _drop_connection(self) -> None:
        if self._conn is not None:
            await self._conn.close()
            self._conn = None

    @staticmethod
    def _fail(batch: Iterable[Pending], error: Exception) -> None:
        for pending in batch:
            if not pending.answer.done():
                pending.answer.set_exception(error)
