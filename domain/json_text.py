"""JSON kept as it was written: numbers to the last digit, keys in their order, only the white space between is lost."""

import json
import re
from itertools import accumulate
from typing import Any, Never

import msgspec

from domain.errors import Invalid

# Strings first, so that what looks like white space or a bracket inside of one is left alone. Unrolled: a text of a
# megabyte is one match of a few steps, not one step a character.
STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
STRINGS = re.compile(STRING, re.DOTALL)
TOKENS = re.compile(STRING + rb'|[^" \t\r\n]+', re.DOTALL)

SURROGATE = re.compile("[\ud800-\udfff]")

# A string whose escapes are gone, also one that does not end: unlike those above it meets text that may be no JSON.
QUOTED = re.compile(rb'"[^"]*"?')
# Values of one JSON text: the largest prompt with the largest configuration has fewer, and 32 MB of brackets ten million.
MAX_VALUES = 1_000_000

OPENING, CLOSING = b"[{", b"]}"
NO_BRACKETS = bytes(set(range(256)) - set(OPENING + CLOSING))
STEPS = [1 if byte in OPENING else -1 for byte in range(256)]


def parse(raw: bytes) -> Any:
    """The value of JSON, numbers of any size included, which become infinite. Raises ValueError, RecursionError."""
    check_values(raw)
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        try:
            # Takes lone surrogates, too: callers look for those.
            return json.loads(raw.decode(), parse_constant=_refuse, parse_int=_integer)
        except ValueError:
            raise ValueError(str(error)) from None


def check_values(raw: bytes) -> None:
    """Raise ValueError for text of more than ``MAX_VALUES`` values, valid or not, before a parser makes an object of each.

    It counts what stands before values outside of strings, in steps that let other threads go on.
    """
    if len(raw) <= MAX_VALUES or _separators(raw) <= MAX_VALUES:
        return
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    found = end = 0
    for string in QUOTED.finditer(plain):
        found += _separators(plain[end : string.start()])
        end = string.end()
        if found > MAX_VALUES:
            break
    if found + _separators(plain[end:]) > MAX_VALUES:
        raise ValueError(f"it has more than {MAX_VALUES:,} values; send less at once")


def _separators(raw: bytes) -> int:
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def _integer(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # more digits than Python reads
        return float(digits)


def _refuse(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")


def compact(raw: bytes) -> bytes:
    """Valid JSON without white space between its tokens, and with every text in its shortest form (no ``\\u00e9``)."""
    dense = b"".join(TOKENS.findall(raw))
    return STRINGS.sub(_shortest, dense) if b"\\" in dense else dense


def _shortest(found: "re.Match[bytes]") -> bytes:
    token = found[0]
    return token if b"\\" not in token else msgspec.json.encode(msgspec.json.decode(token))


def indented(data: bytes) -> str:
    """Compact JSON as people edit it: two spaces a level, non-ASCII kept."""
    return msgspec.json.format(data, indent=2).decode()


def depth(data: bytes) -> int:
    """How deep valid JSON is nested; 0 for a value that is no array or object."""
    brackets = STRINGS.sub(b"", data).translate(None, NO_BRACKETS)
    return max(accumulate(map(STEPS.__getitem__, brackets)), default=0)


def parse_edited(text: str, *, attr: str, **where: Any) -> bytes:
    """Edited JSON text in compact form. Raises Invalid unless it is one JSON value that could have been sent so."""
    raw = text.encode()
    try:
        value = parse(raw)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"After the edits the prompt is no valid JSON: {error}.", attr=attr, **where) from None
    if value is None:
        raise Invalid("After the edits the prompt is null.", code="null", attr=attr, **where)
    if has_surrogates(raw, value):
        raise Invalid(
            "Lone surrogates are not allowed: they stand for no character.",
            code="surrogate_characters_not_allowed",
            attr=attr,
            **where,
        )
    if b"\\u" in raw and "\0" in _texts(value):
        raise Invalid(
            "Null characters are not allowed.", code="null_characters_not_allowed", attr=attr, **where
        )
    return compact(raw)


def has_surrogates(raw: bytes, value: object) -> bool:
    """Whether a text in the value of this JSON holds half of a character, which no other encoding has."""
    return b"\\u" in raw and SURROGATE.search(_texts(value)) is not None


def _texts(value: object) -> str:
    """Every text inside a JSON value, keys too."""
    found: list[str] = []
    level: list[object] = [value]
    while level:
        item = level.pop()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict):
            found.extend(item)
            level.extend(item.values())
        elif isinstance(item, list):
            level.extend(item)
    return " ".join(found)
