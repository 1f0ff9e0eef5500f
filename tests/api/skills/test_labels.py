"""Labels of skills: what prompts have (tests/api/prompts/test_labels.py), and every way to read a skill by one."""

import io
import zipfile
from typing import Any

import pytest
import pytest_asyncio

from store.tables import identity
from tests.support.space import ROW_KEYS, SKILL_KEYS, Space, file, refusal


@pytest_asyncio.fixture(loop_scope="session")
async def labeled(space: Space) -> Space:
    """``pdf-forms`` with two versions; ``live`` points to the first."""
    await space.create(files=[file("a.txt", "one\n")], body="# One\n")
    await space.publish("pdf-forms", 1, body="# Two\n", files=[file("a.txt", "two\n")])
    assert (await space.set_label("live", 1)).status_code == 201
    return space


async def test_a_label_is_set_moved_and_removed(space: Space) -> None:
    await space.create()
    await space.publish("pdf-forms", 1, body="two")

    new = await space.set_label("live", 1)
    assert (new.status_code, list(new.json())) == (201, ["name", "version", "created_by", "created_at"])
    assert (new.json()["name"], new.json()["version"]) == ("live", 1)
    assert new.json()["created_by"]["id"] == space.user.id
    assert int(new.headers["x-event-position"]) == await space.head()

    moved = await space.set_label("live", 2)
    assert (moved.status_code, moved.json()["version"]) == (200, 2)
    head = await space.head()
    same = await space.set_label("live", 2)
    assert (same.status_code, same.json(), await space.head()) == (200, moved.json(), head)

    removed = await space.delete("name/pdf-forms/labels/live")
    assert (removed.status_code, removed.content) == (204, b"")
    assert int(removed.headers["x-event-position"]) == await space.head()
    assert refusal(await space.delete("name/pdf-forms/labels/live"))[:2] == (404, "not_found")


async def test_answers_say_which_labels_there_are(labeled: Space) -> None:
    await labeled.set_label("beta.1", 2)
    await labeled.set_label("alpha", 2)

    latest, first = await labeled.show(), await labeled.show(version=1)
    assert sorted(latest) == sorted(SKILL_KEYS)
    assert (latest["labels"], first["labels"]) == (["alpha", "beta.1"], ["live"])
    [row] = (await labeled.get("")).json()["results"]
    assert sorted(row) == sorted(ROW_KEYS)
    assert row["all_labels"] == [
        {"name": "alpha", "version": 2},
        {"name": "beta.1", "version": 2},
        {"name": "live", "version": 1},
    ]
    resolved = (await labeled.get("resolve/name/pdf-forms")).json()
    assert [(one["name"], one["version"]) for one in resolved["labels"]] == [
        ("alpha", 2),
        ("beta.1", 2),
        ("live", 1),
    ]
    assert (await labeled.publish("pdf-forms", 2, body="# Three\n"))["labels"] == []


async def test_every_read_of_one_skill_takes_a_label(labeled: Space) -> None:
    query = {"label": "live"}

    shown = await labeled.show(**query)
    assert (shown["body"], shown["version"], shown["label"]) == ("# One\n", 1, "live")
    assert sorted(shown) == sorted([*SKILL_KEYS, "label"])
    paged = await labeled.show(**query, body_offset=2, body_length=3)
    assert (paged["body"], paged["label"], paged["body_total_length"]) == ("One", "live", 6)
    assert (await labeled.get("name/pdf-forms/files/a.txt", params=query)).json()["content"] == "one\n"
    skill_md = await labeled.get("name/pdf-forms/skill-md", params=query)
    assert skill_md.content == (await labeled.get("name/pdf-forms/skill-md?version=1")).content
    export = await labeled.get("name/pdf-forms/export", params=query)
    assert export.content == (await labeled.get("name/pdf-forms/export?version=1")).content
    with zipfile.ZipFile(io.BytesIO(export.content)) as archive:
        assert archive.read("pdf-forms/a.txt") == b"one\n"
    resolved = (await labeled.get("resolve/name/pdf-forms", params=query)).json()
    assert (resolved["skill"]["version"], resolved["skill"]["label"]) == (1, "live")
    assert [line["version"] for line in resolved["versions"]] == [2, 1]
    for answer in (skill_md, export):
        assert answer.headers["cache-control"] == "private, no-cache"

    await labeled.set_label("live", 2)
    assert (await labeled.show(**query))["body"] == "# Two\n"
    assert (await labeled.get("name/pdf-forms/files/a.txt", params=query)).json()["content"] == "two\n"
    await labeled.delete("name/pdf-forms/labels/live")
    for path in PATHS:
        assert refusal(await labeled.get(path, params=query))[:2] == (404, "not_found"), path


