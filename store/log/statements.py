"""Set-based writes that ride in the transaction of an append."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = tuple[Any, ...]


# RESULTS.md: "the rows of an append taken apart in a select list"
def arrays(columns: str) -> str:
    """SQL for the rows of as many arrays as there are columns, each written as "name type", between commas.

    In a select list, because each array behind FROM gets a store of its own: PostgreSQL takes 16 KB for it from the system
    and, depending on what the connection ran before, gives them back with every statement. The page faults then cost an
    append of one version 120 µs on top of 200.
    """
    named = (column.split() for column in columns.split(","))
    return f"(SELECT {', '.join(f'unnest(%s::{type}[]) AS {name}' for name, type in named)})"


class SetStatement:
    """One SQL statement that takes any number of rows at once, a column an array (see ``arrays``).

    Each placeholder names its type; ``store.postgres.pipeline`` knows which there are.
    ``rank`` orders the statements of one transaction; equal statements of several commits run as one.
    The SQL may join ``events`` on (stream_id, stream_version): the events of the commit are there before it runs.
    """

    __slots__ = ("name", "rank", "sql")

    def __init__(self, name: str, rank: int, sql: str) -> None:
        self.name = name
        self.rank = rank
        self.sql = sql

    def __repr__(self) -> str:
        return f"SetStatement({self.name})"

    @staticmethod
    def columns(rows: Sequence[Row]) -> list[list[Any]]:
        """Rows turned into the arrays that the statement takes."""
        return [list(column) for column in zip(*rows, strict=True)]


Writes = Mapping[SetStatement, Sequence[Row]]

# Refuses the append, as a StreamConflict, unless these streams end at these versions (0: nothing): what a commit relies on and
# does not write. Behind the events, and so of a batch, too: of two commits that exclude each other one is tried again.
UNCHANGED = SetStatement(
    "events.unchanged",
    1,
    f"SELECT check_unchanged(stream_id, stream_version) FROM {arrays('stream_id uuid, stream_version int')} AS relied",
)


def merge(parts: Sequence[Writes]) -> list[tuple[SetStatement, list[Row]]]:
    """The rows of several commits gathered by statement, in the order in which the statements run."""
    gathered: dict[SetStatement, list[Row]] = {}
    for part in parts:
        for statement, rows in part.items():
            if rows:
                gathered.setdefault(statement, []).extend(rows)
    return sorted(gathered.items(), key=lambda item: item[0].rank)
