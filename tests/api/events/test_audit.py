"""The audit: everything that was done in a project and with its keys, by page and as a file."""

import asyncio
import csv
import io
import json
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from store.tables import identity
from tests.support.space import NewSpace, Space, refusal, skill

ENTRY_KEYS = [
    "position", "time", "type", "subject", "version", "actor", "key_id", "request_id", "command_id", "stream_id",
    "stream_version", "data",
]  # fmt: skip


@pytest_asyncio.fixture(loop_scope="session")
async def audited(new_space: NewSpace) -> Space:
    """A project whose key may read the log, too."""
    return await new_space(scopes=("llm_skill:write", "llm_prompt:write", "event:read"))


async def audit(space: Space, **query: Any) -> list[dict[str, Any]]:
    """All entries, page by page."""
    entries: list[dict[str, Any]] = []
    url = f"/api/projects/{space.id}/audit/"
    answer = await space.client.get(url, params=query)
    for _ in range(200):
        page = await space.ok(200, answer)
        assert list(page) == ["results", "next", "position"]
        if not page["results"]:
            return entries
        entries += page["results"]
        answer = await space.client.get(page["next"])
    raise AssertionError("no end")


def of_names(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [entry for entry in entries if not entry["subject"].startswith("key/")]


async def test_everything_done_in_a_project_is_told_in_order(audited: Space) -> None:
    await audited.create()
    await audited.publish("pdf-forms", 1, body="# Two\n")
    await audited.at("POST", "llm_prompts/", json={"name": "agent", "prompt": "Text"})
    await audited.at("PUT", "llm_prompts/name/agent/labels/production", json={"version": 1})
    await audited.post("name/pdf-forms/archive", headers={"X-Request-Id": "the-request"})
    entries = of_names(await audit(audited))
    assert [(entry["type"], entry["subject"], entry["version"]) for entry in entries] == [
        ("skald.skill.created.v1", "skill/pdf-forms", 1),
        ("skald.skill.published.v1", "skill/pdf-forms", 2),
        ("skald.prompt.created.v1", "prompt/agent", 1),
        ("skald.prompt.label_set.v1", "prompt/agent", None),
        ("skald.skill.archived.v1", "skill/pdf-forms", None),
    ]
    assert [entry["position"] for entry in entries] == sorted(entry["position"] for entry in entries)
    last = entries[-1]
    assert list(last) == ENTRY_KEYS
    assert last["actor"] == audited.user.id
    assert last["request_id"] == "the-request"
    assert last["data"] == {}
    assert entries[1]["data"]["body"]["size"] == len("# Two\n")
    assert "# Two" not in json.dumps(entries)
    assert audited.user.email not in json.dumps(entries)


async def test_keys_that_open_the_project_are_told_and_no_others(audited: Space, new_space: NewSpace) -> None:
    other = await new_space()
    conn, email = audited.conn, audited.user.email
    both, _ = await identity.create_key(
        conn,
        email=email,
        scopes=["llm_skill:read"],
        project_ids=[audited.id, other.id],
        actor_id=audited.user.id,
    )
    foreign, _ = await identity.create_key(conn, email=email, scopes=["*"], project_ids=[other.id])
    every, _ = await identity.create_key(conn, email=email, scopes=["llm_skill:read"])
    await identity.revoke_key(conn, both.id)
    entries = await audit(audited)
    told = [(entry["type"].split(".")[2], entry["subject"]) for entry in entries]
    for key in (both, every):
        assert ("created", f"key/{key.id}") in told
    assert told[-1] == ("revoked", f"key/{both.id}")
    assert f"key/{foreign.id}" not in dict(told).values()
    (created,) = (
        entry for entry in entries if entry["subject"] == f"key/{both.id}" and "created" in entry["type"]
    )
    assert created["data"]["project_ids"] == [audited.id]
    assert created["data"]["user_id"] == audited.user.id
    assert created["actor"] == audited.user.id
    assert [entry["type"] for entry in await audit(audited, key=str(both.id))] == [
        "skald.key.created.v1",
        "skald.key.revoked.v1",
    ]
    assert await audit(audited, subject=f"key/{both.id}") == await audit(audited, key=str(both.id))
    assert await audit(audited, type="skald.key.revoked.v1", subject=f"key/{both.id}") == entries[-1:]


async def test_filters_pick_entries(audited: Space) -> None:
    first = await audited.create("one")
    bo = await identity.create_user(audited.conn, email=f"bo-{audited.id}@example.com")
    key, secret = await identity.create_key(
        audited.conn, email=bo.email, scopes=["llm_skill:write"], project_ids=[audited.id]
    )
    as_bo = {"Authorization": f"Bearer {secret}"}
    second = (await audited.post(json=skill("two"), headers=as_bo)).json()
    await asyncio.sleep(0.002)
    third = await audited.publish("one", 1, body="# Three\n")
    assert [entry["subject"] for entry in await audit(audited, actor=bo.id)] == ["skill/two"]
    assert [entry["type"] for entry in await audit(audited, key=str(key.id))] == [
        "skald.key.created.v1",
        "skald.skill.created.v1",
    ]
    assert [entry["version"] for entry in await audit(audited, subject="skill/one")] == [1, 2]
    types = "skald.skill.created.v1,skald.prompt.created.v1"
    assert [entry["subject"] for entry in await audit(audited, type=types)] == ["skill/one", "skill/two"]

    def positions(entries: list[dict[str, Any]]) -> list[str]:
        return [entry["time"] for entry in of_names(entries)]

    since = await audit(audited, **{"from": second["created_at"]})
    assert positions(since) == [second["created_at"], third["created_at"]]
    until = await audit(audited, **{"to": second["created_at"]})
    assert positions(until) == [first["created_at"], second["created_at"]]
    assert await audit(audited, **{"from": third["created_at"], "to": first["created_at"]}) == []
    assert await audit(audited, **{"from": "0001-01-01T00:00:00+05:00", "limit": 2}) == await audit(audited)
    assert await audit(audited, actor=10**15) == []


async def test_pages_are_complete_and_go_on_where_they_ended(audited: Space) -> None:
    for number in range(7):
        await audited.create(f"name-{number}")
    whole = await audit(audited)
    assert await audit(audited, limit=2) == whole
    page = await audited.ok(200, await audited.at("GET", "audit/", params={"limit": 1000}))
    after = page["position"]
    assert after >= whole[-1]["position"]
    assert page["next"].endswith(f"limit=1000&after={after}")
    empty = await audited.ok(200, await audited.client.get(page["next"]))
    assert empty["results"] == []
    await audited.create("later")
    (entry,) = (await audited.ok(200, await audited.client.get(empty["next"])))["results"]
    assert entry["subject"] == "skill/later"
    one = await audited.at("GET", "audit/", params={"after": 0})
    other = await audited.client.get(
        f"/api/environments/{audited.id}/audit", params={"after": 0}, headers={"If-None-Match": "x"}
    )
    assert one.json()["results"] == other.json()["results"]
    again = await audited.at("GET", "audit/?after=0", headers={"If-None-Match": one.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("by", ["query", "accept"])
async def test_files_hold_the_same_entries(audited: Space, by: str) -> None:
    for number in range(5):
        await audited.create(f"name-{number}")
    await audited.post("name/name-1/archive", headers={"X-Request-Id": "=1+1"})
    await audited.post("name/name-2/archive", headers={"X-Request-Id": "-2"})
    whole = await audit(audited)
    types = {"ndjson": "application/x-ndjson", "csv": "text/csv"}
    answers = {}
    for shape, media_type in types.items():
        options: dict[str, Any] = (
            {"params": {"format": shape}} if by == "query" else {"headers": {"Accept": media_type}}
        )
        answer = answers[shape] = await audited.at("GET", "audit/", **options)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(media_type)
        assert answer.headers["content-disposition"] == f'attachment; filename="audit-{audited.id}.{shape}"'
        options.setdefault("headers", {})["If-None-Match"] = answer.headers["etag"]
        again = await audited.at("GET", "audit/", **options)
        assert (again.status_code, again.content) == (304, b"")
    assert [json.loads(line) for line in answers["ndjson"].text.splitlines()] == whole
    rows = list(csv.DictReader(io.StringIO(answers["csv"].text, newline="")))
    assert [int(row["position"]) for row in rows] == [entry["position"] for entry in whole]
    assert [json.loads(row["data"]) for row in rows] == [entry["data"] for entry in whole]
    requests = {row["request_id"] for row in rows}
    if "=1+1" in {entry["request_id"] for entry in whole}:
        assert "'=1+1" in requests
    assert "'-2" in requests
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


async def test_a_download_is_read_in_batches(audited: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    from api.events import audit as controller

    monkeypatch.setattr(controller, "BATCH", 2)
    for number in range(5):
        await audited.create(f"name-{number}")
    answer = await audited.at("GET", "audit/?format=ndjson&type=skald.skill.created.v1")
    assert len(answer.text.splitlines()) == 5
    empty = await audited.at("GET", "audit/?format=csv&type=skald.prompt.created.v1")
    assert empty.text.split(",")[0] == "position"
    assert len(empty.text.splitlines()) == 1


@pytest.mark.parametrize(
    ("query", "code", "attr"),
    [
        ("after=-1", "min_value", "after"),
        ("limit=0", "min_value", "limit"),
        ("key=1", "invalid_input", "key"),
        ("subject=pdf", "invalid_input", "subject"),
        ("subject=user/1", "invalid_input", "subject"),
        ("type=skill.created", "invalid_input", "type"),
        ("from=yesterday", "invalid_input", "from"),
        ("to=2026-01-01", "invalid_input", "to"),
        ("format=xml", "invalid_input", "format"),
        ("subject=skill/a%00", "null_characters_not_allowed", "subject"),
    ],
)
async def test_bad_questions_are_refused(audited: Space, query: str, code: str, attr: str) -> None:
    assert refusal(await audited.at("GET", f"audit/?{query}")) == (400, code, attr)


async def test_auditing_needs_its_scope_and_stays_in_the_project(new_space: NewSpace) -> None:
    space = await new_space()
    assert refusal(await space.at("GET", "audit/"))[:2] == (403, "permission_denied")
    assert (await space.at("POST", "audit/")).status_code == 405
    reader, other = await new_space(scopes=("event:read",)), await new_space()
    await other.create(f"secret-{uuid4().hex[:8]}")
    assert of_names(await audit(reader)) == []
    assert await audit(reader, subject="skill/pdf-forms") == []


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/json, text/csv;q=0.5", "application/json"),
        ("text/csv, application/json", "text/csv; charset=utf-8"),
        ("text/html, application/x-ndjson", "application/x-ndjson"),
        ("*/*", "application/json"),
    ],
)
async def test_the_first_known_type_of_accept_is_the_answer(
    audited: Space, accept: str, media_type: str
) -> None:
    answer = await audited.at("GET", "audit/", headers={"Accept": accept})
    assert answer.headers["content-type"] == media_type


async def test_head_tells_the_headers_of_a_file(audited: Space) -> None:
    answer = await audited.at("HEAD", "audit/?format=csv")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["etag"]
