"""Texts line by line, and how two of them match, at a bounded price.

``difflib`` needs quadratic time and more for texts that were made to hurt it. Here each search for a match is paid from an
``Effort`` before it runs; when that is used up, what is left counts as replaced: still true, only coarser.
"""

import difflib
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

Opcode = tuple[str, int, int, int, int]


class Effort:
    """Steps that may still be made; a million of them take about 0.1 s."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def spend(self, steps: int) -> bool:
        """Whether there was enough."""
        if steps > self.left:
            return False
        self.left -= steps
        return True


def split(text: str) -> list[str]:
    """Lines with their ends. Only a line feed ends one, so that CRLF and rarer separators stay what they are."""
    parts = text.split("\n")
    last = parts.pop()
    lines = [part + "\n" for part in parts]
    return [*lines, last] if last else lines


class _Matcher(difflib.SequenceMatcher[str]):
    def __init__(self, a: Sequence[str], b: Sequence[str], effort: Effort) -> None:
        super().__init__(None, a, b)
        self._effort = effort
        places: dict[str, list[int]] = self.b2j  # type: ignore[attr-defined]
        self._costs = list(accumulate((1 + len(places.get(line, ())) for line in a), initial=0))

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> difflib.Match:
        end = len(self._costs) - 1 if ahi is None else ahi
        if not self._effort.spend(self._costs[end] - self._costs[alo]):
            return difflib.Match(alo, blo, 0)
        return super().find_longest_match(alo, ahi, blo, bhi)


def opcodes(a: Sequence[str], b: Sequence[str], effort: Effort) -> list[Opcode]:
    """What turns ``a`` into ``b``, as ``difflib.SequenceMatcher.get_opcodes`` has it."""
    shorter = min(len(a), len(b))
    start = 0
    while start < shorter and a[start] == b[start]:
        start += 1
    end = 0
    while end < shorter - start and a[-1 - end] == b[-1 - end]:
        end += 1
    found: list[Opcode] = [("equal", 0, start, 0, start)] if start else []
    middle = _Matcher(a[start : len(a) - end], b[start : len(b) - end], effort)
    for tag, i1, i2, j1, j2 in middle.get_opcodes():
        found.append((tag, start + i1, start + i2, start + j1, start + j2))
    if end:
        found.append(("equal", len(a) - end, len(a), len(b) - end, len(b)))
    return found


class Grouped(difflib.SequenceMatcher[str]):
    """Only for ``get_grouped_opcodes``: of opcodes that are there already."""

    def __init__(self, codes: list[Opcode]) -> None:
        super().__init__()
        self._codes = codes

    def get_opcodes(self) -> Any:
        return self._codes
