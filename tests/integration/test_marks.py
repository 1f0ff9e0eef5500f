"""Which cached answers count: never one that is older than a write that was answered."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from api import marks as marking
from api.marks import FLOOR, SLOTS, Marks


@pytest.fixture
def marks() -> Marks:
    marks = Marks()
    marks.heard()
    return marks


def test_an_answer_counts_until_its_stream_is_marked(marks: Marks) -> None:
    slot, other = Marks.slot(uuid4()), Marks.slot(UUID(int=7))
    assert marks.is_fresh(slot, 0)
    marks.raise_to([slot], 5)
    assert not marks.is_fresh(slot, 4)
    assert marks.is_fresh(slot, 5)
    assert marks.is_fresh(other, 0) or slot == other


def test_a_late_fill_with_an_old_value_does_not_count(marks: Marks) -> None:
    slot = Marks.slot(uuid4())
    as_of = 4  # read before the write at 5 …
    marks.raise_to([slot], 5)
    assert not marks.is_fresh(slot, as_of)  # … and kept after it


def test_the_slower_of_two_writers_does_not_lower_a_mark(marks: Marks) -> None:
    slot = Marks.slot(uuid4())
    marks.raise_to([slot], 6)
    marks.raise_to([slot], 5)
    assert not marks.is_fresh(slot, 5)


def test_two_streams_on_one_slot_cost_a_miss(marks: Marks) -> None:
    one, two = UUID(int=3), UUID(int=3 + SLOTS)
    assert Marks.slot(one) == Marks.slot(two)
    marks.raise_to([Marks.slot(two)], 9)
    assert not marks.is_fresh(Marks.slot(one), 8)
    assert marks.is_fresh(Marks.slot(one), 9)


def test_no_stream_has_the_slot_of_all() -> None:
    assert {Marks.slot(UUID(int=number)) for number in (0, SLOTS - 1, SLOTS)} == {1, SLOTS}
    assert FLOOR not in {Marks.slot(UUID(int=number)) for number in range(SLOTS)}


def test_the_floor_marks_everything(marks: Marks) -> None:
    marks.raise_to([FLOOR], 10)
    assert not marks.is_fresh(Marks.slot(uuid4()), 9)
    assert marks.is_fresh(Marks.slot(uuid4()), 10)


def test_nothing_counts_without_word_from_the_log(marks: Marks, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Marks().is_fresh(1, 100)
    marks.lost()
    assert not marks.is_fresh(1, 100)
    marks.heard()
    assert marks.is_fresh(1, 100)
    monkeypatch.setattr(marking, "TAIL_PATIENCE", 0.0)
    assert not marks.healthy
    assert not marks.is_fresh(1, 100)


def test_the_processes_of_a_host_share_the_table(tmp_path: Path) -> None:
    one, two = Marks(tmp_path / "marks"), Marks(tmp_path / "marks")
    two.heard()
    one.raise_to([5], 3)
    assert not two.is_fresh(5, 2)
    two.raise_to([5], 2)
    one.heard()
    assert not one.is_fresh(5, 2)
    one.close()
    late = Marks(tmp_path / "marks")
    late.heard()
    assert not late.is_fresh(5, 2)
    two.close()
    late.close()
