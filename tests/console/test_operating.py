"""What operates a project: keys, people, shares, webhooks and health, each for those who may see it."""

import asyncio
import re
from html import unescape
from typing import Any
from uuid import uuid4

import httpx
import pytest
from standardwebhooks import Webhook as Signer

from cli.server import first_key
from store.tables import identity, project_access, shares, webhooks
from tests.console.conftest import OpenBrowser
from tests.support.browsing import ORIGIN, Browser, check_page
from tests.support.receiver import Reply, receiving
from tests.support.space import Asgi, NewSpace, Space
from tests.support.working import working

OPERATOR = ("project:admin", "llm_skill:write", "webhook:write", "user:write", "event:read")
HOSTILE = "<script>alert(1)</script>\u202egnp"
KEY = re.compile(r"sk_[A-Za-z0-9_-]{43}")
SHARE = re.compile(r"http://skald\.test/s/(sks_[A-Za-z0-9_-]{43})")
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]{44}")
DELIVERED = 'class="tag good">delivered'
TABS = ("keys", "people", "shares", "webhooks", "health")


async def opened(
    new_space: NewSpace, open_browser: OpenBrowser, scopes: tuple[str, ...] = OPERATOR
) -> tuple[Space, Browser]:
    space = await new_space(scopes=scopes)
    return space, await open_browser(space)


def hidden(page: str, name: str = "once") -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None
    return unescape(found[1])


async def sent(browser: Browser, path: str, **fields: Any) -> httpx.Response:
    """The form of a page, filled in."""
    page = await browser.page(path)
    answer = await browser.post(path, {"once": hidden(page), **fields})
    if answer.status_code in (200, 201, 400):
        check_page(answer)
    return answer


async def principal_of(space: Space, secret: str) -> identity.Principal | None:
    return await identity.find_key(space.conn, identity.digest_of(secret))


@pytest.mark.parametrize(
    ("scopes", "seen"),
    [
        (("*",), TABS),
        (("project:admin",), ("keys", "people", "health")),
        (("llm_skill:read", "webhook:read"), ("people", "shares", "webhooks")),
        (("llm_prompt:write", "event:read"), ("people",)),
    ],
)
async def test_each_sees_what_the_key_may_see(
    new_space: NewSpace, open_browser: OpenBrowser, scopes: tuple[str, ...], seen: tuple[str, ...]
) -> None:
    space, browser = await opened(new_space, open_browser, scopes)
    first = await browser.get("operate")
    assert first.headers["location"] == f"/console/projects/{space.id}/{seen[0]}"
    page = await browser.page("people")
    for tab in TABS:
        assert (f'href="/console/projects/{space.id}/{tab}"' in page) == (tab in seen)
        answer = await browser.get(tab)
        check_page(answer)
        assert answer.status_code == (200 if tab in seen else 403), tab
        if tab not in seen:
            assert "required scope" in answer.text


async def test_who_may_only_look_changes_nothing(new_space: NewSpace, open_browser: OpenBrowser) -> None:
    space, browser = await opened(new_space, open_browser, ("llm_skill:read", "webhook:read"))
    share, _ = await shares.create(space.conn, space.id)
    for page in (await browser.page("shares"), await browser.page("webhooks"), await browser.page("people")):
        assert "/new" not in page
        assert "/revoke" not in page
    head = await space.head()
    for path in (
        "keys/new",
        f"keys/{uuid4()}/revoke",
        "people/new",
        "people/me",
        f"people/{space.user.uuid}/erase",
        "shares/new",
        f"shares/{share.id}/revoke",
        "webhooks/new",
        f"webhooks/{uuid4()}/pause",
        f"webhooks/{uuid4()}/redeliver-failed",
        f"webhooks/{uuid4()}/deliveries/1/redeliver",
    ):
        answer = await browser.post(path, {"once": uuid4().hex, "label": "x", "lasts": "7"})
        assert answer.status_code == 403, path
        check_page(answer)
    assert await space.head() == head


