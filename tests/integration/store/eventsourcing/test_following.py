"""Applications and projections of the eventsourcing library that follow Skald's log."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import psycopg
import pytest
from eventsourcing.application import AggregateNotFoundError, Application, ProcessingEvent
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import (
    MapperDeserialisationError,
    Notification,
    NotSupportedError,
    ProgrammingError,
    StoredEvent,
    Subscription,
    Tracking,
)
from eventsourcing.popo import POPOTrackingRecorder
from eventsourcing.projection import (
    EventSourcedProjection,
    EventSourcedProjectionRunner,
    Projection,
    ProjectionRunner,
)
from psycopg.conninfo import make_conninfo

from domain.artifacts.skills import SkillCreated, SkillPublished
from store.eventsourcing import Factory, recorder
from store.eventsourcing.datastore import Datastore
from store.eventsourcing.recorder import LogRecorder
from store.log.appender import Appender
from store.log.log import Commit, append
from store.postgres.pool import connect
from tests.support.histories import created, published
from tests.support.library import environment
from tests.support.servers import eventually

WITHIN = 30.0  # seconds until something counts as lost
MakeRecorder = Callable[..., LogRecorder]


@pytest.fixture
def make_recorder(fresh_database_url: str) -> Iterator[MakeRecorder]:
    """``make_recorder(url=…, project_id=…, appends=…)`` on the test's database."""
    opened: list[Datastore] = []

    def make(url: str = "", **options: Any) -> LogRecorder:
        opened.append(Datastore(url or fresh_database_url))
        return LogRecorder(opened[-1], **options)

    yield make
    for datastore in opened:
        datastore.close()


@pytest.fixture
def reader_url(fresh_database_url: str) -> Iterator[str]:
    """The same database for a role that may SELECT from the log."""
    with psycopg.connect(fresh_database_url, autocommit=True) as conn:
        conn.execute("CREATE ROLE only_follows LOGIN")
        conn.execute("GRANT SELECT ON events TO only_follows")
        yield make_conninfo(fresh_database_url, user="only_follows")
        conn.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'only_follows'"
        )
        conn.execute("DROP OWNED BY only_follows")
        conn.execute("DROP ROLE only_follows")


def write(url: str, *commits: Commit, notify: bool = True) -> None:
    """Append as the service does, from wherever a test is."""

    async def once() -> None:
        async with await connect(url) as conn:
            for commit in commits:
                await append(conn, [commit], notify=notify)

    with ThreadPoolExecutor(1) as executor:
        executor.submit(asyncio.run, once()).result()


def next_of(subscription: Subscription[Any], count: int = 1) -> list[Notification]:
    """The next ones, waited for in a thread so that a test that waits in vain fails."""
    with ThreadPoolExecutor(1) as executor:
        found = executor.submit(lambda: [next(subscription) for _ in range(count)])
        try:
            return found.result(WITHIN)
        except TimeoutError:
            subscription.stop()
            raise


def test_who_may_select_follows_and_appends_nothing(
    fresh_database_url: str, reader_url: str, make_recorder: MakeRecorder
) -> None:
    write(fresh_database_url, created("a")[1])
    stored = StoredEvent(uuid4(), 1, "topic", b"{}")

    reader = make_recorder(reader_url)
    with reader.subscribe() as subscription:
        [first] = next_of(subscription)
        assert (first.id, first.topic) == (1, "skill.created")
        write(fresh_database_url, created("b")[1])
        assert [found.id for found in next_of(subscription)] == [2]
    assert [found.state for found in reader.select_events(first.originator_id)] == [first.state]
    with pytest.raises(NotSupportedError, match="written by the commands of the service"):
        reader.insert_events([stored])
    with pytest.raises(ProgrammingError, match="permission denied"):
        make_recorder(reader_url, appends=True).insert_events([stored])
    assert reader.max_notification_id() == 2


def test_a_project_is_followed_alone(fresh_database_url: str, make_recorder: MakeRecorder) -> None:
    commits = [created(f"skill-{number}", project_id=1 + number % 2)[1] for number in range(6)]
    write(fresh_database_url, *commits[:4])
    second = make_recorder(project_id=2)
    assert second.max_notification_id() == 4
    with second.subscribe() as subscription:
        write(fresh_database_url, *commits[4:])
        assert [found.id for found in next_of(subscription, 3)] == [2, 4, 6]
    assert make_recorder(project_id=3).max_notification_id() is None
    assert [found.id for found in make_recorder().select_notifications(None, 10)] == [1, 2, 3, 4, 5, 6]


