"""What a command prints: one JSON object with ``--json``, else lines for people."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import click
import msgspec


def show_json(value: object) -> None:
    """One JSON object on one line of standard output."""
    click.echo(msgspec.json.encode(value).decode())


def show_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned columns; the last one may be as long as it likes."""
    lines = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def minute(at: datetime | None) -> str:
    """A time as a table shows it; a dash for none."""
    return f"{at:%Y-%m-%d %H:%M}" if at else "-"
