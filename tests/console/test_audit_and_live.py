"""The audit with its filters and files, and the stream of what happens."""

import asyncio
from typing import Any

import msgspec
import pytest

from store.tables import console_sessions, identity
from tests.console.conftest import OpenBrowser
from tests.support.browsing import Browser, check_page
from tests.support.space import NewSpace, Space


async def test_the_audit_shows_everything_newest_first(owner: Space, browser: Browser) -> None:
    await owner.create("first")
    await owner.create("second")
    await owner.publish("second", 1, body="b")
    page = await browser.page("audit")
    assert page.index("skill published") < page.index("/skills/first/timeline")
    assert "key created" in page
    assert "Ada" in page
    assert f"/console/projects/{owner.id}/skills/second/timeline#p{await owner.head()}" in page


async def test_filters_and_pages_of_the_audit(owner: Space, browser: Browser) -> None:
    for number in range(52):
        await owner.create(f"s{number:02}")
    first = await browser.page("audit", type="skald.skill.created.v1")
    assert "s51" in first
    assert "s01<" not in first
    older = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    second = await browser.page(older)
    assert "s01<" in second
    assert "s51" not in second
    assert 'rel="next"' not in second
    about = await browser.page("audit", subject="skill/s07")
    assert about.count('<tr id="p') == 1
    mail = owner.user.email
    assert (await browser.page("audit", actor=mail, subject="skill/s07")).count('<tr id="p') == 1
    assert "Nothing matches" in await browser.page("audit", to="2020-01-01T00:00")
    assert "s51" in await browser.page("audit", **{"from": "2020-01-01T00:00", "to": "2999-01-01T00:00"})
    position = await owner.head()
    await owner.create("later")
    assert "later/timeline" not in await browser.page("audit", position=position)
    for wrong, status in (
        ({"type": "nothing"}, 400),
        ({"subject": "nothing"}, 400),
        ({"actor": "nobody at all"}, 404),
        ({"from": "soon"}, 400),
        ({"key": "x"}, 400),
        ({"before": "0"}, 400),
    ):
        answer = await browser.get("audit", params=wrong)
        assert answer.status_code == status, wrong
        check_page(answer)


async def test_the_audit_as_a_file(owner: Space, browser: Browser) -> None:
    await owner.create("first")
    await owner.create("second")
    csv = await browser.get("audit/download?subject=skill/first")
    assert csv.headers["content-type"].startswith("text/csv")
    assert "attachment" in csv.headers["content-disposition"]
    assert csv.text.count("skald.skill.created.v1") == 1
    lines = (await browser.get("audit/download?format=ndjson&type=skald.skill.created.v1")).text.splitlines()
    assert [msgspec.json.decode(line)["subject"] for line in lines] == ["skill/first", "skill/second"]


async def test_who_may_not_follow_the_log_sees_none_of_it(
    new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    browser = await open_browser(await new_space(scopes=("llm_skill:read",)))
    for path in ("audit", "audit/download", "live", "live/events"):
        answer = await browser.get(path)
        assert answer.status_code == 403
        check_page(answer)
    page = await browser.page("skills")
    assert "/audit" not in page
    assert "/live" not in page


class Following:
    """What the live stream of a browser sends, read without an end."""

    def __init__(self, browser: Browser, path: str) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.gone = asyncio.Event()
        path, _, query = browser.address(path).partition("?")
        cookies = "; ".join(f"{name}={value}" for name, value in browser.client.cookies.items())
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "scheme": "http",
            "http_version": "1.1",
            "server": ("skald.test", 80),
            "client": ("127.0.0.1", 50_000),
            "headers": [(b"host", b"skald.test"), (b"cookie", cookies.encode())],
        }
        transport: Any = browser.client._transport
        self.task = asyncio.create_task(transport.app(scope, self._receive, self.sent.put))

    async def _receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def until(self, text: str) -> None:
        while True:
            message = await asyncio.wait_for(self.sent.get(), 20)
            if text in str(message.get("body", message.get("status", ""))):
                return

    async def rest(self) -> bytes:
        """What comes until the stream ends by itself."""
        found: bytes = b""
        while True:
            message = await asyncio.wait_for(self.sent.get(), 20)
            body: bytes = message.get("body", b"")
            found += body
            if not message.get("more_body"):
                self.gone.set()
                await self.task
                return found


@pytest.mark.parametrize("how", ["session", "key"])
async def test_the_live_stream_follows_until_its_session_or_key_ends(
    owner: Space, browser: Browser, how: str
) -> None:
    await owner.create("first")
    page = await browser.page("live")
    assert "/skills/first/timeline" in page
    assert f'data-stream="/console/projects/{owner.id}/live/events?after={await owner.head()}"' in page
    following = Following(browser, f"live/events?after={await owner.head()}")
    await following.until("200")
    await owner.create("second")
    await following.until("skill/second")
    if how == "session":
        [session] = await console_sessions.list_of(owner.conn, owner.user.id)
        await owner.create("third")
        await following.until("skill/third")
        await console_sessions.end(owner.conn, session.id, owner.user.id)
        await owner.create("fourth")
    else:
        principal = await identity.find_key(owner.conn, identity.digest_of(owner.key))
        assert principal is not None
        await identity.revoke_key(owner.conn, principal.key_id)
    rest = await following.rest()
    assert b"skill/fourth" not in rest
