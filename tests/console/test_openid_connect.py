"""Signing in at an OpenID Connect issuer, honest and hostile."""

import gzip
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest
import pytest_asyncio

from api.config import ApiConfig
from console import issuer as issuers
from console.issuer import MAX_BYTES, IssuerFailed, Settings
from store.tables import identity
from store.tables.identity import Principal
from tests.console.conftest import OpenBrowser
from tests.support.browsing import ORIGIN, Browser, check_page
from tests.support.issuer import CLIENT_ID, CLIENT_SECRET, Answer, Issuer, running_issuer
from tests.support.space import Asgi, Space, running

BACK = f"{ORIGIN}/console/issuer/back"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def issuer() -> AsyncIterator[Issuer]:
    async with running_issuer() as opened:
        yield opened


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def everybody_tells_the_truth(issuer: Issuer) -> None:
    issuer.honest()


@pytest.fixture(scope="module")
def settings(issuer: Issuer) -> Settings:
    return Settings(
        issuer=issuer.url,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        name="Guild <ID>",
        scopes="openid profile email",
        groups_claim="realm_access.roles",
        groups={
            "writers": ("llm_skill:write",),
            "readers": ("llm_skill:read", "llm_prompt:read"),
            "all": ("*",),
        },
        project_ids=None,
        trust_email=False,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(api_config: ApiConfig, settings: Settings) -> AsyncIterator[Asgi]:
    """The application with the issuer."""
    async with running(api_config, issuer=settings) as app:
        yield app


class Visitor(Browser):
    """A browser that goes to the issuer, and back."""

    def __init__(self, app: Asgi, project_id: int, issuer: Issuer) -> None:
        super().__init__(app, project_id)
        self.issuer = issuer

    async def leave(self, back: str = "") -> str:
        """Where the console sends it."""
        sent = await self.get("/console/issuer", params={"next": back} if back else None)
        assert sent.status_code == 303, sent.text
        return sent.headers["location"]

    async def at_issuer(self, address: str) -> str:
        """Where the issuer sends it back."""
        async with httpx.AsyncClient() as client:
            return (await client.get(address)).headers["location"]

    async def come(self, back: str = "") -> httpx.Response:
        """The whole way."""
        address = await self.at_issuer(await self.leave(back))
        assert address.startswith(f"{BACK}?")
        return await self.get(address.removeprefix(ORIGIN))

    @property
    def is_signed_in(self) -> bool:
        return "skald_console" in self.client.cookies


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(guarded: Asgi, owner: Space, issuer: Issuer) -> AsyncIterator[Visitor]:
    """Of a person of its own, who may write."""
    browser = Visitor(guarded, owner.id, issuer)
    unique = f"{owner.id}-{time.time_ns()}"
    issuer.person = {
        "sub": unique,
        "email": f"{unique}@example.com",
        "email_verified": True,
        "given_name": "Grace\u202e",
        "family_name": "Hopper",
        "realm_access": {"roles": ["writers", "others"]},
    }
    yield browser
    await browser.client.aclose()


async def principal_of(space: Space, issuer: Issuer) -> Principal:
    row = await (
        await space.conn.execute(
            "SELECT digest FROM keys JOIN users ON users.id = user_id WHERE email = %s AND revoked_at IS NULL",
            (issuer.person["email"],),
        )
    ).fetchone()
    assert row is not None
    found = await identity.find_key(space.conn, row[0])
    assert found is not None
    return found


def check_refused(answer: httpx.Response, status: int, words: str) -> None:
    assert answer.status_code == status, (answer.status_code, answer.headers.get("location"))
    check_page(answer)
    assert words in answer.text
    # Neither a session, nor what would let the browser come back once more.
    assert "skald_console=" not in str(answer.headers.get_list("set-cookie"))
    assert "skald_console_issuer=;" in str(answer.headers.get_list("set-cookie"))


async def test_a_person_of_the_issuer_signs_in_and_may_do_what_the_groups_may(
    visitor: Visitor, owner: Space, issuer: Issuer
) -> None:
    wanted = f"/console/projects/{owner.id}/skills?search=a%20b"
    page = await visitor.get("/console/sign-in", params={"next": wanted})
    check_page(page)
    assert "Sign in with Guild &lt;ID&gt;" in page.text
    assert 'name="key"' in page.text
    done = await visitor.come(wanted)
    assert (done.status_code, done.headers["location"]) == (303, wanted)
    cookies = done.headers.get_list("set-cookie")
    assert all({"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; ")) for cookie in cookies)
    assert await visitor.page("skills")
    principal = await principal_of(owner, issuer)
    assert principal.scopes == {"llm_skill:write"}
    assert principal.user.email == issuer.person["email"]
    assert (principal.user.first_name, principal.user.last_name) == ("Grace", "Hopper")
    assert (await visitor.get("prompts")).status_code == 403
    assert "Sign-in by Guild" in await visitor.page("/console/sessions")
    # Nothing of the person is in the log of events.
    events = await (
        await owner.conn.execute("SELECT state FROM events WHERE actor_id = %s", (principal.user.id,))
    ).fetchall()
    assert len(events) == 1
    assert not any(
        word in bytes(events[0][0]) for word in (b"Grace", b"example.com", issuer.person["sub"].encode())
    )
    # Signed in already: there is nothing to ask the issuer.
    again = await visitor.get("/console/issuer", params={"next": wanted})
    assert again.headers["location"] == wanted


