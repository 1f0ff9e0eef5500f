"""The garbage collector of commands that go through the whole log."""

import gc


def collect_seldom() -> None:
    """Look for cycles seldom: what a fold keeps grows and has none, and looking through it is a third of its time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 1000)
