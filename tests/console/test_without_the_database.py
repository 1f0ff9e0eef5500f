"""The console while PostgreSQL is away or takes nothing: pages go on as far as they can, and no text is lost."""

from html import unescape
from pathlib import Path

import msgspec
from psycopg.conninfo import make_conninfo

from api.config import ApiConfig
from store.tables import console_sessions, identity
from tests.console.conftest import OpenBrowser
from tests.support.browsing import Browser, check_page
from tests.support.forms import Fields, follow, send
from tests.support.proxy import proxy
from tests.support.space import Space, running

TYPED = "typed </textarea> & not lost\n"
READ = (
    *(
        "/console/sessions",
        "skills",
        "skills/one",
        "skills/one/timeline",
        "skills/one/compare",
        "skills/one/blame",
    ),
    *(
        "skills/one/labels",
        "skills/one/manage",
        "skills/one/edit",
        "audit",
        "live",
        "promotions",
        "drafts",
        "search?q=forms",
    ),
)


async def session_of(space: Space) -> str:
    """The secret of a session whose next use is written down."""
    found = await identity.find_key(space.conn, identity.digest_of(space.key))
    assert found is not None
    secret = await console_sessions.begin(space.conn, found.key_id, "a test")
    await space.conn.execute(
        "UPDATE console_sessions SET used_at = used_at - interval '1 hour' WHERE key_id = %s", (found.key_id,)
    )
    return secret


async def test_pages_are_read_where_nothing_can_be_written(
    owner: Space, api_config: ApiConfig, tmp_path: Path
) -> None:
    await owner.create("one")
    url = make_conninfo(api_config.database_url, options="-c default_transaction_read_only=on")
    async with running(msgspec.structs.replace(api_config, database_url=url, run_dir=tmp_path)) as app:
        browser = Browser(app, owner.id)
        browser.sign_in(await session_of(owner))
        for place in READ:
            check_page(answer := await browser.get(place))
            assert answer.status_code == 200, (place, answer.text)
        form = await browser.page("skills/one/edit")
        refused = await send(browser, form, "keep", text=TYPED)
        assert (refused.status_code, "read-only" in refused.text) == (503, True)
        assert TYPED in unescape(refused.text)
        await browser.client.aclose()


async def test_a_text_outlives_a_database_that_is_away(
    owner: Space, api_config: ApiConfig, open_browser: OpenBrowser, tmp_path: Path
) -> None:
    await owner.create("one")
    async with proxy(api_config.database_url) as way:
        config = msgspec.structs.replace(api_config, database_url=way.url, run_dir=tmp_path, pool_timeout=0.2)
        async with running(config) as app:
            browser = Browser(app, owner.id)
            browser.sign_in(await session_of(owner))
            form = await browser.page("skills/one/edit")
            target, way.target = way.target, tmp_path / "nothing"
            await way.stop()
            away = await send(browser, form, "keep", text=TYPED)
            check_page(away)
            assert away.status_code == 503
            assert "It is not done yet" in away.text
            assert "retry-after" in away.headers
            assert TYPED in unescape(away.text)
            # What a script keeps it sends again by itself.
            part = await send(browser, form, "keep", text=TYPED, as_="part")
            assert (part.status_code, "carried" in part.text) == (503, False)
            way.target = target
            page = ""
            for _ in range(50):
                answer = await send(browser, away.text, "")
                if answer.status_code == 303:
                    page = await follow(browser, answer)
                    break
            assert Fields(page).values["text"].replace("\r\n", "\n") == TYPED
            await browser.client.aclose()