async def test_the_next_sign_in_stands_on_the_same_key_until_the_groups_differ(
    visitor: Visitor, guarded: Asgi, owner: Space, issuer: Issuer
) -> None:
    await visitor.come()
    first = await principal_of(owner, issuer)
    other = Visitor(guarded, owner.id, issuer)
    await other.come()
    assert (await principal_of(owner, issuer)).key_id == first.key_id

    issuer.person["realm_access"] = {"roles": ["readers", "writers", 7, None]}
    third = Visitor(guarded, owner.id, issuer)
    await third.come()
    now = await principal_of(owner, issuer)
    assert now.key_id != first.key_id
    assert now.scopes == {"llm_skill:write", "llm_skill:read", "llm_prompt:read"}
    assert await third.page("prompts")
    # What the groups of before opened has ended with them.
    for ended in (visitor, other):
        assert (await ended.get("skills")).status_code == 303

    # A revoked key is no ban: that is the issuer's to say. The sessions have ended, though.
    await identity.revoke_key(owner.conn, now.key_id)
    assert (await third.get("skills")).status_code == 303
    assert (await visitor.come()).status_code == 303
    assert await visitor.page("skills")

    issuer.person["realm_access"] = {"roles": ["strangers"]}
    check_refused(
        await Visitor(guarded, owner.id, issuer).come(), 403, "none of your groups there opens anything"
    )
    assert (await visitor.get("skills")).status_code == 303


@pytest.mark.parametrize("roles", [None, "*", ["*"], [], [{"writers": 1}], {"writers": True}, 7])
async def test_a_person_without_a_known_group_gets_no_access(
    visitor: Visitor, issuer: Issuer, roles: Any
) -> None:
    issuer.person["realm_access"] = {"roles": roles}
    check_refused(await visitor.come(), 403, "none of your groups there opens anything")
    assert not visitor.is_signed_in


LIES: dict[str, dict[str, Any]] = {
    "another browser's": {"nonce": "n" * 43},
    "no nonce": {"nonce": None},
    "another audience": {"aud": "another-client"},
    "another audience among several": {"aud": ["another-client", "third"]},
    "for another party": {"aud": [CLIENT_ID, "other"], "azp": "other"},
    "no audience": {"aud": None},
    "another issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": None},
    "expired": {"exp": int(time.time()) - 3600},
    "no expiry": {"exp": None},
    "an expiry that is none": {"exp": "tomorrow"},
    "of tomorrow": {"nbf": int(time.time()) + 86_400},
    "no subject": {"sub": None},
    "a subject that is no text": {"sub": ["1"]},
    "an endless subject": {"sub": "x" * 300},
    "another access token's": {"at_hash": "x" * 22},
}


@pytest.mark.parametrize("lies", LIES.values(), ids=LIES)
async def test_a_token_for_others_is_refused(visitor: Visitor, issuer: Issuer, lies: dict[str, Any]) -> None:
    issuer.lies = lies
    check_refused(await visitor.come(), 401, "is not for this browser, or no longer valid")
    assert not visitor.is_signed_in
    issuer.honest()
    assert (await visitor.come()).status_code == 303


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
async def test_a_token_that_no_private_key_has_signed_is_refused(
    visitor: Visitor, issuer: Issuer, algorithm: str
) -> None:
    issuer.algorithm = algorithm
    check_refused(await visitor.come(), 503, "does not sign anybody in at the moment")
    assert not visitor.is_signed_in


async def test_the_issuer_may_change_its_keys(
    visitor: Visitor, issuer: Issuer, guarded: Asgi, owner: Space
) -> None:
    await visitor.come()
    asked = issuer.asked["/jwks"]
    await Visitor(guarded, owner.id, issuer).come()
    assert issuer.asked["/jwks"] == asked
    issuer.rotate()
    other = Visitor(guarded, owner.id, issuer)
    assert (await other.come()).status_code == 303
    assert await other.page("skills")
    assert issuer.asked["/jwks"] == asked + 1


