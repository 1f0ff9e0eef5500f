"""The library's own test cases for recorders and factories, on our log."""

from collections.abc import Iterator

import psycopg
import pytest
from eventsourcing.persistence import ApplicationRecorder
from eventsourcing.postgres import PostgresProcessRecorder, PostgresTrackingRecorder
from eventsourcing.tests.application import ExampleApplicationTestCase
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    InfrastructureFactoryTestCase,
    NonInterleavingNotificationIDsBaseCase,
)
from eventsourcing.utils import Environment, get_topic

from store.eventsourcing import Factory
from store.eventsourcing.datastore import Datastore
from store.eventsourcing.recorder import LogAggregateRecorder, LogRecorder
from tests.support.invariants import positions_are_gapless
from tests.support.library import environment


class Database:
    """A database for each test, and positions without gaps in it afterwards."""

    @pytest.fixture(autouse=True)
    def database(self, fresh_database_url: str) -> Iterator[None]:
        self.url = fresh_database_url
        self.datastore = Datastore(self.url)
        yield
        self.datastore.close()
        with psycopg.connect(self.url) as conn:
            positions_are_gapless(conn)


class TestAggregateRecorder(Database, AggregateRecorderTestCase):
    def create_recorder(self) -> LogAggregateRecorder:
        return LogAggregateRecorder(self.datastore, appends=True)


class TestApplicationRecorder(Database, ApplicationRecorderTestCase[LogRecorder]):
    EXPECT_CONTIGUOUS_NOTIFICATION_IDS = True

    def create_recorder(self) -> LogRecorder:
        return LogRecorder(self.datastore, appends=True)

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestRecorderOfOneProject(Database, ApplicationRecorderTestCase[LogRecorder]):
    EXPECT_CONTIGUOUS_NOTIFICATION_IDS = True

    def create_recorder(self) -> LogRecorder:
        return LogRecorder(self.datastore, appends=True, project_id=7)

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNotificationIdsDoNotInterleave(Database, NonInterleavingNotificationIDsBaseCase):
    insert_num = 1000

    def create_recorder(self) -> ApplicationRecorder:
        return LogRecorder(self.datastore, appends=True)


class Views(PostgresTrackingRecorder):
    pass


class TestFactory(Database, InfrastructureFactoryTestCase[Factory]):
    def setUp(self) -> None:
        self.env = Environment("Counts", environment(self.url))
        super().setUp()

    def expected_factory_class(self) -> type[Factory]:
        return Factory

    def expected_aggregate_recorder_class(self) -> type[LogAggregateRecorder]:
        return LogAggregateRecorder

    def expected_application_recorder_class(self) -> type[LogRecorder]:
        return LogRecorder

    def expected_tracking_recorder_class(self) -> type[PostgresTrackingRecorder]:
        return PostgresTrackingRecorder

    def tracking_recorder_subclass(self) -> type[PostgresTrackingRecorder]:
        return Views

    def expected_process_recorder_class(self) -> type[PostgresProcessRecorder]:
        return PostgresProcessRecorder


class TestApplicationOnTheLog(Database, ExampleApplicationTestCase):
    """An application with its own aggregates, in a log of its own."""

    expected_factory_topic = get_topic(Factory)

    @pytest.fixture(autouse=True)
    def settings(self, database: None, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in environment(self.url, SKALD_LOG_APPEND="yes").items():
            monkeypatch.setenv(name, value)


# Imported to be subclassed, not to be collected by themselves.
del AggregateRecorderTestCase, ApplicationRecorderTestCase, NonInterleavingNotificationIDsBaseCase
del ExampleApplicationTestCase, InfrastructureFactoryTestCase
