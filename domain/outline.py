"""The headings of a body, by a CommonMark parser.

The parser is a native one: with one in Python, the headings of a 2 KB body full of lists took 2,300 microseconds, more than
all the rest of a publish, and those of a hostile megabyte 17 seconds; with this one they take 300 microseconds and 1 second.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from pyromark import events_with_range, html

from domain.content import Edit

# For more edits than this, parsing the result is cheaper: a check of one edit takes about a tenth of a parse.
FEW = 8
# A heading in HTML; the last group is empty when its text has tags, references or possible closing sequences in it.
IN_HTML = re.compile(r"<h([1-6])>([^<&#\n]*)(</h)?")
# Where these are, a heading of the source may read otherwise in HTML, or HTML of the source look like a heading.
UNLIKE_HTML = ("\\", "&", "<h", "</h", "\0", "\v", "\f")
LINE_END = re.compile(rb"\r\n?|\n")
# A line that is the same to all blocks, whatever follows its first letter: only a > might end a block of HTML. The first
# group is all that they check: indentation, list and quote markers.
PROSE = re.compile(r"((?:[ \t]|[-*+>]|[0-9]{1,9}[.)])*)[^\W\d_][^>\n]*")
# What makes a heading of the paragraph above it.
UNDERLINE = re.compile(r"\n[ \t>]*(?:=+|-+)[ \t]*(?:\n|\Z)")


class Heading(msgspec.Struct, frozen=True):
    """``level`` 1 to 6; ``text`` is the heading's source without its delimiters."""

    level: int
    text: str


# RESULTS.md: "headings of a body of 1.5 KB from its HTML"
def outline(body: str) -> list[Heading]:
    """The headings in their order. A ``#`` in a code block is none; setext headings count."""
    if "#" not in body and "=" not in body and "-" not in body:
        return []
    if not any(sign in body for sign in UNLIKE_HTML):
        # One string costs less than an object for each piece of the body.
        found = IN_HTML.findall(html(body))
        if all(ended for _, _, ended in found):
            return [Heading(int(level), text.strip(" \t")) for level, text, _ in found]
    return by_events(body)


# RESULTS.md: "the outline left as it is by an edit of words in a line of prose"
def stays(body: str, edits: Sequence[Edit]) -> bool:
    """Whether the outline is sure to be the same after these edits, each of which applies to the result of the one before.

    Most edits change some words of a line; recognising that costs a tenth of parsing the whole body.
    """
    if len(edits) > FEW:
        return False
    for number, edit in enumerate(edits, 1):
        if not _is_prose(body, edit):
            return False
        if number < len(edits):
            body = body.replace(edit.old, edit.new, 1)
    return True


def _is_prose(body: str, edit: Edit) -> bool:
    """Whether an edit makes another line of prose from one, in a place where that is all it does."""
    begin = body.index(edit.old)
    end = begin + len(edit.old)
    first, last = body.rfind("\n", 0, begin) + 1, body.find("\n", end)
    if last < 0:
        last = len(body)
    new = body[first:begin] + edit.new + body[end:last]
    before, after = PROSE.fullmatch(body, first, last), PROSE.fullmatch(new)
    if before is None or after is None or before[1] != after[1]:
        return False
    # A definition of a link may run over several lines, and what follows one is read in another way than what follows text.
    if "]:" in body or "]:" in new or "\r" in body or "\r" in new:
        return False
    blank = body.find("\n\n", last)
    return UNDERLINE.search(body, last, len(body) if blank < 0 else blank + 1) is None


def by_events(body: str) -> list[Heading]:
    """The same for any body, also for one whose headings have markup of their own."""
    source = body.encode()
    headings = []
    for event, span in events_with_range(body):
        # Most events are texts outside of headings: they are passed over by one look.
        start = event.get("Start") if type(event) is dict else None
        if type(start) is dict and "Heading" in start:
            text = _atx(source[span["start"] : span["end"]])
            if text is None:
                return _with_setext(body, source)
            headings.append(Heading(_level(start), text))
    return headings


def _with_setext(body: str, source: bytes) -> list[Heading]:
    """The same for a body that has a setext heading, whose text may run over lines that have markers of their own."""
    headings: list[Heading] = []
    heading: _Source | None = None
    depth = 0
    for event, span in events_with_range(body):
        if type(event) is dict:
            what = event.get("Start") or event.get("End")
            if type(what) is dict and "Heading" in what:
                if heading is None:
                    heading = _Source(_level(what), span["start"], span["end"], nested=depth > 0)
                else:
                    headings.append(Heading(heading.level, heading.text(source)))
                    heading = None
                continue
            if what == "Item" or (type(what) is dict and "BlockQuote" in what):
                depth += 1 if "Start" in event else -1
        if heading is not None:
            heading.take(event, span["start"], span["end"])
    return headings


def _atx(source: bytes) -> str | None:
    """The text of an ATX heading without its opening and closing sequences. None for another line."""
    # Cut from both ends: a pattern would try each of a million spaces within a heading as its end.
    line = source.removesuffix(b"\n").removesuffix(b"\r")
    rest = line.lstrip(b"#")
    if not 1 <= len(line) - len(rest) <= 6 or (rest and rest[:1] not in b" \t"):
        return None
    text = rest.strip(b" \t")
    ahead = text.rstrip(b"#")
    if not ahead or ahead[-1:] in b" \t":
        text = ahead
    return text.strip().decode()


def _level(tag: dict[str, Any]) -> int:
    level: str = tag["Heading"]["level"]
    return int(level[1:])


class _Source:
    """Where a heading and each of its lines stand in the source, in bytes."""

    def __init__(self, level: int, start: int, end: int, *, nested: bool) -> None:
        self.level = level
        self._start, self._end, self._nested = start, end, nested
        self._lines: list[tuple[int, int]] = []
        self._broken = True

    def take(self, event: Any, start: int, end: int) -> None:
        if event in ("SoftBreak", "HardBreak"):
            self._broken = True
        elif self._broken:
            self._lines.append((start, end))
            self._broken = False
        else:
            first, last = self._lines[-1]
            self._lines[-1] = (first, max(last, end))

    def text(self, source: bytes) -> str:
        whole = source[self._start : self._end]
        if (text := _atx(whole)) is not None:
            return text
        if self._nested:
            # In a quote or a list, each line begins with its own markers, so the parsed text says where the heading begins.
            return "\n".join(self._line(source, *line) for line in self._lines)
        lines = LINE_END.split(whole.rstrip(b"\r\n"))
        return b"\n".join(lines[:-1]).strip().decode()

    def _line(self, source: bytes, start: int, end: int) -> str:
        # The backslash of an escaped character is part of the source, but not of the parsed text.
        if start > self._start and source[start - 1 : start] == b"\\":
            start -= 1
        return source[start:end].decode().strip()
