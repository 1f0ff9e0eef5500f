"""The log as a file: out of one database, into another, with every position and id."""

import tarfile
from io import BytesIO
from pathlib import Path

import psycopg
import pytest

from projections.rebuild.rebuild import replay
from projections.rebuild.verify import verify
from store.log import archive
from store.log.archive import ArchiveError
from store.postgres.pool import connect
from store.tables.identity import create_project, create_user
from tests.integration.projections.rebuild.test_rebuild import write
from tests.support import invariants

LOG = "SELECT * FROM events ORDER BY position"
CONTENTS = "SELECT * FROM contents ORDER BY digest"
PEOPLE = "SELECT id, uuid, email FROM users ORDER BY id"
PROJECTS = "SELECT id, name, api_token FROM projects ORDER BY id"


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as conn:
        return conn.execute(query.encode()).fetchall()


@pytest.fixture
async def source(fresh_database_url: str) -> str:
    async with await connect(fresh_database_url) as conn:
        await create_project(conn, "One")
        await create_project(conn, "Two")
        await create_user(conn, email="ada@example.org", first_name="Ada")
    await write(fresh_database_url, 21, 150)
    return fresh_database_url


async def test_there_and_back(
    source: str, migrated_copy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "CHUNK", 40)
    file = tmp_path / "log.tar.gz"
    seen: list[int] = []
    about = archive.export(source, file, progress=lambda position, _: seen.append(position))
    assert about.position == 150
    assert seen == [40, 80, 120, 150]

    archive.load(migrated_copy, file)
    await replay(migrated_copy, notify=False)

    for query in (LOG, CONTENTS, PEOPLE, PROJECTS):
        assert rows(migrated_copy, query) == rows(source, query)
    assert (await verify(migrated_copy)).sound
    invariants.check(migrated_copy)
    async with await connect(migrated_copy) as conn:
        assert (await create_project(conn, "Three")).id == 3


async def test_only_into_an_empty_log(source: str, tmp_path: Path) -> None:
    file = tmp_path / "log.tar.gz"
    archive.export(source, file)
    with pytest.raises(ArchiveError, match="has a log already"):
        archive.load(source, file)


def rewrite(file: Path, change: str) -> None:
    """Damage an archive: ``cut`` drops its last member, ``content`` alters one, ``gap`` drops the first event."""
    with tarfile.open(file) as tar:
        members = [(member, (tar.extractfile(member) or BytesIO()).read()) for member in tar]
    if change == "cut":
        members.pop()
    with tarfile.open(file, "w:gz") as tar:
        for member, original in members:
            data = original
            if change == "content" and member.name.startswith("contents/"):
                data = data + b"!"
            if change == "gap" and member.name.startswith("events/"):
                data = data.partition(b"\n")[2]
            member.size = len(data)
            tar.addfile(member, BytesIO(data))


@pytest.mark.parametrize(
    ("change", "said"), [("cut", "it ends at"), ("content", "is damaged"), ("gap", "is missing")]
)
async def test_a_damaged_archive_leaves_nothing_behind(
    source: str, migrated_copy: str, tmp_path: Path, change: str, said: str
) -> None:
    file = tmp_path / "log.tar.gz"
    archive.export(source, file)
    rewrite(file, change)
    with pytest.raises(ArchiveError, match=said):
        archive.load(migrated_copy, file)
    assert rows(migrated_copy, LOG) == []
    assert rows(migrated_copy, CONTENTS) == []


def test_what_is_no_archive_is_refused(fresh_database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "no.tar.gz"
    file.write_bytes(b"hello")
    with pytest.raises(ArchiveError, match="cannot be read"):
        archive.load(fresh_database_url, file)
