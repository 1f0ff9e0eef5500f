"""Reads of the past by ``position`` and ``as_of``: what they mean, and how they are refused."""

from typing import Any
from uuid import UUID

import pytest

from tests.support.prompt_space import PromptSpace
from tests.support.space import NewSpace, Space, file, refusal

AFTER_ALL = 10**12


async def instant(space: Space, position: int) -> str:
    row = await (
        await space.conn.execute("SELECT recorded_at FROM events WHERE position = %s", (position,))
    ).fetchone()
    assert row is not None
    at: str = row[0].isoformat()
    return at


async def test_a_past_version_is_the_latest_again(space: Space) -> None:
    before = await space.head()
    first = await space.create()
    then = await space.head()
    await space.publish("pdf-forms", 1, body="# Two\n")
    past = await space.show(position=then)
    assert past == first
    assert past["is_latest"] is True
    assert (await space.show(as_of=await instant(space, then))) == past
    assert (await space.get("name/pdf-forms", params={"position": before})).status_code == 404
    assert await space.names(position=before) == []
    assert await space.names(position=then) == ["pdf-forms"]


async def test_a_later_version_does_not_exist_yet(space: Space) -> None:
    await space.create()
    then = await space.head()
    later = await space.publish("pdf-forms", 1, body="# Two\n")
    for query in ({"version": 2}, {"version": 2**40}):
        answer = await space.get("name/pdf-forms", params={**query, "position": then})
        assert refusal(answer)[:2] == (404, "version_not_found")
        assert answer.json()["available_versions"] == [1]
    by_id = await space.get("resolve/name/pdf-forms", params={"version_id": later["id"], "position": then})
    assert refusal(by_id)[:2] == (404, "version_not_found")


async def test_an_archived_name_is_there_in_the_past_and_each_life_is_its_own(space: Space) -> None:
    first = await space.create(description="The first life")
    lived = await space.head()
    await space.post("name/pdf-forms/archive")
    archived = await space.head()
    second = await space.create(description="The second life")
    assert await space.show(position=lived) == first
    assert (await space.get("name/pdf-forms", params={"position": archived})).status_code == 404
    assert (await space.show(position=await space.head()))["id"] == second["id"]
    assert await space.names(position=archived) == []
    assert await space.names(position=lived, search="first") == ["pdf-forms"]
    assert await space.names(position=lived, search="second") == []


async def test_the_id_of_a_version_leads_to_the_name_that_it_had(space: Space) -> None:
    first = await space.create()
    then = await space.head()
    later = await space.publish("pdf-forms", 1, body="# Two\n")
    await space.post("name/pdf-forms/archive")
    assert (await space.get(f"name/{first['id']}")).status_code == 404
    found = await space.get(f"name/{first['id']}", params={"position": then})
    assert found.status_code == 302
    assert found.headers["location"].endswith(f"/name/pdf-forms?position={then}")
    assert (await space.get(f"name/{later['id']}", params={"position": then})).status_code == 404
    assert (await space.get(f"name/{UUID(int=1)}", params={"position": then})).status_code == 404


async def test_close_names_are_those_of_then(space: Space) -> None:
    await space.create("pdf-forms")
    then = await space.head()
    await space.post("name/pdf-forms/archive")
    await space.create("pdf-form-two")
    answer = await space.get("name/pdf-form", params={"position": then})
    assert answer.json()["suggestions"] == ["pdf-forms"]
    assert (await space.get("name/pdf-form")).json()["suggestions"] == ["pdf-form-two"]


async def test_a_search_with_a_label_finds_by_the_latest_text_as_it_does_now(prompts: PromptSpace) -> None:
    await prompts.create("agent", "the old words")
    await prompts.set_label("prod", 1)
    await prompts.publish(1, "agent", prompt="quite new")
    then = await prompts.space.head()
    for query in ({}, {"position": then}):
        assert await prompts.names(label="prod", search="new", **query) == ["agent"]
        assert await prompts.names(label="prod", search="old words", **query) == []


async def test_links_keep_the_moment(space: Space) -> None:
    for name in ("ant", "bee", "cat"):
        await space.create(name)
    then = await space.head()
    await space.post("name/bee/archive")
    page = (await space.get("", params={"position": then, "order_by": "name", "limit": 1})).json()
    seen = []
    while True:
        seen += [row["name"] for row in page["results"]]
        assert page["count"] == 3
        if page["next"] is None:
            break
        page = (await space.client.get(page["next"])).json()
    assert seen == ["ant", "bee", "cat"]


