"""Who answers for an artifact: skills and prompts alike."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from domain.artifacts.owners import MAX_OWNERS
from store.tables import identity
from tests.support.marks import BODIES, Kept, ids
from tests.support.space import USER_KEYS, NewSpace, refusal


@pytest_asyncio.fixture(loop_scope="session", params=BODIES)
async def kept(request: pytest.FixtureRequest, new_space: NewSpace) -> AsyncIterator[Kept]:
    yield Kept(await new_space(scopes=("*",)), request.param)


async def test_the_creator_owns_it_by_default(kept: Kept) -> None:
    created = await kept.create()
    [owner] = created["owners"]
    assert list(owner) == USER_KEYS
    assert owner["uuid"] == str(kept.space.user.uuid)
    assert (await kept.show())["owners"] == created["owners"]
    [row] = (await kept.ok(200, "GET", ""))["results"]
    assert row["owners"] == created["owners"]
    resolved = await kept.ok(200, "GET", "resolve/name/one")
    assert next(iter(resolved.values()))["owners"] == created["owners"]


async def test_owners_are_named_at_the_creation(kept: Kept) -> None:
    one, other = await kept.member(), await kept.member()
    named = [str(other.uuid), str(one.uuid).upper(), str(other.uuid)]
    created = await kept.create(owners=named)
    assert ids(created) == [other.id, one.id]
    assert ids(await kept.show()) == [other.id, one.id]
    assert ids(await kept.create("none", owners=[])) == []
    assert ids(await kept.show("none")) == []


async def test_owners_alone_make_no_version(kept: Kept) -> None:
    created = await kept.create()
    member = await kept.member()
    before = await kept.space.head()
    answer = await kept.send("PATCH", "name/one", {"owners": [str(member.uuid)]})
    assert answer.status_code == 200
    changed = answer.json()
    assert int(answer.headers["x-event-position"]) == await kept.space.head() == before + 1
    assert changed.pop("owners") != created.pop("owners")
    assert changed == created
    assert ids(await kept.show()) == [member.id]
    assert ids(await kept.show(version=1)) == [member.id]


async def test_the_same_owners_are_no_event(kept: Kept) -> None:
    created = await kept.create()
    before = await kept.space.head()
    assert await kept.patch({"owners": [str(kept.space.user.uuid)]}) == created
    assert await kept.space.head() == before


async def test_the_base_version_is_checked_when_it_is_sent(kept: Kept) -> None:
    await kept.create()
    await kept.patch({"base_version": 1, **kept.change})
    stale = await kept.send("PATCH", "name/one", {"base_version": 1, "owners": []})
    assert refusal(stale) == (409, "version_conflict", "base_version")
    assert stale.json()["current_version"] == 2
    assert ids(await kept.show()) == [kept.space.user.id]
    assert ids(await kept.patch({"base_version": 2, "owners": []})) == []


async def test_owners_go_with_a_version(kept: Kept) -> None:
    await kept.create()
    member = await kept.member()
    changed = await kept.patch({"base_version": 1, **kept.change, "owners": [str(member.uuid)]})
    assert (changed["version"], ids(changed)) == (2, [member.id])
    assert changed["id"] == (await kept.show())["id"]
    third = await kept.patch({"base_version": 2, **kept.change})
    assert ids(third) == ids(await kept.show()) == [member.id]


async def test_cached_answers_fall_and_the_entity_tag_changes(kept: Kept) -> None:
    await kept.create()
    address = "name/one"
    old = await kept.send("GET", address)
    await kept.patch({"owners": []})
    again = await kept.send("GET", address, headers={"If-None-Match": old.headers["etag"]})
    assert again.status_code == 200
    assert again.headers["etag"] != old.headers["etag"]
    stale = await kept.send("PATCH", address, {"owners": []}, headers={"If-Match": old.headers["etag"]})
    assert refusal(stale)[0] == 412


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_an_owner_has_a_live_key_for_the_project(kept: Kept, method: str) -> None:
    await kept.create()
    elsewhere = await identity.create_project(kept.space.conn, "Elsewhere")
    revoked, erased = await kept.member(), await kept.member()
    for key in await identity.list_keys(kept.space.conn):
        if key.email == revoked.email:
            await identity.revoke_key(kept.space.conn, key.id)
    await identity.erase_user(kept.space.conn, erased.email)
    expired = await kept.user(projects=[kept.space.id], expires_in=timedelta(microseconds=1))
    await asyncio.sleep(0.01)
    without = await identity.create_user(kept.space.conn, email=f"{uuid4().hex}@example.com")
    absent = (revoked, erased, expired, without, await kept.user(projects=[elsewhere.id]))
    before = await kept.space.head()
    for uuid in (*(user.uuid for user in absent), uuid4()):
        sent = {"owners": [str(kept.space.user.uuid), str(uuid)], "base_version": 1}
        body = {"name": "two", **BODIES[kept.resource], **sent} if method == "POST" else sent
        answer = await kept.send(method, "" if method == "POST" else "name/one", body)
        assert refusal(answer) == (400, "does_not_exist", "owners__1")
    assert await kept.space.head() == before


@pytest.mark.parametrize(
    ("owners", "code", "attr"),
    [
        (None, "null", "owners"),
        ("x", "invalid_input", "owners"),
        (["x"], "invalid_input", "owners__0"),
        ([7], "invalid_input", "owners__0"),
        ([str(uuid4())] * (MAX_OWNERS + 1), "max_length", "owners"),
    ],
)
async def test_what_owners_may_not_be(kept: Kept, owners: object, code: str, attr: str) -> None:
    answer = await kept.send("POST", "", {"name": "one", **BODIES[kept.resource], "owners": owners})
    assert refusal(answer) == (400, code, attr)
    await kept.create()
    assert refusal(await kept.send("PATCH", "name/one", {"owners": owners})) == (400, code, attr)


async def test_an_unknown_name_is_missing(kept: Kept) -> None:
    assert refusal(await kept.send("PATCH", "name/none", {"owners": []}))[:2] == (404, "not_found")


async def test_the_list_of_an_owner(kept: Kept) -> None:
    member = await kept.member()
    await kept.create("a")
    await kept.create("b", owners=[str(member.uuid)])
    await kept.create("c", owners=[str(member.uuid), str(kept.space.user.uuid)])
    assert await kept.names(owner_id=member.id) == ["b", "c"]
    assert await kept.names(owner_id=kept.space.user.id) == ["a", "c"]
    assert await kept.names(owner_id=member.id, search="c") == ["c"]
    assert await kept.names(owner_id=0) == []
    page = await kept.ok(200, "GET", "", params={"owner_id": member.id, "limit": 1})
    assert (page["count"], len(page["results"])) == (2, 1)
    assert f"owner_id={member.id}" in page["next"]
    assert refusal(await kept.send("GET", "?owner_id=x")) == (400, "invalid_input", "owner_id")
    await kept.send("POST", "name/b/archive", {})
    assert await kept.names(owner_id=member.id) == ["c"]


async def test_a_copy_belongs_to_its_maker(kept: Kept, new_space: NewSpace) -> None:
    await kept.create(owners=[])
    copy = await kept.ok(201, "POST", "name/one/duplicate", {"new_name": "copy"})
    assert ids(copy) == ids(await kept.show("copy")) == [kept.space.user.id]


async def test_owners_come_back_with_a_restore(kept: Kept) -> None:
    member = await kept.member()
    await kept.create(owners=[str(member.uuid)])
    await kept.send("POST", "name/one/archive", {})
    [row] = (await kept.ok(200, "GET", "archived"))["results"]
    assert ids(row) == [member.id]
    assert ids(await kept.ok(200, "POST", "name/one/restore", {})) == [member.id]
    await kept.send("POST", "name/one/archive", {})
    assert ids(await kept.create()) == [kept.space.user.id]


async def test_the_past_has_its_owners(kept: Kept) -> None:
    await kept.create()
    created = await kept.space.head()
    await kept.patch({"owners": []})
    emptied = await kept.space.head()
    member = await kept.member()
    await kept.patch({"owners": [str(member.uuid)]})
    mine = kept.space.user.id
    assert ids(await kept.show(position=created)) == [mine]
    assert ids(await kept.show(position=emptied)) == []
    assert await kept.names(position=created, owner_id=mine) == ["one"]
    assert await kept.names(position=emptied, owner_id=mine) == []
    [row] = (await kept.ok(200, "GET", "", params={"position": created}))["results"]
    assert ids(row) == [mine]


async def test_a_repeated_request_is_answered_as_at_first(kept: Kept) -> None:
    await kept.create()
    member = await kept.member()
    key = {"Idempotency-Key": uuid4().hex}
    sent = {"owners": [str(member.uuid)]}
    first = await kept.send("PATCH", "name/one", sent, headers=key)
    await kept.patch({"owners": []})
    again = await kept.send("PATCH", "name/one", sent, headers=key)
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert ids(await kept.show()) == []


async def test_it_is_told_by_history_feed_and_audit(kept: Kept) -> None:
    await kept.create()
    member = await kept.member()
    await kept.patch({"owners": [str(member.uuid)]})
    kind = kept.resource.removeprefix("llm_").removesuffix("s")
    newest = (await kept.ok(200, "GET", "name/one/history"))["results"][0]
    assert newest["type"] == f"skald.{kind}.owners_set.v1"
    assert newest["changes"]["owners"] == {"from": [kept.space.user.id], "to": [member.id]}
    assert (newest["version_before"], newest["version_after"]) == (1, 1)
    feed = (await kept.space.at("GET", f"events/?type=skald.{kind}.owners_set.v1")).json()
    [event] = feed["results"]
    assert event["data"]["owners"] == [member.id]
    audit = (await kept.space.at("GET", f"audit/?type=skald.{kind}.owners_set.v1")).json()
    [entry] = audit["results"]
    assert entry["data"] == {"owners": [member.id]}


async def test_an_erased_user_is_no_owner_any_more(kept: Kept) -> None:
    member = await kept.member()
    await kept.create(owners=[str(member.uuid), str(kept.space.user.uuid)])
    await kept.show()
    await identity.erase_user(kept.space.conn, member.email)
    for _ in range(100):
        if ids(await kept.show()) == [kept.space.user.id]:
            break
        await asyncio.sleep(0.05)
    changed = await kept.patch({"base_version": 1, **kept.change})
    assert ids(changed) == ids(await kept.show()) == [kept.space.user.id]


async def test_owners_need_the_scope_to_write(kept: Kept, new_space: NewSpace) -> None:
    await kept.create()
    scope = "llm_skill" if kept.resource == "llm_skills" else "llm_prompt"
    _, key = await identity.create_key(
        kept.space.conn, email=kept.space.user.email, scopes=[f"{scope}:read"], project_ids=[kept.space.id]
    )
    headers = {"Authorization": f"Bearer {key}"}
    answer = await kept.send("PATCH", "name/one", {"owners": ["no uuid"]}, headers=headers)
    assert refusal(answer)[:2] == (403, "permission_denied")


async def test_a_rename_leaves_owners_and_tags(kept: Kept) -> None:
    member = await kept.member()
    await kept.create(owners=[str(member.uuid)], tags=["docs"])
    renamed = await kept.ok(200, "POST", "name/one/rename", {"new_name": "two"})
    assert (ids(renamed), renamed["tags"]) == ([member.id], ["docs"])
    shown = await kept.show("two")
    assert (ids(shown), shown["tags"]) == ([member.id], ["docs"])
    assert await kept.names(owner_id=member.id, tags="docs") == ["two"]
    assert ids(await kept.patch({"owners": []}, "two")) == []
    entries = (await kept.ok(200, "GET", "name/two/history"))["results"]
    assert entries[0]["changes"]["owners"] == {"from": [member.id], "to": []}
