"""Each prompts endpoint as its page and the contract describe it: status, exact keys, values."""

import re
from typing import Any

import pytest

from store.tables import identity
from tests.support.prompt_space import (
    BY_NAME_KEYS,
    FULL_KEYS,
    LINE_KEYS,
    ROW_KEYS,
    PromptSpace,
    chat,
)
from tests.support.space import USER_KEYS, NewSpace, refusal

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


async def test_create_answers_with_the_whole_prompt(prompts: PromptSpace) -> None:
    created = await prompts.create(
        "Agent_1", chat("hi"), config={"temperature": 0.2}, version_description="first"
    )

    assert sorted(created) == sorted(FULL_KEYS)
    assert list(created["created_by"]) == USER_KEYS
    assert created["created_by"]["id"] == prompts.space.user.id
    assert (created["name"], created["prompt"]) == ("Agent_1", chat("hi"))
    assert (created["config"], created["version_description"]) == ({"temperature": 0.2}, "first")
    assert (created["version"], created["latest_version"], created["version_count"]) == (1, 1, 1)
    assert (created["deleted"], created["is_latest"], created["labels"]) == (False, True, [])
    assert TIME.fullmatch(created["created_at"])
    assert created["created_at"] == created["updated_at"] == created["first_version_created_at"]


async def test_defaults_of_a_new_prompt(prompts: PromptSpace) -> None:
    created = await prompts.create()

    assert (created["config"], created["version_description"]) == (None, "")


async def test_get_by_name_is_the_prompt_without_its_author(prompts: PromptSpace) -> None:
    created = await prompts.create()

    shown = await prompts.show()

    assert sorted(shown) == sorted(BY_NAME_KEYS)
    assert shown == {key: value for key, value in created.items() if key != "created_by"}


async def test_get_of_an_old_version(prompts: PromptSpace) -> None:
    first = await prompts.create()
    second = await prompts.publish(1, prompt="two")

    old = await prompts.show(version=1)

    assert old["prompt"] == first["prompt"]
    assert (old["id"], old["version"], old["is_latest"]) == (first["id"], 1, False)
    assert (old["latest_version"], old["version_count"]) == (2, 2)
    assert second["id"] != first["id"]
    assert second["first_version_created_at"] == first["created_at"] < second["created_at"]
    assert await prompts.show(version=2) == await prompts.show()
    answer = await prompts.get("name/agent", params={"version": 3})
    assert refusal(answer) == (404, "version_not_found", None)
    assert answer.json()["available_versions"] == [2, 1]


@pytest.mark.parametrize("prefix", ["environments", "projects"])
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("project", ["id", "@current"])
async def test_every_address_gives_the_same(
    prompts: PromptSpace, prefix: str, slash: str, project: str
) -> None:
    await prompts.create(prompt="x")
    await prompts.set_label("live", 1)
    root = f"/api/{prefix}/{prompts.space.id if project == 'id' else '@current'}/llm_prompts"

    assert (await prompts.space.ok(200, await prompts.space.at("GET", f"{root}{slash}")))["count"] == 1
    for path in ("name/agent", "resolve/name/agent"):
        answer = await prompts.space.at("GET", f"{root}/{path}{slash}")
        assert answer.json() == (await prompts.get(path)).json()
    moved = await prompts.space.at("PUT", f"{root}/name/agent/labels/live{slash}", json={"version": 1})
    assert moved.status_code == 200
    assert (await prompts.space.at("DELETE", f"{root}/name/agent/labels/live{slash}")).status_code == 204
    assert (await prompts.space.at("POST", f"{root}/name/agent/archive{slash}")).status_code == 200


# List


