"""Labels: set, moved, removed, read by; and what no label may be."""

import pytest

from store.tables import identity
from tests.support.prompt_space import BY_NAME_KEYS, FULL_KEYS, ROW_KEYS, PromptSpace
from tests.support.space import refusal

BAD_LABELS = {
    "latest": "reserved_name",
    "7": "reserved_name",
    "007": "reserved_name",
    "new": "reserved_name",
    "Live": "invalid_name",
    "-a": "invalid_name",
    "a-": "invalid_name",
    ".a": "invalid_name",
    "a_": "invalid_name",
    "a b": "invalid_name",
    "é": "invalid_name",
    "a%00": "invalid_name",
    "%0A": "invalid_name",
    "a%0A": "invalid_name",
    "٣": "invalid_name",
    "a" * 129: "max_length",
}


async def test_a_label_is_set_moved_and_removed(prompts: PromptSpace) -> None:
    await prompts.create()
    await prompts.publish(1, prompt="two")

    new = await prompts.put("live", {"version": 1})
    assert new.status_code == 201
    label = new.json()
    assert list(label) == ["name", "version", "created_by", "created_at"]
    assert (label["name"], label["version"]) == ("live", 1)
    assert label["created_by"]["id"] == prompts.space.user.id
    assert int(new.headers["x-event-position"]) == await prompts.space.head()

    moved = await prompts.put("live", {"version": 2})
    assert moved.status_code == 200
    assert moved.json()["created_at"] > label["created_at"]
    assert int(moved.headers["x-event-position"]) == await prompts.space.head()

    head = await prompts.space.head()
    same = await prompts.put("live", {"version": 2})
    assert (same.status_code, same.json(), await prompts.space.head()) == (200, moved.json(), head)
    assert same.headers["x-event-position"] == moved.headers["x-event-position"]

    removed = await prompts.delete("live")
    assert (removed.status_code, removed.content) == (204, b"")
    assert int(removed.headers["x-event-position"]) == await prompts.space.head()
    assert refusal(await prompts.delete("live"))[:2] == (404, "not_found")
    assert (await prompts.put("live", {"version": 2})).status_code == 201


async def test_reads_by_label_follow_it(prompts: PromptSpace) -> None:
    await prompts.create()
    await prompts.publish(1, prompt="two")

    for version, text in ((1, "one"), (2, "two"), (1, "one")):
        await prompts.set_label("live", version)
        shown = await prompts.show(label="live")
        assert (shown["prompt"], shown["version"], shown["label"]) == (text, version, "live")
        assert sorted(shown) == sorted([*BY_NAME_KEYS, "label"])
        assert shown["labels"] == ["live"]
    await prompts.delete("live")
    assert refusal(await prompts.get("name/agent", params={"label": "live"}))[:2] == (404, "not_found")


async def test_labels_stand_on_the_version_that_they_point_to(prompts: PromptSpace) -> None:
    await prompts.create()
    for label in ("b", "a-1", "a.0", "z_z"):
        await prompts.set_label(label, 1)
    second = await prompts.publish(1, prompt="two")
    await prompts.set_label("b", 2)

    assert second["labels"] == []
    assert (await prompts.show(version=1))["labels"] == ["a-1", "a.0", "z_z"]
    assert (await prompts.show())["labels"] == ["b"]
    assert "label" not in await prompts.show()
    [row] = (await prompts.get("")).json()["results"]
    assert row["all_labels"] == [
        {"name": "a-1", "version": 1},
        {"name": "a.0", "version": 1},
        {"name": "b", "version": 2},
        {"name": "z_z", "version": 1},
    ]


async def test_a_list_by_label_has_the_versions_that_it_points_to(prompts: PromptSpace) -> None:
    await prompts.create("a", "a one", config={"n": 1}, version_description="first")
    await prompts.publish(1, "a", prompt="a two")
    await prompts.create("b", "b one")
    await prompts.create("c", "c one")
    await prompts.set_label("live", 1, "a")
    await prompts.set_label("live", 1, "b")
    await prompts.set_label("beta", 2, "a")

    page = (await prompts.get("", params={"label": "live", "order_by": "name"})).json()

    assert page["count"] == 2
    assert [(row["name"], row["version"], row["prompt"]) for row in page["results"]] == [
        ("a", 1, "a one"),
        ("b", 1, "b one"),
    ]
    row = page["results"][0]
    assert sorted(row) == sorted({*ROW_KEYS, "label"} - {"prompt_preview"})
    assert row["label"] == "live"
    assert row["all_labels"] == [{"name": "beta", "version": 2}, {"name": "live", "version": 1}]
    assert (row["is_latest"], row["latest_version"], row["version_count"]) == (False, 2, 2)
    assert (row["config"], row["version_description"]) == ({"n": 1}, "first")
    assert await prompts.names(label="live", limit=1, offset=1, order_by="name") == ["b"]
    assert await prompts.names(label="live", search="a") == ["a"]
    assert await prompts.names(label="absent") == []
    await prompts.post("name/a/archive")
    assert await prompts.names(label="live") == ["b"]


async def test_resolve_says_who_moved_each_label(prompts: PromptSpace) -> None:
    await prompts.create()
    space = prompts.space
    other = await identity.create_user(space.conn, email=f"mover-{space.id}@example.com", first_name="Bob")
    _, key = await identity.create_key(
        space.conn, email=other.email, scopes=["llm_prompt:write"], project_ids=[space.id]
    )
    await prompts.set_label("a", 1)
    await prompts.set_label("b", 1)
    await prompts.publish(1, prompt="two")
    moved = await prompts.put("a", {"version": 2}, headers={"Authorization": f"Bearer {key}"})

    labels = (await prompts.get("resolve/name/agent")).json()["labels"]

    assert [(label["name"], label["version"], label["created_by"]["id"]) for label in labels] == [
        ("a", 2, other.id),
        ("b", 1, space.user.id),
    ]
    assert labels[0] == moved.json()