def test_a_notification_wakes_it(
    fresh_database_url: str, make_recorder: MakeRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "POLL", 3600)
    with ThreadPoolExecutor(1) as executor, make_recorder().subscribe() as subscription:
        waiting = executor.submit(next, subscription)
        _listening(fresh_database_url)
        write(fresh_database_url, created("a")[1])
        assert waiting.result(WITHIN).id == 1


def test_without_a_notification_it_looks(fresh_database_url: str, make_recorder: MakeRecorder) -> None:
    with make_recorder().subscribe() as subscription:
        write(fresh_database_url, created("a")[1], notify=False)
        assert [found.id for found in next_of(subscription)] == [1]


def test_it_outlives_its_connections(fresh_database_url: str, make_recorder: MakeRecorder) -> None:
    with (
        make_recorder().subscribe() as subscription,
        psycopg.connect(fresh_database_url, autocommit=True) as conn,
    ):
        for number in range(3):
            _listening(fresh_database_url)
            conn.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'skald-eventsourcing'"
            )
            write(fresh_database_url, created(f"skill-{number}")[1])
            assert [found.id for found in next_of(subscription)] == [number + 1]


def test_what_has_no_find_is_searched_once(fresh_database_url: str, make_recorder: MakeRecorder) -> None:
    searched: list[tuple[int | None, int | None]] = []

    class Recorded(LogRecorder):
        def select_notifications(
            self, start: int | None, limit: int, stop: int | None = None, *args: Any, **options: Any
        ) -> Sequence[Notification]:
            searched.append((start, stop))
            return super().select_notifications(start, limit, stop, *args, **options)

    write(fresh_database_url, *(created(f"skill-{number}")[1] for number in range(4)))
    skill, begun = created("other")
    _, more = published(skill)
    with (
        ThreadPoolExecutor(1) as executor,
        Recorded(make_recorder().datastore).subscribe(topics=["skill.published"]) as subscription,
    ):
        waiting = executor.submit(next, subscription)
        eventually(lambda: searched == [(0, 4)], "the whole log is searched")
        write(fresh_database_url, begun, more)
        assert waiting.result(WITHIN).id == 6
    assert all(start >= 4 for start, _ in searched[1:] if start is not None)


async def test_positions_are_in_order_and_without_gaps_while_several_append(
    fresh_database_url: str, make_recorder: MakeRecorder
) -> None:
    appenders = [Appender(fresh_database_url) for _ in range(3)]
    for appender in appenders:
        await appender.start()
    log = make_recorder(appends=True)
    mine = [StoredEvent(uuid4(), 1, "topic", b"{}") for _ in range(20)]
    with log.subscribe() as subscription:
        found = asyncio.create_task(asyncio.to_thread(next_of, subscription, 110))
        await asyncio.gather(
            *(
                appender.append(created(f"skill-{number}-{index}")[1])
                for index, appender in enumerate(appenders)
                for number in range(30)
            ),
            *(asyncio.to_thread(log.insert_events, [stored]) for stored in mine),
        )
        assert [notification.id for notification in await found] == list(range(1, 111))
    for appender in appenders:
        await appender.close()


class Skald(Application[UUID]):
    pass


