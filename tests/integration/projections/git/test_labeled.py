"""The commits of a label are a function of the log: the same in steps, by many at once, and once more; and checked."""

import asyncio

import psycopg
import pytest

from projections.git.history import Histories, forget
from projections.git.labeled import labeled_head, labeled_repository
from store.postgres.pool import connect
from tests.integration.projections.git.test_history import PROJECTS, of_git, pool_of, rows
from tests.integration.projections.rebuild.test_rebuild import write

LABELS = ("production", "staging", "none")
COMMITS = """
SELECT git_labels.project_id, label, sequence, oid FROM git_commits JOIN git_labels ON id = git_commits.project_id
ORDER BY 1, 2, 3
"""
DAMAGES = {
    "UPDATE git_commits SET seconds = seconds + 1 WHERE sequence = 1 AND project_id > 1000": "commit 1 is not",
    "UPDATE git_repositories SET sequence = 9999 WHERE project_id > 1000": "its last commit is 9999",
}


async def heads(url: str, times: int = 1) -> list[bytes]:
    async with pool_of(url) as pool:

        async def head(project_id: int, label: str) -> bytes:
            return await labeled_head(
                pool, Histories(pool), await labeled_repository(pool, project_id, label)
            )

        asked = [head(project, label) for project in PROJECTS for label in LABELS for _ in range(times)]
        return list(await asyncio.gather(*asked))


@pytest.mark.parametrize("seed", [41, 42])
async def test_the_same_in_steps_by_many_and_once_more(fresh_database_url: str, seed: int) -> None:
    await heads(fresh_database_url)
    await write(fresh_database_url, seed, 80)
    found = set(await heads(fresh_database_url, times=3))
    made = rows(fresh_database_url, COMMITS)
    assert {row[1] for row in made} == set(LABELS)
    assert len(made) > 3 * len(PROJECTS) * len(LABELS) // 2
    assert await of_git(fresh_database_url) == ()

    async with await connect(fresh_database_url) as conn:
        await forget(conn)
    assert set(await heads(fresh_database_url)) == found
    assert rows(fresh_database_url, COMMITS) == made


async def test_verify_makes_them_once_more(fresh_database_url: str) -> None:
    await write(fresh_database_url, 43, 60)
    for wrong, told in DAMAGES.items():
        await heads(fresh_database_url)
        assert await of_git(fresh_database_url) == ()
        with psycopg.connect(fresh_database_url) as conn:
            assert conn.execute(wrong.encode()).rowcount > 0
        differences = await of_git(fresh_database_url)
        assert any(told in one and "label" in one for one in differences), (wrong, differences)
        async with await connect(fresh_database_url) as conn:
            await forget(conn)


async def test_a_label_of_another_project_is_another_repository(fresh_database_url: str) -> None:
    async with pool_of(fresh_database_url) as pool:
        numbers = {(await labeled_repository(pool, project, "live")).id for project in PROJECTS}
        assert len(numbers) == len(PROJECTS)
        assert min(numbers) >= 2**47
        again = await asyncio.gather(*(labeled_repository(pool, PROJECTS[0], "live") for _ in range(5)))
        assert len(set(again)) == 1
