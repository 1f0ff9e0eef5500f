"""Signing in by a key or a link, what a session may do, and how it ends."""

import pytest

from store.tables import console_sessions, identity
from tests.console.conftest import OpenBrowser
from tests.support.browsing import ORIGIN, Browser, check_page
from tests.support.space import NewSpace, Space


async def key_of(space: Space) -> identity.Principal:
    found = await identity.find_key(space.conn, identity.digest_of(space.key))
    assert found is not None
    return found


async def test_the_page_to_sign_in_says_where_the_first_key_is(
    owner: Space, open_browser: OpenBrowser
) -> None:
    browser = await open_browser(owner, signed_in=False)
    page = (await browser.get("/console/sign-in")).text
    # Where that is depends on the settings, which are no business of a page for everybody.
    assert "<code>first-key</code> of its data directory (<code>SKALD_DATA_DIR</code>" in page
    assert ".skald/first-key" not in page
    assert ".skald/first-key" not in (await browser.get("/", headers={"Accept": "text/html"})).text


async def test_a_key_signs_in_and_leads_to_where_one_wanted(owner: Space, open_browser: OpenBrowser) -> None:
    browser = await open_browser(owner, signed_in=False)
    wanted = f"/console/projects/{owner.id}/skills?search=a%20b"
    sent_away = await browser.get(wanted)
    assert sent_away.status_code == 303
    sign_in = await browser.get(sent_away.headers["location"])
    check_page(sign_in)
    assert f'value="{wanted}"' in sign_in.text

    done = await browser.post("/console/sign-in", {"key": f" {owner.key}\n", "next": wanted})
    assert (done.status_code, done.headers["location"]) == (303, wanted)
    assert (await browser.get(wanted)).status_code == 200
    cookie = done.headers["set-cookie"]
    assert cookie.startswith("skald_console=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert owner.key not in cookie
    # The page of the form has nothing for who is signed in already.
    again = await browser.get("/console/sign-in", params={"next": wanted})
    assert again.headers["location"] == wanted


async def test_with_tls_the_cookie_is_bound_to_the_host(owner: Space, open_browser: OpenBrowser) -> None:
    browser = await open_browser(owner, signed_in=False, peer="10.1.2.3")
    tls = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    done = await browser.post(
        "/console/sign-in", {"key": owner.key}, headers={**tls, "Origin": ORIGIN.replace("http:", "https:")}
    )
    cookie = done.headers["set-cookie"]
    assert cookie.startswith("__Host-skald_console=")
    assert {"Secure", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example/console/",
        "/console/../api",
        "/console//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/consoles",
        "/console/\r\nSet-Cookie: a=b",
    ],
)
async def test_signing_in_leads_nowhere_else(owner: Space, open_browser: OpenBrowser, elsewhere: str) -> None:
    browser = await open_browser(owner, signed_in=False)
    done = await browser.post("/console/sign-in", {"key": owner.key, "next": elsewhere})
    assert (done.status_code, done.headers["location"]) == (303, "/console/")


async def test_a_wrong_key_is_refused_on_the_page(owner: Space, open_browser: OpenBrowser) -> None:
    browser = await open_browser(owner, signed_in=False)
    for key in ("", "wrong", f"{owner.key}x", "sk_" + "a" * 43):
        answer = await browser.post("/console/sign-in", {"key": key})
        assert answer.status_code == 401
        check_page(answer)
        assert "wrong, expired or revoked" in answer.text or "not provided" in answer.text
        assert "set-cookie" not in answer.headers


async def test_a_link_signs_in_once(owner: Space, open_browser: OpenBrowser) -> None:
    token = await console_sessions.make_link(owner.conn, (await key_of(owner)).key_id)
    first, second = await open_browser(owner, signed_in=False), await open_browser(owner, signed_in=False)
    # From a page of others nothing happens before a click.
    asked = await first.get(f"/console/enter/{token}", headers={"Sec-Fetch-Site": "cross-site"})
    assert asked.status_code == 200
    assert "set-cookie" not in asked.headers
    # Nor by what only looks where the link leads.
    looked = await first.client.head(f"/console/enter/{token}")
    assert looked.status_code == 200
    assert "set-cookie" not in looked.headers
    done = await first.get(f"/console/enter/{token}", headers={"Sec-Fetch-Site": "none"})
    assert done.status_code == 303
    assert (await first.get("skills")).status_code == 200
    for try_again in (
        await second.get(f"/console/enter/{token}"),
        await second.get("/console/enter/nonsense"),
    ):
        assert try_again.status_code == 401
        assert "has been used, or has expired" in try_again.text
    row = await (await owner.conn.execute("SELECT count(*) FROM console_links")).fetchone()
    assert row is not None


async def test_an_expired_link_and_session_open_nothing(owner: Space, open_browser: OpenBrowser) -> None:
    key_id = (await key_of(owner)).key_id
    token = await console_sessions.make_link(owner.conn, key_id)
    await owner.conn.execute("UPDATE console_links SET expires_at = now() WHERE key_id = %s", (key_id,))
    browser = await open_browser(owner)
    assert (await browser.get("skills")).status_code == 200
    await owner.conn.execute("UPDATE console_sessions SET expires_at = now() WHERE key_id = %s", (key_id,))
    assert (await browser.get("skills")).status_code == 303
    assert (await browser.get(f"/console/enter/{token}")).status_code == 401