class Names(POPOTrackingRecorder):
    """The names of the skills, in the order of their creation."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def add(self, name: str, tracking: Tracking) -> None:
        with self._database_lock:
            self._assert_tracking_uniqueness(tracking)
            self._insert_tracking(tracking)
            self.names.append(name)


class NamesProjection(Projection[Names]):
    name = "names"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.insert_tracking(tracking)

    @process_event.register
    def created(self, domain_event: SkillCreated, tracking: Tracking) -> None:
        self.view.add(domain_event.name, tracking)


def in_memory(url: str) -> dict[str, str]:
    return environment(url, NAMES_PERSISTENCE_MODULE="eventsourcing.popo")


def test_a_projection_takes_skalds_own_events(fresh_database_url: str) -> None:
    skill, first = created("a")
    write(fresh_database_url, first, published(skill)[1])
    with ProjectionRunner(
        application_class=Skald,
        projection_class=NamesProjection,
        view_class=Names,
        env=in_memory(fresh_database_url),
    ) as runner:
        write(fresh_database_url, created("b")[1])
        runner.wait(3, timeout=WITHIN)
        assert runner.view.names == ["a", "b"]
        assert runner.app.recorder.max_notification_id() == 3
        events = list(runner.app.events.get(skill.id))
        assert [type(found) for found in events] == [SkillCreated, SkillPublished]


def test_an_event_of_a_newer_release_ends_it(fresh_database_url: str, make_recorder: MakeRecorder) -> None:
    make_recorder(appends=True).insert_events([StoredEvent(uuid4(), 1, "skill.turned_to_gold", b"{}")])
    with (
        pytest.raises(MapperDeserialisationError, match=r"skill\.turned_to_gold"),
        ProjectionRunner(
            application_class=Skald,
            projection_class=NamesProjection,
            view_class=Names,
            env=in_memory(fresh_database_url),
        ) as runner,
    ):
        runner.run_forever(timeout=WITHIN)


class Shelf(Aggregate):
    """One a letter, with how many skills begin with it."""

    def __init__(self, letter: str) -> None:
        self.letter = letter
        self.count = 0

    @staticmethod
    def create_id(letter: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/shelves/{letter}")

    @event("Filled")
    def fill(self) -> None:
        self.count += 1


class Shelves(EventSourcedProjection[UUID]):
    name = "shelves"

    @singledispatchmethod
    def policy(self, domain_event: Any, processing_event: ProcessingEvent[UUID]) -> None:
        """Only new skills come onto a shelf."""

    @policy.register
    def created(self, domain_event: SkillCreated, processing_event: ProcessingEvent[UUID]) -> None:
        letter = domain_event.name[0]
        try:
            shelf: Shelf = self.repository.get(Shelf.create_id(letter))
        except AggregateNotFoundError:
            shelf = Shelf(letter)
        shelf.fill()
        processing_event.collect_events(shelf)


def test_an_event_sourced_projection_keeps_aggregates_of_its_own(fresh_database_url: str) -> None:
    write(fresh_database_url, *(created(name)[1] for name in ("ant", "bee", "ape")))
    for more in ("asp", "bat"):
        write(fresh_database_url, created(more)[1])
        with EventSourcedProjectionRunner(
            application_class=Skald, projection_class=Shelves, env=environment(fresh_database_url)
        ) as runner:
            head = runner.app.recorder.max_notification_id()
            runner.wait(head, timeout=WITHIN)
            shelves: list[Shelf] = [
                runner.projection.repository.get(Shelf.create_id(letter)) for letter in "ab"
            ]
            assert [shelf.letter for shelf in shelves] == ["a", "b"]
            counted = [shelf.count for shelf in shelves]
    assert counted == [3, 2]
    with psycopg.connect(fresh_database_url) as conn:
        # Its events are in a table of its own, and the log has Skald's alone.
        assert conn.execute("SELECT count(*) FROM events").fetchone() == (5,)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "SKALD_DATABASE_URL is not set"),
        ({"SKALD_DATABASE_URL": "postgresql:///x", "SKALD_PROJECT_ID": "-1"}, "number of a project"),
        ({"SKALD_DATABASE_URL": "postgresql:///x", "SKALD_PROJECT_ID": "one"}, "number of a project"),
    ],
)
def test_settings_that_lack_or_are_none_are_refused(settings: dict[str, str], problem: str) -> None:
    with pytest.raises(OSError, match=problem):
        Factory(settings)


def test_the_module_alone_knows_every_event() -> None:
    program = """
import pkgutil, importlib, domain, store.eventsourcing
from domain.events import EVENT_TYPES
known = set(EVENT_TYPES)
for module in pkgutil.walk_packages(domain.__path__, "domain."):
    importlib.import_module(module.name)
assert known == set(EVENT_TYPES), set(EVENT_TYPES) - known
assert "skill.created" in known
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def _listening(url: str) -> None:
    """Wait until a subscription listens."""
    query = """SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
               AND application_name = 'skald-eventsourcing' AND query LIKE 'LISTEN%' AND state = 'idle'"""
    with psycopg.connect(url, autocommit=True) as conn:
        eventually(lambda: conn.execute(query).fetchone() is not None, "a subscription listens")
