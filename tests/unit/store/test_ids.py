"""Ids: of their time, and never twice, in no process and no thread."""

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from store.ids import new_id


def many(_: Any = None) -> list[UUID]:
    return [new_id() for _ in range(1_000)]


def test_an_id_is_of_version_7_and_tells_its_millisecond() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()

    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000


def test_a_forked_process_gives_ids_of_its_own() -> None:
    new_id()
    with multiprocessing.get_context("fork").Pool(2) as processes:
        theirs = processes.map(many, range(4))

    # What is random in them: the time differs anyhow.
    random = [made.int & (1 << 62) - 1 for ids in (*theirs, many()) for made in ids]
    assert len(set(random)) == len(random)


def test_threads_give_no_id_twice() -> None:
    with ThreadPoolExecutor(8) as threads:
        ids = [made for part in threads.map(many, range(16)) for made in part]

    assert len(set(ids)) == len(ids)
