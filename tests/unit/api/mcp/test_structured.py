"""What goes as structured content is written again as it was, by every reader."""

import json
import re

import pytest
from hypothesis import given

from api.mcp.structured import MAX_DEPTH, structured
from tests.support.json_texts import Members, Number, strictly, texts


@given(texts())
def test_it_is_all_or_nothing(text: str) -> None:
    value = structured(text.encode())
    if value is not None:
        assert strictly(json.dumps(value)) == strictly(text)
        assert all(
            re.fullmatch(r"-?[0-9]{1,16}(\.[0-9]*[1-9])?", number) for number in numbers(strictly(text))
        )


def numbers(value: object) -> list[str]:
    if isinstance(value, Number):
        return [value.text]
    if isinstance(value, Members):
        return [found for _, inner in value.pairs for found in numbers(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in numbers(inner)]
    return []


@pytest.mark.parametrize("number", ["0", "-1", "9007199254740991", "0.1", "-12.5", "0.0001"])
def test_numbers_that_all_readers_have(number: str) -> None:
    assert structured(f'{{"n":{number}}}'.encode()) == {"n": json.loads(number)}


@pytest.mark.parametrize(
    "number",
    ["-0", "0.10", "1.0", "1e2", "1E400", "9007199254740992", "0.00001", "1" * 5000, "0.1" + "0" * 400],
)
def test_numbers_that_some_reader_changes(number: str) -> None:
    assert structured(f'{{"n":{number}}}'.encode()) is None


def test_names_that_come_twice_and_depth() -> None:
    assert structured(b'{"a":1,"a":1}') is None
    assert structured(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None
    assert structured(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)) is None
