"""The fold of the projection ``activity``: events in, rows of publishes by day, stream and author out."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest

from projections.write.activity import NO_USER, PUBLISHED, fold
from store.log.log import Recorded

ONE, OTHER = uuid4(), uuid4()
NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def event(topic: str = "skill.published", **fields: Any) -> Recorded:
    given = {
        "position": 1,
        "stream_id": ONE,
        "stream_version": 1,
        "state": b"{}",
        "recorded_at": NOON,
        "project_id": 1,
        "actor_id": 7,
        "key_id": None,
        "command_id": UUID(int=0),
        "correlation_id": None,
    }
    return Recorded(topic=topic, **{**given, **fields})


def rows(*events: Recorded) -> set[tuple[Any, ...]]:
    return set(fold(events).get(PUBLISHED, ()))


def test_given_nothing_then_nothing() -> None:
    assert fold([]) == {}


def test_given_publishes_of_one_day_stream_and_author_then_they_are_one_row() -> None:
    later = NOON + timedelta(hours=3)
    assert rows(event("skill.created"), event(), event(recorded_at=later)) == {
        (1, ONE, 7, "skill", 3, NOON, later)
    }


@pytest.mark.parametrize(
    "other",
    [{"project_id": 2}, {"stream_id": OTHER}, {"actor_id": 8}, {"recorded_at": NOON + DAY}],
    ids=lambda fields: next(iter(fields)),
)
def test_given_another_project_stream_author_or_day_then_there_are_two_rows(other: dict[str, Any]) -> None:
    assert len(rows(event(), event(**other))) == 2


def test_given_an_instant_elsewhere_then_its_day_is_that_of_utc() -> None:
    late = datetime(2026, 3, 3, 23, 30, tzinfo=timezone(-timedelta(hours=3)))
    assert len(rows(event(recorded_at=NOON), event(recorded_at=late))) == 2
    assert len(rows(event(recorded_at=NOON + DAY), event(recorded_at=late))) == 1


def test_given_no_actor_then_the_author_is_no_user() -> None:
    assert {row[2] for row in rows(event(actor_id=None))} == {NO_USER}


@pytest.mark.parametrize(
    ("topic", "counts"),
    [
        ("skill.created", True),
        ("skill.file_renamed", True),
        ("prompt.published", True),
        ("skill.archived", False),
        ("skill.restored", False),
        ("prompt.label_set", False),
        ("key.created", False),
        ("never.heard", False),
    ],
)
def test_given_an_event_then_it_counts_when_it_brings_a_version(topic: str, counts: bool) -> None:
    assert bool(rows(event(topic))) is counts


def test_given_an_event_of_no_project_then_nothing() -> None:
    assert rows(event(project_id=None)) == set()


def test_given_any_cut_into_batches_then_the_sum_is_the_same() -> None:
    events = [event(recorded_at=NOON + n * timedelta(hours=5), actor_id=n % 3) for n in range(12)]
    for cut in range(13):
        parts = [*rows(*events[:cut]), *rows(*events[cut:])]
        assert sum(row[4] for row in parts) == 12
