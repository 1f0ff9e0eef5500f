"""Yanked versions: read by their number, which says so, and passed over by everything else."""

from typing import Any

import httpx
import pytest
import pytest_asyncio

from projections.rebuild.rebuild import rebuild
from tests.support import invariants
from tests.support.governing import with_scopes
from tests.support.marks import Kept
from tests.support.space import NewSpace, Space, file, refusal

BOTH = pytest.mark.parametrize("resource", ["llm_skills", "llm_prompts"])
ALL = ("*",)


async def yank(kept: Kept, number: Any, json: Any = None, **options: Any) -> httpx.Response:
    json = {"reason": "wrong"} if json is None else json
    return await kept.send("POST", f"name/one/versions/{number}/yank", json, **options)


async def unyank(kept: Kept, number: Any, **options: Any) -> httpx.Response:
    return await kept.send("POST", f"name/one/versions/{number}/unyank", **options)


@pytest_asyncio.fixture(loop_scope="session")
async def three(new_space: NewSpace, resource: str) -> Kept:
    """An artifact with three versions; ``live`` points to the last one."""
    kept = Kept(await new_space(scopes=ALL), resource)
    await kept.create()
    text = "body" if resource == "llm_skills" else "prompt"
    await kept.patch({text: "Two\n", "base_version": 1})
    await kept.patch({text: "Three\n", "base_version": 2})
    await kept.ok(201, "PUT", "name/one/labels/live", {"version": 3})
    return kept


def text_of(shown: dict[str, Any]) -> Any:
    return shown.get("body", shown.get("prompt"))


def read(written: dict[str, Any]) -> dict[str, Any]:
    """What a write answered, as a read by name has it: prompts lack their author there."""
    return {key: value for key, value in written.items() if key != "created_by" or "prompt" not in written}


@BOTH
async def test_the_latest_is_the_newest_that_is_not_yanked(three: Kept) -> None:
    second = await three.show(version=2)
    answer = await yank(three, 3, {"reason": " leaks a key "})
    made = await three.space.ok(200, answer)
    assert (made["version"], text_of(made), made["yanked"]["reason"]) == (3, "Three\n", "leaks a key")
    assert made["yanked"]["by"]["id"] == three.space.user.id
    assert (made["latest_version"], made["version_count"], made["is_latest"]) == (2, 3, False)
    assert int(answer.headers["x-event-position"]) == await three.space.head()

    latest = await three.show()
    assert latest == {**second, "is_latest": True, "latest_version": 2, "yanked": None}
    exact = await three.show(version=3)
    assert (text_of(exact), exact["yanked"]) == ("Three\n", made["yanked"])
    [row] = (await three.ok(200, "GET", ""))["results"]
    assert (row["version"], row["latest_version"], row["version_count"], row["yanked"]) == (2, 2, 3, None)
    resolved = await three.ok(200, "GET", "resolve/name/one")
    assert [line["version"] for line in resolved["versions"]] == [2, 1]

    # The next one is made from it, and gets a number that was never used.
    stale = await three.send("PATCH", "name/one", {"base_version": 3, **three.change})
    assert refusal(stale)[:2] == (409, "version_conflict")
    assert stale.json()["current_version"] == 2
    field = "license" if three.resource == "llm_skills" else "config"
    value: Any = "MIT" if field == "license" else {"n": 1}
    fourth = await three.patch({field: value, "base_version": 2})
    assert (fourth["version"], text_of(fourth), fourth["version_count"]) == (4, "Two\n", 4)
    assert (await three.show())["version"] == 4
    assert (await three.show(version=3))["yanked"]["reason"] == "leaks a key"


@BOTH
async def test_a_yank_is_taken_back(three: Kept) -> None:
    third = await three.show()
    assert (await yank(three, 3)).status_code == 200
    answer = await unyank(three, 3)
    assert read(await three.space.ok(200, answer)) == await three.show(version=3)
    assert await three.show() == third
    assert (await three.show(label="live"))["version"] == 3
    for number in (1, 2):
        assert (await yank(three, number)).status_code == 200
    assert await three.show() == third
    assert refusal(await yank(three, 3))[:2] == (409, "last_version")


