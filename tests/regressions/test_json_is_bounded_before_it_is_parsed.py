"""A body of brackets became ten million objects, and a string that does not end was searched from each of its quotes."""

import pytest

from domain import json_text
from domain.errors import Invalid
from domain.json_text import MAX_VALUES, check_values, parse, parse_edited


@pytest.mark.parametrize("piece", [b"1,", b"[],", b'{"a":1},', b'"",', b'"\\",\\\\",'])
def test_more_values_than_are_taken_are_refused_before_they_are_made(piece: bytes) -> None:
    with pytest.raises(ValueError, match="1,000,000 values"):
        parse(b"[" + piece * MAX_VALUES + b"1]")


@pytest.mark.parametrize(
    "text", [b"a,b,[c],{d}," * 300_000, b'\\"a,\\\\\\",b,' * 300_000, b'\\"' * 2_000_000, b"\\\\" * 2_000_000]
)
def test_what_stands_in_a_string_is_no_value(text: bytes) -> None:
    check_values(b'["' + text + b'"]')
    check_values(b'["' + text)  # one that does not end is passed over once


def test_an_edited_prompt_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "MAX_VALUES", 10)
    with pytest.raises(Invalid) as refused:
        parse_edited("[" + "1," * 10 + "1]", attr="edits__0__new", edit_index=0)
    assert refused.value.attr == "edits__0__new"