@pytest.mark.parametrize(("content", "missing"), [
    (None, {"prompt_preview"}),
    ("full", {"prompt_preview"}),
    ("preview", {"prompt", "config"}),
    ("none", {"prompt", "config", "prompt_preview"}),
])  # fmt: skip
async def test_rows_have_what_content_asks_for(
    prompts: PromptSpace, content: str | None, missing: set[str]
) -> None:
    created = await prompts.create(prompt=chat("héllo"), config={"a": 1})
    await prompts.set_label("live", 1)

    query = {} if content is None else {"content": content}
    page = await prompts.space.ok(200, await prompts.get("", params=query))

    assert list(page) == ["count", "next", "previous", "results"]
    [row] = page["results"]
    assert sorted(row) == sorted(set(ROW_KEYS) - missing)
    assert row["prompt_size_bytes"] == len('[{"role":"system","content":"héllo"}]'.encode())
    assert row["all_labels"] == [{"name": "live", "version": 1}]
    assert "label" not in row
    assert row["created_by"] == created["created_by"]
    if "prompt" in row:
        assert row["prompt"] == chat("héllo")
    if "prompt_preview" in row:
        assert row["prompt_preview"] == '[{"role":"system","content":"héllo"}]'


@pytest.mark.parametrize(("prompt", "preview"), [
    ("a" * 160, "a" * 160),
    ("a" * 161, "a" * 160 + "..."),
    ("é\U0001f600" * 100, "é\U0001f600" * 80 + "..."),
    ("", ""),
    ({"b": 1.0, "a": 1e2}, '{"b":1.0,"a":100.0}'),
    ([1] * 90, ("[" + "1," * 90)[:160] + "..."),
    (True, "true"),
    (0, "0"),
])  # fmt: skip
async def test_preview_is_160_characters(prompts: PromptSpace, prompt: Any, preview: str) -> None:
    await prompts.create(prompt=prompt)

    [row] = (await prompts.get("", params={"content": "preview"})).json()["results"]
    assert row["prompt_preview"] == preview
    by_name = await prompts.show(content="preview")
    assert by_name["prompt_preview"] == preview
    assert "prompt" not in by_name
    assert by_name["prompt_size_bytes"] == row["prompt_size_bytes"]


async def test_get_by_name_takes_content(prompts: PromptSpace) -> None:
    await prompts.create(config={"a": 1})
    await prompts.publish(1, prompt="two")
    await prompts.set_label("live", 1)

    none = await prompts.show(content="none", label="live")

    assert sorted(none) == sorted({*BY_NAME_KEYS, "label", "prompt_size_bytes"} - {"prompt", "config"})
    assert (none["version"], none["label"], none["labels"]) == (1, "live", ["live"])
    assert await prompts.show(content="full") == await prompts.show()
    assert refusal(await prompts.get("name/agent", params={"content": "all"})) == (
        400,
        "invalid_input",
        "content",
    )
    assert refusal(await prompts.get("", params={"content": "Full"})) == (400, "invalid_input", "content")


async def test_search_looks_in_name_and_text(prompts: PromptSpace) -> None:
    await prompts.create("Support-Agent", "You HELP with 100% of it")
    await prompts.create("other", [{"role": "user", "content": "Straße_x"}])
    await prompts.create("third", "nothing")
    await prompts.publish(1, "third", prompt="now it helps")

    assert await prompts.names(search="support-ag") == ["Support-Agent"]
    assert await prompts.names(search="help") == ["third", "Support-Agent"]
    assert await prompts.names(search="0% o") == ["Support-Agent"]
    assert await prompts.names(search="STRASSE_") == ["other"]
    assert await prompts.names(search="nothing") == []
    assert await prompts.names(search="e_x") == ["other"]
    assert await prompts.names(search="%") == ["Support-Agent"]
    assert await prompts.names(search='"role":"user"') == ["other"]


