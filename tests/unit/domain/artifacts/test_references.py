"""Which marks in a prompt are references, and what stands in their place."""

import msgspec
import pytest

from domain.artifacts.references import MAX_REFERENCES, Reference, check, found_in, resolved
from domain.errors import Invalid

TONE = Reference("tone", version=3)
LIVE = Reference("tone", label="production")


def prompt(text: object) -> bytes:
    return msgspec.json.encode(text)


def test_a_mark_names_a_version_or_a_label() -> None:
    assert found_in(prompt(f"a {TONE} b {LIVE} c {TONE}")) == (TONE, LIVE)
    assert str(TONE) == "@@@prompt:name=tone|version=3@@@"


@pytest.mark.parametrize(
    "text",
    [
        "@@@prompt:name=tone@@@",
        "@@@prompt:name=tone|version=0@@@",
        "@@@prompt:name=tone|version=03@@@",
        "@@@prompt:name=tone|version=3000000000@@@",
        "@@@prompt:name=tone|version=٣@@@",
        "@@@prompt:name=tone|version=3|label=x@@@",
        "@@@prompt:name=tone|label=Production@@@",
        "@@@prompt:name=tone|label=.x@@@",
        "@@@prompt:name=to ne|version=3@@@",
        "@@@prompt:name=|version=3@@@",
        f"@@@prompt:name={'n' * 256}|version=3@@@",
        f"@@@prompt:name=tone|label={'l' * 129}@@@",
        "@@prompt:name=tone|version=3@@@",
        "@@@prompt: name=tone|version=3@@@",
        "@@@Prompt:name=tone|version=3@@@",
        "@@@prompt:version=3|name=tone@@@",
    ],
)
def test_what_has_not_exactly_this_form_is_text(text: str) -> None:
    assert found_in(prompt(text)) == ()
    assert resolved(text, {TONE: "x", LIVE: "x"}) == text


def test_only_texts_refer() -> None:
    assert found_in(prompt([{"role": "user", "content": str(TONE)}])) == ()
    assert found_in(prompt({"a": str(TONE)})) == ()


def test_each_mark_is_replaced_once_and_what_comes_in_is_text() -> None:
    assert resolved(f"{TONE}-{LIVE}-{TONE}", {TONE: str(LIVE), LIVE: "\\1"}) == f"{LIVE}-\\1-{LIVE}"
    assert resolved(f"{TONE}{LIVE}", {TONE: "x"}) == f"x{LIVE}"


def test_marks_are_bounded() -> None:
    many = prompt(str(TONE) * MAX_REFERENCES)
    assert check(many) == found_in(many) == (TONE,)
    more = prompt(str(TONE) * (MAX_REFERENCES + 1))
    assert found_in(more) == (), "such a text of an earlier release stays as it is"
    with pytest.raises(Invalid) as refused:
        check(more)
    assert (refused.value.code, refused.value.attr) == ("max_length", "prompt")
