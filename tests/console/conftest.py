"""The console as a browser meets it, with the fixtures of the API tests: each test has a project and a key of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio

from store.tables import console_sessions, identity
from tests.api.conftest import api_config, app, conn, new_space, pytest_collection_modifyitems, space
from tests.support.browsing import Browser
from tests.support.space import NewSpace, Space

__all__ = ["api_config", "app", "conn", "new_space", "pytest_collection_modifyitems", "space"]

EVERYTHING = ("llm_skill:write", "llm_prompt:write", "event:read")

OpenBrowser = Callable[..., Awaitable[Browser]]


@pytest_asyncio.fixture(loop_scope="session")
async def open_browser() -> AsyncIterator[OpenBrowser]:
    """``await open_browser(space)``: a browser that is signed in by the key of the space."""
    opened: list[Browser] = []

    async def new(space: Space, *, signed_in: bool = True, peer: str = "127.0.0.1") -> Browser:
        browser = Browser(space.app, space.id, peer=peer)
        opened.append(browser)
        if signed_in:
            principal = await identity.find_key(space.conn, identity.digest_of(space.key))
            assert principal is not None
            browser.sign_in(await console_sessions.begin(space.conn, principal.key_id, "a test"))
        return browser

    yield new
    for browser in opened:
        await browser.client.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def owner(new_space: NewSpace) -> Space:
    """An empty project, and a key that may read and write all of it."""
    return await new_space(scopes=EVERYTHING)


@pytest_asyncio.fixture(loop_scope="session")
async def browser(owner: Space, open_browser: OpenBrowser) -> Browser:
    """A browser that is signed in by the key of ``owner``."""
    return await open_browser(owner)
