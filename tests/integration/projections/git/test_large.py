"""A repository that takes long to make is made behind the requests for it; of too many skills there is none."""

import asyncio

import pytest

from projections.git import history as git_history
from projections.git.history import BeingMade, Histories, NotServed, TooManySkills, bring_forward
from projections.git.shared import shared_head
from store.log.log import append
from store.postgres.pool import connect
from tests.integration.projections.git.test_history import pool_of
from tests.support.histories import commit_of, new_skill

SKILLS = 25


@pytest.fixture
async def url(fresh_database_url: str) -> str:
    async with await connect(fresh_database_url) as conn:
        for number in range(SKILLS):
            await append(conn, [commit_of(*new_skill(f"skill-{number}"))])
    return fresh_database_url


async def test_the_making_goes_on_behind_a_request_that_waits_no_longer(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pool_of(url) as pool:
        # The lock of the repository keeps the first batch from being made.
        async with pool.connection() as conn, conn.transaction():
            await git_history.lock_repository(conn, 1)
            histories = Histories(pool, wait=0.05)
            with pytest.raises(BeingMade, match="0% so far"):
                await histories.head(1)
            with pytest.raises(BeingMade):
                await shared_head(pool, histories, 1)
        while True:
            try:
                head = await histories.head(1)
                break
            except BeingMade:
                await asyncio.sleep(0.05)
        assert head == await bring_forward(pool, 1)
        await histories.close()


async def test_all_who_wait_share_one_making_and_see_what_came_while_it_ran(url: str) -> None:
    async with pool_of(url) as pool:
        histories = Histories(pool)
        found = await asyncio.gather(*(histories.head(1) for _ in range(5)))
        async with pool.connection() as conn:
            await append(conn, [commit_of(*new_skill("another"))])
        later = await histories.head(1)
        assert len(set(found)) == 1
        assert later == await bring_forward(pool, 1) != found[0]


async def test_of_too_many_skills_there_is_no_repository_unless_it_is_there(url: str) -> None:
    async with pool_of(url) as pool:
        with pytest.raises(TooManySkills, match=f"{SKILLS} skills.*at most {SKILLS - 1}") as refused:
            await Histories(pool, max_skills=SKILLS - 1).head(1)
        assert isinstance(refused.value, NotServed)
        head = await Histories(pool, max_skills=SKILLS).head(1)
        assert await Histories(pool, max_skills=1).head(1) == head


async def test_what_cannot_be_made_fails_all_who_wait_and_is_tried_again(url: str) -> None:
    async with pool_of(url) as pool:
        histories = Histories(pool)
        async with pool.connection() as conn:
            await conn.execute("UPDATE versions SET package = NULL")
        for _ in range(2):
            found = await asyncio.gather(*(histories.head(1) for _ in range(2)), return_exceptions=True)
            assert [type(one) for one in found] == [git_history.NotRendered] * 2
