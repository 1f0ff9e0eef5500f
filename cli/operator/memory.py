"""The garbage collector of commands that go through the whole log."""

import gc

from api.config import GC_THRESHOLD


def collect_seldom() -> None:
    """Look for cycles seldom: what a fold keeps grows and has none, and looking through it is a third of its time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
