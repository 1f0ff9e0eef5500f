"""What processes show each other: whole, under its own name, or not at all."""

import os
from uuid import uuid4

import pytest

from api.cache import shared_memory as showing
from api.cache.shared_memory import PLACE, Encoded, SharedMemoryCache

ENTRY = Encoded(b'{"version":7}', b'"tag"', 12_345, 1 << 40)


@pytest.fixture
def board() -> SharedMemoryCache:
    return SharedMemoryCache()


def test_what_was_put_is_there(board: SharedMemoryCache) -> None:
    assert board.get(b"1/skill/one") is None
    board.put(b"1/skill/one", ENTRY)
    assert board.get(b"1/skill/one") == ENTRY
    assert board.get(b"1/prompt/one") is None
    newer = ENTRY._replace(body=b"{}", as_of=ENTRY.as_of + 1)
    board.put(b"1/skill/one", newer)
    assert board.get(b"1/skill/one") == newer


def test_two_names_in_one_place_are_told_apart(
    board: SharedMemoryCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "PLACES", 1)
    board.put(b"1/skill/one", ENTRY)
    for other in (b"1/skill/on", b"1/skill/one-more", b"2/skill/one", b""):
        assert board.get(other) is None
    board.put(b"1/skill/two", ENTRY)
    assert board.get(b"1/skill/one") is None
    assert board.get(b"1/skill/two") == ENTRY


def test_what_is_too_large_is_left_out_and_leaves_its_neighbours_alone(
    board: SharedMemoryCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "_start", lambda name: int(name) * PLACE)
    front = showing._front.size
    full = ENTRY._replace(body=b"x" * (PLACE - front - 1 - len(ENTRY.etag)))
    for name in (b"0", b"1", b"2"):
        board.put(name, full)
    board.put(b"1", full._replace(body=full.body + b"x", as_of=9))
    assert [board.get(name) for name in (b"0", b"1", b"2")] == [full] * 3


def test_a_torn_entry_is_none(board: SharedMemoryCache) -> None:
    name = b"1/skill/one"
    start = showing._start(name)
    board.put(name, ENTRY)
    written = board._map[start : start + 200]
    for at in range(showing._front.size + len(name) + len(ENTRY.etag) + len(ENTRY.body)):
        board._map[start + at] ^= 0xFF
        assert board.get(name) is None, at
        board._map[start : start + 200] = written
    assert board.get(name) == ENTRY


def test_processes_that_are_forked_share_it(board: SharedMemoryCache) -> None:
    """A child writes at full speed what the parent reads: never half of one entry and half of another."""
    name = uuid4().hex.encode()
    child = os.fork()
    if child == 0:
        for number in range(20_000):
            board.put(name, Encoded(b"%d" % (number % 10) * 3000, b"%d" % (number % 10), number % 10, number))
        os._exit(0)
    seen = set()
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if (entry := board.get(name)) is not None:
            digit = b"%d" % (entry.as_of % 10)
            assert entry == (digit * 3000, digit, int(digit), entry.as_of)
            seen.add(entry.as_of)
    assert len(seen) > 10
    assert board.get(name) == (b"9" * 3000, b"9", 9, 19_999)
