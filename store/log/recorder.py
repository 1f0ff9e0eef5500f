"""The log as a recorder of the ``eventsourcing`` library: for its own tests, and for applications written with it.

The library is synchronous and ours is not: a thread of its own runs an event loop with an appender and a pool.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    DataError,
    IntegrityError,
    ListenNotifySubscription,
    Notification,
    OperationalError,
    PersistenceError,
    StoredEvent,
    Subscription,
)

from store.errors import AppenderBusy, AppendError
from store.log.appender import Appender
from store.log.log import CHANNEL, Commit
from store.postgres.connection import Connection
from store.postgres.pool import Pool, connect, open_pool

T = TypeVar("T")

# events_stream
SELECT_EVENTS = """
SELECT stream_id, stream_version, topic, state FROM events
WHERE stream_id = %(stream)s AND (%(gt)s::int IS NULL OR stream_version > %(gt)s)
  AND (%(lte)s::int IS NULL OR stream_version <= %(lte)s)
ORDER BY stream_version {direction} LIMIT %(limit)s::int
"""
ASCENDING, DESCENDING = (SELECT_EVENTS.format(direction=direction) for direction in ("ASC", "DESC"))

# events_pkey
SELECT_NOTIFICATIONS = """
SELECT stream_id, stream_version, topic, state, position FROM events
WHERE position >= %(first)s AND (%(last)s::bigint IS NULL OR position <= %(last)s)
  AND (%(topics)s::text[] IS NULL OR topic = ANY(%(topics)s))
ORDER BY position LIMIT %(limit)s
"""

SELECT_MAX = "SELECT max(position) FROM events"

POLL = 0.5  # seconds; a notification is a hint, the poll is the promise


class SkaldAggregateRecorder(AggregateRecorder):
    """Streams of events. ``close`` it: it holds connections and a thread."""

    def __init__(self, dsn: str, *, pool_size: int = 4) -> None:
        self._dsn = dsn
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="recorder", daemon=True)
        self._thread.start()
        self._appender = Appender(dsn)
        self._pool: Pool = self._run(self._open(pool_size))

    def close(self) -> None:
        """Append what is queued, close the connections, end the thread."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Append the events in one commit. Raises the library's IntegrityError when a version is taken."""
        self._append(stored_events)
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        params = {"stream": originator_id, "gt": gt, "lte": lte, "limit": limit}
        return [StoredEvent(*row) for row in self._fetch(DESCENDING if desc else ASCENDING, params)]

    def _append(self, events: Sequence[StoredEvent]) -> Sequence[int]:
        if not events:
            return []
        appended = self._run(self._appender.append(Commit(events=tuple(events), command_id=uuid4())))
        return range(appended.first, appended.last + 1)

    def _fetch(self, query: str, params: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        return self._run(self._select(query, params))

    async def _select(self, query: str, params: dict[str, Any] | None) -> list[tuple[Any, ...]]:
        async with self._pool.connection() as conn:
            return await (await conn.execute(query, params, binary=True)).fetchall()

    async def _open(self, size: int) -> Pool:
        await self._appender.start()
        return await open_pool(self._dsn, size=size)

    async def _close(self) -> None:
        await self._appender.close()
        await self._pool.close()

    def _run(self, work: Awaitable[T]) -> T:
        """The result of ``work`` on our loop, its errors as those of the library."""

        async def done() -> T:
            return await work

        try:
            return asyncio.run_coroutine_threadsafe(done(), self._loop).result()
        except (AppenderBusy, psycopg.OperationalError) as error:
            raise OperationalError(str(error)) from error
        except (AppendError, psycopg.IntegrityError) as error:
            raise IntegrityError(str(error)) from error
        except psycopg.DataError as error:
            raise DataError(str(error)) from error
        except psycopg.Error as error:
            raise PersistenceError(str(error)) from error


class SkaldRecorder(SkaldAggregateRecorder, ApplicationRecorder):
    """The whole log: positions are the library's notification ids, without gaps."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Append the events in one commit and return their positions."""
        return list(self._append(stored_events))

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        first = 1 if start is None else start if inclusive_of_start else start + 1
        params = {"first": first, "last": stop, "topics": list(topics) or None, "limit": limit}
        return [Notification(*row) for row in self._fetch(SELECT_NOTIFICATIONS, params)]

    def max_notification_id(self) -> int | None:
        [(position,)] = self._fetch(SELECT_MAX)
        return None if position is None else int(position)

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        return SkaldSubscription(self, gt, topics)

    def listen(self, notified: Callable[[], None]) -> Callable[[], object]:
        """Call ``notified`` after every append, and now and then without one, until the returned function is called."""
        task = asyncio.run_coroutine_threadsafe(self._listen(notified), self._loop)
        return task.cancel

    async def _listen(self, notified: Callable[[], None]) -> None:
        conn: Connection | None = None
        try:
            while True:
                try:
                    conn = conn or await connect(self._dsn, application_name="skald-recorder")
                    await conn.execute(f"LISTEN {CHANNEL}")
                    while True:
                        notified()
                        async for _ in conn.notifies(timeout=POLL, stop_after=1):
                            pass
                except psycopg.OperationalError:
                    conn = None
                    await asyncio.sleep(POLL)
        finally:
            if conn is not None:
                await conn.close()


class SkaldSubscription(ListenNotifySubscription[SkaldRecorder]):
    """Yields what is recorded, as it is recorded."""

    def __init__(self, recorder: SkaldRecorder, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._stop_listening = recorder.listen(self._has_been_notified.set)

    def stop(self) -> None:
        super().stop()
        self._stop_listening()
