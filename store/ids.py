"""Ids that sort by time, so that indexes grow at one end."""

import os
import time
from uuid import UUID


def new_id() -> UUID:
    """A random UUID of version 7 (RFC 9562): 48 bits of milliseconds, 74 random bits."""
    return UUID(int=(time.time_ns() // 1_000_000) << 80 | _random())


def _random() -> int:
    """The lower 80 bits: random, but for those that tell version and variant."""
    try:
        return _pool.pop()
    except IndexError:
        # One look at the kernel for many ids: it costs more than all else that an id takes.
        data = os.urandom(10 * 256)
        first, *others = (_marked(data[start : start + 10]) for start in range(0, len(data), 10))
        _pool.extend(others)
        return first


def _marked(random: bytes) -> int:
    return int.from_bytes(random, "big") & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62


_pool: list[int] = []
# Else two processes would give the same ids.
os.register_at_fork(after_in_child=_pool.clear)
