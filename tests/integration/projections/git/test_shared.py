"""The commits that shares show are a function of the project's: the same in steps, by many at once, and once more; and checked."""

import asyncio

import psycopg
import pytest

from projections.git import check as git_check
from projections.git import shared as git_shared
from projections.git.history import Histories, forget
from projections.git.shared import shared_head
from store.postgres.pool import connect
from tests.integration.projections.git.test_history import PROJECTS, of_git, pool_of, rows
from tests.integration.projections.rebuild.test_rebuild import write

OWN = "SELECT project_id, sequence, oid FROM git_commits ORDER BY 1, 2"
SHARED = "SELECT project_id, sequence, oid FROM git_shared_commits ORDER BY 1, 2"

DAMAGES = {
    "UPDATE git_shared_commits SET seconds = seconds + 1 WHERE sequence = 1": "commit 1 is not",
    "DELETE FROM git_objects WHERE oid IN (SELECT oid FROM git_shared_commits WHERE sequence = 2)": "lacks",
    "UPDATE git_shared_commits SET sequence = 9999 WHERE sequence = 1": "its last commit is 9999",
}


async def heads(url: str, times: int = 1) -> list[bytes]:
    async with pool_of(url) as pool:
        asked = [
            shared_head(pool, Histories(pool), project_id) for project_id in PROJECTS for _ in range(times)
        ]
        return list(await asyncio.gather(*asked))


async def test_the_same_in_steps_by_many_and_once_more(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_shared, "BATCH", 7)
    await heads(fresh_database_url)
    await write(fresh_database_url, 41, 60)
    found = set(await heads(fresh_database_url, times=3))
    own, shared = rows(fresh_database_url, OWN), rows(fresh_database_url, SHARED)
    assert [row[:2] for row in own] == [row[:2] for row in shared]
    assert not {row[2] for row in own} & {row[2] for row in shared}
    assert await of_git(fresh_database_url) == ()

    async with await connect(fresh_database_url) as conn:
        await forget(conn)
    monkeypatch.setattr(git_shared, "BATCH", 500)
    assert set(await heads(fresh_database_url)) == found
    assert (rows(fresh_database_url, OWN), rows(fresh_database_url, SHARED)) == (own, shared)


async def test_verify_makes_them_once_more(fresh_database_url: str) -> None:
    await write(fresh_database_url, 43, 60)
    for wrong, told in DAMAGES.items():
        await heads(fresh_database_url)
        assert await of_git(fresh_database_url) == ()
        with psycopg.connect(fresh_database_url) as conn:
            assert conn.execute(wrong.encode()).rowcount > 0
        async with await connect(fresh_database_url) as conn:
            found = await git_check.differences(conn, 5)
            await forget(conn)
        assert told in " ".join(found), wrong