PATHS = [
    "name/pdf-forms",
    "name/pdf-forms/files/a.txt",
    "name/pdf-forms/skill-md",
    "name/pdf-forms/export",
    "resolve/name/pdf-forms",
]


@pytest.mark.parametrize("path", PATHS)
async def test_a_missing_label_is_never_another_version(labeled: Space, path: str) -> None:
    for label in ("liv", "live2", "LIVE", "latest", "1", "%", "a%20b", "%20live", "%20"):
        answer = await labeled.get(f"{path}?label={label}")
        assert refusal(answer)[:2] == (404, "not_found"), label
    for query in ("label=live&version=1", "version=1&label=absent"):
        assert refusal(await labeled.get(f"{path}?{query}"))[:2] == (400, "invalid_input")
    assert refusal(await labeled.get(path, params={"label": "a" * 129})) == (400, "max_length", "label")
    assert (await labeled.get(f"{path}?label=&version=1")).status_code == 200


async def test_resolve_by_label_and_id_must_agree(labeled: Space) -> None:
    one, two = await labeled.show(version=1), await labeled.show(version=2)

    agreed = await labeled.get(f"resolve/name/pdf-forms?label=live&version_id={one['id']}")
    assert agreed.json()["skill"]["version"] == 1
    answer = await labeled.get(f"resolve/name/pdf-forms?label=live&version_id={two['id']}")
    assert refusal(answer)[:2] == (404, "version_not_found")


async def test_a_list_by_label_has_the_versions_that_it_points_to(labeled: Space) -> None:
    await labeled.create("other")
    await labeled.create("more")
    await labeled.set_label("live", 1, "more")

    page = (await labeled.get("", params={"label": "live", "order_by": "name"})).json()

    assert page["count"] == 2
    assert [(row["name"], row["version"], row["label"]) for row in page["results"]] == [
        ("more", 1, "live"),
        ("pdf-forms", 1, "live"),
    ]
    assert sorted(page["results"][0]) == sorted([*ROW_KEYS, "label"])
    assert page["results"][1]["is_latest"] is False
    assert await labeled.names(label="live", search="pdf-") == ["pdf-forms"]
    assert await labeled.names(label="absent") == []
    await labeled.post("name/more/archive")
    assert await labeled.names(label="live") == ["pdf-forms"]


async def test_archive_ends_labels_and_restore_brings_none(labeled: Space) -> None:
    copy = await labeled.ok(201, await labeled.post("name/pdf-forms/duplicate", {"new_name": "copy"}))
    assert copy["labels"] == []
    await labeled.post("name/pdf-forms/archive")
    [archived] = (await labeled.get("archived")).json()["results"]
    assert archived["all_labels"] == []
    assert (await labeled.get("name/pdf-forms", params={"label": "live"})).status_code == 404

    await labeled.ok(200, await labeled.post("name/pdf-forms/restore", {}))

    assert (await labeled.show(version=1))["labels"] == []
    assert (await labeled.get("name/pdf-forms", params={"label": "live"})).status_code == 404


async def test_the_past_has_the_labels_of_then(labeled: Space) -> None:
    then = await labeled.head()
    await labeled.set_label("live", 2)

    for path, field in (("name/pdf-forms", "body"), ("name/pdf-forms/files/a.txt", "content")):
        before = (await labeled.get(path, params={"label": "live", "position": then})).json()
        after = (await labeled.get(path, params={"label": "live"})).json()
        assert (before[field].strip("# \n").lower(), after[field].strip("# \n").lower()) == ("one", "two")
    shown = (await labeled.get("name/pdf-forms", params={"label": "live", "position": then})).json()
    assert (shown["label"], shown["labels"]) == ("live", ["live"])
    page = (await labeled.get("", params={"label": "live", "position": then})).json()
    assert [row["version"] for row in page["results"]] == [1]
    assert (
        refusal(await labeled.get("name/pdf-forms", params={"label": "live", "position": then - 1}))[0] == 404
    )


