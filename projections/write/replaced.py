"""The rows of lists that are replaced whole: each stands from the event that set it to the one that replaced it."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from store.log.statements import Row


class ReplacedLists:
    """The rows that the events of a batch bring, and the ends of those of before.

    ``set`` rows are those given, each with the stream versions of its beginning and, where that is in the batch, its end.
    """

    def __init__(self) -> None:
        self.set: list[Row] = []
        self.ended: list[Row] = []
        # Where the rows of a stream that have no end yet stand among those of the batch.
        self._open: dict[UUID, range] = {}

    def replace(self, stream: UUID, version: int, rows: Iterable[tuple[Any, ...]]) -> None:
        """``rows`` are those of the list that event ``version`` of the stream sets; the first event replaces none."""
        self._end(stream, version)
        start = len(self.set)
        self.set += [(stream, *row, version, None) for row in rows]
        self._open[stream] = range(start, len(self.set))

    def _end(self, stream: UUID, version: int) -> None:
        places = self._open.get(stream)
        if places is None:
            if version > 1:
                self.ended.append((stream, version))
            return
        for place in places:
            self.set[place] = (*self.set[place][:-1], version)
