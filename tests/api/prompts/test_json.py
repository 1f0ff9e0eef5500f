"""Any JSON value comes back exactly as it was sent, by every way to read it."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.json_texts import Members, strictly, texts
from tests.support.service import Service

JSON = {"content-type": "application/json"}
CONFIG = '{"v":1.0,"w":[1e2,1000000000000000000000000000000,1e999]}'


@pytest.fixture(scope="module")
def http(running_service: Service) -> Iterator[httpx.Client]:
    """Two processes answer, so that reads come from every cache."""
    with running_service.client(project_id=running_service.make_project().id, headers=JSON) as client:
        yield client


def send(http: httpx.Client, method: str, path: str, body: str | None = None) -> httpx.Response:
    answer = http.request(method, f"llm_prompts/{path}", content=None if body is None else body.encode())
    assert answer.status_code in (200, 201), answer.text
    return answer


def member(answer: httpx.Response, *path: str | int) -> object:
    """A value inside of an answer, parsed strictly."""
    value = strictly(answer.content)
    for step in path:
        if isinstance(step, str):
            assert isinstance(value, Members)
            value = dict(value.pairs)[step]
        else:
            value = value[step]
    return value


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(first=texts(), second=texts())
def test_json_comes_back_as_it_was_sent(http: httpx.Client, first: str, second: str) -> None:
    name = uuid4().hex
    created = send(http, "POST", "", f'{{"prompt": {first}, "name": "{name}", "config": {CONFIG}}}')
    change = f'{{"base_version":1,"prompt":\t{second}\n}}'
    published = send(http, "PATCH", f"name/{name}", change)
    copied = send(http, "POST", f"name/{name}/duplicate", f'{{"new_name":"{name}-copy"}}')
    send(http, "PUT", f"name/{name}/labels/first", '{"version":1}')

    one, two = strictly(first), strictly(second)
    assert member(created, "prompt") == one
    for answer in (published, copied):
        assert member(answer, "prompt") == two
        assert member(answer, "config") == strictly(CONFIG)
    for _ in range(2):
        assert member(send(http, "GET", f"name/{name}"), "prompt") == two
        assert member(send(http, "GET", f"name/{name}?version=1"), "prompt") == one
        assert member(send(http, "GET", f"name/{name}?label=first"), "prompt") == one
    assert member(send(http, "GET", f"resolve/name/{name}"), "prompt", "prompt") == two
    assert member(send(http, "GET", f"resolve/name/{name}?version=1"), "prompt", "prompt") == one
    listed = send(http, "GET", f"?search={name}&limit=2")
    assert member(listed, "results", 0, "prompt") == two
    assert member(listed, "results", 1, "prompt") == two
    labeled = send(http, "GET", f"?search={name}&label=first")
    assert member(labeled, "results", 0, "prompt") == one
    assert member(send(http, "POST", f"name/{name}/archive"), "prompt") == two