@BOTH
async def test_done_already_it_changes_nothing(three: Kept) -> None:
    first = (await yank(three, 3, {"reason": "first"})).json()
    head = await three.space.head()
    again = await yank(three, 3, {"reason": "second"})
    assert (again.status_code, again.json()) == (200, first)
    assert read((await unyank(three, 2)).json()) == await three.show(version=2)
    assert await three.space.head() == head


@BOTH
async def test_what_is_refused(three: Kept) -> None:
    reading = Kept(await with_scopes(three.space, [f"{three.resource[:-1]}:read"]), three.resource)
    head = await three.space.head()
    for number in (4, 0, "x", "1.0", "9" * 30, "\u0663"):
        answer = await yank(three, number)
        assert refusal(answer)[:2] == (404, "version_not_found"), number
        assert answer.json()["available_versions"] == [3, 2, 1]
        assert refusal(await unyank(three, number))[:2] == (404, "version_not_found")
    for reason, code in (
        ("", "blank"),
        (" \n", "blank"),
        ("x" * 401, "max_length"),
        (1, "invalid_type"),
        (None, "null"),
    ):
        found = refusal(await yank(three, 3, {"reason": reason}))
        assert (found[0], found[2]) == (400, "reason")
        assert found[1] == code or isinstance(reason, int)
    assert refusal(await yank(three, 3, {}))[1:] == ("required", "reason")
    assert refusal(await three.send("POST", "name/two/versions/1/yank", {"reason": "x"}))[:2] == (
        404,
        "not_found",
    )
    assert refusal(await yank(three, 3, headers={"If-Match": '"x"'}))[:2] == (412, "precondition_failed")
    assert refusal(await yank(reading, 3))[:2] == (403, "permission_denied")
    assert await three.space.head() == head
    assert (await yank(three, 3, {"reason": "é" * 400})).status_code == 200


@BOTH
async def test_a_label_on_it_answers_410_until_it_moves(three: Kept) -> None:
    yanked = (await yank(three, 3)).json()["yanked"]
    for path in ("name/one", "resolve/name/one"):
        gone = await three.send("GET", path, params={"label": "live"})
        assert refusal(gone)[:2] == (410, "yanked")
        assert (gone.json()["version"], gone.json()["yanked"]) == (3, yanked)
    assert await three.names(label="live") == []
    assert refusal(await three.send("PUT", "name/one/labels/next", {"version": 3}))[:2] == (409, "yanked")
    await three.ok(200, "PUT", "name/one/labels/live", {"version": 2})
    assert (await three.show(label="live"))["version"] == 2
    assert await three.names(label="live") == ["one"]


@BOTH
async def test_a_protected_label_on_it_needs_promote(three: Kept) -> None:
    space, kind = three.space, three.resource.removeprefix("llm_").removesuffix("s")
    await space.ok(
        201, await space.at("PUT", "label-policies/live", json={"protected": True, "approvals": 2})
    )
    writing = Kept(await with_scopes(space, [f"llm_{kind}:write"]), three.resource)
    assert refusal(await yank(writing, 3))[:2] == (403, "label_protected")
    assert (await yank(writing, 2)).status_code == 200
    promoting = Kept(await with_scopes(space, [f"llm_{kind}:write", f"llm_{kind}:promote"]), three.resource)
    # Approvals are asked of a move alone.
    assert (await yank(promoting, 3)).status_code == 200
    assert refusal(await unyank(writing, 3))[:2] == (403, "label_protected")
    assert (await unyank(promoting, 3)).status_code == 200


