"""``…/versions/01/yank`` yanked version 1, and ``name@03`` of MCP was version 3: one thing had many addresses."""

import pytest

from api.webhooks.controller import number_of
from domain.errors import NotFound
from tests.support.archives import skill_md
from tests.support.governing import with_scopes
from tests.support.space import Space, refusal

SPELLED = ("01", "1 ", "+1", "1_0", "\u0661", "0")


async def test_of_a_version_in_every_path(space: Space) -> None:
    full = await with_scopes(space, ["*"])
    await full.create("one")
    await full.publish("one", 1, body="Two.\n")
    files = [("files[]", ("two/SKILL.md", skill_md("two", body="One.\n")))]
    id = (await full.ok(200, await full.at("POST", "v1/skills", files=files)))["id"]
    share = (await full.ok(201, await full.post("shares/", {})))["url"].partition("//")[2].partition("/")[2]
    head = await full.head()
    for number in SPELLED:
        for way in ("yank", "unyank"):
            answer = await full.post(f"name/one/versions/{number}/{way}", {"reason": "x"})
            assert refusal(answer)[:2] == (404, "version_not_found"), number
        others = (
            f"v1/skills/{id}/versions/{number}",
            f"v1/skills/{id}/versions/{number}/content",
            f"/api/v1/skills/one/versions/1.0.{number}",
            f"/{share}/apm/v1/packages/skald/one/versions/1.0.{number}/download",
        )
        for address in others:
            assert (await full.at("GET", address)).status_code == 404, address
    assert await full.head() == head


@pytest.mark.parametrize("number", SPELLED)
def test_of_a_delivery(number: str) -> None:
    assert number_of("1") == 1
    with pytest.raises(NotFound):
        number_of(number)
