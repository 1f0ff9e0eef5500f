"""Shares over the API: made, listed, revoked; told by the log without their token, and by nobody to another project."""

import json
from typing import Any
from uuid import uuid4

import pytest

from store.tables import identity, shares
from tests.support.space import NewSpace, Space, refusal

KEYS = ["id", "label", "prefix", "created_by_id", "created_at", "expires_at", "revoked_at", "serve_label"]


async def share(space: Space, **fields: Any) -> dict[str, Any]:
    return await space.ok(201, await space.post("shares/", json=fields))


async def listed(space: Space, **query: Any) -> dict[str, Any]:
    return await space.ok(200, await space.get("shares/", params=query))


async def audit(space: Space, **query: Any) -> list[dict[str, Any]]:
    _, secret = await identity.create_key(
        space.conn, email=space.user.email, scopes=["event:read"], project_ids=[space.id]
    )
    answer = await space.at("GET", "audit/", params=query, headers={"Authorization": f"Bearer {secret}"})
    return list((await space.ok(200, answer))["results"])


async def test_a_share_is_shown_once_with_its_token(space: Space) -> None:
    answer = await space.post("shares/", json={"label": " team ", "expires_in": 3600})
    made = await space.ok(201, answer)
    assert list(made) == [*KEYS, "token", "url"]
    assert (made["label"], made["created_by_id"], made["revoked_at"]) == ("team", space.user.id, None)
    assert made["expires_at"] > made["created_at"]
    assert made["url"] == f"http://skald.test/s/{made['token']}"
    assert answer.headers["cache-control"] == "no-store"
    assert int(answer.headers["x-event-position"]) == await space.head()
    page = await listed(space)
    assert page["count"] == 1
    assert page["results"] == [{key: made[key] for key in KEYS}]
    assert made["token"] not in json.dumps(page)


async def test_shares_are_listed_newest_first_in_pages(space: Space) -> None:
    made = [(await share(space, label=str(number)))["id"] for number in range(3)]
    first = await listed(space, limit=2)
    assert [row["id"] for row in first["results"]] == made[:0:-1]
    assert first["count"] == 3
    second = await space.ok(200, await space.client.get(first["next"]))
    assert [row["id"] for row in second["results"]] == made[:1]
    assert (await space.get("shares/", params={"limit": 0})).status_code == 400


async def test_a_revoked_share_stays_in_the_list_and_revoking_again_changes_nothing(space: Space) -> None:
    made = await share(space)
    answer = await space.delete(f"shares/{made['id']}/")
    assert (answer.status_code, answer.content) == (204, b"")
    end = int(answer.headers["x-event-position"])
    assert end == await space.head()
    again = await space.delete(f"shares/{made['id']}")
    assert (again.status_code, int(again.headers["x-event-position"])) == (204, end)
    assert await space.head() == end
    assert (await listed(space))["results"][0]["revoked_at"] is not None


async def test_what_is_wrong_is_told_and_writes_nothing(space: Space) -> None:
    before = await space.head()
    for body, code, attr in (
        ({"label": "a\nb"}, "invalid_input", "label"),
        ({"label": "x" * 201}, "max_length", "label"),
        ({"label": 1}, "invalid_input", "label"),
        ({"expires_in": 0}, "min_value", "expires_in"),
        ({"expires_in": 10**10}, "max_value", "expires_in"),
        ({"expires_in": 1.5}, "invalid_input", "expires_in"),
    ):
        assert refusal(await space.post("shares/", json=body)) == (400, code, attr)
    for unknown in (uuid4(), "x", "%00"):
        assert refusal(await space.delete(f"shares/{unknown}"))[:2] == (404, "not_found")
    assert await space.head() == before


async def test_the_same_request_again_makes_no_second_share_and_tells_no_token(space: Space) -> None:
    once = {"Idempotency-Key": "share-1"}
    made = await space.ok(201, await space.post("shares/", json={"label": "a"}, headers=once))
    again = await space.post("shares/", json={"label": "a"}, headers=once)
    repeated = await space.ok(201, again)
    assert again.headers["idempotent-replayed"] == "true"
    assert repeated == {**made, "token": None, "url": None}
    assert (await listed(space))["count"] == 1
    other = await space.post("shares/", json={"label": "b"}, headers=once)
    assert refusal(other)[:2] == (422, "idempotency_key_reused")


async def test_scopes(new_space: NewSpace) -> None:
    reader, stranger = await new_space(scopes=("llm_skill:read",)), await new_space(scopes=("event:read",))
    assert (await reader.get("shares/")).status_code == 200
    for answer in (
        await reader.post("shares/", json={}),
        await reader.delete(f"shares/{uuid4()}"),
        await stranger.get("shares/"),
    ):
        assert refusal(answer)[:2] == (403, "permission_denied")


async def test_shares_of_another_project_do_not_exist(space: Space, new_space: NewSpace) -> None:
    made, other = await share(space, label="mine"), await new_space()
    assert (await listed(other))["count"] == 0
    assert refusal(await other.delete(f"shares/{made['id']}"))[:2] == (404, "not_found")
    assert (await listed(space))["results"][0]["revoked_at"] is None
    assert [entry for entry in await audit(other) if entry["subject"].startswith("share/")] == []


async def test_the_audit_tells_of_shares_by_id(space: Space) -> None:
    made = await share(space, label="secret name", expires_in=60)
    await space.delete(f"shares/{made['id']}")
    told = await audit(space, subject=f"share/{made['id']}")
    assert [entry["type"] for entry in told] == ["skald.share.created.v1", "skald.share.revoked.v1"]
    assert {entry["actor"] for entry in told} == {space.user.id}
    assert told[0]["data"]["project_id"] == space.id
    assert told == await audit(space, type="skald.share.created.v1,skald.share.revoked.v1")
    text = json.dumps(told)
    assert "sks_" not in text
    assert "secret name" not in text
    assert [entry for entry in await audit(space) if entry["subject"].startswith("share/")] == told
    # Also when it has long been swept.
    await space.conn.execute(
        "UPDATE shares SET revoked_at = now() - interval '31 days' WHERE id = %s", (made["id"],)
    )
    await shares.sweep(space.conn)
    assert refusal(await space.delete(f"shares/{made['id']}"))[:2] == (404, "not_found")
    assert told == await audit(space, subject=f"share/{made['id']}")


async def test_shares_are_no_part_of_the_feed(space: Space) -> None:
    await share(space)
    await space.create("pdf-forms")
    _, secret = await identity.create_key(
        space.conn, email=space.user.email, scopes=["event:read"], project_ids=[space.id]
    )
    answer = await space.at(
        "GET", "events/?after=0", headers={"Authorization": f"Bearer {secret}", "Accept": "application/json"}
    )
    assert answer.status_code == 200
    assert "skill/pdf-forms" in answer.text
    assert "share" not in answer.text


@pytest.mark.parametrize("prefix", ["projects", "environments"])
async def test_both_prefixes_and_no_slash_work(space: Space, prefix: str) -> None:
    address = f"/api/{prefix}/{space.id}/llm_skills/shares"
    made = await space.ok(201, await space.at("POST", address, json={}))
    assert (await space.ok(200, await space.at("GET", address)))["count"] == 1
    assert (await space.at("DELETE", f"{address}/{made['id']}/")).status_code == 204