async def test_the_list_is_paged_and_ordered(prompts: PromptSpace) -> None:
    for name in ("a", "B", "c"):
        await prompts.create(name)

    assert await prompts.names() == ["c", "B", "a"]
    assert await prompts.names(order_by="name") == ["B", "a", "c"]
    page = (await prompts.get("", params={"limit": 1, "offset": 1, "content": "none"})).json()
    assert (page["count"], [row["name"] for row in page["results"]]) == (3, ["B"])
    assert page["next"].startswith(f"http://skald.test/api/projects/{prompts.space.id}/llm_prompts/?")
    assert "content=none" in page["next"]
    assert "offset=2" in page["next"]
    following = (await prompts.space.at("GET", page["next"].removeprefix("http://skald.test"))).json()
    assert [row["name"] for row in following["results"]] == ["a"]
    assert "prompt" not in following["results"][0]
    for bad in ({"limit": 0}, {"limit": "x"}, {"offset": -1}, {"order_by": "prompt"}):
        assert (await prompts.get("", params=bad)).status_code == 400


# Publish


async def test_publish_carries_forward_all_but_the_description(prompts: PromptSpace) -> None:
    await prompts.create(prompt="one", config={"t": 1.0}, version_description="first")

    second = await prompts.publish(1, prompt="two")
    third = await prompts.publish(2, config={"t": 2}, version_description=" third ")
    fourth = await prompts.publish(3, config=None)
    fifth = await prompts.publish(4, prompt="five")

    assert sorted(second) == sorted(FULL_KEYS)
    assert (second["version"], second["prompt"], second["config"]) == (2, "two", {"t": 1.0})
    assert second["version_description"] == ""
    assert (third["prompt"], third["config"], third["version_description"]) == ("two", {"t": 2}, "third")
    assert (fourth["prompt"], fourth["config"], fourth["version_description"]) == ("two", None, "")
    assert fifth["config"] is None
    assert (await prompts.show(version=1))["version_description"] == "first"


async def test_a_publish_that_changes_nothing_makes_a_version(prompts: PromptSpace) -> None:
    await prompts.create(prompt="one")

    second = await prompts.publish(1, prompt="one")

    assert (second["version"], second["prompt"]) == (2, "one")


async def test_edits_of_a_text_go_one_after_the_other(prompts: PromptSpace) -> None:
    await prompts.create(prompt="one\r\ntwo\n")

    second = await prompts.publish(
        1, edits=[{"old": "one", "new": "two three"}, {"old": "two three\r\ntwo", "new": '"4"\\u0000'}]
    )

    assert second["prompt"] == '"4"\\u0000\n'


async def test_edits_of_a_chat_work_on_its_indented_json(prompts: PromptSpace) -> None:
    await prompts.create(prompt=[{"role": "system", "content": "Grüße \U0001f600"}, 1.0, 10**30])

    second = await prompts.publish(
        1,
        edits=[
            {"old": '[\n  {\n    "role": "system",', "new": '[\n  {\n    "role": "user",'},
            {"old": "Grüße \U0001f600", "new": "caf\\u00e9\\n"},
        ],
        config={},
    )

    assert second["prompt"] == [{"role": "user", "content": "café\n"}, 1.0, 10**30]
    assert "1.0,1000000000000000000000000000000]" in (await prompts.get("name/agent")).text
    assert second["config"] == {}


@pytest.mark.parametrize(("edits", "code", "index", "detail"), [
    ([{"old": "zzz", "new": ""}], "edit_not_found", 0, "0 times"),
    ([{"old": "\n", "new": " "}], "edit_ambiguous", 0, " times"),
    ([{"old": '"a"', "new": '"c"'}, {"old": '"a"', "new": "x"}], "edit_not_found", 1, "0 times"),
    ([{"old": '"a"', "new": '"c"'}, {"old": "1", "new": ""}], "invalid_input", 1, "JSON"),
    ([{"old": "1", "new": "NaN"}], "invalid_input", 0, "JSON"),
    ([{"old": "1", "new": '"\\u0000"'}], "null_characters_not_allowed", 0, "ull"),
    ([{"old": "1", "new": '"\\ud800"'}], "surrogate_characters_not_allowed", 0, "urrogate"),
    ([{"old": "1", "new": "[" * 300 + "]" * 300}], "max_depth", 0, "256"),
    ([{"old": "1", "new": '"' + "x" * 1_000_000 + '"'}], "max_size", 0, "1,000,000"),
    ([{"old": '{\n  "a": 1\n}', "new": "null"}], "null", 0, "null"),
])  # fmt: skip
async def test_edits_that_fail_name_the_edit_and_write_nothing(
    prompts: PromptSpace, edits: list[dict[str, str]], code: str, index: int, detail: str
) -> None:
    await prompts.create(prompt={"a": 1})
    head = await prompts.space.head()

    answer = await prompts.patch({"base_version": 1, "edits": edits})

    assert refusal(answer)[:2] == (400, code)
    body = answer.json()
    assert body["edit_index"] == index
    assert body["attr"].startswith(f"edits__{index}__")
    assert detail in body["detail"]
    assert await prompts.space.head() == head


