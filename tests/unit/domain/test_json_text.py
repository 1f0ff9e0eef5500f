"""JSON is kept as it was written."""

import json

import msgspec
import pytest
from hypothesis import given, settings

from domain.errors import Invalid
from domain.json_text import compact, depth, indented, parse, parse_edited
from tests.support.json_texts import Members, strictly, texts

FEW = settings(max_examples=150, deadline=None)


@FEW
@given(texts())
def test_compact_changes_neither_value_nor_order_nor_number(text: str) -> None:
    small = compact(text.encode())

    assert strictly(small) == strictly(text)
    assert len(small) <= len(text.encode())
    assert compact(small) == small


@FEW
@given(texts())
def test_indented_and_parsed_again_it_is_the_same(text: str) -> None:
    small = compact(text.encode())

    assert parse_edited(indented(small), attr="x") == small


@FEW
@given(texts())
def test_depth_is_that_of_the_value(text: str) -> None:
    def deep(value: object) -> int:
        if isinstance(value, list):
            return 1 + max(map(deep, value), default=0)
        if isinstance(value, Members):
            return 1 + max((deep(item) for _, item in value.pairs), default=0)
        return 0

    assert depth(text.encode()) == deep(strictly(text))


@pytest.mark.parametrize(("written", "expected"), [
    ('[ 1 ,\t2.0\r\n]', "[1,2.0]"),
    ('{ "a b" : " [ " }', '{"a b":" [ "}'),
    ('"\\u00e9\\/\\u0041"', '"é/A"'),
    ('"\\ud83d\\ude00"', '"😀"'),
    ('"\\\\" ', '"\\\\"'),
    ('["\\"  ", "  "]', '["\\"  ","  "]'),
    ('"\\u2028\\u007f\\u0001"', '"\u2028\x7f\\u0001"'),
])  # fmt: skip
def test_compact(written: str, expected: str) -> None:
    assert compact(written.encode()).decode() == expected


def test_indented_is_as_people_write_it() -> None:
    value = {"a": [1.0, {"é": []}], "b": {}}

    assert indented(msgspec.json.encode(value)) == json.dumps(value, indent=2, ensure_ascii=False)


@pytest.mark.parametrize("text", ["", "{", "nul", "[1,]", "NaN", "01", '"\n"', "1 2", "[" * 100_000])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        parse(text.encode())
    with pytest.raises(Invalid) as caught:
        parse_edited(text, attr="edits__0__new", edit_index=0)
    assert (caught.value.attr, caught.value.extra["edit_index"]) == ("edits__0__new", 0)


@pytest.mark.parametrize(("text", "code"), [
    (' null ', "null"),
    ('["\\u0000"]', "null_characters_not_allowed"),
    ('{"\\u0000":1}', "null_characters_not_allowed"),
    ('["\\ud83d", "\\ude00"]', "surrogate_characters_not_allowed"),
])  # fmt: skip
def test_what_may_not_be_sent_may_not_come_of_an_edit(text: str, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_edited(text, attr="x")
    assert caught.value.code == code


def test_a_large_text_is_no_burden() -> None:
    """Each of these took seconds with a pattern that walks character by character, or that backtracks."""
    for raw in (b'"' + b"a" * 1_000_000 + b'"', b'"' + b'\\"' * 500_000 + b'"', b"[" * 200 + b"]" * 200):
        assert compact(raw) == raw
        depth(raw)
    compact(b'"' + b"\\" * 999_999)
