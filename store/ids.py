"""Ids that sort by time, so that indexes grow at one end."""

import os
import time
from uuid import UUID


def new_id() -> UUID:
    """A random UUID of version 7 (RFC 9562): 48 bits of milliseconds, 74 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(_random(), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def _random() -> bytes:
    """10 random bytes."""
    try:
        return _pool.pop()
    except IndexError:
        # One look at the kernel for many ids: it costs more than all else that an id takes.
        data = os.urandom(10 * 256)
        _pool.extend(data[start : start + 10] for start in range(10, len(data), 10))
        return data[:10]


_pool: list[bytes] = []
# Else two processes would give the same ids.
os.register_at_fork(after_in_child=_pool.clear)
