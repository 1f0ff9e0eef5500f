"""The commits of a project are a function of the log: the same from the start, bit by bit, elsewhere, and once more."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from domain.artifacts.skills import Skill
from projections.git import check as git_check
from projections.git import history as git_history
from projections.git import packs as git_packs
from projections.git.history import Histories, bring_forward, forget
from projections.git.packs import FetchRequest, Repository
from projections.read import contents, packages, versions
from projections.read.versions import PageQuery
from projections.rebuild.rebuild import replay
from projections.rebuild.verify import verify
from store.log import archive
from store.log.appender import Appender
from store.postgres.connection import Connection
from store.postgres.pool import Pool, connect, open_pool
from tests.integration.projections.rebuild.test_rebuild import write
from tests.integration.projections.rebuild.test_replay import damage
from tests.support.histories import History, commit_of, created, published

PROJECTS = (1, 2)
MAX_DEPTH = 3
COMMITS = "SELECT project_id, sequence, position, oid, skills FROM git_commits ORDER BY 1, 2"


@asynccontextmanager
async def pool_of(url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(url, size=3)
    try:
        yield pool
    finally:
        await pool.close()


async def heads(url: str) -> list[bytes]:
    async with pool_of(url) as pool:
        return [await Histories(pool).head(project_id) for project_id in PROJECTS]


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as conn:
        return conn.execute(query.encode()).fetchall()


async def unpack(url: str, folder: Path, project_id: int) -> None:
    """All of a project, put into an empty repository by git itself."""

    def git(*command: str, given: bytes = b"") -> None:
        subprocess.run(["git", *command], cwd=folder, input=given, capture_output=True, check=True)

    async with pool_of(url) as pool:
        head = await Histories(pool).head(project_id)
        async with pool.connection() as conn:
            asked = FetchRequest(wants=(head,))
            places = await git_packs.locate(conn, Repository(project_id), asked)
            plan = await git_packs.plan(conn, Repository(project_id), asked, places)
        data = b"".join([part async for part in git_packs.pack(pool, project_id, plan)])
    git("init", "--quiet", "-b", "main")
    git("index-pack", "--stdin", "--strict", given=data)
    git("reset", "--quiet", "--hard", head.hex())


class Stored:
    """Contents as they are in the database."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    async def contents(self, digests: list[bytes]) -> Mapping[bytes, bytes]:
        return await contents.read(self._conn, digests)


async def installable(url: str, project_id: int) -> dict[str, bytes]:
    """What the read models say."""
    found: dict[str, bytes] = {}
    async with await connect(url) as conn:
        wanted = PageQuery(None, None, "name", 1000, 0)
        _, listed = await versions.page(conn, project_id, Skill.KIND, wanted)
        for row in listed:
            known = await versions.find(conn, versions.Lookup(project_id, Skill.KIND, row.name))
            assert known is not None
            assert known[1] is not None
            package = packages.package_of(known[1])
            async for path, data in packages.files(Stored(conn), package):
                found[f"{row.name}/{path}"] = data
    return found


@pytest.mark.parametrize("seed", [31, 32])
async def test_the_last_tree_is_what_can_be_installed(
    fresh_database_url: str, tmp_path: Path, seed: int
) -> None:
    await write(fresh_database_url, seed, 250)
    for project_id in PROJECTS:
        folder = tmp_path / str(project_id)
        folder.mkdir()
        await unpack(fresh_database_url, folder, project_id)
        skills = folder / "skills"
        held = {
            str(path.relative_to(skills)): path.read_bytes() for path in skills.rglob("*") if path.is_file()
        }
        assert held == await installable(fresh_database_url, project_id)


async def test_bit_by_bit_as_at_once_and_once_more(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_history, "MAX_DEPTH", MAX_DEPTH)
    appender, history = Appender(fresh_database_url), History(33)
    await appender.start()
    async with pool_of(fresh_database_url) as pool:
        histories = Histories(pool)
        for _ in range(30):
            for _ in range(5):
                await appender.append(history.next())
            for project_id in PROJECTS:
                await histories.head(project_id)
        await appender.close()
        before = rows(fresh_database_url, COMMITS)
        assert len(before) > 80
        async with pool.connection() as conn:
            for project, _, _, _, skills in before:
                assert isinstance(project, int)
                if isinstance(skills, bytes):
                    assert (await git_history.read_tree(conn, project, skills))[1] <= MAX_DEPTH
            await forget(conn)
        assert rows(fresh_database_url, COMMITS) == []
        for project_id in PROJECTS:
            await histories.head(project_id)
    assert rows(fresh_database_url, COMMITS) == before


