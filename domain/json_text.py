"""JSON kept as it was written: numbers to the last digit, keys in their order, only the white space between is lost."""

import re
from typing import Any

import msgspec

from domain.errors import Invalid

# Strings first, so that what looks like white space or a bracket inside of one is left alone.
TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[ \t\r\n]+', re.DOTALL)
BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


def compact(raw: bytes) -> bytes:
    """Valid JSON without white space between its tokens, and with every text in its shortest form (no ``\\u00e9``)."""
    return TOKENS.sub(_token, raw)


def _token(found: "re.Match[bytes]") -> bytes:
    token = found[0]
    if token[:1] != b'"':
        return b""
    return token if b"\\" not in token else msgspec.json.encode(msgspec.json.decode(token))


def indented(data: bytes) -> str:
    """Compact JSON as people edit it: two spaces a level, non-ASCII kept."""
    return msgspec.json.format(data, indent=2).decode()


def depth(data: bytes) -> int:
    """How deep valid JSON is nested; 0 for a value that is no array or object."""
    deepest = level = 0
    for found in BRACKETS.finditer(data):
        token = found[0]
        if token in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif token in b"]}":
            level -= 1
    return deepest


def parse_edited(text: str, *, attr: str, **where: Any) -> bytes:
    """Edited JSON text in compact form. Raises Invalid unless it is one JSON value that could have been sent so."""
    raw = text.encode()
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Invalid(f"After the edits the prompt is no valid JSON: {error}.", attr=attr, **where) from None
    if value is None:
        raise Invalid("After the edits the prompt is null.", code="null", attr=attr, **where)
    if b"\\u0000" in raw and "\0" in _texts(value):
        raise Invalid(
            "Null characters are not allowed.", code="null_characters_not_allowed", attr=attr, **where
        )
    return compact(raw)


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
    return "".join(found)
