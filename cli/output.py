"""What a command prints: one JSON object with ``--json``, else lines for people.

`printable` is the one place that decides what a terminal may get of texts that others wrote; `say`, `say_text` and
`show_table` print through it, and the commands print through those alone.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TextIO
from unicodedata import category

import click
import msgspec

# Characters that join others to one sign, in emoji and in several languages: harmless within a text.
JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")


def printable(value: object, *, lines: bool = False) -> str:
    """Text of others as it may stand on a terminal: what moves the cursor, colours, turns the direction of writing or
    cannot be seen is shown as its escape. ``lines``: a place of several lines, where line ends and tabs stay."""
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    kept = "\n\t" + JOINERS if lines else ""
    return "".join(
        char if char.isprintable() or char in kept or category(char) == "Zs" else _escape(char)
        for char in text
    )


def say(line: object, *, err: bool = False) -> None:
    """One line of output; with ``err`` a sentence beside it."""
    _echo(printable(line), err=err)


def say_text(text: str, *, err: bool = False, nl: bool = True) -> None:
    """A text of several lines."""
    _echo(printable(text, lines=True), err=err, nl=nl)


def say_data(text: str, *, nl: bool = True) -> None:
    """A text as it is, for another program or a file; on a terminal like `say_text`."""
    _echo(printable(text, lines=True) if sys.stdout.isatty() else text, nl=nl)


def show_json(value: object) -> None:
    """One JSON object on one line of standard output, with escapes where the console could not take it as it is."""
    text = msgspec.json.encode(value).decode()
    if not _is_utf8(sys.stdout):
        text = BEYOND_ASCII.sub(_json_escape, text)
    elif sys.stdout.isatty():
        text = "".join(char if char.isprintable() else _json_escape(char) for char in text)
    _echo(text)


def show_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned columns; the last one may be as long as it likes."""
    lines = [tuple(head), *(tuple(map(printable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def minute(at: datetime | str | None) -> str:
    """A time as people read it, in UTC (``Z``); a dash for none. Other text than a time is shown as it is."""
    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at)
        except ValueError:
            return printable(at)
    if at is None:
        return "-"
    if at.tzinfo is not None:
        try:
            at = at.astimezone(UTC)
        except OverflowError:  # at an end of the calendar
            return printable(at)
    return f"{at:%Y-%m-%d %H:%M}Z"


def settle_streams() -> None:
    """Let what the console's encoding lacks be printed as escapes; it is no reason to fail."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    click.echo(text, err=err, nl=nl)  # noqa: TID251 - the one place


def _is_utf8(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "").replace("_", "") == "utf8"


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def _json_escape(found: "str | re.Match[str]") -> str:
    char = found if isinstance(found, str) else found[0]
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