async def test_what_builds_on_an_earlier_tree_counts_from_its_depth(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_history, "MAX_DEPTH", MAX_DEPTH)
    appender = Appender(fresh_database_url)
    await appender.start()
    async with pool_of(fresh_database_url) as pool:
        skills = []
        for name in ("a", "b", "c", "d"):
            skill, commit = created(name)
            skills.append(skill)
            await appender.append(commit)
        await bring_forward(pool, 1)
        # Back to the tree with three skills, and on from there, all in one batch.
        _, _, third, fourth = skills
        fourth.archive()
        await appender.append(commit_of(fourth))
        for _ in range(4):
            third, commit = published(third)
            await appender.append(commit)
        await bring_forward(pool, 1)
        await appender.close()
        stored = rows(
            fresh_database_url, "SELECT skills FROM git_commits WHERE sequence > 0 ORDER BY sequence"
        )
        async with pool.connection() as conn:
            depths = [(await git_history.read_tree(conn, 1, bytes(oid)))[1] for (oid,) in stored]  # type: ignore[call-overload]
    assert depths == [0, 1, 2, 3, 2, 3, 0, 1, 2]


async def test_equal_logs_have_equal_commits(
    fresh_database_url: str, migrated_copy: str, tmp_path: Path
) -> None:
    await write(fresh_database_url, 34, 120)
    archive.export(fresh_database_url, tmp_path / "log.tar.gz")
    archive.load(migrated_copy, tmp_path / "log.tar.gz")
    await replay(migrated_copy, notify=False)
    assert await heads(migrated_copy) == await heads(fresh_database_url)
    assert rows(migrated_copy, COMMITS) == rows(fresh_database_url, COMMITS)


async def test_several_processes_make_each_commit_once(fresh_database_url: str) -> None:
    await write(fresh_database_url, 35, 200)

    async def another() -> bytes:
        async with pool_of(fresh_database_url) as pool:
            return await bring_forward(pool, 1)

    found = set(await asyncio.gather(*(another() for _ in range(4))))
    assert len(found) == 1
    async with pool_of(fresh_database_url) as pool:
        histories = Histories(pool)
        assert set(await asyncio.gather(*(histories.head(1) for _ in range(10)))) == found


async def test_a_replay_that_puts_something_right_makes_the_commits_anew(fresh_database_url: str) -> None:
    await write(fresh_database_url, 36, 80)
    right = await heads(fresh_database_url)
    await replay(fresh_database_url)
    assert len(rows(fresh_database_url, COMMITS)) > 0
    damage(fresh_database_url)
    await replay(fresh_database_url)
    assert rows(fresh_database_url, COMMITS) == []
    assert await heads(fresh_database_url) == right


DAMAGES = {
    "UPDATE git_commits SET tree = oid WHERE (project_id, sequence) = (1, 7)": "project 1: commit 7 is not",
    "DELETE FROM git_commits WHERE (project_id, sequence) = (2, 3)": "project 2: commit 3 is not",
    "UPDATE git_repositories SET sequence = sequence - 1 WHERE project_id = 2": "project 2: its last commit is",
    "DELETE FROM git_objects WHERE (project_id, oid) = (SELECT project_id, tree FROM git_commits LIMIT 1)": "lacks",
    "UPDATE git_objects SET packed = substr(packed, 1, 9) WHERE (project_id, oid) = "
    "(SELECT project_id, oid FROM git_objects WHERE base IS NULL AND packed IS NOT NULL LIMIT 1)": "has other bytes",
    "UPDATE git_objects SET packed = (SELECT packed FROM git_objects WHERE kind = 1 LIMIT 1) WHERE (project_id, oid) = "
    "(SELECT project_id, oid FROM git_objects WHERE base IS NOT NULL LIMIT 1)": "has other bytes",
    "UPDATE git_objects SET start = 'x' WHERE (project_id, oid) = "
    "(SELECT project_id, oid FROM git_objects WHERE start <> '' LIMIT 1)": "has other bytes",
    "UPDATE git_objects SET executable = true WHERE (project_id, oid) = "
    "(SELECT project_id, oid FROM git_objects WHERE start = '' LIMIT 1)": "has other bytes",
}


async def test_verify_makes_the_commits_once_more(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (git_history, git_check):
        monkeypatch.setattr(module, "BATCH", 20)
    monkeypatch.setattr(
        git_history, "SELECT_CHANGES", git_history.SELECT_CHANGES.replace("LIMIT 200", "LIMIT 20")
    )
    await write(fresh_database_url, 37, 150)
    for wrong, told in DAMAGES.items():
        await heads(fresh_database_url)
        assert await of_git(fresh_database_url) == ()
        with psycopg.connect(fresh_database_url) as conn:
            assert conn.execute(wrong.encode()).rowcount > 0
        assert told in " ".join(await of_git(fresh_database_url)), wrong
        async with await connect(fresh_database_url) as conn:
            await forget(conn)
    checks = (await verify(fresh_database_url)).checks
    assert [check.holds for check in checks if "git" in check.name] == [True]


async def of_git(url: str) -> tuple[str, ...]:
    async with await connect(url) as conn:
        return await git_check.differences(conn, 5)
