"""Wrong keys and share tokens are counted by the address that sends them; beyond the limit nothing is looked up."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_urlsafe
from time import monotonic
from typing import Any

import httpx
import msgspec
import pytest

from api.access import attempts
from api.access import authenticate as auth
from api.access.attempts import FailedAttempts
from api.config import ApiConfig
from api.http.errors import RateLimited
from api.http.proxies import TrustedProxies
from domain.errors import NotAuthenticated
from store.tables import identity, shares
from tests.support.space import Asgi, Space, running

LIMIT = 3
INDEX = ".well-known/agent-skills/index.json"


def wrong_key() -> str:
    return f"sk_{token_urlsafe(32)}"


def wrong_token() -> str:
    return f"sks_{token_urlsafe(32)}"


@asynccontextmanager
async def limited(config: ApiConfig, folder: Path, **changes: Any) -> AsyncIterator[Asgi]:
    changed = msgspec.structs.replace(config, run_dir=folder, failed_attempts_per_minute=LIMIT, **changes)
    async with running(changed) as app:
        yield app


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the database was asked. The next try beyond the limit is too late for these tests."""
    monkeypatch.setattr(attempts, "RESERVE_EVERY", attempts.MINUTE)
    asked: list[str] = []
    find_key, open_share = identity.find_key, shares.open_share

    async def key(*args: Any) -> Any:
        asked.append("key")
        return await find_key(*args)

    async def share(*args: Any) -> Any:
        asked.append("share")
        return await open_share(*args)

    monkeypatch.setattr(auth, "find_key", key)
    monkeypatch.setattr(shares, "open_share", share)
    return asked


async def ask(app: Asgi, path: str, peer: str, key: str | None = None, **headers: str) -> httpx.Response:
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    transport = httpx.ASGITransport(app, client=(peer, 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://skald.test") as client:
        return await client.get(path, headers=headers)


async def test_wrong_keys_of_one_address(
    space: Space, api_config: ApiConfig, tmp_path: Path, queries: list[str]
) -> None:
    path = f"/api/projects/{space.id}/llm_skills/"
    async with limited(api_config, tmp_path) as app:
        assert (await ask(app, path, "203.0.113.1", space.key)).status_code == 200
        queries.clear()
        statuses = [(await ask(app, path, "203.0.113.1", wrong_key())).status_code for _ in range(6)]
        assert statuses == [401, 401, 401, 429, 429, 429]
        assert len(queries) == LIMIT
        refused = await ask(app, path, "203.0.113.1", wrong_key())
        assert refused.json()["code"] == "throttled"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        # Neither a good key at the same address nor anybody elsewhere is concerned.
        assert (await ask(app, path, "203.0.113.1", space.key)).status_code == 200
        assert (await ask(app, path, "203.0.113.2", wrong_key())).status_code == 401


async def test_no_credential_is_no_guess(space: Space, api_config: ApiConfig, tmp_path: Path) -> None:
    path = f"/api/projects/{space.id}/llm_skills/"
    async with limited(api_config, tmp_path) as app:
        statuses = {(await ask(app, path, "203.0.113.1")).status_code for _ in range(6)}
    assert statuses == {401}


async def test_every_door_counts_into_the_same_budget(
    space: Space, api_config: ApiConfig, tmp_path: Path, queries: list[str]
) -> None:
    basic = base64.b64encode(f"git:{wrong_key()}".encode()).decode()
    git = f"/api/projects/{space.id}/llm_skills/marketplace.git/info/refs?service=git-upload-pack"
    made = await space.ok(201, await space.post("shares/", json={}))
    # Through a proxy: what git sends is counted for the client, and not for the proxy.
    seen = {"x-forwarded-for": "203.0.113.1"}
    proxy = "10.0.0.1"
    async with limited(api_config, tmp_path) as app:
        shared = f"/s/{made['token']}/{INDEX}"
        assert (await ask(app, shared, proxy, **seen)).status_code == 200
        queries.clear()
        found = [
            await ask(app, git, proxy, **seen, authorization=f"Basic {basic}"),
            await ask(app, f"/s/{wrong_token()}/{INDEX}", proxy, **seen),
            await ask(app, "/api/users/@me/", proxy, wrong_key(), **seen),
        ]
        assert [answer.status_code for answer in found] == [401, 404, 401]
        assert len(queries) == LIMIT
        found = [
            await ask(app, git, proxy, **seen, authorization=f"Basic {basic}"),
            await ask(app, f"/s/{wrong_token()}/{INDEX}", proxy, **seen),
            await ask(app, "/s/short/" + INDEX, proxy, **seen),
            await ask(app, "/api/users/@me/", proxy, wrong_key(), **seen),
        ]
        assert {answer.status_code for answer in found} == {429}
        assert len(queries) == LIMIT
        assert (await ask(app, shared, proxy, **seen)).status_code == 200
        others = await ask(
            app, git, proxy, authorization=f"Basic {basic}", **{"x-forwarded-for": "203.0.113.2"}
        )
        assert others.status_code == 401


def fail(counted: FailedAttempts, address: str) -> type[Exception]:
    """What a wrong key of an address meets."""
    try:
        with counted.guard({"client": (address, 1), "headers": []}, NotAuthenticated, known_good=False):
            raise NotAuthenticated("wrong")
    except (NotAuthenticated, RateLimited) as error:
        return type(error)


def test_addresses_of_one_ipv6_network_are_one_client() -> None:
    counted = FailedAttempts(TrustedProxies(), per_minute=2)
    met = [fail(counted, f"2001:db8::{number}") for number in range(4)]
    assert met == [NotAuthenticated, NotAuthenticated, RateLimited, RateLimited]
    assert fail(counted, "2001:db8:0:1::1") is NotAuthenticated


def test_the_counter_is_bounded_and_a_minute_is_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MAX_ADDRESSES", 10)
    counted = FailedAttempts(TrustedProxies(), per_minute=1)
    for number in range(50):
        fail(counted, f"203.0.113.{number}")
    assert len(counted._failures) == 10
    assert fail(counted, "203.0.113.49") is RateLimited
    later = monotonic() + attempts.MINUTE + 1
    monkeypatch.setattr(attempts, "monotonic", lambda: later)
    assert fail(counted, "203.0.113.49") is NotAuthenticated


def test_a_blocked_address_has_a_try_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a good key that this process has not seen stays out for as long as others guess from its address."""
    now = 1000.0
    monkeypatch.setattr(attempts, "monotonic", lambda: now)
    counted = FailedAttempts(TrustedProxies(), per_minute=2)
    address = "203.0.113.1"
    assert [fail(counted, address) for _ in range(4)] == [NotAuthenticated] * 2 + [RateLimited] * 2
    tries = []
    for _ in range(40):
        now += 1.0
        tries.append(fail(counted, address))
    assert 5 <= tries.count(NotAuthenticated) <= 7, "look-ups stay few"
    now += attempts.RESERVE_EVERY
    with counted.guard({"client": (address, 1), "headers": []}, NotAuthenticated, known_good=False):
        pass
    assert fail(counted, address) is RateLimited
