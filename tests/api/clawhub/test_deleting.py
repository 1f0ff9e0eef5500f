"""``clawhub delete`` and ``undelete``: an archive, a yank, and the ways back; and what tags show of it."""

from typing import Any

import httpx
import pytest

from tests.api.clawhub.test_reads import V1, get, keyed
from tests.support.space import NewSpace, Space, refusal


async def send(space: Space, method: str, place: str, json: Any = None) -> httpx.Response:
    return await space.at(method, f"{V1}/{place}", json=json)


async def test_a_skill_is_archived_and_comes_back(space: Space) -> None:
    await space.create()
    answer = await send(space, "DELETE", "skills/pdf-forms", {"reason": "old", "ownerHandle": "skald"})
    assert await space.ok(200, answer) == {"ok": True}
    assert int(answer.headers["x-event-position"]) == await space.head()
    assert refusal(await space.get("name/pdf-forms"))[:2] == (404, "not_found")
    again = await send(space, "DELETE", "skills/pdf-forms")
    assert refusal(again)[:2] == (404, "not_found")
    assert again.json()["detail"].startswith("Skill not found")
    assert await space.ok(200, await send(space, "POST", "skills/pdf-forms/undelete")) == {"ok": True}
    assert (await get(space, "skills/pdf-forms")).status_code == 200
    assert refusal(await send(space, "POST", "skills/pdf-forms/undelete"))[:2] == (400, "unique")


async def test_a_version_is_yanked_and_comes_back(space: Space) -> None:
    await space.create()
    await space.publish("pdf-forms", 1, body="# Two\n")
    place = "skills/pdf-forms/versions/1.0.2"
    for _ in range(2):
        assert await space.ok(200, await send(space, "DELETE", place, {"version": "1.0.2"})) == {"ok": True}
    found = (await get(space, "skills/pdf-forms")).json()
    assert found["latestVersion"]["version"] == "1.0.1"
    shown = (await space.get("name/pdf-forms", params={"version": 2})).json()
    assert shown["yanked"]["reason"] == "Deleted by clawhub."
    last = await send(space, "DELETE", "skills/pdf-forms/versions/1.0.1")
    assert refusal(last)[:2] == (409, "last_version")
    for release in ("1.0.3", "1.0.02", "2", "latest"):
        for method, behind in (("DELETE", ""), ("POST", "/restore")):
            answer = await send(space, method, f"skills/pdf-forms/versions/{release}{behind}")
            assert refusal(answer)[:2] == (404, "version_not_found"), release
    head = await space.head()
    assert await space.ok(200, await send(space, "POST", f"{place}/restore")) == {"ok": True}
    assert await space.head() == head + 1
    assert (await get(space, "skills/pdf-forms")).json()["latestVersion"]["version"] == "1.0.2"


async def test_tags_are_the_labels_of_versions_that_are_not_yanked(space: Space) -> None:
    await space.create()
    await space.publish("pdf-forms", 1, body="# Two\n")
    await space.publish("pdf-forms", 2, body="# Three\n")
    for label, number in (("live", 1), ("beta", 2)):
        await space.ok(201, await space.set_label(label, number))

    async def tags() -> dict[str, str]:
        one = (await get(space, "skills/pdf-forms")).json()["skill"]["tags"]
        [row] = (await get(space, "skills")).json()["items"]
        assert row["tags"] == one
        return dict(one)

    assert await tags() == {"latest": "1.0.3", "beta": "1.0.2", "live": "1.0.1"}
    query = {"path": "SKILL.md", "tag": "beta"}
    assert "# Two" in (await get(space, "skills/pdf-forms/file", **query)).text
    assert (await get(space, "skills/pdf-forms/file", path="SKILL.md", tag="latest")).text.endswith("Three\n")
    both = await get(space, "download", slug="pdf-forms", tag="live", version="1.0.1")
    assert refusal(both) == (400, "invalid_input", "tag")
    assert (await get(space, "download", slug="pdf-forms", tag="live")).status_code == 200
    assert refusal(await get(space, "download", slug="pdf-forms", tag="none"))[:2] == (404, "not_found")

    await space.ok(200, await send(space, "DELETE", "skills/pdf-forms/versions/1.0.2"))
    assert await tags() == {"latest": "1.0.3", "live": "1.0.1"}
    assert refusal(await get(space, "skills/pdf-forms/file", **query))[:2] == (410, "yanked")


CHANGES = (
    ("DELETE", "skills/pdf-forms"),
    ("POST", "skills/pdf-forms/undelete"),
    ("DELETE", "skills/pdf-forms/versions/1.0.1"),
    ("POST", "skills/pdf-forms/versions/1.0.1/restore"),
)


async def test_it_needs_a_key_that_writes_and_stays_in_its_project(space: Space, new_space: NewSpace) -> None:
    await space.create()
    await space.publish("pdf-forms", 1, body="# Two\n")
    reading, other = await keyed(space, "llm_skill:read"), await new_space()
    head = await space.head()
    for method, place in CHANGES:
        assert refusal(await send(reading, method, place))[:2] == (403, "permission_denied")
        assert refusal(await send(other, method, place))[0] == 404
    assert await space.head() == head


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_there_are_no_stars(space: Space, method: str) -> None:
    answer = await send(space, method, "stars/pdf-forms")
    assert refusal(answer)[:2] == (404, "not_found")
    assert "keeps no stars" in answer.json()["detail"]