async def test_a_file_that_a_position_names_never_changes_and_an_instant_may_still(space: Space) -> None:
    await space.create(files=[file("a.txt")])
    then = await space.head()
    path = "name/pdf-forms/files/a.txt"
    by_position = await space.get(path, params={"position": then})
    assert "immutable" in by_position.headers["cache-control"]
    by_instant = await space.get(path, params={"as_of": "2999-01-01T00:00:00Z"})
    assert by_instant.json() == by_position.json()
    assert "immutable" not in by_instant.headers["cache-control"]


async def test_what_a_position_names_is_asked_for_again_by_its_tag(space: Space) -> None:
    await space.create()
    then = await space.head()
    by_position = await space.get("name/pdf-forms", params={"position": then})
    assert by_position.headers["cache-control"] == "private, no-cache"
    again = await space.get(
        "name/pdf-forms", params={"position": then}, headers={"If-None-Match": by_position.headers["etag"]}
    )
    assert again.status_code == 304


READS = (
    "",
    "name/pdf-forms",
    "name/pdf-forms/files/a",
    "resolve/name/pdf-forms",
    "name/pdf-forms?body_offset=1",
)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    ("query", "code", "attr"),
    [
        ({"position": "-1"}, "min_value", "position"),
        ({"position": "one"}, "invalid_input", "position"),
        ({"position": str(AFTER_ALL)}, "max_value", "position"),
        ({"position": "9" * 400}, "max_value", "position"),
        ({"position": "1", "as_of": "2026-03-03T09:30:00Z"}, "invalid_input", None),
        *(
            ({"as_of": value}, "invalid_input", "as_of")
            for value in (
                "now",
                "2026-03",
                "2026-03-03T09:30:00",
                "2026-02-30T09:30:00Z",
                "1",
                "٢٠٢٦",
            )
        ),
    ],
)
async def test_a_moment_that_cannot_be_is_refused(
    space: Space, read: str, query: dict[str, str], code: str, attr: str | None
) -> None:
    path, _, rest = read.partition("?")
    more = dict([rest.split("=")]) if rest else {}
    assert refusal(await space.get(path, params={**more, **query})) == (400, code, attr)


@pytest.mark.parametrize(
    ("as_of", "status"),
    [
        ("2999-01-01T00:00:00Z", 200),
        ("2999-01-01t00:00:00z", 200),
        ("2999-01-01 00:00:00.123456789+05:30", 200),
        ("9999-12-31T23:59:59-23:59", 200),
        ("0001-01-01T00:00:00+23:59", 404),
        ("1970-01-01T00:00:00Z", 404),
    ],
)
async def test_instants_of_any_age_and_form(space: Space, as_of: str, status: int) -> None:
    await space.create()
    assert (await space.get("name/pdf-forms", params={"as_of": as_of})).status_code == status


async def test_empty_moments_count_as_absent(space: Space) -> None:
    await space.create()
    assert (await space.get("name/pdf-forms?position=&as_of=")).status_code == 200


async def test_labels_of_then(prompts: PromptSpace) -> None:
    await prompts.create()
    await prompts.set_label("prod", 1)
    then = await prompts.space.head()
    await prompts.publish(1, prompt="two")
    await prompts.set_label("prod", 2)
    moved = await prompts.space.head()
    await prompts.delete("prod")

    async def label_at(position: int) -> tuple[Any, ...]:
        shown = await prompts.show(label="prod", position=position)
        return shown["version"], shown["label"], shown["labels"]

    assert await label_at(then) == (1, "prod", ["prod"])
    assert await label_at(moved) == (2, "prod", ["prod"])
    gone = await prompts.get("name/agent", params={"label": "prod", "position": await prompts.space.head()})
    assert gone.status_code == 404
    both = await prompts.get("name/agent", params={"label": "prod", "version": 1, "position": then})
    assert both.status_code == 400


async def test_no_other_project_shows_in_the_past(space: Space, new_space: NewSpace) -> None:
    await space.create()
    other = await new_space()
    then = await space.head()
    assert await other.names(position=then) == []
    answer = await other.get("name/pdf-form", params={"position": then})
    assert answer.status_code == 404
    assert answer.json()["suggestions"] == []
