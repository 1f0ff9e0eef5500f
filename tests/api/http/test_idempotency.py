"""``Idempotency-Key`` on every POST and PATCH (contract, section 7)."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from store.postgres.pool import connect
from tests.support.space import NewSpace, Space, file, refusal, skill

WRITES: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "create": ("POST", "", skill("fresh")),
    "publish": ("PATCH", "name/pdf-forms", {"base_version": 1, "body": "two"}),
    "archive": ("POST", "name/pdf-forms/archive", None),
    "duplicate": ("POST", "name/pdf-forms/duplicate", {"new_name": "copy"}),
    "add a file": ("POST", "name/pdf-forms/files", file("b")),
    "rename a file": ("POST", "name/pdf-forms/files-rename", {"old_path": "a", "new_path": "b"}),
}


async def send(space: Space, write: str, key: str, body: Any = ..., **options: Any) -> httpx.Response:
    method, path, usual = WRITES[write]
    return await space.at(
        method,
        f"llm_skills/{path}",
        json=usual if body is ... else body,
        headers={"Idempotency-Key": key, **options.pop("headers", {})},
        **options,
    )


@pytest.fixture
def key() -> str:
    return uuid4().hex


@pytest.mark.parametrize("write", WRITES)
async def test_the_same_request_again_gives_the_first_answer_again(
    space: Space, write: str, key: str
) -> None:
    await space.create(files=[file("a")])
    first = await send(space, write, key)
    assert first.is_success, first.text
    assert "idempotent-replayed" not in first.headers
    head = await space.head()

    for _ in range(2):
        again = await send(space, write, key)
        assert again.headers["idempotent-replayed"] == "true"
        assert (again.status_code, again.content) == (first.status_code, first.content)
        for name in ("x-event-position", "etag", "content-type"):
            assert again.headers.get(name) == first.headers.get(name), name
    assert await space.head() == head


@pytest.mark.parametrize("write", WRITES)
async def test_the_answer_stays_the_first_whatever_happened_since(space: Space, write: str, key: str) -> None:
    await space.create(files=[file("a")])
    first = await send(space, write, key)
    for name in ("fresh", "copy", "pdf-forms"):
        shown = await space.get(f"name/{name}")
        if shown.status_code == 200:
            await space.publish(name, shown.json()["version"], body="since")
            await space.post(f"name/{name}/archive")
            await space.create(name)

    again = await send(space, write, key)

    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)


@pytest.mark.parametrize("write", [name for name in WRITES if name != "archive"])
async def test_another_body_with_the_same_key(space: Space, write: str, key: str) -> None:
    await space.create(files=[file("a")])
    await send(space, write, key)
    head = await space.head()
    body = WRITES[write][2]

    answer = await send(space, write, key, {**(body or {}), "unknown": 1})

    assert refusal(answer) == (422, "idempotency_key_reused", None)
    assert await space.head() == head


async def test_another_address_or_condition_with_the_same_key(space: Space, key: str) -> None:
    await space.create()
    await space.create("other")
    await send(space, "archive", key)

    answer = await space.post("name/other/archive", headers={"Idempotency-Key": key})
    assert refusal(answer)[0] == 422
    assert refusal(await send(space, "archive", key, headers={"If-Match": "*"}))[0] == 422
    assert (await space.show("other"))["version"] == 1


async def test_the_same_request_by_the_other_address(space: Space, key: str) -> None:
    headers = {"Idempotency-Key": key}
    first = await space.at("POST", f"/api/projects/{space.id}/llm_skills/", json=skill(), headers=headers)

    for place in (f"environments/{space.id}/llm_skills", "projects/@current/llm_skills/"):
        again = await space.at("POST", f"/api/{place}", json=skill(), headers=headers)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.content == first.content


async def test_after_an_error_the_key_is_free(space: Space, key: str) -> None:
    await space.create(files=[file("a")])
    wrong = {"base_version": 7, "body": "two"}

    assert (await send(space, "publish", key, wrong)).status_code == 409
    assert (await send(space, "publish", key, {"body": ""})).status_code == 400
    assert (await send(space, "publish", key)).status_code == 200
    assert (await send(space, "publish", key)).headers["idempotent-replayed"] == "true"


async def test_a_key_belongs_to_one_api_key_and_one_project(new_space: NewSpace, key: str) -> None:
    one, two = await new_space(), await new_space()

    assert (await send(one, "create", key)).status_code == 201
    answer = await send(two, "create", key)
    assert answer.status_code == 201
    assert "idempotent-replayed" not in answer.headers


@pytest.mark.parametrize("bad", ["", " ", "a b", "x" * 256, "é"])
async def test_a_key_that_is_none(space: Space, bad: str) -> None:
    before = await space.head()

    answer = await space.at("POST", "llm_skills/", json=skill(), headers={"Idempotency-Key": bad.encode()})

    assert refusal(answer)[0] == 400
    assert await space.head() == before


async def test_while_the_first_request_runs_the_second_is_told_so(
    space: Space, key: str, postgres_url: str
) -> None:
    """The race by hand: a connection of ours holds the order lock, so the first request cannot commit."""
    await space.create("warm")
    async with await connect(postgres_url) as blocker, blocker.transaction():
        await blocker.execute("SELECT pg_advisory_xact_lock(7203014)")
        sent = [asyncio.create_task(send(space, "create", key)) for _ in range(2)]
        done, running = await asyncio.wait(sent, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == len(running) == 1
        assert refusal(done.pop().result()) == (409, "request_in_progress", None)
    assert (await running.pop()).status_code == 201
    assert (await send(space, "create", key)).headers["idempotent-replayed"] == "true"


async def test_twenty_at_once_write_once(space: Space, key: str) -> None:
    before = await space.head()

    answers = await asyncio.gather(*(send(space, "create", key) for _ in range(20)))

    codes = sorted({answer.status_code for answer in answers})
    assert codes in ([201], [201, 409])
    assert {answer.content for answer in answers if answer.status_code == 201} == {
        (await space.get("name/fresh")).content
    }
    assert await space.head() == before + 1


async def test_without_a_key_nothing_is_replayed(space: Space) -> None:
    await space.create()

    assert (await space.post(json=skill())).status_code == 400
    assert (await space.publish("pdf-forms", 1))["version"] == 2
