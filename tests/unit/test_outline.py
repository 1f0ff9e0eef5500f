"""Headings as CommonMark has them; what a fence or a block of HTML holds is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.outline import Heading, by_events, outline


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
