"""Lines and hunks: right for any two texts, and at a bounded price for texts that were made to hurt."""

import random
import re
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.compare.diff import EFFORT, hunks
from projections.compare.lines import Effort, opcodes, split

LINES = st.lists(st.sampled_from(["a", "b", "c", "", "d\r", "e\u2028f", "x" * 9]), max_size=30)
TEXTS = st.builds(lambda lines, end: "\n".join(lines) + end, LINES, st.sampled_from(["", "\n"]))
HEADER = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def patched(old: list[str], parts: list[str]) -> str:
    """What ``patch`` makes of the lines by the hunks; raises when one does not fit."""
    new, done = [], 0
    for hunk in parts:
        head, *lines = hunk.replace("\n\\ No newline at end of file\n", "").split("\n")
        found = HEADER.fullmatch(head)
        assert found
        start, length, second, other = (1 if part is None else int(part) for part in found.groups())
        start -= 1 if length else 0
        new += old[done:start]
        done = start
        assert second - (1 if other else 0) == len(new)
        before = [line for line in split(hunk)[1:] if line[0] in " -"]
        after = [line for line in split(hunk)[1:] if line[0] in " +"]
        assert (len(before), len(after)) == (length, other)
        assert [line[1:].rstrip("\n") for line in before] == [
            line.rstrip("\n") for line in old[start : start + length]
        ]
        ends = re.findall(r"^([ +-].*)\n(\\ No newline at end of file\n)?", hunk.partition("\n")[2], re.M)
        new += [line[1:] + ("" if bare else "\n") for line, bare in ends if line[0] in " +"]
        done += length
        assert lines
    return "".join(new + old[done:])


@given(TEXTS)
def test_lines_end_at_line_feeds_alone(text: str) -> None:
    assert "".join(split(text)) == text
    assert all(line.count("\n") <= 1 for line in split(text))


@given(TEXTS, TEXTS)
@settings(max_examples=300)
def test_hunks_turn_one_text_into_the_other(old: str, new: str) -> None:
    a, b = split(old), split(new)
    assert patched(a, hunks(a, b, Effort(EFFORT))) == new


@given(TEXTS, TEXTS, st.integers(0, 40))
def test_without_effort_the_hunks_are_coarser_and_still_right(old: str, new: str, steps: int) -> None:
    a, b = split(old), split(new)
    assert patched(a, hunks(a, b, Effort(steps))) == new


def test_equal_texts_have_no_hunks() -> None:
    assert hunks(["a\n", "b"], ["a\n", "b"], Effort(0)) == []


@pytest.mark.parametrize("kinds", [60, 101, 300])
def test_texts_that_were_made_to_hurt_cost_no_more_than_the_effort(kinds: int) -> None:
    rng = random.Random(1)
    a, b = ([f"{rng.randrange(kinds)}\n" for _ in range(10_000)] for _ in range(2))
    start = perf_counter()
    codes = opcodes(a, b, Effort(1_000_000))
    assert perf_counter() - start < 5
    assert codes[-1][2] == len(a)
    assert codes[-1][4] == len(b)


def test_a_change_in_the_middle_of_a_long_text_is_found_without_effort() -> None:
    a = [f"{number % 7}\n" for number in range(10_000)]
    b = [*a[:5000], "new\n", *a[5000:]]
    assert [code for code in opcodes(a, b, Effort(0)) if code[0] != "equal"] == [
        ("insert", 5000, 5000, 5000, 5001)
    ]