@pytest.mark.parametrize("label", ["a", "9a", "a9", "v1.2_3-rc", "0.1", "a" * 128, "1-2"])
async def test_good_labels(prompts: PromptSpace, label: str) -> None:
    await prompts.create()

    assert (await prompts.put(label, {"version": 1})).status_code == 201
    assert (await prompts.show(label=label))["label"] == label


@pytest.mark.parametrize("label", BAD_LABELS)
async def test_bad_labels(prompts: PromptSpace, label: str) -> None:
    await prompts.create()
    head = await prompts.space.head()

    answer = await prompts.put(label, {"version": 1})
    assert refusal(answer) == (400, BAD_LABELS[label], "label_name")
    assert (await prompts.delete(label)).status_code in (400, 404)
    read = await prompts.space.at("GET", f"llm_prompts/name/agent?label={label}")
    assert read.status_code in (400, 404)
    assert await prompts.space.head() == head


@pytest.mark.parametrize(("body", "code", "status"), [
    ({}, "required", 400),
    ({"version": None}, "null", 400),
    ({"version": "1"}, "invalid_input", 400),
    ({"version": 1.0}, "invalid_input", 400),
    ({"version": True}, "invalid_input", 400),
    ({"version": 0}, "min_value", 400),
    ({"version": 2}, "version_not_found", 404),
    ({"version": 2**70}, "version_not_found", 404),
])  # fmt: skip
async def test_bad_versions_of_a_label(
    prompts: PromptSpace, body: dict[str, object], code: str, status: int
) -> None:
    await prompts.create()
    head = await prompts.space.head()

    answer = await prompts.put("live", body)

    assert refusal(answer)[:2] == (status, code)
    if status == 404:
        assert answer.json()["available_versions"] == [1]
    assert await prompts.space.head() == head


async def test_a_missing_label_is_never_another_version(prompts: PromptSpace) -> None:
    await prompts.create()
    await prompts.set_label("live", 1)
    assert (await prompts.show())["version"] == 1

    for label in ("liv", "live2", "LIVE", "latest", "1", "new", "%", "a%20b"):
        for more in ("", "&content=none"):
            answer = await prompts.space.at("GET", f"llm_prompts/name/agent?label={label}{more}")
            assert refusal(answer)[:2] == (404, "not_found")
    assert refusal(await prompts.get("name/other", params={"label": "live"}))[:2] == (404, "not_found")
    for query in ("label=live&version=1", "version=1&label=absent"):
        answer = await prompts.space.at("GET", f"llm_prompts/name/agent?{query}")
        assert refusal(answer)[:2] == (400, "invalid_input")
    assert (await prompts.space.at("GET", "llm_prompts/name/agent?label=&version=1")).status_code == 200
    assert refusal(await prompts.get("name/agent", params={"label": "a" * 129})) == (
        400,
        "max_length",
        "label",
    )


async def test_setting_a_label_of_an_unknown_prompt(prompts: PromptSpace) -> None:
    assert refusal(await prompts.put("live", {"version": 1}))[:2] == (404, "not_found")
    assert refusal(await prompts.delete("live"))[:2] == (404, "not_found")


async def test_a_repeated_idempotency_key_does_not_swallow_a_move(prompts: PromptSpace) -> None:
    await prompts.create()
    await prompts.publish(1, prompt="two")
    headers = {"Idempotency-Key": f"move-{prompts.space.id}"}

    first = await prompts.put("live", {"version": 1}, headers=headers)
    second = await prompts.put("live", {"version": 2}, headers=headers)

    assert (first.json()["version"], second.json()["version"]) == (1, 2)
    assert (await prompts.show(label="live"))["version"] == 2
    assert (await prompts.delete("live", headers=headers)).status_code == 204
    assert (await prompts.get("name/agent", params={"label": "live"})).status_code == 404


async def test_if_match_guards_a_label(prompts: PromptSpace) -> None:
    await prompts.create()
    etag = (await prompts.get("name/agent")).headers["etag"]
    await prompts.publish(1, prompt="two")

    stale = await prompts.put("live", {"version": 1}, headers={"If-Match": etag})
    assert refusal(stale)[:2] == (412, "precondition_failed")
    etag = (await prompts.get("name/agent")).headers["etag"]
    assert (await prompts.put("live", {"version": 1}, headers={"If-Match": etag})).status_code == 201
    # A label of an older version is not part of the latest, so its tag still holds.
    assert (await prompts.delete("live", headers={"If-Match": '"other"'})).status_code == 412
    assert (await prompts.delete("live", headers={"If-Match": etag})).status_code == 204


async def test_reads_by_label_are_conditional(prompts: PromptSpace) -> None:
    created = await prompts.create()
    assert sorted(created) == sorted(FULL_KEYS)
    await prompts.set_label("live", 1)
    first = await prompts.get("name/agent", params={"label": "live"})
    headers = {"If-None-Match": first.headers["etag"]}
    assert first.headers["cache-control"] == "private, no-cache"

    assert (await prompts.get("name/agent", params={"label": "live"}, headers=headers)).status_code == 304
    await prompts.publish(1, prompt="two")
    await prompts.set_label("live", 2)
    again = await prompts.get("name/agent", params={"label": "live"}, headers=headers)
    assert (again.status_code, again.json()["version"]) == (200, 2)
