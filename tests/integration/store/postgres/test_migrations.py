"""Numbered files, applied once each, whatever happens in between."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from cli.schema import FOLDERS
from cli.schema import migrate as migrate_all
from store.postgres.migrate import MigrationError, collect, migrate


def files(folder: Path, **texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name.removeprefix('m')}.sql").write_text(text)
    return folder


def applied(url: str) -> list[tuple[int, str]]:
    with psycopg.connect(url) as conn:
        return conn.execute("SELECT number, name FROM schema_migrations ORDER BY number").fetchall()


async def test_all_rooms_in_one_order_and_only_once(empty_database_url: str) -> None:
    names = await migrate_all(empty_database_url)
    assert names == sorted(file.name for folder in FOLDERS for file in folder.glob("*.sql"))
    assert await migrate_all(empty_database_url) == []
    assert [f"{name}.sql" for _, name in applied(empty_database_url)] == names


async def test_several_processes_at_once_apply_each_file_once(empty_database_url: str) -> None:
    results = await asyncio.gather(*(migrate_all(empty_database_url) for _ in range(4)))
    assert sorted(map(len, results))[:3] == [0, 0, 0]
    assert len(max(results, key=len)) == len(applied(empty_database_url))


async def test_a_new_file_is_added(empty_database_url: str, tmp_path: Path) -> None:
    one = files(tmp_path / "one", m0001_a="CREATE TABLE a ()")
    assert await migrate(empty_database_url, [one]) == ["0001_a.sql"]
    two = files(tmp_path / "two", m0002_b="CREATE TABLE b ()")
    assert await migrate(empty_database_url, [one, two]) == ["0002_b.sql"]


async def test_a_changed_file_is_refused_and_nothing_is_applied(
    empty_database_url: str, tmp_path: Path
) -> None:
    folder = files(tmp_path / "one", m0001_a="CREATE TABLE a ()")
    await migrate(empty_database_url, [folder])
    files(folder, m0001_a="CREATE TABLE other ()", m0002_b="CREATE TABLE b ()")
    with pytest.raises(MigrationError, match=r"0001_a\.sql was changed"):
        await migrate(empty_database_url, [folder])
    assert applied(empty_database_url) == [(1, "0001_a")]


async def test_a_file_that_fails_leaves_nothing_of_itself(empty_database_url: str, tmp_path: Path) -> None:
    folder = files(
        tmp_path / "one",
        m0001_a="CREATE TABLE a ()",
        m0002_b="CREATE TABLE b (); SELECT 1 / 0; CREATE TABLE c ()",
    )
    with pytest.raises(psycopg.errors.DivisionByZero):
        await migrate(empty_database_url, [folder])
    assert applied(empty_database_url) == [(1, "0001_a")]
    with psycopg.connect(empty_database_url) as conn:
        assert conn.execute("SELECT to_regclass('a'), to_regclass('b')").fetchone() == ("a", None)
    files(folder, m0002_b="CREATE TABLE b ()")
    assert await migrate(empty_database_url, [folder]) == ["0002_b.sql"]


def test_a_number_used_twice_is_refused(tmp_path: Path) -> None:
    one, two = files(tmp_path / "one", m0001_a=""), files(tmp_path / "two", m0001_b="")
    with pytest.raises(MigrationError, match="share a number"):
        collect([one, two])


def test_the_numbers_of_all_rooms_leave_no_gap() -> None:
    numbers = [int(file.name[:4]) for file in collect(FOLDERS)]
    assert numbers == list(range(1, len(numbers) + 1))