async def test_only_the_browser_that_left_comes_back_and_only_once(
    visitor: Visitor, guarded: Asgi, owner: Space, issuer: Issuer
) -> None:
    other = Visitor(guarded, owner.id, issuer)
    theirs = (await visitor.at_issuer(await visitor.leave())).removeprefix(ORIGIN)
    check_refused(await other.get(theirs), 401, "did not start this sign-in")
    # A link to one's own sign-in signs no other browser in that has begun one.
    await other.leave()
    check_refused(await other.get(theirs), 401, "did not start this sign-in")
    state = parse_qs(urlsplit(theirs).query)["state"][0]
    for wrong in (
        theirs.replace(state, "x" + state[1:]),
        theirs.replace("state", "estate"),
        "/console/issuer/back",
    ):
        await visitor.leave()
        check_refused(await visitor.get(wrong), 401, "did not start this sign-in")
    assert not visitor.is_signed_in

    address = (await visitor.at_issuer(await visitor.leave())).removeprefix(ORIGIN)
    kept = visitor.client.cookies["skald_console_issuer"]
    assert (await visitor.get(address)).status_code == 303
    assert "skald_console_issuer" not in visitor.client.cookies
    # The same answer again, by a browser that has kept everything: the issuer gives nothing for a code that was used.
    other.client.cookies.clear()
    other.client.cookies.set("skald_console_issuer", kept)
    again = await other.get(address)
    check_refused(again, 401, "is not for this browser, or no longer valid")
    assert "no such code" not in again.text


async def test_an_answer_of_another_issuer_and_a_refusal_of_ours_are_said(
    visitor: Visitor, issuer: Issuer
) -> None:
    address = (await visitor.at_issuer(await visitor.leave())).removeprefix(ORIGIN)
    elsewhere = address.partition("&iss=")[0] + "&iss=https%3A%2F%2Fevil.example"
    check_refused(await visitor.get(elsewhere), 401, "another issuer")
    for error, said in (("access_denied", "signed you in: access_denied."), ("<b>x", "signed you in.")):
        state = parse_qs(urlsplit(await visitor.leave()).query)["state"][0]
        answer = await visitor.get("/console/issuer/back", params={"error": error, "state": state})
        check_refused(answer, 401, said)
    assert not visitor.is_signed_in


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/console/", "/console/../api", "x" * 5000]
)
async def test_signing_in_leads_nowhere_else(visitor: Visitor, elsewhere: str) -> None:
    done = await visitor.come(elsewhere)
    assert (done.status_code, done.headers["location"]) == (303, "/console/")


WRONG: dict[str, tuple[str, Answer]] = {
    "an error": ("/token", Answer(500, b"oops")),
    "no JSON": ("/token", Answer(200, b"<html>")),
    "a list": ("/token", Answer(200, [])),
    "no token": ("/token", Answer(200, {"access_token": "x", "token_type": "Bearer"})),
    "nonsense": ("/token", Answer(200, {"access_token": "x", "token_type": "Bearer", "id_token": "a.b.c"})),
    "endless": ("/token", Answer(200, b'{"id_token": "' + b"x" * MAX_BYTES + b'"}')),
    "packed": ("/token", Answer(200, gzip.compress(b"{}" * 1000), {"content-encoding": "gzip"})),
    "deep": ("/token", Answer(200, b'{"id_token":' + b"[" * 100_000)),
    "away": ("/token", Answer(307, b"", {"location": "http://127.0.0.1:9/"})),
}


@pytest.mark.parametrize(("path", "answer"), WRONG.values(), ids=WRONG)
async def test_an_issuer_that_fails_is_one_sentence_on_the_page(
    visitor: Visitor, issuer: Issuer, path: str, answer: Answer
) -> None:
    issuer.answers = {path: answer}
    refused = await visitor.come()
    assert refused.status_code in (401, 503)
    check_refused(refused, refused.status_code, "Guild &lt;ID&gt;")
    assert not visitor.is_signed_in


DOCUMENTS: dict[str, dict[str, Any]] = {
    "of another issuer": {"issuer": "https://evil.example"},
    "that leads to a script": {"authorization_endpoint": "javascript:alert(1)"},
    "that leads to a file": {"jwks_uri": "file:///etc/passwd"},
    "without a place for tokens": {"token_endpoint": None},
    "without keys": {"jwks_uri": "/nowhere"},
}