async def test_a_revoked_key_ends_its_sessions_at_once(
    owner: Space, browser: Browser, open_browser: OpenBrowser
) -> None:
    key_id = (await key_of(owner)).key_id
    token = await console_sessions.make_link(owner.conn, key_id)
    assert (await browser.get("skills")).status_code == 200
    await identity.revoke_key(owner.conn, key_id)
    ended = await browser.get("skills")
    assert (ended.status_code, ended.headers["location"].partition("?")[0]) == (303, "/console/sign-in")
    assert "has ended, or its key was revoked" in (await browser.get("/console/sign-in")).text
    assert (
        await (await open_browser(owner, signed_in=False)).get(f"/console/enter/{token}")
    ).status_code == 401


async def test_a_session_may_do_what_its_key_may(
    new_space: NewSpace, open_browser: OpenBrowser, owner: Space
) -> None:
    narrow = await new_space(scopes=("llm_prompt:read",))
    browser = await open_browser(narrow)
    assert (await browser.get("prompts")).status_code == 200
    refused = await browser.get("skills")
    assert refused.status_code == 403
    assert "llm_skill:read" in refused.text
    check_page(refused)
    # Neither does the page offer it.
    assert f"/projects/{narrow.id}/skills" not in (await browser.page("prompts"))
    assert (await browser.get(f"/console/projects/{owner.id}/prompts")).status_code == 403
    assert (await browser.get("/console/projects/999999/prompts")).status_code == 404


async def test_sessions_are_listed_and_ended_by_their_user_alone(
    owner: Space, browser: Browser, open_browser: OpenBrowser, new_space: NewSpace
) -> None:
    other = await open_browser(owner)
    stranger = await open_browser(await new_space())
    ids = {row.id for row in await console_sessions.list_of(owner.conn, owner.user.id)}
    page = await browser.page("/console/sessions")
    assert all(str(one) in page for one in ids)
    assert "this one" in page
    theirs = await stranger.page("/console/sessions")
    assert not any(str(one) in theirs for one in ids)
    for one in ids:
        assert (await stranger.post("/console/sessions", {"id": str(one)})).status_code == 404
    assert (await other.post("/console/sign-out")).status_code == 303
    left = {row.id for row in await console_sessions.list_of(owner.conn, owner.user.id)}
    assert len(left) == len(ids) - 1
    assert (await other.get("skills")).status_code == 303
    [mine] = left
    ended = await browser.post("/console/sessions", {"id": str(mine)})
    assert (ended.status_code, ended.headers["location"]) == (303, "/console/sessions")
    assert (await browser.get("skills")).status_code == 303


async def test_a_key_has_as_many_sessions_as_a_page_can_list(owner: Space, open_browser: OpenBrowser) -> None:
    first, second = await open_browser(owner), await open_browser(owner)
    key_id = (await key_of(owner)).key_id
    await owner.conn.execute(
        "UPDATE console_sessions SET used_at = used_at - interval '1 hour' WHERE key_id = %s", (key_id,)
    )
    # A browser that is used is none of those that go.
    await second.page("skills")
    for _ in range(console_sessions.MAX_SESSIONS - 1):
        await console_sessions.begin(owner.conn, key_id, "a script")
    assert (await first.get("skills")).status_code == 303
    await second.page("skills")
    assert len(await console_sessions.list_of(owner.conn, owner.user.id)) == console_sessions.MAX_SESSIONS


async def test_what_changes_something_must_come_from_the_console(browser: Browser) -> None:
    for headers in (
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://skald.test:8001"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ):
        for path in ("/console/sign-out", "/console/sessions", "/console/sign-in", "/console/enter/x"):
            answer = await browser.post(path, headers=headers)
            assert answer.status_code == 403, (path, headers)
            assert "another site" in answer.text
    assert (await browser.get("skills")).status_code == 200
    assert (
        await browser.post("/console/sign-out", headers={"Sec-Fetch-Site": "same-origin"})
    ).status_code == 303


async def test_the_secrets_are_stored_as_hashes(owner: Space, browser: Browser) -> None:
    secret = browser.client.cookies["skald_console"]
    token = await console_sessions.make_link(owner.conn, (await key_of(owner)).key_id)
    for table in ("console_sessions", "console_links"):
        rows = await (await owner.conn.execute(f"SELECT {table}::text FROM {table}")).fetchall()
        assert rows
        assert not [row for row in rows if secret in row[0] or token in row[0]]


async def test_what_is_no_place_of_the_console_is_a_page_that_says_so(browser: Browser) -> None:
    for path in ("/console/nothing", "/console/projects/x/y/z/w", "/console/static/0/none.js"):
        answer = await browser.get(path)
        assert answer.status_code == 404
        check_page(answer)
    wrong = await browser.client.put("/console/sign-in")
    assert wrong.status_code == 405


async def test_a_message_is_shown_once(owner: Space, open_browser: OpenBrowser) -> None:
    browser = await open_browser(owner)
    await browser.post("/console/sign-out")
    assert "You are signed out." in (await browser.get("/console/sign-in")).text
    assert "You are signed out." not in (await browser.get("/console/sign-in")).text
