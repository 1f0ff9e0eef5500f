"""The history of a name: every event, who did it, and what changed."""

import hashlib
from typing import Any

import pytest

from store.tables import identity
from tests.support.prompt_space import PromptSpace, chat
from tests.support.space import BODY, USER_KEYS, NewSpace, Space, file, refusal

ENTRY_KEYS = {
    "position",
    "time",
    "type",
    "stream_id",
    "actor",
    "key_id",
    "request_id",
    "version_before",
    "version_after",
    "changes",
}


async def history(space: Space, name: str = "pdf-forms", **query: Any) -> dict[str, Any]:
    return await space.ok(200, await space.get(f"name/{name}/history/", params=query))


def short(page: dict[str, Any]) -> list[tuple[str, int | None, int]]:
    return [
        (row["type"].split(".")[2], row["version_before"], row["version_after"]) for row in page["results"]
    ]


async def test_every_event_is_told_newest_first(space: Space) -> None:
    await space.create(files=[file("a.txt", "1"), file("b.txt", "2")])
    await space.publish("pdf-forms", 1, description="Other", files=[file("a.txt", "one")])
    await space.post("name/pdf-forms/files/", file("c.txt"), headers={"X-Request-Id": "req-42"})
    await space.post("name/pdf-forms/files-rename/", {"old_path": "c.txt", "new_path": "d/c.txt"})
    removed = await space.delete("name/pdf-forms/files/d/c.txt")
    page = await history(space)
    assert page["count"] == 5
    assert page["next"] is page["previous"] is None
    assert short(page) == [
        ("file_removed", 4, 5),
        ("file_renamed", 3, 4),
        ("file_added", 2, 3),
        ("published", 1, 2),
        ("created", None, 1),
    ]
    newest, renamed, added, published, created = page["results"]
    assert set(newest) == ENTRY_KEYS
    assert newest["position"] == int(removed.headers["X-Event-Position"])
    assert list(newest["actor"]) == USER_KEYS
    assert newest["actor"]["id"] == space.user.id
    assert newest["key_id"]
    assert newest["time"] == (await space.show())["created_at"]
    assert added["request_id"] == "req-42"
    assert [one["path"] for one in newest["changes"]["files"]["removed"]] == ["d/c.txt"]
    assert renamed["changes"]["files"]["renamed"][0]["old_path"] == "c.txt"
    assert renamed["changes"]["files"]["added"] == []
    assert [one["path"] for one in added["changes"]["files"]["added"]] == ["c.txt"]
    assert published["changes"]["fields"] == ["description"]
    assert [one["path"] for one in published["changes"]["files"]["removed"]] == ["b.txt"]
    (edited,) = published["changes"]["files"]["edited"]
    assert edited["before"]["sha256"] == hashlib.sha256(b"1").hexdigest()
    assert (edited["before"]["size"], edited["after"]["size"]) == (1, 3)
    assert created["changes"]["content"] == {
        "before": None,
        "after": {"sha256": hashlib.sha256(BODY.encode()).hexdigest(), "size": len(BODY)},
    }


async def test_pages_and_both_prefixes_say_the_same(space: Space) -> None:
    await space.create()
    for number in range(1, 6):
        await space.publish("pdf-forms", number, body=f"# {number}\n")
    whole = await history(space)
    first = await history(space, limit=4)
    assert first["results"] == whole["results"][:4]
    assert first["count"] == 6
    assert "limit=4&offset=4" in first["next"]
    rest = await space.ok(200, await space.client.get(first["next"]))
    assert rest["results"] == whole["results"][4:]
    assert rest["next"] is None
    assert rest["previous"]
    other = await space.at("GET", f"/api/environments/{space.id}/llm_skills/name/pdf-forms/history")
    assert other.json() == whole
    again = await space.get("name/pdf-forms/history/", headers={"If-None-Match": other.headers["etag"]})
    assert again.status_code == 304


async def test_earlier_lives_are_told_when_asked_for(space: Space) -> None:
    await space.create(body="# First\n")
    await space.post("name/pdf-forms/archive")
    gone = await space.get("name/pdf-forms/history/")
    assert refusal(gone)[:2] == (404, "not_found")
    assert short(await history(space, include_archived="true")) == [("archived", 1, 1), ("created", None, 1)]
    await space.create(body="# Second\n")
    await space.create("copy-of-it")
    assert short(await history(space)) == [("created", None, 1)]
    every = await history(space, include_archived="true")
    assert short(every) == [("created", None, 1), ("archived", 1, 1), ("created", None, 1)]
    assert len({row["stream_id"] for row in every["results"]}) == 2
    assert refusal(await space.get("name/pdf-forms/history/", params={"include_archived": "yes"})) == (
        400,
        "invalid_input",
        "include_archived",
    )


async def test_a_life_that_came_back_is_told_once(space: Space) -> None:
    await space.create()
    for _ in range(2):
        await space.post("name/pdf-forms/archive")
        await space.post("name/pdf-forms/restore")
    told = [
        ("restored", 1, 1), ("archived", 1, 1), ("restored", 1, 1), ("archived", 1, 1), ("created", None, 1)
    ]  # fmt: skip
    for query in ({}, {"include_archived": "true"}):
        page = await history(space, **query)
        assert (short(page), page["count"]) == (told, 5)


