"""JSON as structured content: only where every reader has what is written there.

Readers turn numbers into doubles and keep one of two members with the same name, so ``0.10``, ``-0``, ``1e400`` and thirty
digits would come to a model as something else. Such JSON goes as text alone.
"""

import json
from typing import Any

from domain.json_text import depth

# Readers end somewhere: the parser of the protocol's own SDK at 200 levels, and the message around it has some.
MAX_DEPTH = 100
# The largest integer that a double tells from its neighbours.
MAX_INTEGER = 2**53 - 1
# More digits are above it; a sign makes one more character.
MAX_DIGITS = 17


class Inexact(ValueError):
    """A reader would have something else than what is written."""


def structured(text: bytes) -> Any:
    """The value of valid JSON, None when some reader would have another one."""
    if depth(text) > MAX_DEPTH:
        return None
    try:
        return json.loads(text, parse_float=_float, parse_int=_integer, object_pairs_hook=_members)
    except Inexact:
        return None


def _integer(text: str) -> int:
    value = int(text) if len(text) <= MAX_DIGITS else MAX_INTEGER + 1
    if abs(value) > MAX_INTEGER or str(value) != text:
        raise Inexact(text)
    return value


def _float(text: str) -> float:
    """A number that all readers write again as it is here: without an exponent, and with a fraction."""
    value = float(text)
    if repr(value) != text or "e" in text or value.is_integer():
        raise Inexact(text)
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Inexact("a name comes twice")
    return found
