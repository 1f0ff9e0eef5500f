"""The part of a list that a page shows."""

from collections.abc import Sequence
from typing import Any

from api.http.pages import MAX_OFFSET
from api.http.query import Query

PAGE = 50  # rows: some 30 KB


def offset_of(query: Query) -> int:
    """How many rows stand on the pages before. Raises Invalid."""
    return query.integer("offset", minimum=0, maximum=MAX_OFFSET, cut=True) or 0


def part(count: int, offset: int, rows: Sequence[Any]) -> dict[str, Any]:
    """What a template says of it and leads on by: rows of ``count`` from ``offset`` to ``end``."""
    return {"count": count, "offset": offset, "end": offset + len(rows)}