async def test_history_says_who_moved_what(labeled: Space) -> None:
    await labeled.set_label("live", 2)
    await labeled.delete("name/pdf-forms/labels/live")

    entries = (await labeled.get("name/pdf-forms/history")).json()["results"]

    moves: list[tuple[str, Any]] = [(entry["type"], entry["changes"]["labels"]) for entry in entries[:3]]
    assert moves == [
        ("skald.skill.label_removed.v1", [{"name": "live", "from": 2, "to": None}]),
        ("skald.skill.label_set.v1", [{"name": "live", "from": 1, "to": 2}]),
        ("skald.skill.label_set.v1", [{"name": "live", "from": None, "to": 1}]),
    ]
    assert {entry["actor"]["id"] for entry in entries} == {labeled.user.id}


@pytest.mark.parametrize(("label", "body", "status", "code", "attr"), [
    ("latest", {"version": 1}, 400, "reserved_name", "label_name"),
    ("Live", {"version": 1}, 400, "invalid_name", "label_name"),
    ("a" * 129, {"version": 1}, 400, "max_length", "label_name"),
    ("ok", {}, 400, "required", "version"),
    ("ok", {"version": 0}, 400, "min_value", "version"),
    ("ok", {"version": "1"}, 400, "invalid_input", "version"),
    ("ok", {"version": 3}, 404, "version_not_found", None),
])  # fmt: skip
async def test_what_cannot_be_a_label_writes_nothing(
    labeled: Space, label: str, body: dict[str, Any], status: int, code: str, attr: str | None
) -> None:
    head = await labeled.head()

    answer = await labeled.at("PUT", f"llm_skills/name/pdf-forms/labels/{label}", json=body)

    assert refusal(answer) == (status, code, attr)
    assert await labeled.head() == head
    assert refusal(await labeled.set_label("live", 1, "nobody"))[:2] == (404, "not_found")


async def test_if_match_guards_a_label(labeled: Space) -> None:
    stale = await labeled.at(
        "PUT", "llm_skills/name/pdf-forms/labels/live", json={"version": 2}, headers={"If-Match": '"other"'}
    )
    assert refusal(stale)[:2] == (412, "precondition_failed")
    etag = (await labeled.get("name/pdf-forms")).headers["etag"]
    moved = await labeled.at(
        "PUT", "llm_skills/name/pdf-forms/labels/live", json={"version": 2}, headers={"If-Match": etag}
    )
    assert moved.status_code == 200
    # The labels of the latest version are part of what is read of it.
    assert (await labeled.get("name/pdf-forms")).headers["etag"] != etag


async def test_a_read_by_label_is_conditional(labeled: Space) -> None:
    first = await labeled.get("name/pdf-forms", params={"label": "live"})
    headers = {"If-None-Match": first.headers["etag"]}
    assert first.headers["cache-control"] == "private, no-cache"

    assert (await labeled.get("name/pdf-forms?label=live", headers=headers)).status_code == 304
    await labeled.set_label("live", 2)
    assert (await labeled.get("name/pdf-forms?label=live", headers=headers)).json()["version"] == 2


async def test_a_key_that_reads_moves_no_label(labeled: Space) -> None:
    _, key = await identity.create_key(
        labeled.conn, email=labeled.user.email, scopes=["llm_skill:read"], project_ids=[labeled.id]
    )
    headers = {"Authorization": f"Bearer {key}"}
    head = await labeled.head()
    for method, options in (("PUT", {"json": {"version": 2}}), ("DELETE", {})):
        answer = await labeled.at(method, "llm_skills/name/pdf-forms/labels/live", headers=headers, **options)
        assert refusal(answer)[:2] == (403, "permission_denied")
        assert "llm_skill:write" in answer.json()["detail"]
    assert await labeled.head() == head
    assert (await labeled.get("name/pdf-forms?label=live", headers=headers)).status_code == 200
