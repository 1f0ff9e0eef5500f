"""The library's own test cases for recorders, on our log."""

from collections.abc import Iterator

import psycopg
import pytest
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
)

from store.log.recorder import SkaldAggregateRecorder, SkaldRecorder
from tests.support.invariants import positions_are_gapless


class Database:
    """A database for each test, and the recorders of the test closed after it."""

    @pytest.fixture(autouse=True)
    def database(self, fresh_database_url: str) -> Iterator[None]:
        self.url = fresh_database_url
        self.recorders: list[SkaldAggregateRecorder] = []
        yield
        for recorder in self.recorders:
            recorder.close()
        with psycopg.connect(self.url) as conn:
            positions_are_gapless(conn)

    def opened(self, recorder: SkaldAggregateRecorder) -> None:
        self.recorders.append(recorder)


class TestAggregateRecorder(Database, AggregateRecorderTestCase):
    def create_recorder(self) -> SkaldAggregateRecorder:
        recorder = SkaldAggregateRecorder(self.url)
        self.opened(recorder)
        return recorder


class TestApplicationRecorder(Database, ApplicationRecorderTestCase[SkaldRecorder]):
    EXPECT_CONTIGUOUS_NOTIFICATION_IDS = True

    def create_recorder(self) -> SkaldRecorder:
        recorder = SkaldRecorder(self.url)
        self.opened(recorder)
        return recorder

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNotificationIdsDoNotInterleave(Database, NonInterleavingNotificationIDsBaseCase):
    insert_num = 1000

    def create_recorder(self) -> SkaldRecorder:
        recorder = SkaldRecorder(self.url)
        self.opened(recorder)
        return recorder


# Imported to be subclassed, not to be collected by themselves.
del AggregateRecorderTestCase, ApplicationRecorderTestCase, NonInterleavingNotificationIDsBaseCase
