"""Numbers of versions as semantic versions, and back."""

import pytest

from domain.formats.semantic import number_of, semantic


@pytest.mark.parametrize("number", [1, 10, 2**31 - 1])
def test_a_number_comes_back(number: int) -> None:
    assert number_of(semantic(number)) == number


@pytest.mark.parametrize(
    "text", ["", "1.0.0", "1.0.01", "1.0.1\n", "1.0.1-a", "1.1.1", "v1.0.1", "1.0.١", "1.0.+1"]
)
def test_anything_else_is_none(text: str) -> None:
    assert number_of(text) is None
