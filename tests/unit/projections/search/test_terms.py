"""What a query asks for: words, phrases, symbols, and what is not to be there."""

import pytest

from projections.search.find import is_near
from projections.search.terms import MAX_COMPARED, MAX_QUERY, Term, parse


def texts(query: str) -> list[tuple[str, bool]]:
    return [(term.text, term.negated) for term in parse(query)]


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("pdf forms", [("pdf", False), ("forms", False)]),
        ("PDF  pdf\tPdf", [("pdf", False)]),
        ('"fill  in\na form" pdf', [("fill in a form", False), ("pdf", False)]),
        ('"no end', [("no end", False)]),
        ("pdf -draft", [("pdf", False), ("draft", True)]),
        ('pdf -"a draft"', [("pdf", False), ("a draft", True)]),
        ("--no-sandbox", [("--no-sandbox", False)]),
        ("--", [("--", False)]),
        ("-", [("-", False)]),
        ("a - b", [("a", False), ("-", False), ("b", False)]),
        ("mid-word", [("mid-word", False)]),
        ("Tables?", [("tables", False)]),
        ("?", [("?", False)]),
        ('"what?"', [("what?", False)]),
        ("Café ÉCOLE", [("cafe", False), ("ecole", False)]),
        ('""', []),
        ('"', []),
        ('-""', []),
        ("\u0301", []),
    ],
)
def test_given_a_query_then_these_are_its_terms(query: str, terms: list[tuple[str, bool]]) -> None:
    assert texts(query) == terms


def test_only_a_plain_word_may_be_meant_otherwise() -> None:
    assert parse("kubernetes")[0].word == "kubernetes"
    for query in ('"kubernetes"', "--kubernetes", "kube.rnetes", "京都"):
        assert parse(query)[0].word is None, query


def test_a_symbol_is_compared_and_a_word_is_not() -> None:
    assert parse("a.b") == [Term("a.b", "'a' & 'b'", "a.b")]
    assert parse("ab") == [Term("ab", "'ab'", None, word="ab")]
    assert parse("it's \\'") == [
        Term("it's", "'it' & 's'", "it's"),
        Term("\\'", "'\\\\' & '''' & '\\\\'''", "\\'"),
    ]


def test_of_very_many_symbols_the_first_are_compared() -> None:
    found = parse(" ".join(f"a-{number}" for number in range(60)))
    assert [term.needle is not None for term in found] == [True] * MAX_COMPARED + [False] * (
        60 - MAX_COMPARED
    )
    assert len(parse("\ufdfa" * MAX_QUERY)) == 1


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("python", "pyhton", True),
        ("python", "pythn", True),
        ("python", "pythoon", True),
        ("python", "pythan", True),
        ("python", "pyhtn", False),
        ("kubernetes", "kuberntes", True),
        ("kubernetes", "kubrntes", True),
        ("kubernetes", "kubrnts", False),
        ("form", "from", True),
        ("form", "farms", False),
    ],
)
def test_near_is_one_letter_and_of_long_words_two(one: str, other: str, near: bool) -> None:
    assert is_near(one, other) is is_near(other, one) is near