@BOTH
async def test_before_it_nothing_is_known_of_it(three: Kept) -> None:
    before = await three.space.head()
    shown = {
        query: await three.show(**dict(pair)) for query, pair in (("latest", ()), ("live", {"label": "live"}))
    }
    assert (await yank(three, 3)).status_code == 200
    yanked = await three.space.head()
    assert (await unyank(three, 3)).status_code == 200
    then: dict[str, Any] = {"position": before}
    assert await three.show(**then) == shown["latest"]
    assert await three.show(**then, label="live") == shown["live"]
    assert (await three.show(position=yanked))["version"] == 2
    assert (await three.show(position=yanked, version=3))["yanked"]["reason"] == "wrong"
    gone = await three.send("GET", "name/one", params={"position": yanked, "label": "live"})
    assert refusal(gone)[:2] == (410, "yanked")
    assert await three.names(position=yanked, label="live") == []
    [row] = (await three.ok(200, "GET", "", params={"position": yanked}))["results"]
    assert (row["version"], row["version_count"]) == (2, 3)
    lines = (await three.ok(200, "GET", "resolve/name/one", params={"position": yanked}))["versions"]
    assert [line["version"] for line in lines] == [2, 1]


@BOTH
async def test_a_repeated_request_has_the_first_answer(three: Kept) -> None:
    once = {"headers": {"Idempotency-Key": "yank-1"}}
    first = await yank(three, 3, **once)
    await unyank(three, 3)
    again = await yank(three, 3, **once)
    assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")
    assert refusal(await yank(three, 2, **once))[:2] == (422, "idempotency_key_reused")


@BOTH
async def test_history_and_feed_say_so(three: Kept) -> None:
    kind = three.resource.removeprefix("llm_").removesuffix("s")
    await yank(three, 3)
    await unyank(three, 3)
    entries = (await three.ok(200, "GET", "name/one/history"))["results"][:2]
    assert [
        (one["type"], one["changes"]["yanked"], one["version_before"], one["version_after"])
        for one in entries
    ] == [
        (f"skald.{kind}.version_unyanked.v1", {"version": 3, "reason": None}, 2, 3),
        (f"skald.{kind}.version_yanked.v1", {"version": 3, "reason": "wrong"}, 3, 2),
    ]
    feed = (await three.space.at("GET", "events/", params={"after": entries[1]["position"] - 1})).json()[
        "results"
    ]
    assert [(one["type"], one["data"]["number"]) for one in feed] == [
        (f"skald.{kind}.version_yanked.v1", 3),
        (f"skald.{kind}.version_unyanked.v1", 3),
    ]
    assert feed[0]["data"]["links"]["version"].endswith("?version=3")
    audit = (await three.space.at("GET", "audit/", params={"after": entries[1]["position"] - 1})).json()[
        "results"
    ]
    assert [one["version"] for one in audit] == [3, 3]


@BOTH
async def test_a_comparison_and_lines_pass_over_it(three: Kept) -> None:
    text = "body" if three.resource == "llm_skills" else "prompt"
    await three.patch({text: "Two\nThree\n", "base_version": 3})
    await yank(three, 3)
    diff = await three.ok(200, "GET", "name/one/diff")
    assert (diff["from"]["version"], diff["to"]["version"]) == (2, 4)
    await yank(three, 4)
    await three.patch({text: "Two\nFive\n", "base_version": 2})
    blame = await three.ok(200, "GET", "name/one/blame")
    assert [(line["text"], line["version"]) for line in blame["lines"]] == [("Two", 2), ("Five", 5)]


async def test_a_prompt_that_is_referred_to_by_its_label_stays(new_space: NewSpace) -> None:
    kept = Kept(await new_space(scopes=ALL), "llm_prompts")
    await kept.create()
    await kept.patch({"prompt": "Two", "base_version": 1})
    await kept.ok(201, "PUT", "name/one/labels/live", {"version": 2})
    await kept.create("by-label", prompt="@@@prompt:name=one|label=live@@@")
    await kept.create("by-version", prompt="@@@prompt:name=one|version=2@@@")
    refused = await yank(kept, 2)
    assert refusal(refused)[:2] == (409, "referenced")
    await kept.ok(200, "PUT", "name/one/labels/live", {"version": 1})
    assert (await yank(kept, 2)).status_code == 200
    # By its number it is still read, and may still be referred to.
    assert (await kept.show("by-version"))["prompt"] == "Two"
    await kept.create("other", prompt="@@@prompt:name=one|version=2@@@")
    answer = await kept.send("POST", "", {"name": "more", "prompt": "@@@prompt:name=one|version=3@@@"})
    assert refusal(answer)[:2] == (400, "invalid_reference")