async def test_a_form_of_another_site_makes_nothing(new_space: NewSpace, open_browser: OpenBrowser) -> None:
    space, browser = await opened(new_space, open_browser)
    head = await space.head()
    fields = {"once": uuid4().hex, "label": "x", "scopes": "llm_skill:read", "lasts": "7"}
    for path in ("keys/new", "shares/new"):
        answer = await browser.post(path, fields, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403
    assert await space.head() == head


# Keys


async def test_a_key_is_made_and_its_secret_shown_once(
    new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    space, browser = await opened(new_space, open_browser)
    once = hidden(await browser.page("keys/new"))
    fields = {
        "once": once,
        "label": f"ci {HOSTILE[:25]}",
        "scopes": ["llm_skill:read", "event:read"],
        "lasts": "30",
    }
    made = await browser.post("keys/new", fields)
    assert made.status_code == 201
    check_page(made)
    [secret] = KEY.findall(made.text)
    assert "location" not in made.headers
    assert secret not in str(made.headers)

    found = await principal_of(space, secret)
    assert found is not None
    assert found.scopes == {"llm_skill:read", "event:read"}
    assert (found.project_ids, found.user.id) == ((space.id,), space.user.id)
    assert found.expires_at is not None
    row = await (
        await space.conn.execute(
            "SELECT actor_id, convert_from(state, 'UTF8') FROM events WHERE stream_id = %s", (found.key_id,)
        )
    ).fetchone()
    assert row is not None
    assert row[0] == space.user.id
    assert secret not in row[1]

    # The same form again, as a reload sends it: no second key, and no secret.
    head = await space.head()
    again = await browser.post("keys/new", fields)
    assert again.status_code == 200
    assert "sent before" in again.text
    assert KEY.findall(again.text) == []
    assert await space.head() == head
    changed = await browser.post("keys/new", {**fields, "label": "another"})
    assert changed.status_code == 422
    assert await space.head() == head

    page = await browser.page("keys")
    assert secret not in page
    assert f"{secret[:7]}…" in page
    assert "ci &lt;script&gt;alert" in page
    assert "this session" in page
    # It works, for what it was given.
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(space.app),
        base_url=ORIGIN,
        headers={"Authorization": f"Bearer {secret}"},
    ) as client:
        address = f"/api/projects/{space.id}/llm_skills/"
        assert (await client.get(address)).status_code == 200
        assert (await client.post(address, json={})).status_code == 403


async def test_a_key_gives_no_more_than_it_has(new_space: NewSpace, open_browser: OpenBrowser) -> None:
    space, browser = await opened(new_space, open_browser, ("project:admin", "llm_skill:write"))
    form = await browser.page("keys/new")
    offered = re.findall(r'name="scopes" value="([^"]+)"', form)
    assert offered == ["llm_skill:read", "llm_skill:write", "project:admin"]
    head = await space.head()
    for scopes, status in (
        (["*"], 403),
        (["llm_skill:read", "llm_prompt:read"], 403),
        (["llm_skill:promote"], 403),
        (["nothing"], 400),
        ([], 400),
    ):
        answer = await browser.post(
            "keys/new", {"once": hidden(form), "label": "x", "scopes": scopes, "lasts": ""}
        )
        check_page(answer)
        assert answer.status_code in (400, status), scopes
        assert 'role="alert"' in answer.text
    for wrong in (
        {"label": ""},
        {"label": "a\nb"},
        {"label": "a\0"},
        {"label": "x" * 201},
        {"lasts": "8"},
        {"once": "x"},
    ):
        fields = {"once": hidden(form), "label": "x", "scopes": "llm_skill:read", "lasts": "7", **wrong}
        assert (await browser.post("keys/new", fields)).status_code == 400, wrong
    # Nor a key of another user.
    other = await new_space(scopes=("llm_skill:read",))
    answer = await browser.post(
        "keys/new",
        {
            "once": hidden(form),
            "label": "x",
            "scopes": "llm_skill:read",
            "lasts": "7",
            "user": str(other.user.uuid),
        },
    )
    assert answer.status_code == 400
    assert await space.head() == head + 1  # that of the other space


async def test_a_key_ends_no_later_than_the_one_that_makes_it(
    new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    space, browser = await opened(new_space, open_browser)
    await space.conn.execute(
        "UPDATE keys SET expires_at = now() + interval '10 days' WHERE digest = %s",
        (identity.digest_of(space.key),),
    )
    form = await browser.page("keys/new")
    assert re.findall(r'<option value="([^"]*)"', form) == ["7", "own"]
    fields = {"label": "x", "scopes": "llm_skill:read"}
    for lasts in ("30", ""):
        assert (await sent(browser, "keys/new", **fields, lasts=lasts)).status_code == 400
    made = await sent(browser, "keys/new", **fields, lasts="own")
    found = await principal_of(space, KEY.findall(made.text)[0])
    own = await principal_of(space, space.key)
    assert found is not None
    assert own is not None
    assert found.expires_at == own.expires_at


async def test_a_revoked_key_ends_its_sessions_at_once(
    new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    space, browser = await opened(new_space, open_browser)
    made = await sent(browser, "keys/new", label="guest", scopes="llm_skill:read", lasts="7")
    [secret] = KEY.findall(made.text)
    guest = await open_browser(space, signed_in=False)
    await guest.post("/console/sign-in", {"key": secret})
    assert (await guest.get("skills")).status_code == 200
    found = await principal_of(space, secret)
    assert found is not None
    question = await browser.page(f"keys/{found.key_id}/revoke")
    assert "guest" in question
    assert "1 browser" in question
    done = await browser.post(f"keys/{found.key_id}/revoke")
    assert done.status_code == 303
    assert "The key “guest” is revoked." in await browser.page("keys")
    assert (await guest.get("skills")).status_code == 303
    assert await principal_of(space, secret) is None
    # Once more changes nothing; it stands among those that have ended.
    head = await space.head()
    assert (await browser.post(f"keys/{found.key_id}/revoke")).status_code == 303
    assert await space.head() == head
    await browser.page("keys")  # with the message of that
    assert "guest" not in await browser.page("keys")
    assert "guest" in await browser.page("keys", show="ended")
    assert (await browser.get("keys", params={"user": "nobody"})).status_code == 400
    # One's own key signs this browser out.
    own = await principal_of(space, space.key)
    assert own is not None
    assert "This browser is one of them" in await browser.page(f"keys/{own.key_id}/revoke")
    left = await browser.post(f"keys/{own.key_id}/revoke")
    assert left.headers["location"] == "/console/sign-in"
    assert (await browser.get("keys")).status_code == 303


async def test_keys_of_other_projects_are_not_seen_and_those_of_more_stay(
    new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    space, browser = await opened(new_space, open_browser)
    other = await new_space(scopes=("*",))
    foreign = await principal_of(other, other.key)
    assert foreign is not None
    for method in (browser.get, browser.post):
        assert (await method(f"keys/{foreign.key_id}/revoke")).status_code == 404
    _, both = await identity.create_key(
        space.conn,
        email=space.user.email,
        scopes=("llm_skill:read",),
        project_ids=[space.id, other.id],
        label="both",
    )
    found = await principal_of(space, both)
    assert found is not None
    page = await browser.page("keys")
    assert "other projects, too" in page
    assert other.user.email not in page
    for method in (browser.get, browser.post):
        answer = await method(f"keys/{found.key_id}/revoke")
        assert answer.status_code == 403
        assert "on the host" in answer.text
    assert await principal_of(space, both) is not None


async def test_a_key_for_somebody_else_needs_everything(
    new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    space, browser = await opened(new_space, open_browser, ("*",))
    ben = await identity.create_user(space.conn, email=f"{uuid4().hex}@example.com", first_name="Ben")
    await identity.create_key(space.conn, email=ben.email, scopes=("llm_skill:read",), project_ids=[space.id])
    assert "keys/new?user=" in await browser.page("people")
    form = await browser.page("keys/new", user=str(ben.uuid))
    assert "Ben" in form
    fields = {
        "once": hidden(form),
        "user": str(ben.uuid),
        "label": "his",
        "scopes": "llm_skill:write",
        "lasts": "7",
    }
    made = await browser.post("keys/new", fields)
    found = await principal_of(space, KEY.findall(made.text)[0])
    assert found is not None
    assert found.user.id == ben.id
    key = await project_access.key(space.conn, space.id, found.key_id)
    assert (key.maker_id, key.owner and key.owner.id) == (space.user.id, ben.id)
    # People without a key of this project are strangers to it.
    stranger = await identity.create_user(space.conn, email=f"{uuid4().hex}@example.com")
    answer = await browser.post("keys/new", {**fields, "once": uuid4().hex, "user": str(stranger.uuid)})
    assert answer.status_code == 400


# People


async def everything(space: Space) -> str:
    """The secret of a key that may do everything in every project."""
    _, secret = await identity.create_key(space.conn, email=space.user.email, scopes=("*",))
    return secret


async def test_people_of_the_project_and_no_others(new_space: NewSpace, open_browser: OpenBrowser) -> None:
    space, browser = await opened(new_space, open_browser, ("llm_prompt:read",))
    other = await new_space()
    page = await browser.page("people")
    assert space.user.email in page
    assert other.user.email not in page
    assert "llm_prompt:read" not in page, "what keys may do is for those who administer them"
    assert "Nobody matches" in await browser.page("people", search=other.user.email)


async def test_a_person_changes_the_own_name(new_space: NewSpace, open_browser: OpenBrowser) -> None:
    _, browser = await opened(new_space, open_browser)
    done = await browser.post("people/me", {"first_name": "Adele", "last_name": HOSTILE[:25], "role": "data"})
    assert done.status_code == 303
    page = await browser.page("people")
    assert "Adele &lt;script&gt;" in page
    assert "data" in page
    for wrong in ({"first_name": "x" * 151}, {"last_name": "a\0b"}, {"role": "boss"}):
        answer = await browser.post("people/me", wrong)
        assert answer.status_code == 400, wrong
        check_page(answer)


async def test_who_operates_everything_adds_and_erases_people(
    new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    space = await new_space()
    browser = await open_browser(space, signed_in=False)
    await browser.post("/console/sign-in", {"key": await everything(space)})
    mail = f"{uuid4().hex}@example.com"
    for wrong in ("nothing", space.user.email, ""):
        assert (await browser.post("people/new", {"email": wrong})).status_code == 400
    done = await browser.post("people/new", {"email": mail, "first_name": "Cleo", "last_name": ""})
    assert done.status_code == 303
    form = await browser.page(done.headers["location"])
    assert "Cleo is known now" in form
    fields = {
        "once": hidden(form),
        "user": hidden(form, "user"),
        "label": "hers",
        "scopes": "*",
        "lasts": "7",
    }
    [secret] = KEY.findall((await browser.post("keys/new", fields)).text)
    cleo = await principal_of(space, secret)
    assert cleo is not None
    assert cleo.user.email == mail
    assert mail in await browser.page("people", search="cleo")
    # A key for all that is bound to a project is not enough for people.
    hers = await open_browser(space, signed_in=False)
    await hers.post("/console/sign-in", {"key": secret})
    for path in ("people/new", f"people/{space.user.uuid}/erase"):
        for method in (hers.get, hers.post):
            assert (await method(path)).status_code == 403
    assert mail in await browser.page(f"people/{cleo.user.uuid}/erase")
    assert (await browser.post(f"people/{cleo.user.uuid}/erase")).status_code == 303
    assert (await hers.get("people")).status_code == 303
    assert mail not in await browser.page("people", search="cleo")
    assert (await browser.post(f"people/{cleo.user.uuid}/erase")).status_code == 404
    assert await principal_of(space, secret) is None
    assert "erased user" in await browser.page("keys", show="ended")


async def test_the_first_key_does_a_first_day_without_the_host(
    new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    """Another person comes in, a label is protected, and moves by a promotion that the other one approves."""
    space = await new_space()
    await space.create("forms")
    await space.publish("forms", 1, body="Fill it in two steps.")
    _, secret = await identity.create_key(space.conn, email=space.user.email, scopes=first_key.SCOPES)
    owner, other = [await open_browser(space, signed_in=False) for _ in range(2)]
    await owner.post("/console/sign-in", {"key": secret})
    added = await owner.post("people/new", {"email": f"{uuid4().hex}@example.com", "first_name": "Ben"})
    form = await owner.page(added.headers["location"])
    wanted = {"once": hidden(form), "user": hidden(form, "user"), "label": "his", "lasts": "7"}
    made = await owner.post("keys/new", {**wanted, "scopes": ["llm_skill:write", "llm_skill:promote"]})
    await other.post("/console/sign-in", {"key": KEY.findall(made.text)[0]})
    move = {"label": "production", "version": 1}
    assert (await owner.post("skills/forms/move", {**move, "how": "move"})).status_code == 303
    policy = {"do": "set", "label": "production", "protected": "yes", "approvals": 1}
    assert (await owner.post("policies", policy)).status_code == 303
    asked = await owner.post("skills/forms/move", {**move, "version": 2, "how": "request"})
    place = asked.headers["location"]
    assert (await other.post(place, {"do": "approve"})).status_code == 303
    assert (await space.show("forms", label="production"))["version"] == 2
    assert (await owner.get("webhooks/new")).status_code == 200


# Shares


async def test_a_share_is_made_used_and_revoked(new_space: NewSpace, open_browser: OpenBrowser) -> None:
    space, browser = await opened(new_space, open_browser)
    await space.create("pdf-forms")
    once = hidden(await browser.page("shares/new"))
    fields = {"once": once, "label": "design team", "serve_label": "", "lasts": "7"}
    made = await browser.post("shares/new", fields)
    assert made.status_code == 201
    check_page(made)
    [token] = set(SHARE.findall(made.text))
    assert f"npx skills add &#34;{ORIGIN}/s/{token}&#34;" in made.text
    index = f"/s/{token}/.well-known/agent-skills/index.json"
    assert "pdf-forms" in (await space.client.get(index)).text
    head = await space.head()
    again = await browser.post("shares/new", fields)
    assert (again.status_code, SHARE.findall(again.text)) == (200, [])
    assert await space.head() == head
    page = await browser.page("shares")
    assert "design team" in page
    assert token not in page
    [share] = await shares.list_all(space.conn, space.id)
    assert share.expires_at is not None
    other_space, other = await opened(new_space, open_browser)
    assert (await other.post(f"shares/{share.id}/revoke")).status_code == 404
    assert "design team" in await browser.page(f"shares/{share.id}/revoke")
    assert (await browser.post(f"shares/{share.id}/revoke")).status_code == 303
    assert (await space.client.get(index)).status_code == 404
    assert "revoked" in await browser.page("shares")
    assert "design team" not in await other.page("shares")
    for wrong in ({"label": "x" * 201}, {"serve_label": "latest"}, {"serve_label": "a b"}, {"lasts": "1"}):
        answer = await sent(browser, "shares/new", **{"label": "", "lasts": "", **wrong})
        assert answer.status_code == 400, wrong
    labeled = await sent(browser, "shares/new", label="", serve_label="production", lasts="")
    assert labeled.status_code == 201
    assert other_space.id != space.id


# Webhooks


async def test_addresses_of_webhooks_are_checked_and_never_links(
    new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    space, browser = await opened(new_space, open_browser)
    head = {"once": hidden(await browser.page("webhooks/new")), "description": "", "names": ""}
    for url in (
        "javascript:alert(1)",
        "",
        "//example.com",
        "https://a:b@example.com/",
        "http://127.0.0.1/",
        "data:,x",
    ):
        answer = await browser.post("webhooks/new", {**head, "url": url})
        assert answer.status_code == 400, url
        check_page(answer)
    for wrong in ({"names": "nothing/x"}, {"types": ["none"]}, {"description": "x" * 301}, {"once": ""}):
        answer = await browser.post("webhooks/new", {**head, "url": "https://example.com/", **wrong})
        assert answer.status_code == 400, wrong
    assert await webhooks.list_all(space.conn, space.id) == []
    # What is there, whichever way it came, is text.
    made = await sent(browser, "webhooks/new", url="https://example.com/<script>", description="", names="")
    assert made.status_code == 201
    [hook] = await webhooks.list_all(space.conn, space.id)
    await space.conn.execute("UPDATE webhooks SET url = 'javascript:alert(1)' WHERE id = %s", (hook.id,))
    for path in ("webhooks", f"webhooks/{hook.id}", f"webhooks/{hook.id}/delete", "health"):
        page = await browser.page(path)
        assert "javascript:alert(1)" in page
        assert 'href="javascript' not in page


async def test_a_webhook_is_made_changed_paused_and_deleted(
    new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    space, browser = await opened(new_space, open_browser)
    once = hidden(await browser.page("webhooks/new"))
    fields = {"once": once, "url": "https://example.com/hook", "description": HOSTILE, "names": "skill/*"}
    made = await browser.post("webhooks/new", {**fields, "types": ["skald.skill.created.v1"]})
    assert made.status_code == 201
    check_page(made)
    [secret] = SECRET.findall(made.text)
    again = await browser.post("webhooks/new", {**fields, "types": ["skald.skill.created.v1"]})
    [hook] = await webhooks.list_all(space.conn, space.id)
    assert again.headers["location"] == f"/console/projects/{space.id}/webhooks/{hook.id}"
    path = f"webhooks/{hook.id}"
    assert secret not in await browser.page(path)
    assert (hook.types, hook.names, hook.enabled) == (["skald.skill.created.v1"], "skill/*", True)
    form = await browser.page(f"{path}/edit")
    assert 'value="skald.skill.created.v1" checked' in form
    changed = {"url": "https://example.com/other", "description": "b", "names": ""}
    assert (await sent(browser, f"{path}/edit", **changed)).status_code == 303
    assert (await browser.post(f"{path}/pause")).status_code == 303
    page = await browser.page(path)
    assert "paused" in page
    assert "https://example.com/other" in page
    assert "every event" in page
    assert (await browser.post(f"{path}/resume")).status_code == 303
    # Another secret, once.
    turn = {"once": hidden(await browser.page(path)), "seconds": "86400"}
    [second] = SECRET.findall((await browser.post(f"{path}/secret", turn)).text)
    assert second != secret
    reload = await browser.post(f"{path}/secret", turn)
    assert reload.status_code == 303
    assert len(await webhooks.sealed_secrets(space.conn, hook.id)) == 2
    assert (await browser.post(f"{path}/secret", {**turn, "seconds": "1"})).status_code == 400
    # Of this project alone.
    _, other = await opened(new_space, open_browser)
    for action in (
        "pause",
        "edit",
        "delete",
        "secret",
        "redeliver-failed",
        "replay",
        "deliveries/1/redeliver",
    ):
        answer = await other.post(f"{path}/{action}", {**turn, "once": uuid4().hex})
        assert answer.status_code == 404, action
    assert "b" in await browser.page(f"{path}/delete")
    assert (await browser.post(f"{path}/delete")).status_code == 303
    assert await webhooks.list_all(space.conn, space.id) == []
    for gone in (path, "webhooks/nonsense"):
        assert (await browser.get(gone)).status_code == 404


async def test_deliveries_are_shown_and_sent_once_more_to_a_real_receiver(
    new_space: NewSpace, open_browser: OpenBrowser, postgres_url: str, redis_url: str
) -> None:
    space, browser = await opened(new_space, open_browser)
    made = await sent(browser, "webhooks/new", url="https://example.com/hook", description="", names="")
    [secret] = SECRET.findall(made.text)
    [hook] = await webhooks.list_all(space.conn, space.id)
    path = f"webhooks/{hook.id}"
    async with receiving() as receiver:
        receiver.reply = lambda _: Reply(status=410, body=b"<b>gone</b>")
        await space.conn.execute("UPDATE webhooks SET url = %s WHERE id = %s", (receiver.url(), hook.id))
        async with working(postgres_url, redis_url):
            await space.create("first")
            await receiver.got(1)
            page = await until(browser, path, "switched off")
            assert "&lt;b&gt;gone" in page
            assert "no delivery like that" in (await browser.page(path, status="delivered")).lower()
            receiver.reply = lambda _: Reply()
            await browser.post(f"{path}/resume")
            # What was given up is sent once more, and only as long as it was not.
            await browser.post(f"{path}/redeliver-failed")
            assert "1 event that failed is sent once more" in await browser.page(path)
            got = await receiver.got(2)
            assert got[1].id == got[0].id
            Signer(secret).verify(got[1].body, got[1].headers)
            await until(browser, path, "redelivery", DELIVERED)
            await browser.post(f"{path}/redeliver-failed")
            assert "There is none that failed" in await browser.page(path)
            # And one by itself, whatever became of it.
            [_, failed] = await webhooks.deliveries(space.conn, hook.id, status=None, before=None, limit=9)
            assert (await browser.post(f"{path}/deliveries/{failed.id}/redeliver")).status_code == 303
            await receiver.got(3)
            await until(browser, path, DELIVERED, times=2)
            for first, last in (("0", "1"), ("2", "1"), ("x", "1"), ("9" * 30, "1"), ("9" * 15, "9" * 16)):
                await browser.post(f"{path}/replay", {"first": first, "last": last})
                assert 'class="flash refused"' in await browser.page(path)
            position = str(await space.head())
            await browser.post(f"{path}/replay", {"first": position, "last": position})
            await receiver.got(4)
    assert (await browser.get(path, params={"status": "none"})).status_code == 400


async def until(browser: Browser, path: str, *words: str, times: int = 1) -> str:
    """The page, as soon as it says all of that, the last so many times."""
    async with asyncio.timeout(20):
        while True:
            page = await browser.page(path)
            if all(word in page for word in words) and page.count(words[-1]) >= times:
                return page
            await asyncio.sleep(0.05)


# Health


async def test_health_has_the_followers_the_log_and_the_release(
    new_space: NewSpace, open_browser: OpenBrowser, app: Asgi
) -> None:
    space, browser = await opened(new_space, open_browser)
    await space.create("first")
    await space.conn.execute(
        "INSERT INTO checkpoints (follower, position) VALUES ('activity', 0) ON CONFLICT DO NOTHING"
    )
    page = await browser.page("health")
    assert "activity" in page
    assert "publishes by day" in page
    assert str(await space.head()) in page
    for term in ("Release", "Database", "Redis", "Replicas", "Stale reads", "History", "git", "usage"):
        assert term in page
    plain = (await space.client.get("/readyz")).json()
    assert f">{plain['status']}</span>" in page
    assert app is not None
