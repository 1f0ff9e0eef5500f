"""The organization, its projects and its people, as far as a key may see them."""

from uuid import uuid4

import pytest

from store.tables import identity
from tests.support.space import NewSpace, Space, refusal

AT = "/api/organizations/"


async def test_a_key_sees_its_own_projects_and_who_shares_them(space: Space, new_space: NewSpace) -> None:
    other = await new_space()
    [found] = (await space.ok(200, await space.at("GET", AT)))["results"]
    assert [project["id"] for project in found["projects"]] == [space.id]
    assert found["teams"] == found["projects"]
    assert await space.ok(200, await space.at("GET", f"{AT}{found['id']}/")) == found
    assert await space.ok(200, await space.at("GET", f"{AT}@current")) == found
    listed = await space.ok(200, await space.at("GET", f"{AT}@current/projects/"))
    assert [project["id"] for project in listed["results"]] == [space.id]
    one = await space.ok(200, await space.at("GET", f"{AT}@current/projects/{space.id}/"))
    assert [one] == listed["results"]
    assert (await space.at("GET", f"{AT}@current/projects/{other.id}/")).status_code == 403
    members = await space.ok(200, await space.at("GET", f"{AT}@current/members/"))
    people = [member["user"]["id"] for member in members["results"]]
    assert space.user.id in people
    assert people.count(space.user.id) == 1


async def test_members_are_found_by_name_domain_and_level(space: Space) -> None:
    address = f"zoe-{space.id}@members-{space.id}.example"
    zoe = await identity.create_user(space.conn, email=address, first_name="Zoë")
    key, _ = await identity.create_key(
        space.conn, email=address, scopes=["llm_skill:read"], project_ids=[space.id]
    )

    async def found(query: str) -> list[int]:
        page = await space.ok(200, await space.at("GET", f"{AT}@current/members/?{query}"))
        assert page["count"] == len(page["results"])
        return [member["user"]["id"] for member in page["results"]]

    assert await found(f"search=ZOE-{space.id}") == [zoe.id]
    assert await found(f"email_domain=members-{space.id}.example") == [zoe.id]
    assert await found(f"email_domain=members-{space.id}.example&levels=8,15") == []
    assert await found(f"email_domain=members-{space.id}.example&levels=1") == [zoe.id]
    await identity.revoke_key(space.conn, key.id)
    assert await found(f"email_domain=members-{space.id}.example") == []


@pytest.mark.parametrize("path", ["", "/projects", "/members"])
async def test_another_organization_is_unknown(space: Space, path: str) -> None:
    for id in (uuid4(), "x"):
        answer = await space.at("GET", f"{AT}{id}{path}")
        assert refusal(answer) == (404, "not_found", None)
    assert refusal(await space.at("GET", f"{AT}@current/members?limit=x")) == (400, "invalid_input", "limit")


async def test_a_user_by_uuid_is_the_one_of_the_key(space: Space) -> None:
    me = await space.ok(200, await space.at("GET", "/api/users/@me/"))
    assert await space.ok(200, await space.at("GET", f"/api/users/{me['uuid']}/")) == me
    assert (await space.at("GET", f"/api/users/{uuid4()}/")).status_code == 404
