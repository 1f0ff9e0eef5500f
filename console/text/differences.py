"""Hunks as rows of a table, unified or side by side, with the words marked that differ in lines that took each other's place."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from console.text.visible import visible
from projections.compare.lines import Effort, opcodes

HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
WORDS = re.compile(r"\w+|\s+|[^\w\s]")
MAX_LINE = 2_000  # characters of lines whose words are compared
EFFORT = 2_000_000  # steps for all words of a page: some 0.2 s; what is beyond has no words marked
# Below this share of the same characters two lines are two lines, and marks would only be noise.
ALIKE = 0.4


class Cell(NamedTuple):
    """A line on one side: its number, ``added``, ``removed`` or empty for one that is the same, and its HTML."""

    number: int
    change: str
    html: Markup
    has_end: bool = True


class Row(NamedTuple):
    """What stands side by side; None for nothing. Neither is there between two hunks."""

    left: Cell | None
    right: Cell | None

    @property
    def is_gap(self) -> bool:
        return self.left is None and self.right is None


class Line(NamedTuple):
    """One line of a unified view: its numbers, its sign and its HTML."""

    before: int | None
    after: int | None
    sign: str
    cell: Cell


GAP = Row(None, None)


def beside(hunks: Sequence[str], effort: Effort) -> list[Row]:
    """Rows of a side by side view, with a gap before each hunk that does not begin the text."""
    rows: list[Row] = []
    for hunk in hunks:
        head, _, rest = hunk.partition("\n")
        found = HUNK.match(head)
        if found is None:
            continue
        before, after = int(found[1]), int(found[3])
        # Of an empty side the number is that of the line before it.
        before, after = max(before, 1), max(after, 1)
        if rows or before > 1 or after > 1:
            rows.append(GAP)
        removed: list[tuple[str, bool]] = []
        added: list[tuple[str, bool]] = []
        for sign, text, has_end in _lines(rest):
            if sign == "-":
                if added:
                    rows += _replaced(removed, added, before, after, effort)
                    before, after = before + len(removed), after + len(added)
                    removed, added = [], []
                removed.append((text, has_end))
            elif sign == "+":
                added.append((text, has_end))
            else:
                rows += _replaced(removed, added, before, after, effort)
                before, after = before + len(removed), after + len(added)
                removed, added = [], []
                html = visible(text)
                rows.append(Row(Cell(before, "", html, has_end), Cell(after, "", html, has_end)))
                before, after = before + 1, after + 1
        rows += _replaced(removed, added, before, after, effort)
    return rows


def unified(rows: Sequence[Row]) -> list[Line | None]:
    """The same rows in one column: what was removed before what came in its place; None for a gap."""
    found: list[Line | None] = []
    later: list[Line] = []
    for row in rows:
        left, right = row
        if left is not None and left.change:
            found.append(Line(left.number, None, "−", left))
            if right is not None:
                later.append(Line(None, right.number, "+", right))
            continue
        if right is not None and right.change:
            later.append(Line(None, right.number, "+", right))
            continue
        found += later
        later = []
        found.append(Line(left.number, right.number, " ", left) if left and right else None)
    return [*found, *later]


def _lines(hunk: str) -> Iterator[tuple[str, str, bool]]:
    """Sign, text and whether it has an end, of each line of a hunk."""
    waiting: tuple[str, str, bool] | None = None
    for line in hunk.split("\n")[:-1]:
        if line.startswith("\\") and waiting is not None:
            waiting = (waiting[0], waiting[1], False)
            continue
        if waiting is not None:
            yield waiting
        waiting = (line[:1], line[1:].removesuffix("\r"), True)
    if waiting is not None:
        yield waiting


def _replaced(
    removed: Sequence[tuple[str, bool]],
    added: Sequence[tuple[str, bool]],
    before: int,
    after: int,
    effort: Effort,
) -> Iterator[Row]:
    for place in range(max(len(removed), len(added))):
        old = removed[place] if place < len(removed) else None
        new = added[place] if place < len(added) else None
        old_html = None if old is None else visible(old[0])
        new_html = None if new is None else visible(new[0])
        if old is not None and new is not None:
            old_html, new_html = words(old[0], new[0], effort) or (old_html, new_html)
        yield Row(
            None if old is None or old_html is None else Cell(before + place, "removed", old_html, old[1]),
            None if new is None or new_html is None else Cell(after + place, "added", new_html, new[1]),
        )


def words(old: str, new: str, effort: Effort) -> tuple[Markup, Markup] | None:
    """Both texts with the words marked that the other has not; None when they have too little in common, or are too long."""
    if max(len(old), len(new)) > MAX_LINE:
        return None
    a, b = WORDS.findall(old), WORDS.findall(new)
    codes = opcodes(a, b, effort)
    same = sum(len("".join(a[i1:i2])) for tag, i1, i2, _, _ in codes if tag == "equal")
    if same < ALIKE * max(len(old), len(new), 1):
        return None
    before: list[str] = []
    after: list[str] = []
    for tag, i1, i2, j1, j2 in codes:
        gone, come = visible("".join(a[i1:i2])), visible("".join(b[j1:j2]))
        if tag == "equal":
            before.append(gone)
            after.append(come)
            continue
        if gone:
            before.append(f"<del>{gone}</del>")
        if come:
            after.append(f"<ins>{come}</ins>")
    return Markup("".join(before)), Markup("".join(after))
