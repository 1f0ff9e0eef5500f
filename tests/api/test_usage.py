"""Reads of versions, counted by artifact, version, door, reader and hour; and who may ask."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from store.tables import identity, usage
from store.tables.usage import Count
from tests.support.prompt_space import PromptSpace
from tests.support.space import NewSpace, Space, file, refusal

WRITES = ("llm_skill:write", "llm_prompt:write")


async def counting(new_space: NewSpace) -> Space:
    """A project whose key may write and see the usage."""
    return await new_space(scopes=(*WRITES, "usage:read"))


async def used(space: Space, name: str = "pdf-forms", **query: Any) -> dict[str, Any]:
    return await space.ok(200, await space.get(f"name/{name}/usage", params=query))


async def rows(space: Space, by: str, name: str = "pdf-forms") -> dict[Any, tuple[int, int]]:
    answer = await used(space, name, by=by)
    return {row[by]: (row["reads"], row["revalidated"]) for row in answer["rows"]}


async def listed(space: Space, **query: Any) -> list[dict[str, Any]]:
    answer = await space.ok(200, await space.at("GET", "usage/", params=query))
    assert answer["count"] == len(answer["results"])
    found: list[dict[str, Any]] = answer["results"]
    return found


async def other_key(space: Space, *scopes: str) -> tuple[UUID, Space]:
    key, secret = await identity.create_key(
        space.conn, email=space.user.email, scopes=scopes, project_ids=[space.id]
    )
    return key.id, Space(space.app, space.conn, space.project, space.user, secret)


async def test_given_reads_of_all_ways_when_asked_then_each_is_counted_once(new_space: NewSpace) -> None:
    space = await counting(new_space)
    await space.create(files=[file("a.md")])
    await space.publish("pdf-forms", 1, body="# Two\n")
    for path, times in (
        ("name/pdf-forms", 3),
        ("name/pdf-forms?version=1", 2),
        ("name/pdf-forms?body_length=3", 1),
        ("name/pdf-forms?position=999999999", 0),
        ("name/pdf-forms/files/a.md", 1),
        ("name/pdf-forms/skill-md", 1),
        ("name/pdf-forms/export", 1),
        ("resolve/name/pdf-forms?version=1", 1),
    ):
        for _ in range(times or 1):
            assert (await space.get(path)).status_code == (200 if times else 400)
    answer = await used(space)
    assert list(answer) == ["total", "rows", "truncated"]
    assert (answer["total"], answer["truncated"]) == (10, False)
    assert list(answer["rows"][0]) == ["version", "reads", "revalidated", "first_at", "last_at"]
    assert answer["rows"][0]["first_at"] < answer["rows"][0]["last_at"]
    assert await rows(space, "version") == {2: (7, 0), 1: (3, 0)}
    assert await rows(space, "door") == {"api": (9, 0), "zip": (1, 0)}


async def test_a_bundle_is_a_read_of_each_skill_in_it(new_space: NewSpace) -> None:
    space = await counting(new_space)
    for name in ("a", "b", "c"):
        await space.create(name)
    bundle = await space.get("bundle", params={"limit": 2})
    unchanged = {"If-None-Match": bundle.headers["etag"]}
    assert (await space.get("bundle", params={"limit": 2}, headers=unchanged)).status_code == 304
    assert (await space.get("bundle", params={"content": "full", "limit": 1})).status_code == 200
    assert [await rows(space, "door", name) for name in ("a", "b", "c")] == [
        {},
        {"zip": (1, 1)},
        {"zip": (2, 1)},
    ]


async def test_what_only_looks_is_no_read(new_space: NewSpace) -> None:
    space = await counting(new_space)
    skill = await space.create()
    for path in (
        "",
        "?search=pdf",
        "name/pdf-forms/history",
        "name/pdf-forms/usage",
        "archived",
        "name/nothing",
    ):
        await space.get(path)
    for path in ("name/pdf-forms", "name/pdf-forms/skill-md", "name/pdf-forms/export"):
        assert (await space.at("HEAD", f"llm_skills/{path}")).status_code == 200
    assert (await space.get(f"name/{skill['id']}")).status_code == 302
    await space.publish("pdf-forms", 1, body="# Two\n")
    assert await used(space) == {"total": 0, "rows": [], "truncated": False}
    assert await listed(space) == []


async def test_a_304_counts_apart(new_space: NewSpace) -> None:
    space = await counting(new_space)
    await space.create()
    for path in ("name/pdf-forms", "name/pdf-forms/skill-md", "name/pdf-forms/export"):
        etag = (await space.get(path)).headers["etag"]
        for condition in (etag, f'"other", {etag}'):
            assert (await space.get(path, headers={"If-None-Match": condition})).status_code == 304
    assert (await used(space))["total"] == 3
    assert await rows(space, "version") == {1: (3, 6)}
    [row] = await listed(space)
    assert (row["reads"], row["revalidated"], row["readers"]) == (3, 6, 1)


@pytest.mark.parametrize(
    ("agent", "door"),
    [
        ("skald-cli", "cli"),
        ("posthog-cli/posthog-cli posthog/mcp-server; version: 1.0.0", "cli"),
        ("posthog-python/7.0.0", "api"),
        ("", "api"),
    ],
)
async def test_a_command_line_is_known_by_its_name(new_space: NewSpace, agent: str, door: str) -> None:
    space = await counting(new_space)
    await space.create()
    for path in ("name/pdf-forms", "name/pdf-forms/skill-md"):
        await space.get(path, headers={"User-Agent": agent})
    assert await rows(space, "door") == {door: (2, 0)}


async def test_readers_are_keys_and_shares(new_space: NewSpace) -> None:
    space = await counting(new_space)
    await space.create(files=[file("a.md")])
    key_id, other = await other_key(space, "llm_skill:read")
    await other.get("name/pdf-forms")
    await other.get("name/pdf-forms")
    share = await space.ok(201, await space.post("shares/", {"label": "team"}))
    token = share["address"].rpartition("/")[2] if "address" in share else share["token"]
    index = await space.ok(200, await space.client.get(f"/s/{token}/.well-known/agent-skills/index.json"))
    for path in (
        ".well-known/agent-skills/pdf-forms.zip",
        ".well-known/skills/pdf-forms/SKILL.md",
        "skills/pdf-forms/a.md",
        "skills/pdf-forms/index.json",
    ):
        assert (await space.client.get(f"/s/{token}/{path}")).status_code == 200, index
    by_key = await used(space, by="key")
    shown = [(row["key"], row["share"], row["reads"]) for row in by_key["rows"]]
    assert shown == [(None, share["id"], 3), (str(key_id), None, 2)]
    assert await rows(space, "door") == {"discovery": (3, 0), "api": (2, 0)}


async def test_who_read_what_in_an_hour(new_space: NewSpace) -> None:
    space = await counting(new_space)
    await space.create()
    key_id, other = await other_key(space, "llm_skill:read")
    await other.get("name/pdf-forms")
    await space.publish("pdf-forms", 1, body="# Two\n")
    await other.get("name/pdf-forms")
    now = datetime.now(UTC).isoformat()
    for path in ("usage/readers", "llm_skills/name/pdf-forms/usage/readers"):
        answer = await space.ok(200, await space.at("GET", path, params={"at": now}))
        assert [
            (row["key_id"], row["share_id"], row["version"], row["reads"]) for row in answer["results"]
        ] == [
            (str(key_id), None, 2, 1),
            (str(key_id), None, 1, 1),
        ]
    await space.post("name/pdf-forms/archive")
    filters = {"at": now, "reader": str(key_id), "kind": "skill"}
    answer = await space.ok(200, await space.at("GET", "usage/readers", params=filters))
    assert answer == await space.ok(200, await space.at("GET", "usage/readers")), "the present hour"
    assert [row["name"] for row in answer["results"]] == ["pdf-forms"] * 2, "it was served"
    for query in (
        {"at": "2020-03-03T09:30:00Z"},
        {"at": now, "kind": "prompt"},
        {"at": now, "reader": share_id()},
    ):
        answer = await space.ok(200, await space.at("GET", "usage/readers", params=query))
        assert answer["results"] == []


def share_id() -> str:
    return "0195c2df-11aa-7d10-a1b2-c3d4e5f60718"


async def test_counts_go_along_with_a_rename(new_space: NewSpace) -> None:
    space = await counting(new_space)
    await space.create()
    await space.get("name/pdf-forms")
    await space.ok(200, await space.post("name/pdf-forms/rename", {"new_name": "forms"}))
    assert (await space.get("name/pdf-forms")).status_code == 302, "leads on, and is no read"
    await space.get("name/forms")
    assert (await used(space, "forms"))["total"] == 2
    led = await space.get("name/pdf-forms/usage?by=door")
    assert (led.status_code, led.headers["location"]) == (
        302,
        f"/api/projects/{space.id}/llm_skills/name/forms/usage?by=door",
    )
    assert [(row["name"], row["reads"]) for row in await listed(space)] == [("forms", 2)]


async def test_what_takes_the_name_of_something_archived_starts_at_0(new_space: NewSpace) -> None:
    space = await counting(new_space)
    await space.create()
    await space.get("name/pdf-forms")
    await space.post("name/pdf-forms/archive")
    assert refusal(await space.get("name/pdf-forms/usage"))[:2] == (404, "not_found")
    assert await listed(space) == []
    await space.create()
    assert (await used(space))["total"] == 0
    await space.get("name/pdf-forms")
    assert (await used(space))["total"] == 1


async def test_both_kinds_are_counted_and_told_apart(new_space: NewSpace) -> None:
    space = await counting(new_space)
    prompts = PromptSpace(space)
    await space.create("one")
    await prompts.create("one")
    await prompts.put("production", {"version": 1}, name="one")
    await space.get("name/one")
    for query in ("", "?label=production", "?content=none", "?version=1"):
        assert (await prompts.get(f"name/one{query}")).status_code == 200
    answer = await space.ok(200, await prompts.get("name/one/usage"))
    assert (answer["total"], [row["version"] for row in answer["rows"]]) == (4, [1])
    assert [(row["kind"], row["name"], row["reads"]) for row in await listed(space)] == [
        ("prompt", "one", 4),
        ("skill", "one", 1),
    ]
    assert [row["kind"] for row in await listed(space, kind="skill")] == ["skill"]


async def test_what_is_not_used(new_space: NewSpace) -> None:
    space = await counting(new_space)
    for name in ("read", "unread", "revalidated", "gone"):
        await space.create(name)
    await space.get("name/read")
    etag = (await space.show("revalidated"))["id"] and (await space.get("name/revalidated")).headers["etag"]
    await space.get("name/revalidated", headers={"If-None-Match": etag})
    await space.post("name/gone/archive")
    assert await listed(space, show="unused") == [
        {"kind": "skill", "name": "unread", "reads": 0, "revalidated": 0, "last_read_at": None, "readers": 0}
    ]
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    soon = {"from": later, "to": later, "show": "unused"}
    unused = await listed(space, **soon)
    assert [row["name"] for row in unused] == ["unread", "read", "revalidated"], "the longest unread first"
    assert unused[1]["last_read_at"] is not None


async def test_who_is_behind(new_space: NewSpace) -> None:
    space = await counting(new_space)
    prompts = PromptSpace(space)
    await prompts.create("agent")
    key_id, other = await other_key(space, "llm_prompt:read")
    revoked, gone = await other_key(space, "llm_prompt:read")
    for reader in (other, gone):
        await PromptSpace(reader).get("name/agent")
    assert await listed(space, show="behind") == []
    await prompts.put("production", {"version": 1})
    await prompts.patch({"base_version": 1, "prompt": "two"})
    await identity.revoke_key(space.conn, revoked)
    row = {
        "kind": "prompt",
        "name": "agent",
        "key_id": str(key_id),
        "version": 1,
        "latest_version": 2,
        "label": "production",
    }
    assert await listed(space, show="behind") == [row]
    await prompts.delete("production")
    assert await listed(space, show="behind") == [{**row, "label": None}]
    await PromptSpace(other).get("name/agent")
    assert await listed(space, show="behind") == [], "it has read the latest since"


async def test_hours_and_days(new_space: NewSpace) -> None:
    space = await counting(new_space)
    version = UUID((await space.create())["id"])
    noon = datetime(2026, 3, 3, 12, tzinfo=UTC)
    hours = [noon - timedelta(days=1), noon, noon + timedelta(hours=1)]
    await add(space, version, [(hour, 2) for hour in hours])
    period = {"from": "2026-03-02", "to": "2026-03-03"}
    by_hour = await used(space, by="hour", **period)
    assert [(row["hour"], row["reads"]) for row in by_hour["rows"]] == [
        ("2026-03-02T12:00:00.000000Z", 2),
        ("2026-03-03T12:00:00.000000Z", 2),
        ("2026-03-03T13:00:00.000000Z", 2),
    ]
    by_day = await used(space, by="day", **period)
    assert [(row["day"], row["reads"]) for row in by_day["rows"]] == [("2026-03-02", 2), ("2026-03-03", 4)]
    for start, end, total in (
        ("2026-03-03T12:59:59Z", "2026-03-03T12:00:00Z", 2),
        ("2026-03-03T12:00:00+05:00", "2026-03-03T13:59:00Z", 4),
        ("2026-03-03T13:00:00Z", "2026-03-04", 2),
        ("0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", 6),
    ):
        assert (await used(space, **{"from": start, "to": end}))["total"] == total, (start, end)
    assert (await used(space))["total"] == 0, "the last 30 days"


async def add(space: Space, version: UUID, hours: list[tuple[datetime, int]], writer: int = 1) -> None:
    key = UUID(int=7)
    counts = [
        Count(version, hour.timestamp(), "api", key, False, reads, 0, hour.timestamp(), hour.timestamp())
        for hour, reads in hours
    ]
    await usage.add(space.conn, UUID(int=space.id * 1000 + writer), 1, counts)


async def test_what_is_wrong_with_a_question_is_said(new_space: NewSpace) -> None:
    space = await counting(new_space)
    await space.create()
    for path, query, code, attr in (
        ("llm_skills/name/pdf-forms/usage", {"by": "author"}, "invalid_input", "by"),
        ("llm_skills/name/pdf-forms/usage", {"from": "yesterday"}, "invalid_input", "from"),
        ("llm_skills/name/pdf-forms/usage", {"to": "2026-13-01"}, "invalid_input", "to"),
        (
            "llm_skills/name/pdf-forms/usage",
            {"from": "2026-03-03T10:00:00Z", "to": "2026-03-03T09:00:00Z"},
            "invalid_range",
            "from",
        ),
        ("usage/", {"kind": "webhook"}, "invalid_input", "kind"),
        ("usage/", {"show": "all"}, "invalid_input", "show"),
        ("usage/", {"limit": "0"}, "min_value", "limit"),
        ("usage/readers", {"at": "now"}, "invalid_input", "at"),
        ("usage/readers", {"at": "2026-03-03T09:00:00Z", "reader": "x"}, "invalid_input", "reader"),
    ):
        answer = await space.at("GET", path, params=query)
        assert refusal(answer) == (400, code, attr), (path, query)
    missing = await space.at("GET", "llm_skills/name/pdf-form/usage")
    assert refusal(missing)[:2] == (404, "not_found")
    assert missing.json()["suggestions"] == ["pdf-forms"]


async def test_the_scope_alone_is_enough_and_no_other_one_is(new_space: NewSpace) -> None:
    space = await new_space(scopes=(*WRITES, "event:read"))
    await space.create()
    _, watcher = await other_key(space, "usage:read")
    now = datetime.now(UTC).isoformat()
    for path in (
        "usage/",
        f"usage/readers?at={now.replace('+', '%2B')}",
        "llm_skills/name/pdf-forms/usage",
        f"llm_skills/name/pdf-forms/usage/readers?at={now.replace('+', '%2B')}",
    ):
        answer = await space.at("GET", path)
        assert refusal(answer)[:2] == (403, "permission_denied")
        assert "required scope 'usage:read'" in answer.json()["detail"]
        assert (await watcher.at("GET", path)).status_code == 200
    assert (await watcher.get("name/pdf-forms")).status_code == 403


async def test_nothing_of_another_project_is_shown(new_space: NewSpace) -> None:
    space, other = await counting(new_space), await counting(new_space)
    await other.create("secret")
    await other.get("name/secret")
    now = {"at": datetime.now(UTC).isoformat()}
    assert await listed(space) == await listed(space, show="unused") == []
    assert (await space.ok(200, await space.at("GET", "usage/readers", params=now)))["results"] == []
    assert (await space.get("name/secret/usage")).status_code == 404


async def test_pages_go_on_behind_the_ones_before(new_space: NewSpace) -> None:
    space = await counting(new_space)
    for name in ("a", "b", "c"):
        await space.create(name)
        await space.get(f"name/{name}")
    first = await space.ok(200, await space.at("GET", "usage/", params={"limit": 2}))
    rest = await space.ok(200, await space.client.get(first["next"]))
    assert first["count"] == rest["count"] == 3
    assert [row["name"] for page in (first, rest) for row in page["results"]] == ["a", "b", "c"]
