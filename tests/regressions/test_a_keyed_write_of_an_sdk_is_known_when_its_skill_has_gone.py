"""Over /v1/skills the skill was looked up before the Idempotency-Key: the same request was 404 once the skill was archived."""

from typing import Any
from uuid import uuid4

from tests.api.sdk.test_skills import create, parts
from tests.support.space import Space


async def test_a_keyed_write_of_an_sdk_is_known_when_its_skill_has_gone(space: Space) -> None:
    id = (await create(space))["id"]
    requests: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("POST", f"v1/skills/{id}/versions", {"files": parts("pdf-forms", "Two.\n")}),
        ("DELETE", f"v1/skills/{id}/versions/1", {}),
        ("DELETE", f"v1/skills/{id}", {}),
    )
    keys = [{"Idempotency-Key": uuid4().hex} for _ in requests]
    sent = [(*request, key) for request, key in zip(requests, keys, strict=True)]
    first = [await space.at(method, path, headers=key, **body) for method, path, body, key in sent]
    assert [answer.status_code for answer in first] == [200, 200, 200]
    head = await space.head()
    for before, (method, path, body, key) in zip(first, sent, strict=True):
        again = await space.at(method, path, headers=key, **body)
        assert (again.status_code, again.json()) == (200, before.json())
        assert again.headers["idempotent-replayed"] == "true"
        assert (await space.at(method, path, **body)).status_code == 404
    assert await space.head() == head
