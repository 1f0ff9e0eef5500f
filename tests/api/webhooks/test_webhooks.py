"""The endpoints of webhooks; that they are sent is tested with the worker."""

import asyncio
import base64
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.webhooks.schemas import TYPES
from domain.webhooks import MAX_WEBHOOKS
from store.tables import webhooks as store
from store.tables.sealing import Sealer
from tests.support.service import SECRET_KEY
from tests.support.space import NewSpace, Space, refusal

URL = "https://example.com/hook"
SCOPES = ("webhook:write", "llm_skill:write")


async def opened(new_space: NewSpace, *scopes: str) -> Space:
    return await new_space(scopes=scopes or SCOPES)


async def made(space: Space, **fields: Any) -> dict[str, Any]:
    return await space.ok(201, await space.at("POST", "webhooks/", json={"url": URL, **fields}))


async def test_a_webhook_is_made_shown_changed_and_deleted(new_space: NewSpace) -> None:
    space = await opened(new_space)
    await space.create("pdf")
    answer = await space.at("POST", "webhooks/", json={"url": f" {URL} ", "names": "skill/pdf-*"})
    hook = await space.ok(201, answer)
    assert answer.headers["cache-control"] == "no-store"
    assert list(hook) == [
        "id", "url", "types", "names", "enabled", "description", "disabled_reason", "position", "pending",
        "failing_since", "created_at", "updated_at", "secret",
    ]  # fmt: skip
    assert (hook["url"], hook["types"], hook["names"], hook["enabled"]) == (URL, [], "skill/pdf-*", True)
    assert hook["position"] == await space.head(), "it begins with the next event"
    secret = hook.pop("secret")
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    path = f"webhooks/{hook['id']}"
    read = await space.at("GET", f"{path}/")
    assert await space.ok(200, read) == hook
    assert (await space.at("GET", path, headers={"if-none-match": read.headers["etag"]})).status_code == 304
    assert await space.ok(200, await space.at("GET", "webhooks")) == {"results": [hook]}
    fields = {"enabled": False, "types": [TYPES[1], TYPES[0], TYPES[1]], "description": " why "}
    changed = await space.ok(200, await space.at("PATCH", path, json=fields))
    assert changed["updated_at"] > hook["updated_at"]
    assert changed == {
        **hook, **fields, "types": [TYPES[1], TYPES[0]], "description": "why", "updated_at": changed["updated_at"],
    }  # fmt: skip
    assert secret not in (await space.at("GET", "webhooks/")).text
    gone = await space.at("DELETE", path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert refusal(await space.at("GET", path)) == (404, "not_found", None)
    assert refusal(await space.at("DELETE", path)) == (404, "not_found", None)


async def test_it_may_begin_in_the_past_but_not_in_the_future(new_space: NewSpace) -> None:
    space = await opened(new_space)
    assert (await made(space, after=0))["position"] == 0
    assert (await made(space, after=10**15))["position"] == await space.head()


@pytest.mark.parametrize(
    ("fields", "code", "attr"),
    [
        ({}, "required", "url"),
        ({"url": None}, "null", "url"),
        ({"url": ""}, "blank", "url"),
        ({"url": 7}, "invalid_input", "url"),
        ({"url": "example.com"}, "invalid_input", "url"),
        ({"url": "ftp://example.com"}, "invalid_input", "url"),
        ({"url": "https://"}, "invalid_input", "url"),
        ({"url": "https://exam ple.com"}, "invalid_input", "url"),
        ({"url": "https://example.com:99999/"}, "invalid_input", "url"),
        ({"url": "https://user:pass@example.com/"}, "invalid_input", "url"),
        ({"url": "https://example.com/#a"}, "invalid_input", "url"),
        ({"url": "https://exämple.com/"}, "invalid_input", "url"),
        ({"url": "https://example.com\\@10.0.0.1/"}, "invalid_input", "url"),
        ({"url": "http://127.0.0.1:8000/"}, "invalid_input", "url"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "invalid_input", "url"),
        ({"url": "http://169.254.169.254/latest/meta-data/"}, "invalid_input", "url"),
        ({"url": "https://example.com/" + "a" * 2048}, "max_length", "url"),
        ({"url": URL, "types": ["skald.skill.eaten.v1"]}, "invalid_input", "types__0"),
        ({"url": URL, "types": None}, "null", "types"),
        ({"url": URL, "types": [TYPES[0]] * 101}, "max_length", "types"),
        ({"url": URL, "names": "pdf-*"}, "invalid_input", "names"),
        ({"url": URL, "names": "skill/" + "a" * 300}, "max_length", "names"),
        ({"url": URL, "enabled": "yes"}, "invalid_input", "enabled"),
        ({"url": URL, "description": "d" * 301}, "max_length", "description"),
        ({"url": URL, "description": "\0"}, "null_characters_not_allowed", "description"),
        ({"url": URL, "after": -1}, "min_value", "after"),
    ],
)
async def test_what_cannot_be_a_webhook_is_refused(
    new_space: NewSpace, fields: dict[str, Any], code: str, attr: str
) -> None:
    space = await opened(new_space)
    assert refusal(await space.at("POST", "webhooks/", json=fields)) == (400, code, attr)
    assert (await space.at("GET", "webhooks/")).json() == {"results": []}
    if fields:
        hook = await made(space)
        changed = await space.at("PATCH", f"webhooks/{hook['id']}", json=fields)
        if attr != "after":
            assert refusal(changed) == (400, code, attr)


async def test_a_repeated_request_makes_no_second_webhook(new_space: NewSpace) -> None:
    space = await opened(new_space)
    headers = {"idempotency-key": "once"}

    async def post(**fields: Any) -> httpx.Response:
        return await space.at("POST", "webhooks/", json={"url": URL, **fields}, headers=headers)

    answers = await asyncio.gather(*(post() for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert len((await space.at("GET", "webhooks/")).json()["results"]) == 1
    assert refusal(await post(names="skill/a")) == (422, "idempotency_key_reused", None)
    bad = await space.at("POST", "webhooks/", json={"url": URL}, headers={"idempotency-key": "a b"})
    assert refusal(bad) == (400, "invalid_input", "Idempotency-Key")


async def test_scopes(new_space: NewSpace) -> None:
    reader, stranger = await opened(new_space, "webhook:read"), await opened(new_space, "llm_skill:write")
    assert (await reader.at("GET", "webhooks/")).status_code == 200
    assert refusal(await reader.at("POST", "webhooks/", json={"url": URL})) == (
        403,
        "permission_denied",
        None,
    )
    assert "webhook:write" in (await reader.at("POST", "webhooks/", json={"url": URL})).json()["detail"]
    assert refusal(await stranger.at("GET", "webhooks/")) == (403, "permission_denied", None)


async def test_another_project_sees_nothing_of_it(new_space: NewSpace) -> None:
    mine, other = await opened(new_space), await opened(new_space)
    path = f"webhooks/{(await made(mine))['id']}"
    for method, address, body in (
        ("GET", path, None),
        ("PATCH", path, {}),
        ("DELETE", path, None),
        ("POST", f"{path}/rotate-secret", {}),
        ("GET", f"{path}/deliveries", None),
        ("POST", f"{path}/replay", {"from": 1, "to": 1}),
        ("POST", f"{path}/deliveries/1/redeliver", {}),
        ("GET", f"webhooks/{uuid4()}", None),
        ("GET", "webhooks/7", None),
    ):
        assert refusal(await other.at(method, address, json=body)) == (404, "not_found", None)
    assert (await other.at("GET", "webhooks/")).json() == {"results": []}


async def test_rotation_gives_another_secret_and_says_until_when_the_old_one_signs(
    new_space: NewSpace,
) -> None:
    space = await opened(new_space)
    hook = await made(space)
    path = f"webhooks/{hook['id']}/rotate-secret/"
    second = await space.ok(200, await space.at("POST", path))
    third = await space.ok(200, await space.at("POST", path, json={"expire_after": 60}))
    assert len({hook["secret"], second["secret"], third["secret"]}) == 3
    assert second["previous_valid_until"] > third["previous_valid_until"]
    sealed = await store.sealed_secrets(space.conn, hook["id"])
    opened_secrets = [Sealer([SECRET_KEY]).open(one) for one in sealed]
    assert opened_secrets == [third["secret"], second["secret"], hook["secret"]], (
        "an answer may have been lost"
    )
    for _ in range(3):
        await space.ok(200, await space.at("POST", path))
    assert len(await store.sealed_secrets(space.conn, hook["id"])) == store.MAX_SECRETS
    last = await space.ok(200, await space.at("POST", path, json={"expire_after": 0}))
    sealed = await store.sealed_secrets(space.conn, hook["id"])
    assert [Sealer([SECRET_KEY]).open(one) for one in sealed] == [last["secret"]]
    assert refusal(await space.at("POST", path, json={"expire_after": -1})) == (
        400,
        "min_value",
        "expire_after",
    )


INSERT = """
INSERT INTO webhook_deliveries (webhook_id, position, subject, type, cause, status, attempts, attempted_at, duration_ms,
                                response_status, response_body, error)
SELECT %s, number, 'skill/pdf', 'skald.skill.created.v1', 'event', 'failed', 3, now(), 12, 500, %s, 'answered 500'
FROM generate_series(1, %s) AS number
"""


async def test_deliveries_are_paged_newest_first(new_space: NewSpace) -> None:
    space = await opened(new_space)
    path = f"webhooks/{(await made(space))['id']}/deliveries"
    assert await space.ok(200, await space.at("GET", path)) == {"results": [], "next": None}
    await space.conn.execute(INSERT, (path.split("/")[1], b"oh \xff", 5))
    first = await space.ok(200, await space.at("GET", f"{path}/?limit=3&status=failed"))
    second = await space.ok(200, await space.client.get(first["next"]))
    assert [row["position"] for row in first["results"] + second["results"]] == [5, 4, 3, 2, 1]
    assert second["next"] is None
    row = first["results"][0]
    attempt = row["last_attempt"]
    assert (row["event_id"], row["status"], row["attempts"], row["next_attempt_at"]) == (
        "evt_5",
        "failed",
        3,
        None,
    )
    assert (attempt["response_status"], attempt["duration_ms"], attempt["error"]) == (500, 12, "answered 500")
    assert attempt["response_body"] == "oh \ufffd"
    assert (await space.at("GET", f"{path}?status=pending")).json()["results"] == []
    assert refusal(await space.at("GET", f"{path}?status=lost")) == (400, "invalid_input", "status")
    again = await space.ok(202, await space.at("POST", f"{path}/{row['id']}/redeliver/"))
    assert (again["cause"], again["status"], again["position"]) == ("redelivery", "pending", 5)
    assert again["id"] > row["id"]
    once_more = await space.ok(202, await space.at("POST", f"{path}/{row['id']}/redeliver/"))
    assert once_more["id"] == again["id"], "it waits already"
    for bad in ("0", "x", "9" * 30, "999999"):
        assert refusal(await space.at("POST", f"{path}/{bad}/redeliver")) == (404, "not_found", None)


async def test_a_replay_is_accepted_up_to_the_end_of_the_log(new_space: NewSpace) -> None:
    space = await opened(new_space)
    await space.create("pdf")
    hook, head = await made(space), await space.head()
    path = f"webhooks/{hook['id']}/replay/"
    answer = await space.ok(202, await space.at("POST", path, json={"from": 1, "to": 10**12}))
    assert answer == {"status": "accepted", "from": 1, "to": head}
    found = await store.next_replay(space.conn, hook["id"])
    assert found is not None
    assert (found.position, found.last_position) == (0, head)
    assert refusal(await space.at("POST", path, json={"from": 3, "to": 2})) == (400, "invalid_range", "to")
    assert refusal(await space.at("POST", path, json={"from": 1})) == (400, "required", "to")
    for _ in range(store.MAX_REPLAYS - 1):
        await space.ok(202, await space.at("POST", path, json={"from": 1, "to": 1}))
    assert refusal(await space.at("POST", path, json={"from": 1, "to": 1})) == (409, "limit_reached", None)


async def test_a_project_has_a_limited_number_of_webhooks(new_space: NewSpace) -> None:
    space = await opened(new_space)
    await space.conn.execute(
        "INSERT INTO webhooks (id, project_id, url, description, types, names, enabled, position) "
        "SELECT gen_random_uuid(), %s, 'https://example.com', '', '{}', '', false, 0 FROM generate_series(2, %s)",
        (space.id, MAX_WEBHOOKS),
    )
    await made(space)
    assert refusal(await space.at("POST", "webhooks/", json={"url": URL})) == (409, "limit_reached", None)


async def test_without_a_key_to_seal_by_no_webhook_is_made(
    new_space: NewSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = await opened(new_space)
    monkeypatch.setattr("api.webhooks.controller.sealer_of", lambda request: _refuse())
    answer = await space.at("POST", "webhooks/", json={"url": URL})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def _refuse() -> Sealer:
    from domain.errors import Unavailable

    raise Unavailable("no key")
