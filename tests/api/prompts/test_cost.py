"""What a read of a prompt costs: a label no more than the latest, and neither anything once it is known."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from api.cache.shared_memory import SharedMemoryCache
from api.config import ApiConfig
from api.fast import hot
from api.http.responses import Answer
from projections.read import versions
from store.postgres import pipeline
from tests.support.prompt_space import PromptSpace
from tests.support.space import Asgi, Space, running


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that this process executes from here on, but for what begins or ends a transaction or prepares."""
    seen: list[str] = []
    execute = psycopg.AsyncConnection.execute
    select = pipeline.select

    async def counted(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        sql = query.decode() if isinstance(query, bytes) else str(query)
        if not sql.startswith("PREPARE "):
            seen.append(sql)
        return await execute(self, query, *args, **options)

    async def counted_select(conn: Any, sql: str, values: Any) -> Any:
        seen.append(sql)
        return await select(conn, sql, values)

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", counted)
    monkeypatch.setattr(versions, "select", counted_select)
    return seen


@asynccontextmanager
async def cold(
    config: ApiConfig, prompts: PromptSpace, shared: SharedMemoryCache | None = None
) -> AsyncIterator[PromptSpace]:
    """Another process of the same host, as far as caches go: without Redis, so that every miss reaches PostgreSQL."""
    options = {field: getattr(config, field) for field in config.__struct_fields__}
    async with running(ApiConfig(**{**options, "redis_url": None}), shared) as app:
        space = prompts.space
        other = Space(app, space.conn, space.project, space.user, space.key)
        yield PromptSpace(other)
        await other.client.aclose()


def reads(statements: list[str]) -> int:
    """Reads of prompts, without those of the tail and of keys."""
    return sum("FROM active_names" in statement for statement in statements)


async def test_a_label_costs_what_the_latest_costs(
    prompts: PromptSpace, api_config: ApiConfig, statements: list[str]
) -> None:
    await prompts.create()
    await prompts.publish(1, prompt="two")
    await prompts.set_label("live", 1)
    async with cold(api_config, prompts) as other:
        await other.get("")  # the key is known from here on
        costs = []
        for query in ({}, {"label": "live"}, {"version": 1}):
            statements.clear()
            await other.show(**query)
            costs.append(
                [statement for statement in statements if "FROM events WHERE position" not in statement]
            )
            statements.clear()
            await other.show(**query)
            assert reads(statements) == 0
    latest, label, version = (len(cost) for cost in costs)
    assert (latest, label, version) == (1, 1, 1), costs


async def test_a_label_of_a_skill_costs_what_the_latest_costs(
    space: Space, api_config: ApiConfig, statements: list[str]
) -> None:
    await space.create()
    await space.publish("pdf-forms", 1, body="two")
    await space.set_label("live", 1)
    async with cold(api_config, PromptSpace(space)) as other:
        await other.space.get("")
        costs = []
        for query in ({}, {"label": "live"}, {"version": 1}):
            statements.clear()
            await other.space.show(**query)
            costs.append(
                [statement for statement in statements if "FROM events WHERE position" not in statement]
            )
            statements.clear()
            await other.space.show(**query)
            assert reads(statements) == 0
    assert [len(cost) for cost in costs] == [1, 1, 1], costs


async def test_what_one_process_read_by_a_label_costs_another_nothing(
    space: Space, api_config: ApiConfig, statements: list[str]
) -> None:
    await space.create()
    await space.set_label("live", 1)
    shared = SharedMemoryCache()
    async with (
        cold(api_config, PromptSpace(space), shared) as one,
        cold(api_config, PromptSpace(space), shared) as other,
    ):
        for each in (one, other):
            await each.space.get("")
        first = await one.space.show(label="live")
        statements.clear()
        assert await other.space.show(label="live") == first
        assert reads(statements) == 0
        await space.publish("pdf-forms", 1, body="two")
        await space.set_label("live", 2)
        assert (await other.space.show(label="live"))["body"] == "two"
        statements.clear()
        assert (await one.space.show(label="live"))["body"] == "two"
        assert reads(statements) == 0


async def test_a_known_label_of_a_skill_takes_the_short_way(app: Asgi, space: Space) -> None:
    await space.create()
    await space.publish("pdf-forms", 1, body="two")
    await space.set_label("live", 1)
    slow = await space.get("name/pdf-forms/?label=live")
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/api/projects/{space.id}/llm_skills/name/pdf-forms/",
        "query_string": b"label=live",
        "headers": [(b"authorization", space.client.headers["authorization"].encode())],
    }
    given = app.answer_now({**scope, "state": {}})
    assert (given.status, given.body, given.body.endswith(b',"label":"live"}')) == (200, slow.content, True)
    await space.set_label("live", 2)
    assert app.answer_now({**scope, "state": {}}) is None
    assert (await space.show(label="live"))["body"] == "two"
    assert app.answer_now({**scope, "state": {}}).status == 200


@pytest.mark.parametrize("query", [
    "",
    "?label=live",
    "?version=1",
    "?label=live&token=none",
    "?token=none&version=2",
])  # fmt: skip
async def test_a_known_read_takes_the_short_way(
    app: Asgi, prompts: PromptSpace, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await prompts.create()
    await prompts.publish(1, prompt="two")
    await prompts.set_label("live", 1)
    slow = await prompts.get(f"name/agent/{query}")
    taken: list[bool] = []
    known = hot.On._known

    def noted(self: Asgi, *args: Any) -> Answer | None:
        answer = known(self, *args)
        taken.append(answer is not None)
        return answer

    monkeypatch.setattr(hot.On, "_known", noted)
    for prefix in ("projects", "environments"):
        fast = await prompts.space.at(
            "GET", f"/api/{prefix}/{prompts.space.id}/llm_prompts/name/agent/{query}"
        )
        assert (fast.status_code, fast.content) == (200, slow.content)
        assert fast.headers["etag"] == slow.headers["etag"]
        assert fast.headers["cache-control"] == slow.headers["cache-control"]
    assert taken == [True, True]
    # What a server asks before it makes a task.
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/api/projects/{prompts.space.id}/llm_prompts/name/agent/",
        "query_string": query[1:].encode(),
        "headers": [(b"authorization", prompts.space.client.headers["authorization"].encode())],
        "state": {},
    }
    given = app.answer_now(scope)
    assert (given.status, given.body) == (200, slow.content)
    assert {b"x-request-id", b"content-length", b"etag"} <= dict(given.headers).keys()
    nobody = f"/api/projects/{prompts.space.id}/llm_prompts/name/nobody"
    for name, other in (("method", "HEAD"), ("path", nobody), ("headers", [])):
        assert app.answer_now({**scope, "state": {}, name: other}) is None
    # A move is seen on the short way, too.
    await prompts.set_label("live", 2)
    if "label" in query:
        assert (await prompts.get(f"name/agent/{query}")).json()["version"] == 2