async def test_edits_may_make_a_number_of_any_size(prompts: PromptSpace) -> None:
    await prompts.create(prompt={"a": 1})

    await prompts.publish(1, edits=[{"old": "1", "new": "1e999"}])

    assert '"prompt":{"a":1e999}' in (await prompts.get("name/agent")).text


@pytest.mark.parametrize("base", [1, 3, 2**53])
async def test_a_stale_base_version_is_told_the_current_one(prompts: PromptSpace, base: int) -> None:
    await prompts.create()
    await prompts.publish(1, prompt="two")

    answer = await prompts.patch({"base_version": base, "edits": [{"old": "absent", "new": ""}]})

    assert refusal(answer) == (409, "version_conflict", "base_version")
    assert answer.json()["current_version"] == 2


# Archive, duplicate


async def test_archive_answers_with_the_deleted_prompt(prompts: PromptSpace) -> None:
    created = await prompts.create(config={"a": 1})
    await prompts.set_label("live", 1)

    answer = await prompts.post("name/agent/archive", {"name": 5, "prompt": None, "base_version": "x"})

    archived = await prompts.space.ok(200, answer)
    assert sorted(archived) == sorted(FULL_KEYS)
    assert archived == created | {"deleted": True}
    assert int(answer.headers["x-event-position"]) == await prompts.space.head()
    for path in ("name/agent", "resolve/name/agent", f"name/{created['id']}"):
        assert refusal(await prompts.get(path))[:2] == (404, "not_found")
    assert (await prompts.get("")).json()["count"] == 0
    assert (await prompts.get("", params={"label": "live"})).json()["results"] == []
    assert refusal(await prompts.post("name/agent/archive"))[:2] == (404, "not_found")


async def test_a_new_prompt_under_an_old_name_starts_anew(prompts: PromptSpace) -> None:
    await prompts.create(prompt="old")
    await prompts.publish(1, prompt="older")
    await prompts.set_label("live", 1)
    for query in ({}, {"version": 1}, {"label": "live"}):
        await prompts.show(**query)
    await prompts.post("name/agent/archive")

    created = await prompts.create(prompt="new")

    assert (created["version"], created["version_count"], created["labels"]) == (1, 1, [])
    assert (await prompts.show())["prompt"] == "new"
    assert (await prompts.show(version=1))["prompt"] == "new"
    assert refusal(await prompts.get("name/agent", params={"version": 2}))[1] == "version_not_found"
    assert refusal(await prompts.get("name/agent", params={"label": "live"}))[1] == "not_found"
    resolved = (await prompts.get("resolve/name/agent")).json()
    assert ([line["version"] for line in resolved["versions"]], resolved["labels"]) == ([1], [])


