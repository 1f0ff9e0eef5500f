"""Which cached answers count: never one that is older than a write that was answered."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from api.cache import positions as marking
from api.cache.positions import ALL_STREAMS, SLOTS, StreamPositions


@pytest.fixture
def positions() -> StreamPositions:
    positions = StreamPositions()
    positions.confirm()
    return positions


def test_an_answer_counts_until_its_stream_is_marked(positions: StreamPositions) -> None:
    slot, other = StreamPositions.slot(uuid4()), StreamPositions.slot(UUID(int=7))
    assert positions.is_fresh(slot, 0)
    positions.advance_all([slot], 5)
    assert not positions.is_fresh(slot, 4)
    assert positions.is_fresh(slot, 5)
    assert positions.is_fresh(other, 0) or slot == other


def test_a_late_fill_with_an_old_value_does_not_count(positions: StreamPositions) -> None:
    slot = StreamPositions.slot(uuid4())
    as_of = 4  # read before the write at 5 …
    positions.advance_all([slot], 5)
    assert not positions.is_fresh(slot, as_of)  # … and kept after it


def test_the_slower_of_two_writers_does_not_lower_a_mark(positions: StreamPositions) -> None:
    slot = StreamPositions.slot(uuid4())
    positions.advance_all([slot], 6)
    positions.advance_all([slot], 5)
    assert not positions.is_fresh(slot, 5)


def test_two_streams_on_one_slot_cost_a_miss(positions: StreamPositions) -> None:
    one, two = UUID(int=3), UUID(int=3 + SLOTS)
    assert StreamPositions.slot(one) == StreamPositions.slot(two)
    positions.advance_all([StreamPositions.slot(two)], 9)
    assert not positions.is_fresh(StreamPositions.slot(one), 8)
    assert positions.is_fresh(StreamPositions.slot(one), 9)


def test_no_stream_has_the_slot_of_all() -> None:
    assert {StreamPositions.slot(UUID(int=number)) for number in (0, SLOTS - 1, SLOTS)} == {1, SLOTS}
    assert ALL_STREAMS not in {StreamPositions.slot(UUID(int=number)) for number in range(SLOTS)}


def test_the_floor_marks_everything(positions: StreamPositions) -> None:
    positions.advance_all([ALL_STREAMS], 10)
    assert not positions.is_fresh(StreamPositions.slot(uuid4()), 9)
    assert positions.is_fresh(StreamPositions.slot(uuid4()), 10)


def test_nothing_counts_without_word_from_the_log(
    positions: StreamPositions, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not StreamPositions().is_fresh(1, 100)
    positions.lost()
    assert not positions.is_fresh(1, 100)
    positions.confirm()
    assert positions.is_fresh(1, 100)
    monkeypatch.setattr(marking, "LOG_TIMEOUT", 0.0)
    assert not positions.healthy
    assert not positions.is_fresh(1, 100)


def test_the_processes_of_a_host_share_the_table(tmp_path: Path) -> None:
    one, two = StreamPositions(tmp_path / "positions"), StreamPositions(tmp_path / "positions")
    two.confirm()
    one.advance_all([5], 3)
    assert not two.is_fresh(5, 2)
    two.advance_all([5], 2)
    one.confirm()
    assert not one.is_fresh(5, 2)
    one.close()
    late = StreamPositions(tmp_path / "positions")
    late.confirm()
    assert not late.is_fresh(5, 2)
    two.close()
    late.close()
