"""A least-recently-used mapping that is bounded by the weight of what it holds."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LRU(Generic[K, V]):
    """Keeps entries up to ``capacity`` (bytes, or any unit that callers weigh in); a heavier entry is not kept."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.weight = 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V, weight: int = 1) -> None:
        entries = self._entries
        before = entries.pop(key, None)
        if before is not None:
            self.weight -= before[1]
        if weight > self.capacity:
            return
        entries[key] = (value, weight)
        self.weight += weight
        while self.weight > self.capacity:
            _, (_, freed) = entries.popitem(last=False)
            self.weight -= freed

    def drop(self, key: K) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.weight -= entry[1]

    def __len__(self) -> int:
        return len(self._entries)