async def test_duplicate_takes_the_latest_without_labels(prompts: PromptSpace) -> None:
    await prompts.create(prompt="one", config={"a": 1.0}, version_description="first")
    source = await prompts.publish(1, prompt=chat("two"), version_description="second")
    await prompts.set_label("live", 2)

    copy = await prompts.space.ok(201, await prompts.post("name/agent/duplicate", {"new_name": " Copy "}))

    assert sorted(copy) == sorted(FULL_KEYS)
    assert (copy["name"], copy["version"], copy["labels"]) == ("Copy", 1, [])
    assert (copy["prompt"], copy["config"]) == (source["prompt"], source["config"])
    assert copy["version_description"] == ""
    answer = await prompts.post("name/agent/duplicate", {"new_name": "Copy"})
    assert refusal(answer) == (400, "unique", "new_name")
    assert "already exists" in answer.json()["detail"]
    await prompts.publish(1, "Copy", prompt="other")
    assert (await prompts.show())["prompt"] == chat("two")


# Resolve


async def test_resolve(prompts: PromptSpace) -> None:
    first = await prompts.create()
    second = await prompts.publish(1, prompt="two")
    await prompts.set_label("live", 1)
    await prompts.set_label("beta", 2)

    resolved = await prompts.space.ok(200, await prompts.get("resolve/name/agent"))

    assert list(resolved) == ["prompt", "versions", "has_more", "labels"]
    assert sorted(resolved["prompt"]) == sorted(FULL_KEYS)
    assert resolved["prompt"] == second | {"labels": ["beta"]}
    assert [list(line) for line in resolved["versions"]] == [LINE_KEYS, LINE_KEYS]
    assert [(line["id"], line["is_latest"]) for line in resolved["versions"]] == [
        (second["id"], True),
        (first["id"], False),
    ]
    assert resolved["has_more"] is False
    assert [(label["name"], label["version"]) for label in resolved["labels"]] == [("beta", 2), ("live", 1)]
    assert all(list(label) == ["name", "version", "created_by", "created_at"] for label in resolved["labels"])
    assert resolved["labels"][0]["created_by"]["id"] == prompts.space.user.id
    assert TIME.fullmatch(resolved["labels"][0]["created_at"])

    picked = (
        await prompts.get("resolve/name/agent", params={"version": 1, "version_id": first["id"]})
    ).json()
    assert picked["prompt"]["labels"] == ["live"]
    assert picked["versions"] == resolved["versions"]
    by_id = (await prompts.get("resolve/name/agent", params={"version_id": first["id"]})).json()
    assert by_id == picked
    for bad in ({"version": 2, "version_id": first["id"]}, {"version": 9}):
        assert (await prompts.get("resolve/name/agent", params=bad)).status_code == 404
    for bad in ({"offset": 0, "before_version": 1}, {"limit": 101}, {"limit": 0}, {"version_id": "x"}):
        assert (await prompts.get("resolve/name/agent", params=bad)).status_code == 400
    one = (await prompts.get("resolve/name/agent", params={"limit": 1})).json()
    assert ([line["version"] for line in one["versions"]], one["has_more"]) == ([2], True)
    rest = (await prompts.get("resolve/name/agent", params={"before_version": 2})).json()
    assert [line["version"] for line in rest["versions"]] == [1]


async def test_the_id_of_a_version_leads_to_the_name(prompts: PromptSpace) -> None:
    created = await prompts.create()

    answer = await prompts.get(f"name/{created['id']}/", params={"content": "none"})
    assert answer.status_code == 302
    assert answer.headers["location"].endswith("/llm_prompts/name/agent/?content=none")
    # A prompt that has such a name comes first, and a label that it lacks is missing.
    await prompts.create(created["id"], "mine")
    assert (await prompts.show(created["id"]))["prompt"] == "mine"
    missing = await prompts.get(f"name/{created['id']}", params={"label": "live"})
    assert refusal(missing)[:2] == (404, "not_found")


# Names, keys


@pytest.mark.parametrize("name", ["a", "A-b_C", "-", "_", "9", "x" * 255, "News", "latest"])
async def test_names_keep_their_case(prompts: PromptSpace, name: str) -> None:
    created = await prompts.create(f" {name}\t")

    assert created["name"] == name
    assert (await prompts.show(name))["name"] == name


