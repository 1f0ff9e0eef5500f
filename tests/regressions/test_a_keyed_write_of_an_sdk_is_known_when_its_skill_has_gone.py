"""Over /v1/skills the skill was looked up before the Idempotency-Key: the same request was 404 once the skill was archived."""

from typing import Any
from uuid import uuid4

from tests.api.sdk.test_skills import create, parts
from tests.support.space import Space


async def test_a_keyed_write_of_an_sdk_is_known_when_its_skill_has_gone(space: Space) -> None:
    id = (await create(space))["id"]
    requests: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("POST", f"v1/skills/{id}/versions", {"files": parts("pdf-forms", "Two.\n")}),
        ("POST", f"v1/skills/{id}", {"json": {"default_version": "2"}}),
        ("POST", f"v1/skills/{id}", {"json": {"default_version": "1"}}),
        ("DELETE", f"v1/skills/{id}/versions/1", {}),
        ("DELETE", f"v1/skills/{id}", {}),
    )
    keys = [{"Idempotency-Key": uuid4().hex} for _ in requests]
    sent = [(*request, key) for request, key in zip(requests, keys, strict=True)]
    first = [await space.at(method, path, headers=key, **body) for method, path, body, key in sent]
    assert [answer.status_code for answer in first] == [200] * len(requests)
    head = await space.head()
    for before, (method, path, body, key) in zip(first, sent, strict=True):
        again = await space.at(method, path, headers=key, **body)
        assert (again.status_code, again.json()) == (200, before.json())
        assert again.headers["idempotent-replayed"] == "true"
        assert (await space.at(method, path, **body)).status_code == 404
    assert await space.head() == head


async def test_a_keyed_default_is_known_when_its_version_was_deleted(space: Space) -> None:
    sent = parts("pdf-forms", "One.\n")
    id = (await create(space, sent, data={"display_name": "Forms"}))["id"]
    second = await space.ok(200, await space.at("POST", f"v1/skills/{id}/versions", files=sent))
    path, anthropic = f"v1/skills/{id}", {"anthropic-version": "2026-10-21"}
    cases: tuple[tuple[str, dict[str, str]], ...] = (
        (second["id"], {}),
        ("1", anthropic),
        ("2", anthropic),
        ("1", {}),
        ("latest", {}),
    )
    for wanted, shape in cases:
        before = "2" if wanted == "1" else "1"
        await space.ok(200, await space.at("POST", path, json={"default_version": before}))
        headers = {**shape, "Idempotency-Key": uuid4().hex}
        first = await space.at("POST", path, json={"default_version": wanted}, headers=headers)
        shown = await space.ok(200, await space.at("GET", path, headers=shape))
        assert (first.status_code, first.json()) == (200, shown)
        # Another version is the default and the latest one by then.
        await space.ok(200, await space.at("POST", path, json={"default_version": "1"}))
        await space.ok(200, await space.at("DELETE", f"{path}/versions/2"))
        again = await space.at("POST", path, json={"default_version": wanted}, headers=headers)
        assert (again.status_code, again.json()) == (200, first.json()), wanted
        assert again.headers.get("idempotent-replayed") == "true"
        await space.ok(200, await space.post("name/pdf-forms/versions/2/unyank"))
