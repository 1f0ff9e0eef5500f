"""Texts taken apart for a search."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.write import words
from projections.write.words import MAX_COUNT, MAX_KNOWN, OVERLAP, PART, fold, known, lexemes, parts


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Straße", "strasse"),
        ("ÉCOLE Ångström Łódź Ørsted", "ecole angstrom lodz orsted"),
        ("ﬁle Ｃａｆｅ ①", "file cafe 1"),
        ("ΆΘΗΝΑ Ёлка", "αθηνα елка"),
        ("がぎぐ 한국어 हिन्दी", "がぎぐ 한국어 हिन्दी"),
        ("İstanbul ısı", "istanbul isi"),
    ],
)
def test_case_and_accents_fold_and_letters_stay(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text())
def test_no_line_comes_or_goes_and_twice_is_once(text: str) -> None:
    assert fold(text).count("\n") == text.count("\n")
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a_b.c1", {"a", "b", "c1", "_", "."}),
        ("--no", {"-", "--", "no"}),
        ("東京都x", {"東", "京", "都", "東京", "京都", "x"}),
        ("ab é", {"ab", "é"}),
        ("$(x)", {"$", "(", "$(", "x", ")"}),
    ],
)
def test_words_are_whole_and_all_else_is_in_pairs(text: str, found: set[str]) -> None:
    assert set(lexemes(text)) == found


@given(st.text())
def test_every_character_but_blanks_is_in_a_lexeme(text: str) -> None:
    folded = fold(text)
    assert set("".join(lexemes(folded))) == set("".join(folded.split()))


def test_how_often_a_word_occurs_and_whether_in_a_heading_is_in_its_places() -> None:
    [part] = parts("# Alpha beta\n\nalpha gamma gamma it's\n" + "many " * 9)
    found = dict(row.rsplit(":", 1) for row in part.words.split(" "))
    assert found["'alpha'"] == "1C,2"
    assert found["'beta'"] == "1C"
    assert found["'gamma'"] == "1,2"
    assert found["''''"] == "1"
    assert found["'many'"] == ",".join(map(str, range(1, MAX_COUNT + 1)))
    [weighted] = parts("Alpha", "A")
    assert weighted.words == "'alpha':1A"


def test_parts_overlap_so_that_nothing_is_cut_in_all_of_them() -> None:
    text = "x" * (PART - 5) + " needle here " + "y" * PART
    found = [part.text for part in parts(text)]
    assert len(found) == 3
    assert sum("needle here" in part for part in found) == 1
    assert all(len(part) <= PART + OVERLAP for part in found)
    assert [part.number for part in parts("")] == [0]


def test_of_a_hostile_text_the_most_frequent_words_are_known() -> None:
    text = " ".join(f"w{number}x" for number in range(3 * MAX_KNOWN)) + " often often"
    assert len(known(text)) == MAX_KNOWN
    assert "often" in known(text)
    assert known("it is 12345 京都 " + "long" * 20) == []
    assert words.MAX_WORD < OVERLAP
