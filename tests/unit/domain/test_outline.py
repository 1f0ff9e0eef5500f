"""Headings as CommonMark has them; what a fence or a block of HTML holds is none."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.content import Edit
from domain.outline import Heading, by_events, outline, stays


@pytest.mark.parametrize(
    ("body", "headings"),
    [
        ("", []),
        ("text", []),
        ("# a", [(1, "a")]),
        ("# a #", [(1, "a")]),
        ("## a ##  ##", [(2, "a ##")]),
        ("# a#", [(1, "a#")]),
        ("#", [(1, "")]),
        ("####### a", []),
        ("#a", []),
        ("\\# a", []),
        ("   # a", [(1, "a")]),
        ("    # a", []),
        ("a\n=", [(1, "a")]),
        ("a\n-", [(2, "a")]),
        ("a\n\n-", []),
        ("a\n b\n  c\n---", [(2, "a\n b\n  c")]),
        ("- a\n---", []),
        ("> a\n---", []),
        ("```\n# a\n```", []),
        ("~~~\n# a\n```\n# b\n~~~\n# c", [(1, "c")]),
        ("- ```\n  # a\n  ```\n  # b", [(1, "b")]),
        ("<pre>\n# a\n</pre>\n# b", [(1, "b")]),
        ("> > # deep", [(1, "deep")]),
        ("1. # one\n   # two", [(1, "one"), (1, "two")]),
        ("a | b\n--|--\n# c", [(1, "c")]),
        ("---\nname: x\n---\n# a", [(2, "name: x"), (1, "a")]),
        ("# [a]\n\n[a]: /b", [(1, "[a]")]),
        ("[a]: /b\n===\n# c", [(1, "c")]),
        ("# <b>x</b> *y*", [(1, "<b>x</b> *y*")]),
        ("# a\\*b", [(1, "a\\*b")]),
        ("# a &amp; b", [(1, "a &amp; b")]),
        ("<h1>a</h1>\n\n# b", [(1, "b")]),
        ("# a </h1>", [(1, "a </h1>")]),
        ("# a\t# ", [(1, "a")]),
    ],
    ids=repr,
)
def test_headings(body: str, headings: list[tuple[int, str]]) -> None:
    assert outline(body) == [Heading(level, text) for level, text in headings]


@given(st.text("#=-`~> \t\n\rab1.*[]:<", max_size=80))
def test_no_body_is_too_odd(body: str) -> None:
    for heading in outline(body):
        assert 1 <= heading.level <= 6
        assert heading.text == heading.text.strip()


# What may make a heading of the source read otherwise in HTML, or the other way round.
PIECES = [
    *(
        "# ",
        "## ",
        " #",
        "a",
        "b c",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        "> ",
        "- ",
        "1. ",
        "===",
        "---",
        "```\n",
        "    ",
        "\t",
    ),
    *(
        "*x*",
        "`q`",
        "\f",
        "\v",
        "\0",
        "\u00a0",
        "\\",
        "&amp;",
        "[a](b)",
        "<a@b.c>",
        "<div>\n",
        "<h1>x</h1>",
        "</h1>",
        '"',
        ">",
    ),
]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_the_short_way_finds_what_the_parser_says(body: str) -> None:
    assert outline(body) == by_events(body)


# Every way to begin or end a block, and what stands in it.
LINES = st.sampled_from(
    [
        "", "", " ", "word", "other words", "  word", "    word", "\tword", "# head", " ## head ##", "    # code", "===", "---",
        "- ", "-", "- item", "- # head", "  under", "1. one", "2) two", "> quoted", "> # head", "> ---", ">", "```", "```sh", "~~~",
        "<div>", "</div>", "<b>", "<x y>", "<!-- word", "word -->", "<pre>", "</pre>", "<?php", "word ?>", "[a]: /b", "[a]:", "a]: /b",
        "'title", "title'", "a | b", "--|--", "***", "\\", "word\\", "&amp;", "Überschrift", "一", "word\r---",
    ]
)  # fmt: skip
BODIES = st.lists(LINES, min_size=1, max_size=9).map("\n".join)


@given(BODIES, st.data())
def test_an_edit_that_leaves_the_headings_is_one(body: str, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(body)))
    old = body[begin : data.draw(st.integers(begin, min(begin + 9, len(body))))]
    new = data.draw(st.text("ab1 #=->.`~\n\r:]['", max_size=6))
    assume(old and body.count(old) == 1)
    if stays(body, [Edit(old, new)]):
        assert outline(body.replace(old, new)) == outline(body)


@pytest.mark.parametrize(
    ("body", "old", "new", "stay"),
    [
        ("# Title\n\nSome words.\n", "words", "other words", True),
        ("# Title\n\n- Some words.\n> 1. Other words.\n", "Some", "More", True),
        ("# Title\n\n- Some words.\n", "- Some", "+ Some", False),
        ("# Title\n\nSome words.\n", "Title", "Head", False),
        ("# Title\n\nSome words.\n", "Some words.", "# More", False),
        ("# Title\n\nSome words.\n", "words.", "words.\n# More", False),
        ("# Title\n\nSome words.\n", "Title\n\nS", "S", False),
        ("Some\nwords\n---\n", "Some", "More", False),
        ("Some\nwords\n\n---\n", "Some", "More", True),
        ("<!--\n# Title\nend -->\n# Title\n", "end -->", "end", False),
        ("[a]:\nword\n<x y>\n# Title\n", "word", "word word", False),
        ("    word\n", "    word", "word", False),
    ],
)
def test_words_in_a_line_leave_the_headings(body: str, old: str, new: str, stay: bool) -> None:
    assert stays(body, [Edit(old, new)]) is stay


def test_each_edit_applies_to_the_result_of_the_one_before() -> None:
    body = "# Title\n\nSome words.\n"
    assert stays(body, [Edit("words", "lines"), Edit("Some lines", "More")])
    assert not stays(body, [Edit("Some", "- Some"), Edit("words", "lines")])
