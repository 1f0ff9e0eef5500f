"""The tables of `make bench` about reads, storage and the start: each runs in a tiny form and gives rows that make sense."""

import re
from collections.abc import Iterator

import pytest

from benchmarks import beside_writer, cold, get, redis_cache, replicas, start, storage, turns
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import Stage, stage

# Beside the figures stands whether a target is met; here it does not matter.
TINY = Plan(rounds=1, warmup=0.05, seconds=0.25, workers=1)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("benchmarks")]


@pytest.fixture(scope="module")
def on() -> Iterator[Stage]:
    with stage() as servers:
        yield servers


def column(table: Table, name: str) -> list[str]:
    """The cells of the first column of that name."""
    assert {len(row) for row in table.rows} == {len(table.head)}
    return [row[table.head.index(name)] for row in table.rows]


def figures(table: Table, *names: str) -> list[float]:
    """The first number of each cell of those columns."""
    cells = [cell for name in names for cell in column(table, name)]
    return [float(re.sub(r"[^0-9.]", "", cell.split(" ", 1)[0])) for cell in cells]


def test_get_compares_skills_and_prompts_with_the_floor_and_304_with_200(
    on: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get, "CONNECTIONS", (4,))
    table = get.run(on, TINY)

    requests = zip(
        column(table, "request"), column(table, "connections"), column(table, "against"), strict=True
    )
    assert list(requests) == [
        ("skill", "4", "floor"),
        ("skill, 304", "4", "200"),
        ("prompt", "8", "floor"),
        ("prompt, 304", "8", "200"),
    ]
    assert min(figures(table, "Skald/s", "its/s", "ratio")) > 0
    assert all("≥ 0.5" in cell or "MISSES 0.5" in cell for cell in column(table, "ratio")[::2])


def test_beside_writer_counts_publishes_and_finds_nothing_stale(
    on: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside_writer, "CONNECTIONS", (4,))
    table = beside_writer.run(on, TINY)

    assert column(table, "connections") == ["4"]
    assert min(figures(table, "beside/s", "alone/s", "publishes/s", "checked reads")) > 0
    assert column(table, "stale") == ["0 ≤ 0"]


def test_cold_compares_reads_that_go_out_with_the_drivers(on: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold, "NAMES", 40)
    monkeypatch.setattr(cold, "CONCURRENT", (2,))
    table = cold.run(on, TINY)

    assert column(table, "from") == ["Redis", "PostgreSQL"]
    assert min(figures(table, "Reader/s", "driver/s", "ratio")) > 0


def test_replicas_take_reads_from_the_primary(on: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "REPLICAS", (0, 1))
    monkeypatch.setattr(replicas, "READS", {"list of 20": replicas.READS["list of 20"]})
    table = replicas.run(on, TINY)

    without, with_one = figures(table, "by a replica")
    assert without == 0 < with_one
    assert min(figures(table, "reads/s")) > 0


def test_redis_cache_spares_the_database_with_and_without(on: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_cache, "NAMES", 60)
    monkeypatch.setattr(redis_cache, "HOSTS", (1, 2))
    table = redis_cache.run(on, TINY)

    assert column(table, "hosts") == ["1", "2", "1, filled"]
    assert min(figures(table, "API µs", "without: API µs")) > 0


def test_storage_weighs_a_publish_with_files_like_one_without(
    on: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "BODIES", (2_000,))
    monkeypatch.setattr(storage, "FILES", 5)
    monkeypatch.setattr(storage, "SHORT", 50)
    table = storage.run(on, TINY)

    assert column(table, "files") == ["0", "5"]
    # 5 files of 200 KB: had they been written again, it would be 500 times the body.
    assert all(1 < times < 30 for times in figures(table, "times the body"))


def test_start_times_a_new_folder_and_one_that_is_there(on: Stage) -> None:
    table = start.run(on, TINY)

    assert column(table, "data folder") == ["new", "there already"]
    before, after = figures(table, "schema and key"), figures(table, "first 200 of a GET with the key")
    assert all(0 < earlier < later for earlier, later in zip(before, after, strict=True))


def test_turns_compare_two_checkouts_by_each_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(turns, "CLIENTS", (2,))
    monkeypatch.setattr(turns, "REQUESTS", ("publish", "304"))
    monkeypatch.setattr("sys.argv", ["turns", str(turns.HERE), "--rounds", "1", "--seconds", "0.1"])
    turns.main()

    shown = capsys.readouterr().out
    for request in ("publish", "304"):
        row = re.search(rf"{request} .*? 2 ((?:.*?[0-9.]+){{3}})", shown)
        assert row is not None, shown
        assert min(float(cell) for cell in re.findall(r"[0-9.]+", row[1])[:2]) >= 0