async def test_a_duplicate_names_its_source_and_a_revert_its_version(space: Space) -> None:
    await space.create()
    await space.publish("pdf-forms", 1, body="# Two\n")
    await space.post("name/pdf-forms/duplicate/", {"new_name": "copy"})
    await space.post("name/pdf-forms/revert/", {"version": 1, "base_version": 2})
    source = (await history(space, "copy"))["results"][0]["changes"]["source"]
    assert (source["name"], source["version"]) == ("pdf-forms", 2)
    reverted = (await history(space))["results"][0]
    assert reverted["changes"]["reverted_to"] == 1
    assert reverted["changes"]["fields"] == ["body"]


async def test_labels_of_prompts_tell_where_they_went(prompts: PromptSpace) -> None:
    await prompts.create(prompt=chat("one"))
    await prompts.publish(1, config={"t": 1}, version_description="warm")
    await prompts.set_label("production", 1)
    await prompts.set_label("production", 2)
    await prompts.post("name/agent/archive")
    await prompts.post("name/agent/restore/")
    answer = await prompts.get("name/agent/history/")
    rows = (await prompts.space.ok(200, answer))["results"]
    assert [row["type"] for row in rows] == [
        f"skald.prompt.{topic}.v1"
        for topic in ("restored", "archived", "label_set", "label_set", "published", "created")
    ]
    assert [row["changes"]["labels"] for row in rows[1:4]] == [
        [{"name": "production", "from": 2, "to": None}],
        [{"name": "production", "from": 1, "to": 2}],
        [{"name": "production", "from": None, "to": 1}],
    ]
    assert rows[2]["version_before"] == rows[2]["version_after"] == 2
    assert rows[4]["changes"]["fields"] == ["config", "version_description"]
    assert rows[4]["changes"]["content"] is None
    assert rows[5]["changes"]["content"]["before"] is None


async def test_a_long_history_is_told_page_by_page(space: Space) -> None:
    await space.create()
    for number in range(1, 30):
        await space.publish("pdf-forms", number, body=f"# {number}\n")
    page = await history(space, limit=3, offset=10)
    assert [row["version_after"] for row in page["results"]] == [20, 19, 18]
    assert all(row["changes"]["fields"] == ["body"] for row in page["results"])
    beyond = await history(space, offset=2**31, limit=1000)
    assert (beyond["count"], beyond["results"]) == (30, [])


async def test_an_erased_person_is_nobody(new_space: NewSpace) -> None:
    space = await new_space(scopes=("*",))
    await space.create()
    other = await identity.create_user(space.conn, email=f"reader-{space.id}@example.com")
    _, key = await identity.create_key(
        space.conn, email=other.email, scopes=["llm_skill:read"], project_ids=[space.id]
    )
    await identity.erase_user(space.conn, space.user.email)
    answer = await space.get("name/pdf-forms/history/", headers={"Authorization": f"Bearer {key}"})
    (row,) = (await space.ok(200, answer))["results"]
    assert row["actor"] is None
    assert row["key_id"]


@pytest.mark.parametrize("path", ["history", "diff", "blame", "revert", "restore"])
async def test_each_kind_needs_its_own_scope_and_knows_its_own_names(path: str, new_space: NewSpace) -> None:
    space = await new_space(scopes=("llm_skill:read",))
    method = "POST" if path in ("revert", "restore") else "GET"
    body = {"version": 1, "base_version": 1} if path == "revert" else None
    skill = await space.at(method, f"llm_skills/name/nothing/{path}/", json=body)
    prompt = await space.at(method, f"llm_prompts/name/nothing/{path}/", json=body)
    assert refusal(prompt)[:2] == (403, "permission_denied")
    if method == "GET":
        assert refusal(skill)[:2] == (404, "not_found")
        assert skill.json()["suggestions"] == []
        assert refusal(await space.get(f"name/a%00b/{path}/"))[0] == 404
    else:
        assert refusal(skill)[:2] == (403, "permission_denied")
        writer = await new_space(scopes=("llm_skill:write", "llm_prompt:write"))
        for resource in ("llm_skills", "llm_prompts"):
            answer = await writer.at(method, f"{resource}/name/nothing/{path}/", json=body)
            assert refusal(answer)[:2] == (404, "not_found")
            answer = await writer.at(method, f"{resource}/name/a%00b/{path}/", json=body)
            assert refusal(answer)[0] == 404


async def test_names_of_other_projects_have_no_history_here(new_space: NewSpace) -> None:
    one, other = await new_space(), await new_space()
    made = await one.create()
    await one.post("name/pdf-forms/archive")
    for path in ("history/?include_archived=true", "diff/", "blame/"):
        assert refusal(await other.get(f"name/pdf-forms/{path}"))[:2] == (404, "not_found")
    assert refusal(await other.post("name/pdf-forms/restore/"))[:2] == (404, "not_found")
    assert refusal(await other.post("name/pdf-forms/restore/", {"id": made["id"]}))[0] == 404
    assert (await other.ok(200, await other.get("archived/")))["count"] == 0
