"""Tags of skills and prompts."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from domain.artifacts.tags import MAX_TAG, MAX_TAGS, MAX_TAGS_SENT
from tests.support.marks import BODIES, Kept, ids
from tests.support.space import NewSpace, refusal


@pytest_asyncio.fixture(loop_scope="session", params=BODIES)
async def kept(request: pytest.FixtureRequest, new_space: NewSpace) -> AsyncIterator[Kept]:
    yield Kept(await new_space(scopes=("*",)), request.param)


async def test_tags_have_a_normal_form(kept: Kept) -> None:
    created = await kept.create(tags=[" Docs", "API ", "docs", " "])
    assert created["tags"] == ["api", "docs"]
    assert (await kept.show())["tags"] == ["api", "docs"]
    [row] = (await kept.ok(200, "GET", ""))["results"]
    assert row["tags"] == ["api", "docs"]
    assert (await kept.create("two"))["tags"] == []


async def test_tags_alone_make_no_version(kept: Kept) -> None:
    created = await kept.create(tags=["a"])
    old = await kept.send("GET", "name/one")
    before = await kept.space.head()
    changed = await kept.patch({"tags": ["b", "A"]})
    assert await kept.space.head() == before + 1
    assert changed == {**created, "tags": ["a", "b"]}
    new = await kept.send("GET", "name/one", headers={"If-None-Match": old.headers["etag"]})
    assert (new.status_code, new.json()["tags"]) == (200, ["a", "b"])
    assert await kept.patch({"tags": ["B", "a"]}) == changed
    assert await kept.space.head() == before + 1
    stale = await kept.send("PATCH", "name/one", {"tags": [], "base_version": 2})
    assert refusal(stale) == (409, "version_conflict", "base_version")


async def test_owners_and_tags_change_together(kept: Kept) -> None:
    await kept.create()
    before = await kept.space.head()
    changed = await kept.patch({"owners": [], "tags": ["a"]})
    assert (ids(changed), changed["tags"], changed["version"]) == ([], ["a"], 1)
    assert await kept.space.head() == before + 2
    second = await kept.patch({"tags": ["b"], "base_version": 1, **kept.change})
    assert (second["version"], second["tags"]) == (2, ["b"])
    assert (await kept.patch({"base_version": 2, **kept.change}))["tags"] == ["b"]


async def test_a_refused_publish_leaves_the_tags(kept: Kept) -> None:
    await kept.create(tags=["a"])
    edits = [{"old": "nowhere", "new": "x"}]
    answer = await kept.send("PATCH", "name/one", {"base_version": 1, "edits": edits, "tags": ["b"]})
    assert refusal(answer)[:2] == (400, "edit_not_found")
    assert (await kept.show())["tags"] == ["a"]


@pytest.mark.parametrize(
    ("tags", "code", "attr"),
    [
        (None, "null", "tags"),
        ("a", "invalid_input", "tags"),
        (["a", 1], "invalid_input", "tags__1"),
        (["a", "b,c"], "invalid_tag", "tags__1"),
        (["\0"], "null_characters_not_allowed", "tags__0"),
        (["x" * (MAX_TAG + 1)], "max_length", "tags__0"),
        ([f"t{n}" for n in range(MAX_TAGS + 1)], "max_length", "tags"),
        (["a"] * (MAX_TAGS_SENT + 1), "max_length", "tags"),
    ],
)
async def test_what_tags_may_not_be(kept: Kept, tags: object, code: str, attr: str) -> None:
    answer = await kept.send("POST", "", {"name": "one", **BODIES[kept.resource], "tags": tags})
    assert refusal(answer) == (400, code, attr)
    await kept.create()
    assert refusal(await kept.send("PATCH", "name/one", {"tags": tags})) == (400, code, attr)


async def test_the_list_of_tags(kept: Kept) -> None:
    await kept.create("a", tags=["docs", "api"])
    await kept.create("b", tags=["docs"])
    await kept.create("c")
    assert await kept.names(tags="docs") == ["a", "b"]
    assert await kept.names(tags=" DOCS ,api,api,") == ["a"]
    assert await kept.names(tags="docs", search="b") == ["b"]
    assert await kept.names(tags="docs,none") == []
    assert await kept.names(tags=",") == ["a", "b", "c"]
    page = await kept.ok(200, "GET", "", params={"tags": "docs", "limit": 1})
    assert (page["count"], len(page["results"])) == (2, 1)
    for tags in (",".join(map(str, range(MAX_TAGS + 1))), "x" * (MAX_TAG + 1), "x" * 3000):
        assert refusal(await kept.send("GET", f"?tags={tags}")) == (400, "max_length", "tags")


async def test_the_tags_in_use(kept: Kept, new_space: NewSpace) -> None:
    assert await kept.ok(200, "GET", "tags") == {"tags": []}
    await kept.create("a", tags=["docs", "api"])
    await kept.create("b", tags=["docs", "Ärger"])
    other = "llm_prompts" if kept.resource == "llm_skills" else "llm_skills"
    await Kept(kept.space, other).create(tags=["of another kind"])
    await Kept(await new_space(scopes=("*",)), kept.resource).create(tags=["of another project"])
    assert await kept.ok(200, "GET", "tags") == {"tags": ["api", "docs", "ärger"]}
    await kept.patch({"tags": ["docs"]}, "a")
    assert await kept.ok(200, "GET", "tags/") == {"tags": ["docs", "ärger"]}


async def test_an_archive_ends_the_tags(kept: Kept) -> None:
    await kept.create(tags=["a"])
    before = await kept.space.head()
    await kept.send("POST", "name/one/archive", {})
    assert await kept.ok(200, "GET", "tags") == {"tags": []}
    [row] = (await kept.ok(200, "GET", "archived"))["results"]
    assert row["tags"] == []
    restored = await kept.ok(200, "POST", "name/one/restore", {})
    assert restored["tags"] == (await kept.show())["tags"] == []
    assert (await kept.show(position=before))["tags"] == ["a"]


async def test_a_copy_keeps_the_tags(kept: Kept) -> None:
    await kept.create(tags=["a"])
    copy = await kept.ok(201, "POST", "name/one/duplicate", {"new_name": "copy"})
    assert copy["tags"] == (await kept.show("copy"))["tags"] == ["a"]
    await kept.patch({"tags": []})
    assert await kept.names(tags="a") == ["copy"]


async def test_the_past_has_its_tags(kept: Kept) -> None:
    await kept.create(tags=["a", "b"])
    created = await kept.space.head()
    await kept.patch({"tags": ["b"]})
    assert (await kept.show(position=created))["tags"] == ["a", "b"]
    assert await kept.names(position=created, tags="b,a") == ["one"]
    assert await kept.names(tags="b,a") == []
    assert await kept.names(position=created, tags="c") == []


async def test_it_is_told_by_history_feed_and_schema(kept: Kept) -> None:
    await kept.create(tags=["a"])
    await kept.patch({"tags": ["b"]})
    kind = kept.resource.removeprefix("llm_").removesuffix("s")
    newest, created = (await kept.ok(200, "GET", "name/one/history"))["results"]
    assert newest["type"] == f"skald.{kind}.tags_set.v1"
    assert newest["changes"]["tags"] == {"from": ["a"], "to": ["b"]}
    assert created["changes"]["tags"] == {"from": [], "to": ["a"]}
    feed = (await kept.space.at("GET", f"events/?type=skald.{kind}.tags_set.v1")).json()
    [event] = feed["results"]
    assert event["data"]["tags"] == ["b"]
    schema = (await kept.space.at("GET", f"/schema/events/skald.{kind}.tags_set.v1.json")).json()
    assert schema["properties"]["tags"]["type"] == "array"
