"""Tables for a terminal and for a Markdown page."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version

import msgspec
import rich.table
from rich.console import Console

LIBRARIES = ("uvicorn", "litestar", "psycopg", "eventsourcing", "msgspec", "uvloop")


class Table(msgspec.Struct, kw_only=True):
    title: str
    head: tuple[str, ...]
    notes: list[str]
    rows: list[tuple[str, ...]] = []

    def add(self, *cells: str) -> None:
        self.rows.append(cells)


# Columns, when the terminal does not say how many there are: more than any table needs, none is drawn wider than it is.
WIDE = 1_000


def wide_console() -> Console:
    """The terminal, or a file or pipe, into which no cell is cut off."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def show(table: Table, console: Console) -> None:
    drawn = rich.table.Table(
        title=table.title, title_justify="left", caption="\n".join(table.notes), caption_justify="left"
    )
    for column in table.head:
        drawn.add_column(column, justify="right")
    for row in table.rows:
        drawn.add_row(*row)
    console.print(drawn)


def markdown(tables: Iterable[Table]) -> str:
    parts = []
    for table in tables:
        lines = [f"## {table.title}", "", _line(table.head), _line(["--:"] * len(table.head))]
        lines += [_line(row) for row in table.rows]
        parts.append("\n".join([*lines, "", *table.notes]))
    return "\n\n".join(parts)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def circumstances(postgres: str) -> str:
    """What the figures hang on: cores and versions."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, Python {platform.python_version()}, PostgreSQL {postgres} (fsync on), {libraries}"
