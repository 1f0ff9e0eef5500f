"""Resolve: which skill is picked, and the page of versions beside it (contract, section 4)."""

import asyncio
from typing import Any

import pytest
import pytest_asyncio

from tests.support.space import Space, refusal


@pytest_asyncio.fixture(loop_scope="session")
async def ids(space: Space) -> list[str]:
    """The ids of five versions of ``pdf-forms``, oldest first."""
    found = [(await space.create())["id"]]
    for number in range(1, 5):
        found.append((await space.publish("pdf-forms", number, body=f"body {number + 1}"))["id"])
    return found


async def resolve(space: Space, **query: Any) -> dict[str, Any]:
    return await space.ok(200, await space.get("resolve/name/pdf-forms", params=query))


def numbers(resolved: dict[str, Any]) -> list[int]:
    return [line["version"] for line in resolved["versions"]]


async def test_version_and_version_id_pick_the_skill(space: Space, ids: list[str]) -> None:
    for query in ({"version": 2}, {"version_id": ids[1]}, {"version": 2, "version_id": ids[1].upper()}):
        resolved = await resolve(space, **query)
        assert resolved["skill"] == await space.show(version=2)
        assert (resolved["skill"]["id"], resolved["skill"]["body"]) == (ids[1], "body 2")
        # The versions do not depend on the pick.
        assert numbers(resolved) == [5, 4, 3, 2, 1]
        assert [line["is_latest"] for line in resolved["versions"]] == [True, False, False, False, False]


async def test_picks_that_disagree(space: Space, ids: list[str]) -> None:
    for query in ({"version": 1, "version_id": ids[1]}, {"version": 5, "version_id": ids[0]}):
        answer = await space.get("resolve/name/pdf-forms", params=query)
        assert refusal(answer)[:2] == (404, "version_not_found")


async def test_the_id_of_another_skill_is_unknown(space: Space, ids: list[str]) -> None:
    other = await space.create("other")

    for query in ({"version_id": other["id"]}, {"version": 1, "version_id": other["id"]}):
        answer = await space.get("resolve/name/pdf-forms", params=query)
        assert refusal(answer)[:2] == (404, "version_not_found")
        assert answer.json()["available_versions"] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("query", "found", "more"),
    [
        ({"limit": 2}, [5, 4], True),
        ({"limit": 5}, [5, 4, 3, 2, 1], False),
        ({"limit": 100}, [5, 4, 3, 2, 1], False),
        ({"limit": 2, "offset": 2}, [3, 2], True),
        ({"limit": 2, "offset": 3}, [2, 1], False),
        ({"offset": 5}, [], False),
        ({"offset": 10**30}, [], False),
        ({"before_version": 3}, [2, 1], False),
        ({"before_version": 4, "limit": 2}, [3, 2], True),
        ({"before_version": 1}, [], False),
        ({"before_version": 10**30}, [5, 4, 3, 2, 1], False),
        ({"version": 1, "limit": 1}, [5], True),
    ],
    ids=str,
)
async def test_pages_of_versions(
    space: Space, ids: list[str], query: dict[str, int], found: list[int], more: bool
) -> None:
    resolved = await resolve(space, **query)

    assert (numbers(resolved), resolved["has_more"]) == (found, more)
    assert resolved["skill"]["version"] == query.get("version", 5)


async def test_offset_and_before_version_exclude_each_other(space: Space, ids: list[str]) -> None:
    for offset in (0, 1):
        answer = await space.get("resolve/name/pdf-forms", params={"offset": offset, "before_version": 2})
        assert refusal(answer)[0] == 400


async def test_fifty_versions_are_listed_by_default(space: Space) -> None:
    await space.create()
    for number in range(1, 52):
        await space.publish("pdf-forms", number)

    resolved = await resolve(space)

    assert (numbers(resolved), resolved["has_more"]) == (list(range(52, 2, -1)), True)
    assert numbers(await resolve(space, limit=100)) == list(range(52, 0, -1))


async def test_skill_and_versions_are_of_one_moment(space: Space) -> None:
    """While versions are published, each answer is one state: the latest of the skill is the latest of the list."""
    await space.create()

    async def publish() -> None:
        for number in range(1, 25):
            await space.publish("pdf-forms", number)

    writing = asyncio.create_task(publish())
    while not writing.done():
        for query in ({}, {"version": 1}):
            resolved = await resolve(space, **query)
            latest = resolved["skill"]["latest_version"]
            assert resolved["versions"][0]["version"] == latest
            assert [line["is_latest"] for line in resolved["versions"]][:2] == [True, False][: min(latest, 2)]
    await writing
