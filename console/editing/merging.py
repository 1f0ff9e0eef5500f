"""Two changes of one text put together, by the lines that each has changed. Pure.

Lines that both have changed, or that touch, are a conflict: both stand in the result between marks, as git has them.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from projections.compare.lines import Effort, opcodes, split

EFFORT = (
    8_000_000  # steps for all texts of a draft, about a second; what is beyond comes out as a larger conflict
)
MARK = re.compile(r"^(?:<<<<<<< yours|>>>>>>> version \d+)\r?$", re.MULTILINE)


class Merged(NamedTuple):
    text: str
    conflicts: int


class _Group(NamedTuple):
    """A part of the base that one side or both have changed, and what each has there."""

    start: int
    end: int
    mine: list[str] | None
    theirs: list[str] | None


def merge(base: str, mine: str, theirs: str, number: int, effort: Effort | None = None) -> Merged:
    """``number`` is the version of theirs; ``effort`` is that of all texts that are merged together."""
    if mine == theirs or theirs == base:
        return Merged(mine, 0)
    if mine == base:
        return Merged(theirs, 0)
    lines = split(base)
    found: list[str] = []
    conflicts = done = 0
    for group in _groups(lines, split(mine), split(theirs), effort or Effort(EFFORT)):
        found += lines[done : group.start]
        done = group.end
        if group.theirs is None or group.mine is None or group.mine == group.theirs:
            found += group.mine if group.mine is not None else group.theirs or []
            continue
        conflicts += 1
        found += _marked(group.mine, group.theirs, number)
    return Merged("".join([*found, *lines[done:]]), conflicts)


def _groups(
    base: Sequence[str], mine: Sequence[str], theirs: Sequence[str], effort: Effort
) -> Iterator[_Group]:
    sides = [[code for code in opcodes(base, side, effort) if code[0] != "equal"] for side in (mine, theirs)]
    texts = (mine, theirs)
    while sides[0] or sides[1]:
        first = min((side[0] for side in sides if side), key=lambda code: (code[1], code[2]))
        start, end = first[1], first[2]
        taken: list[list[tuple[str, int, int, int, int]]] = [[], []]
        grown = True
        while grown:
            grown = False
            for side, found in zip(sides, taken, strict=True):
                # What touches belongs together, too: which of the two comes first is not known.
                while side and side[0][1] <= end:
                    code = side.pop(0)
                    found.append(code)
                    end = max(end, code[2])
                    grown = True
        yield _Group(
            start, end, *(_span(start, end, found, text) for found, text in zip(taken, texts, strict=True))
        )


def _span(
    start: int, end: int, codes: Sequence[tuple[str, int, int, int, int]], text: Sequence[str]
) -> list[str] | None:
    """What stands in a text for lines of the base; None when it has changed none of them."""
    if not codes:
        return None
    return list(text[codes[0][3] - (codes[0][1] - start) : codes[-1][4] + (end - codes[-1][2])])


def _marked(mine: list[str], theirs: list[str], number: int) -> list[str]:
    """Both, but for what they begin and end with alike."""
    shorter = min(len(mine), len(theirs))
    before = next((place for place in range(shorter) if mine[place] != theirs[place]), shorter)
    after = next(
        (place for place in range(shorter - before) if mine[-1 - place] != theirs[-1 - place]),
        shorter - before,
    )
    middle = slice(before, len(mine) - after), slice(before, len(theirs) - after)
    return [
        *mine[:before],
        "<<<<<<< yours\n",
        *_ended(mine[middle[0]]),
        "=======\n",
        *_ended(theirs[middle[1]]),
        f">>>>>>> version {number}\n",
        *mine[len(mine) - after :],
    ]


def _ended(lines: list[str]) -> list[str]:
    """The last line with an end, so that a mark is a line of its own."""
    return lines if not lines or lines[-1].endswith("\n") else [*lines[:-1], lines[-1] + "\n"]