@pytest.mark.parametrize("wrong", [*DOCUMENTS.values(), None], ids=[*DOCUMENTS, "none at all"])
@pytest.mark.asyncio(loop_scope="session")
async def test_a_wrong_discovery_document_is_not_believed(
    settings: Settings, issuer: Issuer, wrong: dict[str, Any] | None
) -> None:
    document = Answer(200, {**issuer.document(), **wrong} if wrong else b"\xff")
    issuer.answers = {"/.well-known/openid-configuration": document}
    with pytest.raises(IssuerFailed, match="does not sign anybody in"):
        await issuers.Issuer(settings).start(BACK, "")


async def test_an_issuer_that_is_away_is_one_sentence_and_keys_sign_in_all_the_same(
    api_config: ApiConfig, settings: Settings, owner: Space, issuer: Issuer
) -> None:
    issuer.answers = {"/jwks": Answer(502)}
    async with running(api_config, issuer=settings) as app:
        browser = Browser(app, owner.id)
        answer = await browser.get("/console/issuer")
        assert answer.status_code == 503
        check_page(answer)
        assert "does not sign anybody in at the moment" in answer.text
        # It is not asked again at once: the next who comes does not wait for it.
        asked = issuer.asked["/jwks"]
        issuer.honest()
        assert (await browser.get("/console/issuer")).status_code == 503
        assert issuer.asked["/jwks"] == asked
        assert (await browser.post("/console/sign-in", {"key": owner.key})).status_code == 303
        await browser.client.aclose()


async def test_a_mail_address_of_another_user_is_taken_only_when_it_is_verified(
    visitor: Visitor, owner: Space, issuer: Issuer, guarded: Asgi, api_config: ApiConfig, settings: Settings
) -> None:
    issuer.person |= {"email": owner.user.email.upper(), "email_verified": False}
    check_refused(await visitor.come(), 403, "does not say that this address is yours")
    issuer.person |= {"email_verified": "true"}
    check_refused(await visitor.come(), 403, "does not say that this address is yours")
    for nothing in ({"email": None}, {"email": "no address"}):
        refused = await visitor_with(issuer, visitor, nothing)
        assert refused.status_code in (400, 403)
        check_refused(refused, refused.status_code, "address")
    issuer.person |= {"email": owner.user.email, "email_verified": False}
    # All people of this issuer may read prompts.
    trusting = msgspec.structs.replace(settings, trust_email=True, groups={"*": ("llm_prompt:read",)})
    async with running(api_config, issuer=trusting) as app:
        assert (await Visitor(app, owner.id, issuer).come()).status_code == 303
    row = await (
        await owner.conn.execute(
            "SELECT scopes FROM keys WHERE user_id = %s AND label LIKE 'Sign-in by%%'", (owner.user.id,)
        )
    ).fetchone()
    assert row == (["llm_prompt:read"],)


async def visitor_with(issuer: Issuer, visitor: Visitor, lies: dict[str, Any]) -> httpx.Response:
    issuer.lies = lies
    try:
        return await visitor.come()
    finally:
        issuer.lies = {}


async def test_an_erased_person_is_forgotten_and_may_come_as_a_new_one(
    visitor: Visitor, owner: Space, issuer: Issuer
) -> None:
    await visitor.come()
    before = await principal_of(owner, issuer)
    await identity.erase_user(owner.conn, before.user.email)
    assert (await visitor.get("skills")).status_code == 303
    left = await owner.conn.execute("SELECT 1 FROM issuer_users WHERE user_id = %s", (before.user.id,))
    assert await left.fetchall() == []
    await visitor.come()
    assert (await principal_of(owner, issuer)).user.id != before.user.id


async def test_without_the_settings_there_is_nothing_of_it(owner: Space, open_browser: OpenBrowser) -> None:
    browser = await open_browser(owner, signed_in=False)
    assert "Sign in with" not in (await browser.get("/console/sign-in")).text
    for path in ("/console/issuer", "/console/issuer/back"):
        answer = await browser.get(path)
        assert answer.status_code == 404
        check_page(answer)


async def test_guesses_are_counted(
    owner: Space, issuer: Issuer, api_config: ApiConfig, settings: Settings
) -> None:
    few = msgspec.structs.replace(api_config, failed_attempts_per_minute=3)
    async with running(few, issuer=settings) as app:
        browser = Browser(app, owner.id, peer="198.51.100.7")
        statuses = [(await browser.get("/console/issuer/back")).status_code for _ in range(5)]
        assert statuses[:3] == [401, 401, 401]
        assert 429 in statuses
        await browser.client.aclose()
