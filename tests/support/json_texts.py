"""JSON as text: a strategy for every way to write a value, and a parser that hides none of it."""

import json
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

SPACE = st.sampled_from(["", "", "", " ", "\n", "\t", "\r\n  "])
# What a text may hold: no NUL, no lone surrogate.
CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
SPECIAL = [
    '"',
    "\\",
    "/",
    "\b",
    "\f",
    "\n",
    "\r",
    "\t",
    "\x01",
    "\x7f",
    "é",
    "\u2028",
    "\ufeff",
    "😀",
    "\uffff",
    "{",
    "]",
    ":",
]
INTEGERS = st.one_of(
    st.integers().map(str),
    st.sampled_from(["0", "-0", str(10**30), str(-(10**400)), str(2**63), str(2**64), "9" * 5000]),
)
NUMBERS = st.one_of(
    INTEGERS,
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["1.0", "1e2", "1E+2", "1e-400", "1e400", "-0.0", "0.10", "1.000000000000000000001", "123456789.0e-10"]),
    st.builds("{}.{}{}".format, INTEGERS, st.from_regex(r"[0-9]{1,30}", fullmatch=True), st.sampled_from(["", "e5", "E-07"])),
)  # fmt: skip


class Number(NamedTuple):
    """A number as it is written."""

    text: str


class Members(NamedTuple):
    """An object as it is written: members in order, also those whose key comes twice."""

    pairs: list[tuple[str, Any]]


def strictly(text: str | bytes) -> Any:
    """The value with every difference kept that JSON can express, but for white space and escapes."""
    return json.loads(text, parse_float=Number, parse_int=Number, object_pairs_hook=Members)


@st.composite
def strings(draw: DrawFn) -> str:
    """A text between quotes, each character plain or escaped."""
    characters = draw(st.lists(st.one_of(CHARACTERS, st.sampled_from(SPECIAL)), max_size=12))
    return '"' + "".join(_written(character, draw(st.booleans())) for character in characters) + '"'


def _written(character: str, escaped: bool) -> str:
    if escaped:
        units = character.encode("utf-16-be")
        return "".join(f"\\u{units[at]:02x}{units[at + 1]:02X}" for at in range(0, len(units), 2))
    if character in '"\\' or character < " ":
        return json.dumps(character)[1:-1]
    return character


@st.composite
def _array(draw: DrawFn, inner: SearchStrategy[str]) -> str:
    items = [draw(SPACE) + draw(inner) + draw(SPACE) for _ in range(draw(st.integers(0, 4)))]
    return "[" + ",".join(items) + ("" if items else draw(SPACE)) + "]"


@st.composite
def _object(draw: DrawFn, inner: SearchStrategy[str]) -> str:
    keys = draw(st.lists(st.one_of(strings(), st.just('"a"')), max_size=4))
    members = [
        draw(SPACE) + key + draw(SPACE) + ":" + draw(SPACE) + draw(inner) + draw(SPACE) for key in keys
    ]
    return "{" + ",".join(members) + "}"


@st.composite
def _deep(draw: DrawFn, inner: SearchStrategy[str], most: int) -> str:
    levels = [draw(st.booleans()) for _ in range(draw(st.integers(1, most)))]
    opening = "".join("[" if level else '{"k":' for level in levels)
    return opening + draw(inner) + "".join("]" if level else "}" for level in reversed(levels))


LITERALS = st.sampled_from(["true", "false", "null"])
SCALARS = st.one_of(LITERALS, NUMBERS, strings())
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(_array(inner), _object(inner)), max_leaves=20)
ROOM = 240  # levels left for nesting around a value of the recursive strategy, of 256 allowed


def texts() -> SearchStrategy[str]:
    """A value but null, nested at most 256 deep."""
    return st.one_of(VALUES, _deep(SCALARS, 256), _deep(LITERALS, ROOM)).filter(lambda text: text != "null")