async def test_names_that_differ_in_case_are_two(prompts: PromptSpace) -> None:
    await prompts.create("Agent", "upper")
    await prompts.create("agent", "lower")

    assert (await prompts.show("Agent"))["prompt"] == "upper"
    assert (await prompts.show("agent"))["prompt"] == "lower"
    answer = await prompts.get("name/AGENT")
    assert refusal(answer) == (404, "not_found", None)
    assert sorted(answer.json()["suggestions"]) == ["Agent", "agent"]


async def test_a_prompt_and_a_skill_may_share_a_name(new_space: NewSpace) -> None:
    space = await new_space(scopes=("llm_skill:write", "llm_prompt:write"))
    await space.create("agent")
    created = await PromptSpace(space).create("agent")

    assert (await space.at("GET", f"llm_skills/name/{created['id']}")).status_code == 404


async def test_scopes(new_space: NewSpace) -> None:
    owner = PromptSpace(await new_space(scopes=("llm_prompt:write",)))
    await owner.create()
    for scopes, reads, writes in (
        (("llm_prompt:read",), 200, 403),
        (("llm_skill:write",), 403, 403),
        (("llm_prompt:write",), 200, 200),
        (("*",), 200, 200),
    ):
        _, key = await identity.create_key(
            owner.space.conn, email=owner.space.user.email, scopes=scopes, project_ids=[owner.space.id]
        )
        headers = {"authorization": f"Bearer {key}"}
        for path in ("", "name/agent", "resolve/name/agent", "name/agent?content=none", "name/agent?label=x"):
            answer = await owner.get(path, headers=headers)
            if reads == 200:
                assert answer.status_code in (200, 404)
            else:
                assert refusal(answer)[:2] == (403, "permission_denied")
                assert "required scope 'llm_prompt:read'" in answer.json()["detail"]
        for method, path, body in (
            ("POST", "", {}),
            ("PATCH", "name/agent", {}),
            ("POST", "name/agent/duplicate", {}),
            ("PUT", "name/agent/labels/x", {}),
            ("DELETE", "name/agent/labels/x", None),
        ):
            answer = await owner.space.at(method, f"llm_prompts/{path}", json=body, headers=headers)
            if writes == 200:
                assert answer.status_code in (400, 404)
            else:
                assert refusal(answer)[:2] == (403, "permission_denied")
                assert "required scope 'llm_prompt:write'" in answer.json()["detail"]


async def test_another_project_sees_nothing(new_space: NewSpace) -> None:
    mine = PromptSpace(await new_space(scopes=("llm_prompt:write",)))
    other = PromptSpace(await new_space(scopes=("llm_prompt:write",)))
    created = await mine.create("secret-agent", "classified")
    await mine.set_label("live", 1, "secret-agent")

    for path in ("name/secret-agent", f"name/{created['id']}", "resolve/name/secret-agent"):
        answer = await other.get(path)
        assert refusal(answer)[:2] == (404, "not_found")
        assert answer.json()["suggestions"] == []
    await other.create("decoy")
    answer = await other.get("resolve/name/decoy", params={"version_id": created["id"]})
    assert answer.status_code == 404
    assert (await other.names(search="classified")) == []
    assert (await other.get("", params={"label": "live"})).json()["count"] == 0


@pytest.mark.parametrize(("method", "path", "allowed"), [
    ("PUT", "", "GET, HEAD, OPTIONS, POST"),
    ("DELETE", "name/x", "GET, HEAD, OPTIONS, PATCH"),
    ("GET", "name/x/archive", "OPTIONS, POST"),
    ("POST", "name/x/labels/y", "DELETE, OPTIONS, PUT"),
    ("POST", "resolve/name/x", "GET, HEAD, OPTIONS"),
])  # fmt: skip
async def test_a_method_that_a_route_lacks(
    prompts: PromptSpace, method: str, path: str, allowed: str
) -> None:
    answer = await prompts.space.at(method, f"llm_prompts/{path}")

    assert refusal(answer)[:2] == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) >= set(allowed.split(", ")) - {"OPTIONS"}
