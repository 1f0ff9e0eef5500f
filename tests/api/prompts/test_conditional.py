"""ETag, If-None-Match, If-Match, Idempotency-Key and X-Event-Position of prompts."""

from typing import Any

import pytest

from tests.support.prompt_space import PromptSpace, chat
from tests.support.space import refusal


@pytest.mark.parametrize("path", [
    "",
    "?content=none",
    "name/agent",
    "name/agent?version=1",
    "name/agent?label=live",
    "name/agent?content=preview",
    "resolve/name/agent",
])  # fmt: skip
async def test_every_get_is_conditional(prompts: PromptSpace, path: str) -> None:
    await prompts.create()
    await prompts.set_label("live", 1)

    first = await prompts.get(path)
    etag = first.headers["etag"]
    assert etag.startswith('"')
    again = await prompts.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert (await prompts.get(path, headers={"If-None-Match": '"x"'})).content == first.content
    head = await prompts.space.at("HEAD", f"llm_prompts/{path}")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", etag)
    assert first.headers["cache-control"] == "private, no-cache"
    await prompts.publish(1, prompt="two")
    changed = await prompts.get(path, headers={"If-None-Match": etag})
    assert changed.status_code == 200


async def test_if_match_takes_the_place_of_base_version(prompts: PromptSpace) -> None:
    created = await prompts.post(json={"name": "agent", "prompt": "one"})
    shown = await prompts.get("name/agent")

    for answer in (created, shown):
        etag = answer.headers["etag"]
        stale = await prompts.patch({"prompt": "x"}, headers={"If-Match": '"x"'})
        assert refusal(stale)[:2] == (412, "precondition_failed")
        weak = await prompts.patch({"prompt": "x"}, headers={"If-Match": "W/" + etag})
        assert weak.status_code == 412
    assert (
        await prompts.patch({"prompt": "two"}, headers={"If-Match": shown.headers["etag"]})
    ).status_code == 200
    second = await prompts.patch({"prompt": "three"}, headers={"If-Match": shown.headers["etag"]})
    assert refusal(second)[:2] == (412, "precondition_failed")
    # A label on the latest version changes its representation.
    etag = (await prompts.get("name/agent")).headers["etag"]
    await prompts.set_label("live", 2)
    assert (await prompts.patch({"prompt": "three"}, headers={"If-Match": etag})).status_code == 412
    both = await prompts.patch(
        {"prompt": "x", "base_version": 1},
        headers={"If-Match": (await prompts.get("name/agent")).headers["etag"]},
    )
    assert refusal(both)[:2] == (409, "version_conflict")
    for path, body in (("archive", None), ("duplicate", {"new_name": "copy"})):
        answer = await prompts.post(f"name/agent/{path}", body, headers={"If-Match": '"x"'})
        assert refusal(answer)[:2] == (412, "precondition_failed")
        etag = (await prompts.get("name/agent")).headers["etag"]
        if path == "duplicate":
            assert (
                await prompts.post(f"name/agent/{path}", body, headers={"If-Match": etag})
            ).status_code == 201
    assert (await prompts.post("name/agent/archive", headers={"If-Match": etag})).status_code == 200


async def test_the_same_request_with_the_same_key_is_done_once(prompts: PromptSpace) -> None:
    key = f"once-{prompts.space.id}"
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "", {"name": "agent", "prompt": chat("é"), "config": {"n": 1.0}}),
        ("PATCH", "name/agent", {"base_version": 1, "prompt": "two", "version_description": "d"}),
        ("POST", "name/agent/duplicate", {"new_name": "copy"}),
        ("POST", "name/agent/archive", {"name": "x"}),
    ]
    firsts = []
    for number, (method, path, body) in enumerate(requests):
        headers = {"Idempotency-Key": f"{key}-{number}"}
        first = await prompts.space.at(method, f"llm_prompts/{path}", json=body, headers=headers)
        assert first.status_code in (200, 201), first.text
        assert "idempotent-replayed" not in first.headers
        assert int(first.headers["x-event-position"]) == await prompts.space.head()
        firsts.append(first)
        if path == "":
            await prompts.set_label("live", 1)
    head = await prompts.space.head()
    for number, (method, path, body) in enumerate(requests):
        headers = {"Idempotency-Key": f"{key}-{number}"}
        again = await prompts.space.at(method, f"llm_prompts/{path}/", json=body, headers=headers)
        first = firsts[number]
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["x-event-position"] == first.headers["x-event-position"]
        other = await prompts.space.at(method, f"llm_prompts/{path}", json={**body, "z": 1}, headers=headers)
        assert refusal(other)[:2] == (422, "idempotency_key_reused")
    assert await prompts.space.head() == head


async def test_a_refused_request_leaves_its_key_free(prompts: PromptSpace) -> None:
    headers = {"Idempotency-Key": f"free-{prompts.space.id}"}

    refused = await prompts.post(json={"name": "agent", "prompt": None}, headers=headers)
    assert refused.status_code == 400
    assert (await prompts.post(json={"name": "agent", "prompt": 1}, headers=headers)).status_code == 201
