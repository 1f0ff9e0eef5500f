"""One application for all API tests of a process, called without sockets; each test has a project and a key of its own."""

import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from api.config import ApiConfig
from store.postgres.connection import Connection
from store.postgres.pool import connect
from store.tables import identity
from tests.support.prompt_space import PromptSpace
from tests.support.service import SECRET_KEY
from tests.support.space import Asgi, NewSpace, Space, open_space, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The application lives in one event loop, so the tests that call it do, too."""
    for item in items:
        if (
            isinstance(item, pytest.Function)
            and "app" in item.fixturenames
            and inspect.iscoroutinefunction(item.obj)
        ):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def api_config(postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> ApiConfig:
    return ApiConfig(
        database_url=postgres_url,
        redis_url=redis_url,
        run_dir=tmp_path_factory.mktemp("run"),
        rate_limit_per_minute=0,
        rate_limit_per_hour=0,
        failed_attempts_per_minute=0,
        max_body_bytes=4 * 1024 * 1024,
        trusted_proxies=("10.0.0.0/8", "192.0.2.1"),
        pool_size=4,
        secret_keys=(SECRET_KEY,),
        access_log=False,
        fast_path=os.environ.get("SKALD_TEST_FAST_PATH") != "off",
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def app(api_config: ApiConfig) -> AsyncIterator[Asgi]:
    async with running(api_config) as application:
        yield application


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def conn(postgres_url: str) -> AsyncIterator[Connection]:
    async with await connect(postgres_url) as connection:
        yield connection


@pytest_asyncio.fixture(loop_scope="session")
async def new_space(app: Asgi, conn: Connection) -> AsyncIterator[NewSpace]:
    """``await new_space(scopes=(…), user=…)``: another project with a key of its own."""
    opened: list[Space] = []

    async def new(
        *, scopes: tuple[str, ...] = ("llm_skill:write",), user: identity.User | None = None
    ) -> Space:
        opened.append(await open_space(app, conn, scopes=scopes, user=user))
        return opened[-1]

    yield new
    for space in opened:
        await space.client.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def space(new_space: Callable[..., Awaitable[Space]]) -> Space:
    """An empty project, and a client whose key may write skills in it."""
    return await new_space()


@pytest_asyncio.fixture(loop_scope="session")
async def prompts(new_space: Callable[..., Awaitable[Space]]) -> PromptSpace:
    """An empty project, and a client whose key may write prompts in it."""
    return PromptSpace(await new_space(scopes=("llm_prompt:write",)))
