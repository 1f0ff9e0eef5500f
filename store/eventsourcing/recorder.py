"""The log as recorders of the ``eventsourcing`` library: positions are its notification ids, in commit order.

Reading needs SELECT on ``events`` alone. Appending, where it is on, takes the order lock and numbers as every append does.
"""

from collections.abc import Callable, Iterator, Sequence
from threading import Event, Thread
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

import psycopg
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InterfaceError,
    Notification,
    NotSupportedError,
    OperationalError,
    StoredEvent,
    Subscription,
)
from eventsourcing.utils import retry

from store.eventsourcing.datastore import Datastore
from store.log.log import CHANNEL, INSERT_EVENTS, LOCK, Commit, arguments, rows_of

# events_stream
SELECT_EVENTS = """
SELECT stream_id, stream_version, topic, state FROM events
WHERE stream_id = %(stream)s AND (%(gt)s::int IS NULL OR stream_version > %(gt)s)
  AND (%(lte)s::int IS NULL OR stream_version <= %(lte)s)
ORDER BY stream_version {direction} LIMIT %(limit)s::int
"""
ASCENDING, DESCENDING = (SELECT_EVENTS.format(direction=direction) for direction in ("ASC", "DESC"))

# events_pkey, or events_of_project for one of them. Each has texts of its own, so that a generic plan has its index.
IN_LOG, IN_PROJECT = "true", "project_id = %(project)s::bigint"
SELECT_NOTIFICATIONS = """
SELECT stream_id, stream_version, topic, state, position FROM events
WHERE {where} AND position >= %(first)s::bigint AND position <= coalesce(%(last)s::bigint, 9223372036854775807)
  AND (%(topics)s::text[] IS NULL OR topic = ANY(%(topics)s))
ORDER BY position LIMIT %(limit)s::int
"""
SELECT_MAX = "SELECT max(position) FROM events WHERE {where}"

READ_ONLY = (
    "the log is read here, and written by the commands of the service; "
    "in a database of its own, SKALD_LOG_APPEND=yes lets an application append its own events"
)
POLL = 0.5  # seconds; a notification is a hint, the poll is the promise
STOP_WITHIN = 0.1  # seconds from a stop to the end of the thread that listens
PAGE = 500  # events a query; as many as the library takes of its own tables

F = TypeVar("F", bound=Callable[..., Any])


def persistent(method: F) -> F:
    """Wait for a database that restarts as long as the library does for its own."""
    return cast(F, retry((InterfaceError, OperationalError), max_attempts=10, wait=0.2)(method))


class LogAggregateRecorder(AggregateRecorder):
    """The streams of the log."""

    def __init__(self, datastore: Datastore, *, project_id: int | None = None, appends: bool = False) -> None:
        self.datastore = datastore
        self._project_id = project_id
        self._appends = appends

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Append the events in one commit. Raises IntegrityError when a version is taken, NotSupportedError unless appending is on."""
        self._append(stored_events)
        return None

    @persistent
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
        if not self._appends:
            raise NotSupportedError(READ_ONLY)
        if not events:
            return []
        commit = Commit(events=tuple(events), command_id=uuid4(), project_id=self._project_id)
        with self.datastore.connection() as conn, conn.transaction():
            conn.execute(LOCK)
            [(first, *_)] = conn.execute(INSERT_EVENTS, arguments(rows_of(commit))).fetchall()
        return list(range(first, first + len(events)))

    def _fetch(self, query: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        with self.datastore.connection() as conn:
            return conn.execute(query, params, binary=True).fetchall()


class LogRecorder(LogAggregateRecorder, ApplicationRecorder):
    """The whole log without gaps, or the part of it that is of one project."""

    def __init__(self, datastore: Datastore, *, project_id: int | None = None, appends: bool = False) -> None:
        super().__init__(datastore, project_id=project_id, appends=appends)
        where = IN_LOG if project_id is None else IN_PROJECT
        self._select_notifications = SELECT_NOTIFICATIONS.format(where=where)
        self._select_max = SELECT_MAX.format(where=where)

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """The same, and the positions of the events."""
        return self._append(stored_events)

    @persistent
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
        params = {
            "project": self._project_id,
            "first": first,
            "last": stop,
            "topics": list(topics) or None,
            "limit": limit,
        }
        return [Notification(*row) for row in self._fetch(self._select_notifications, params)]

    @persistent
    def max_notification_id(self) -> int | None:
        [(position,)] = self._fetch(self._select_max, {"project": self._project_id})
        return None if position is None else int(position)

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        return LogSubscription(self, gt, topics)


class LogSubscription(Subscription[LogRecorder]):
    """Yields what is recorded, as it is recorded, until it is stopped; as a context manager it also ends its thread."""

    def __init__(self, recorder: LogRecorder, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._position = gt or 0
        self._found: Iterator[Notification] = iter(())
        self._recorded = Event()
        # A thread, because a connection that listens and is not read holds up the notifications of the whole server.
        self._thread = Thread(target=self._listen, name="skald-subscription", daemon=True)
        self._thread.start()

    def __next__(self) -> Notification:
        while not self._has_been_stopped:
            for notification in self._found:
                return notification
            found = self._pull()
            self._found = iter(found)
            if not found:
                self._recorded.wait(POLL)
                self._recorded.clear()
        raise StopIteration

    def __exit__(self, *args: object, **kwargs: Any) -> None:
        try:
            super().__exit__(*args, **kwargs)
        finally:
            self._thread.join()

    def stop(self) -> None:
        super().stop()
        self._recorded.set()

    def _pull(self) -> Sequence[Notification]:
        """The next events of these topics. What has been searched without a find is not searched again."""
        head = self._recorder.max_notification_id() or 0
        if head <= self._position:
            return []
        found = self._recorder.select_notifications(
            self._position, PAGE, head, self._topics, inclusive_of_start=False
        )
        self._position = found[-1].id if len(found) == PAGE else head
        return found

    def _listen(self) -> None:
        while not self._has_been_stopped:
            try:
                with self._recorder.datastore.connect() as conn:
                    conn.execute(f"LISTEN {CHANNEL}")
                    while not self._has_been_stopped:
                        for _ in conn.notifies(timeout=STOP_WITHIN):
                            self._recorded.set()
            except psycopg.Error:
                # Until the next attempt, the poll alone finds what is recorded.
                Event().wait(POLL)
