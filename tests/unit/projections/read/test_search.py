"""What the index of trigrams is asked about: a pattern of every text that a search finds, without what most texts have."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.read.search import LOOKED_AT, parameters, rough

TEXTS = st.text(alphabet="ab%_\\ é")


def matches(pattern: str, text: str) -> bool:
    """LIKE, as PostgreSQL understands it."""
    wild = {"%": ".*", "_": "."}
    parts = re.findall(r"\\.|[^\\]", pattern, re.DOTALL)
    expression = "".join(wild.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(expression, text, re.DOTALL) is not None


@given(before=TEXTS, needle=TEXTS, after=TEXTS, sample=st.lists(TEXTS, max_size=16))
def test_every_text_that_contains_it_matches(before: str, needle: str, after: str, sample: list[str]) -> None:
    assert matches(rough(needle, sample), before + needle + after)


@pytest.mark.parametrize(
    ("needle", "sample", "pattern"),
    [
        ("skill-0500", ["skill-0001", "skill-0002"], "%-0500%"),
        ("a skill for pdf forms", ["any skill for mails", "one skill for sums"], "%a s%r pdf forms%"),
        ("pdf of skills", ["skill", "skill", "skill", "other"], "%pdf of sk%lls%"),
        ("pdf of skill", ["skill", "skill", "other", "other"], "%pdf of skill%"),
        ("50%_of\\", ["nothing"], "%50\\%\\_of\\\\%"),
        ("pdf", [], "%pdf%"),
        ("pd", ["pdf", "pdf"], "%pd%"),
    ],
)
def test_trigrams_that_most_texts_have_are_left_out(needle: str, sample: Sequence[str], pattern: str) -> None:
    assert rough(needle, sample) == pattern


def test_when_most_texts_have_all_of_them_they_are_better_than_none() -> None:
    assert rough("skill", ["a skill", "any skill"]) == "%skill%"


def test_of_a_long_one_the_beginning_is_enough() -> None:
    assert rough("x" * 20_000, []) == f"%{'x' * LOOKED_AT}%"


def test_names_and_texts_have_patterns_of_their_own() -> None:
    assert parameters("Skill-7", [("skill-1", "one"), ("skill-2", "two")]) == {
        "needle": "skill-7",
        "has_trigrams": True,
        "name_like": "%l-7%",
        "text_like": "%skill-7%",
    }
