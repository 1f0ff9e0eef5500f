"""Shares that serve a label: no door of them shows a skill without it, and a moved label changes what all of them show."""

import io
import zipfile
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.space import Space, file, refusal

DOORS = [
    "/.well-known/agent-skills/index.json",
    "/.well-known/skills/index.json",
    "/skills/index.json",
]


class Served:
    """``one`` has ``live`` at its first of two versions, ``two`` has it nowhere."""

    def __init__(self, space: Space, token: str) -> None:
        self.space, self.root = space, f"/s/{token}"

    async def get(self, path: str) -> httpx.Response:
        return await self.space.at("GET", self.root + path, headers={"Authorization": ""})

    async def index(self) -> list[dict[str, Any]]:
        return list((await self.space.ok(200, await self.get(DOORS[0])))["skills"])


@pytest_asyncio.fixture(loop_scope="session")
async def served(space: Space) -> Served:
    await space.create("one", body="# First\n", files=[file("a.txt", "first")])
    await space.publish("one", 1, body="# Second\n", files=[file("a.txt", "second")])
    await space.create("two")
    await space.set_label("live", 1, "one")
    share = await space.ok(201, await space.post("shares/", {"serve_label": "live"}))
    assert share["serve_label"] == "live"
    return Served(space, share["token"])


async def test_every_index_has_what_has_the_label_and_nothing_else(served: Served) -> None:
    for door in DOORS:
        text = (await served.get(door)).text
        assert "one" in text
        assert "two" not in text
    [entry] = await served.index()
    assert entry["description"] == "Fill in PDF forms."
    first = (await served.space.show("one", version=1))["id"]
    assert entry["url"].endswith(f"version_id={first}")


async def test_files_and_archives_are_those_of_the_labeled_version(served: Served) -> None:
    for path in ("/.well-known/agent-skills/one/a.txt", "/.well-known/skills/one/a.txt", "/skills/one/a.txt"):
        assert (await served.get(path)).text == "first"
    assert "# First" in (await served.get("/skills/one/SKILL.md")).text
    answer = await served.get("/.well-known/agent-skills/one.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.read("a.txt") == b"first"


async def test_a_skill_without_the_label_is_as_one_that_never_was(served: Served) -> None:
    for place in ("/.well-known/agent-skills", "/.well-known/skills", "/skills"):
        answers = [await served.get(f"{place}/{name}/SKILL.md") for name in ("two", "twoo")]
        assert {refusal(answer)[:2] for answer in answers} == {(404, "not_found")}
        assert [answer.text.replace("twoo", "two") for answer in answers] == [answers[0].text] * 2
        assert "suggestions" not in answers[1].json()
    assert (await served.get("/.well-known/agent-skills/two.zip")).status_code == 404


async def test_a_moved_label_changes_what_is_served_and_what_was_listed_can_still_be_got(
    served: Served,
) -> None:
    space = served.space
    [before] = await served.index()
    await space.set_label("live", 2, "one")

    [entry] = await served.index()
    assert entry["digest"] != before["digest"]
    assert (await served.get("/skills/one/a.txt")).text == "second"
    # An installer had the index a moment ago.
    assert (await served.get(f"/.well-known/agent-skills/{before['url']}")).status_code == 200

    await space.publish("one", 2, body="# Third\n")
    third = (await space.show("one"))["id"]
    assert [await served.index()] == [[entry]]
    hidden = await served.get(f"/.well-known/agent-skills/one/SKILL.md?version_id={third}")
    assert hidden.status_code == 404
    await space.delete("name/one/labels/live")
    assert await served.index() == []
    for path in (f"/.well-known/agent-skills/{before['url']}", "/skills/one/SKILL.md"):
        assert (await served.get(path)).status_code == 404
    await space.set_label("live", 1, "two")
    assert [one["name"] for one in await served.index()] == ["two"]


async def test_a_version_that_had_the_label_before_the_share_was_made_is_not_in_it(space: Space) -> None:
    await space.create("one", body="# First\n")
    await space.set_label("live", 1, "one")
    await space.publish("one", 1, body="# Second\n")
    await space.set_label("live", 2, "one")
    share = await space.ok(201, await space.post("shares/", {"serve_label": "live"}))
    first = (await space.show("one", version=1))["id"]

    answer = await space.at(
        "GET", f"/s/{share['token']}/.well-known/agent-skills/one/SKILL.md?version_id={first}"
    )

    assert answer.status_code == 404


async def test_an_earlier_name_leads_on_only_to_what_has_the_label(served: Served) -> None:
    space = served.space
    for name, new in (("one", "uno"), ("two", "dos")):
        await space.ok(200, await space.post(f"name/{name}/rename", {"new_name": new}))
    led = await served.get("/skills/one/SKILL.md")
    assert (led.status_code, "uno" in led.headers["location"]) == (302, True)
    hidden = await served.get("/skills/two/SKILL.md")
    assert hidden.status_code == 404
    assert "dos" not in hidden.text


async def test_a_share_without_one_serves_the_latest_of_all(served: Served) -> None:
    space = served.space
    share = await space.ok(201, await space.post("shares/", {"serve_label": None}))
    assert share["serve_label"] is None
    every = Served(space, share["token"])
    assert [one["name"] for one in await every.index()] == ["one", "two"]
    page = (await space.get("shares/")).json()["results"]
    assert [row["serve_label"] for row in page] == [None, "live"]


@pytest.mark.parametrize(("label", "code"), [
    ("latest", "reserved_name"),
    ("Live", "invalid_name"),
    ("7", "reserved_name"),
    ("", "blank"),
    ("a" * 129, "max_length"),
    (1, "invalid_input"),
])  # fmt: skip
async def test_what_is_no_label_makes_no_share(space: Space, label: Any, code: str) -> None:
    head = await space.head()
    answer = await space.post("shares/", {"serve_label": label})
    assert refusal(answer) == (400, code, "serve_label")
    assert await space.head() == head
