"""The fast path changes no answer: with it off, the framework gives the same status, headers and bytes."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest_asyncio

from api.config import ApiConfig
from tests.support.space import Asgi, Space, running

# What belongs to one request.
OWN = {"x-request-id", "date", "x-event-position"}


@pytest_asyncio.fixture(loop_scope="session")
async def plain(api_config: ApiConfig, space: Space) -> AsyncIterator[Space]:
    """The project of ``space`` by a service whose fast path is off."""
    options = {field: getattr(api_config, field) for field in api_config.__struct_fields__}
    async with running(ApiConfig(**{**options, "fast_path": False})) as app:
        other = Space(app, space.conn, space.project, space.user, space.key)
        yield other
        await other.client.aclose()


def shown(answer: httpx.Response) -> tuple[Any, ...]:
    headers = {name: value for name, value in answer.headers.items() if name not in OWN}
    return answer.status_code, headers, answer.content


async def test_a_read_is_the_same_with_and_without(app: Asgi, space: Space, plain: Space) -> None:
    created = await space.post("", json={"name": "same", "description": "d", "body": "# One"})
    assert created.status_code == 201
    etag = created.headers["etag"]
    for way in ("name/same", "name/same/", "name/same/?version=1", "name/same/?version=9", "name/none"):
        for headers in (
            {},
            {"if-none-match": etag},
            {"if-none-match": f'"a", {etag}'},
            {"authorization": ""},
        ):
            on = [await space.get(way, headers=headers) for _ in range(2)]
            off = [await plain.get(way, headers=headers) for _ in range(2)]
            assert {str(shown(answer)) for answer in (*on, *off)} == {str(shown(on[0]))}, way
    assert (await space.get("name/same", headers={"if-none-match": etag})).status_code == 304


async def test_a_publish_is_the_same_with_and_without(space: Space, plain: Space) -> None:
    await space.post("", json={"name": "turns", "description": "d", "body": "# 0"})
    refused: dict[str, list[tuple[Any, ...]]] = {}
    for number, by in enumerate((space, plain, space, plain), 1):
        done = await by.patch("turns", json={"body": f"# {number}", "base_version": number})
        assert (done.status_code, done.json()["version"]) == (200, number + 1)
        assert (await space.get("name/turns")).content == (await plain.get("name/turns")).content
    for by in (space, plain):
        for body, headers in (
            ({"body": "# x", "base_version": 1}, {}),
            ({"body": "# x"}, {}),
            ({"body": 1, "base_version": 5}, {}),
            ({"body": "# x", "base_version": 5}, {"if-match": '"another"'}),
            ({"body": "# x", "base_version": 5}, {"authorization": ""}),
            ({"body": "# x", "base_version": 5}, {"idempotency-key": "not one word"}),
        ):
            answer = await by.patch("turns", json=body, headers=headers)
            refused.setdefault(str((body, headers)), []).append(shown(answer))
    assert all(one == other and one[0] >= 400 for one, other in refused.values()), refused
