"""Two changes of one text, put together by lines."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.editing.merging import MARK, merge

BASE = "a\nb\nc\nd\ne\n"
TEXTS = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "d\n"]), max_size=8).map("".join)


@pytest.mark.parametrize(
    ("mine", "theirs", "merged"),
    [
        ("A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\n", "A\nb\nc\nd\nE\n"),
        ("a\nb\nc\nd\n", "new\na\nb\nc\nd\ne\n", "new\na\nb\nc\nd\n"),
        ("a\nb\nX\nc\nd\ne\n", "a\nb\nc\nd\ne", "a\nb\nX\nc\nd\ne"),
        ("a\nc\nd\ne\n", "a\nc\nd\nf\n", "a\nc\nd\nf\n"),
        ("", BASE, ""),
    ],
)
def test_what_each_has_changed_elsewhere_fits_together(mine: str, theirs: str, merged: str) -> None:
    assert merge(BASE, mine, theirs, 2) == (merged, 0)
    assert merge(BASE, theirs, mine, 2) == (merged, 0)


def test_the_same_lines_are_marked_with_what_differs_alone() -> None:
    found = merge(BASE, "a\nx\nmine\ny\nd\ne\n", "a\nx\ntheirs\ny\nd\ne", 7)
    assert found.text == "a\nx\n<<<<<<< yours\nmine\n=======\ntheirs\n>>>>>>> version 7\ny\nd\ne"
    assert found.conflicts == 1
    # Lines that touch may belong together.
    assert merge(BASE, "a\nB\nc\nd\ne\n", "a\nb\nC\nd\ne\n", 2).conflicts == 1
    # Both have written at the end, without a line end.
    assert merge("", "mine", "theirs", 2).text == "<<<<<<< yours\nmine\n=======\ntheirs\n>>>>>>> version 2\n"


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(TEXTS, TEXTS, TEXTS)
def test_nothing_of_either_is_lost(base: str, mine: str, theirs: str) -> None:
    merged = merge(base, mine, theirs, 2)
    assert bool(merged.conflicts) == bool(MARK.search(merged.text))
    assert merge(base, mine, base, 2) == (mine, 0)
    assert merge(base, base, theirs, 2) == (theirs, 0)
    assert merge(base, mine, mine, 2) == (mine, 0)
    other = merge(base, theirs, mine, 2)
    assert other.conflicts == merged.conflicts
    assert merged.conflicts or other.text == merged.text
