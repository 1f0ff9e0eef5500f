"""The lines by which agents install the skills: one read-only key a user and project, shown once, replaced at once."""

import asyncio
from typing import Any

import pytest

from store.tables import identity
from tests.support.space import NewSpace, Space, refusal

PATH = "marketplace/install-command"
KEYS = [
    "status",
    "connected",
    "plugin_name",
    "marketplace_name",
    "label",
    "repo_url",
    "command",
    "command_template",
    "codex_command",
    "codex_command_template",
    "token",
    "mask_value",
    "created_at",
    "last_rolled_at",
]


async def shown(space: Space) -> dict[str, Any]:
    return await space.ok(200, await space.get(PATH))


async def made(space: Space, **body: Any) -> dict[str, Any]:
    return await space.ok(200, await space.post(PATH, json=body))


async def opens(space: Space, token: str, method: str = "GET", path: str = "llm_skills/") -> int:
    answer = await space.at(method, path, headers={"Authorization": f"Bearer {token}"}, json={})
    return answer.status_code


async def live_keys(space: Space) -> list[identity.Key]:
    found = await identity.list_keys(space.conn)
    return [
        key
        for key in found
        if key.label == "skill store" and key.project_ids == (space.id,) and not key.revoked_at
    ]


async def test_it_is_absent_then_created_then_there(space: Space) -> None:
    absent = await shown(space)
    assert list(absent) == KEYS
    assert (absent["status"], absent["connected"], absent["command"], absent["mask_value"]) == (
        "absent",
        False,
        None,
        None,
    )
    answer = await space.post(PATH, json={})
    created = await space.ok(200, answer)
    assert answer.headers["cache-control"] == "no-store"
    assert int(answer.headers["x-event-position"]) == await space.head()
    token = created["token"]
    name = f"skald-{space.id}"
    repository = f"/api/projects/{space.id}/llm_skills/marketplace.git"
    assert (created["status"], created["connected"], created["plugin_name"]) == ("created", True, name)
    assert created["repo_url"] == f"http://skald.test{repository}"
    assert created["command"] == (
        f"claude plugin marketplace add http://skald:{token}@skald.test{repository} && claude plugin install {name}@{name}"
    )
    assert created["codex_command"] == (
        f"codex plugin marketplace add http://skald:{token}@skald.test{repository} && codex plugin add {name}@{name}"
    )
    there = await made(space)
    assert (there["status"], there["token"]) == ("exists", None)
    assert there == await shown(space)
    assert there["command"] == created["command_template"].replace("{token}", there["mask_value"])
    assert token.startswith(there["mask_value"].rstrip("*"))
    assert (there["created_at"], there["last_rolled_at"]) == (created["created_at"], None)


async def test_its_key_may_read_the_skills_of_this_project_and_nothing_else(
    space: Space, new_space: NewSpace
) -> None:
    other = await new_space()
    token = (await made(space))["token"]
    assert await opens(space, token) == 200
    assert await opens(space, token, "POST") == 403
    assert await opens(space, token, path="llm_prompts/") == 403
    assert await opens(other, token) == 403


async def test_a_rotation_ends_the_old_token_at_once(space: Space) -> None:
    created = await made(space, rotate=True)
    # There was none to replace.
    assert created["status"] == "created"
    assert await opens(space, created["token"]) == 200
    rotated = await made(space, rotate=True)
    assert (rotated["status"], rotated["created_at"]) == ("rotated", created["created_at"])
    assert rotated["last_rolled_at"] > rotated["created_at"]
    assert await opens(space, created["token"]) == 401
    assert await opens(space, rotated["token"]) == 200
    assert len(await live_keys(space)) == 1


async def test_requests_at_once_make_one_key(space: Space) -> None:
    answers = await asyncio.gather(*(made(space) for _ in range(6)))
    assert sorted(answer["status"] for answer in answers) == ["created", *["exists"] * 5]
    rotated = await asyncio.gather(*(made(space, rotate=True) for _ in range(4)))
    tokens = [answer["token"] for answer in rotated if answer["token"] is not None]
    assert len(await live_keys(space)) == 1
    assert sorted([await opens(space, token) for token in tokens])[0] == 200
    assert [await opens(space, token) for token in tokens].count(200) == 1


async def test_one_that_was_revoked_is_absent_and_made_anew(space: Space) -> None:
    await made(space)
    [key] = await live_keys(space)
    await identity.revoke_key(space.conn, key.id)
    assert (await shown(space))["status"] == "absent"
    again = await made(space)
    assert (again["status"], again["last_rolled_at"]) == ("created", None)


async def test_each_user_has_a_key_of_their_own(space: Space) -> None:
    token = (await made(space))["token"]
    other = await identity.create_user(space.conn, email=f"install-{space.id}@example.com", first_name="Bob")
    _, key = await identity.create_key(
        space.conn, email=other.email, scopes=["llm_skill:write"], project_ids=[space.id]
    )
    mine = {"Authorization": f"Bearer {key}"}
    theirs = await space.at("POST", f"llm_skills/{PATH}", json={"rotate": True}, headers=mine)
    assert theirs.json()["status"] == "created"
    assert await opens(space, token) == 200


async def test_a_repeated_request_shows_no_token(space: Space) -> None:
    once = {"Idempotency-Key": f"install-{space.id}"}
    first = await space.post(PATH, json={"rotate": True}, headers=once)
    again = await space.post(PATH, json={"rotate": True}, headers=once)
    assert (first.json()["status"], again.json()["status"], again.json()["token"]) == (
        "created",
        "exists",
        None,
    )
    assert again.headers["idempotent-replayed"] == "true"
    assert await opens(space, first.json()["token"]) == 200


async def test_reading_is_enough_to_look_and_not_to_make(new_space: NewSpace) -> None:
    reader = await new_space(scopes=("llm_skill:read",))
    assert (await shown(reader))["status"] == "absent"
    assert (await reader.post(PATH, json={})).status_code == 403


@pytest.mark.parametrize("value", [1, "true", None])
async def test_rotate_is_a_boolean(space: Space, value: object) -> None:
    answer = await space.post(PATH, json={"rotate": value})
    assert refusal(answer)[0::2] == (400, "rotate")
    assert (await shown(space))["status"] == "absent"