async def test_what_comes_back_has_what_it_refers_to(new_space: NewSpace) -> None:
    kept = Kept(await new_space(scopes=ALL), "llm_prompts")
    await kept.create("tone")
    await kept.create(prompt="@@@prompt:name=tone|version=1@@@")
    await kept.patch({"prompt": "plain", "base_version": 1})
    await kept.ok(200, "POST", "name/tone/archive")
    assert refusal(await yank(kept, 2))[:2] == (400, "invalid_reference")


async def test_a_skill_under_another_name_has_the_package_of_that_name(space: Space) -> None:
    await space.create("one", files=[file("a.txt", "1")])
    await space.publish("one", 1, files=[file("b.txt", "2")])
    await space.ok(200, await space.post("name/one/rename", {"new_name": "two"}))
    await space.ok(200, await space.post("name/two/versions/2/yank", {"reason": "x"}))
    skill_md = (await space.get("name/two/skill-md")).text
    assert skill_md.startswith("---\nname: two\n")
    assert [one["path"] for one in (await space.show("two"))["files"]] == ["a.txt"]
    # The other one had it already; as of before, this one had not.
    before = await space.head() - 1
    old = await space.get("name/two/skill-md", params={"version": 1, "position": before})
    assert old.text.startswith("---\nname: one\n")
    await space.ok(200, await space.post("name/two/versions/2/unyank"))
    assert (await space.get("name/two/skill-md")).text.startswith("---\nname: two\n")
    await space.ok(200, await space.post("name/two/rename", {"new_name": "three"}))
    await space.ok(200, await space.post("name/three/versions/2/yank", {"reason": "x"}))
    assert (await space.get("name/three/skill-md")).text.startswith("---\nname: three\n")


async def test_files_follow_the_line_of_what_is_not_yanked(space: Space) -> None:
    await space.create(files=[file("a.txt", "1")])
    await space.ok(
        200, await space.post("name/pdf-forms/files-rename", {"old_path": "a.txt", "new_path": "b.txt"})
    )
    await space.ok(200, await space.post("name/pdf-forms/versions/2/yank", {"reason": "x"}))
    added = await space.ok(
        201, await space.post("name/pdf-forms/files", {**file("c.txt", "2"), "base_version": 1})
    )
    assert (added["version"], [one["path"] for one in added["files"]]) == (3, ["a.txt", "c.txt"])
    diff = await space.ok(200, await space.get("name/pdf-forms/diff", params={"from": 1, "to": 3}))
    assert [(one["status"], one["path"]) for one in diff["files"]] == [("added", "c.txt")]
    across = await space.ok(200, await space.get("name/pdf-forms/diff", params={"from": 2, "to": 3}))
    assert {one["status"] for one in across["files"]} <= {"added", "removed", "renamed"}
    assert [
        one["version"] for one in (await space.ok(200, await space.get("resolve/name/pdf-forms")))["versions"]
    ] == [3, 1]


async def test_the_tables_are_the_fold_of_the_log(space: Space, postgres_url: str) -> None:
    await space.create("one", files=[file("a.txt", "1")])
    for base in (1, 2):
        await space.publish("one", base, description=f"Version {base + 1}", files=[file("b.txt", str(base))])
    for number, word in ((3, "yank"), (2, "yank"), (3, "unyank"), (2, "unyank"), (3, "yank")):
        await space.ok(200, await space.post(f"name/one/versions/{number}/{word}", {"reason": "x"}))
    await space.ok(200, await space.post("name/one/rename", {"new_name": "two"}))
    await space.ok(200, await space.post("name/two/versions/3/unyank"))
    await space.ok(200, await space.post("name/two/versions/3/yank", {"reason": "y"}))
    await space.publish("two", 2, license="MIT")
    await space.ok(200, await space.post("name/two/versions/4/yank", {"reason": "z"}))
    await space.post("name/two/archive")
    await space.ok(200, await space.post("name/two/restore"))
    assert (await space.show("two"))["version"] == 2
    invariants.check(postgres_url)
    # And of whole batches, as a rebuild writes them.
    report = await rebuild(postgres_url)
    assert not report.differences
