"""Keys to principals: cached, and true at once after every change in the log."""

import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from api.access import known
from api.access.authenticate import Authenticator, require
from api.cache.positions import StreamPositions
from api.cache.reads import Reads
from domain.errors import NotAuthenticated, NotFound, PermissionDenied
from store.log.log import head
from store.postgres.connection import Connection
from store.postgres.pool import Pool, connect, open_pool
from store.tables import identity


@pytest.fixture
async def conn(postgres_url: str) -> AsyncIterator[Connection]:
    async with await connect(postgres_url) as connection:
        yield connection


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[Pool]:
    opened = await open_pool(postgres_url, size=2)
    yield opened
    await opened.close()


@pytest.fixture
def positions() -> StreamPositions:
    table = StreamPositions()
    table.confirm()
    return table


@pytest.fixture
def gatekeeper(pool: Pool, positions: StreamPositions) -> Authenticator:
    return Authenticator(Reads(pool), positions)


async def new_key(conn: Connection, **options: Any) -> tuple[identity.Key, str]:
    user = await identity.create_user(conn, email=f"{uuid4().hex}@example.com")
    return await identity.create_key(conn, **({"email": user.email, "scopes": ["*"]} | options))


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "not_authenticated"),
        (b"", "not_authenticated"),
        (b"Bearer", "not_authenticated"),
        (b"Bearer  ", "not_authenticated"),
        (b"Basic YTpi", "not_authenticated"),
        (b"Bearer nonsense", "authentication_failed"),
        (b"Bearer sk_" + b"x" * 43, "authentication_failed"),
        (b"Bearer \xff\x00", "authentication_failed"),
    ],
)
async def test_bad_credentials(gatekeeper: Authenticator, header: bytes | None, code: str) -> None:
    with pytest.raises(NotAuthenticated) as refused:
        await gatekeeper.authenticate(header)

    assert refused.value.code == code


async def test_a_known_key_costs_no_query_and_a_revoked_one_is_refused_at_once(
    conn: Connection, gatekeeper: Authenticator, positions: StreamPositions
) -> None:
    key, secret = await new_key(conn)
    header = f"bearer {secret}"
    assert gatekeeper.known(header) is None

    principal = await gatekeeper.authenticate(header)

    assert gatekeeper.known(header) is principal
    # Without word from the log the cache is not believed.
    positions.lost()
    assert gatekeeper.known(header) is None
    positions.confirm()
    await identity.revoke_key(conn, key.id)
    positions.advance_all([positions.slot(key.id)], await head(conn))
    assert gatekeeper.known(header) is None
    with pytest.raises(NotAuthenticated):
        await gatekeeper.authenticate(header)


async def test_a_key_that_was_refused_before_it_existed_works_as_soon_as_it_does(
    conn: Connection, gatekeeper: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "sk_" + uuid4().hex + "abcdefghijk"
    with pytest.raises(NotAuthenticated):
        await gatekeeper.authenticate(f"Bearer {secret}")
    monkeypatch.setattr(secrets, "token_urlsafe", lambda _: secret.removeprefix("sk_"))

    key, made = await new_key(conn)

    assert made == secret
    assert (await gatekeeper.authenticate(f"Bearer {secret}")).key_id == key.id


async def test_a_key_expires_in_the_cache_too(
    conn: Connection, gatekeeper: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, secret = await new_key(conn, expires_in=timedelta(hours=1))
    await gatekeeper.authenticate(f"Bearer {secret}")
    assert key.expires_at is not None
    expiry = key.expires_at.timestamp()

    monkeypatch.setattr(known, "time", lambda: expiry + 1)

    for _ in range(2):
        with pytest.raises(NotAuthenticated):
            await gatekeeper.authenticate(f"Bearer {secret}")


async def test_the_cache_is_bounded(
    conn: Connection, gatekeeper: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "MAX_ENTRIES", 2)
    headers = [f"Bearer {(await new_key(conn))[1]}" for _ in range(3)]

    for header in headers:
        await gatekeeper.authenticate(header)

    assert [gatekeeper.known(header) is not None for header in headers] == [False, True, True]


async def test_scopes_are_named_when_they_lack(conn: Connection, gatekeeper: Authenticator) -> None:
    _, secret = await new_key(conn, scopes=["llm_skill:read"])
    principal = await gatekeeper.authenticate(f"Bearer {secret}")

    require(principal, "llm_skill:read")
    with pytest.raises(PermissionDenied, match="required scope 'llm_skill:write'"):
        require(principal, "llm_skill:write")


async def test_which_project_an_address_means(conn: Connection, gatekeeper: Authenticator) -> None:
    first, second, third = [await identity.create_project(conn, f"P{n}") for n in range(3)]
    _, one = await new_key(conn, project_ids=[second.id])
    _, two = await new_key(conn, project_ids=[third.id, second.id])
    _, every = await new_key(conn)
    resolve = gatekeeper.resolve_project
    key_of_one, key_of_two, key_of_all = [
        await gatekeeper.authenticate(f"Bearer {secret}") for secret in (one, two, every)
    ]

    assert await resolve(key_of_one, str(second.id)) == second.id
    assert await resolve(key_of_one, "@current", third.api_token) == second.id
    assert await resolve(key_of_two, "@current", third.api_token) == third.id
    assert await resolve(key_of_two, "@current") == second.id
    assert await resolve(key_of_all, "@current") == key_of_all.current_project_id
    assert await resolve(key_of_all, "@current", second.api_token) == second.id
    for project_id, token in ((str(first.id), None), ("@current", first.api_token)):
        with pytest.raises(PermissionDenied):
            await resolve(key_of_two, project_id, token)
    for project_id, token in (
        ("999999999", None),
        ("9" * 40, None),
        ("x", None),
        ("-1", None),
        ("@current", "skt_x"),
    ):
        with pytest.raises(NotFound):
            await resolve(key_of_two, project_id, token)


async def test_without_a_current_project_the_oldest_one_counts(
    fresh_database_url: str, positions: StreamPositions
) -> None:
    async with await connect(fresh_database_url) as conn:
        _, secret = await new_key(conn)
        pool = await open_pool(fresh_database_url, size=1)
        gatekeeper = Authenticator(Reads(pool), positions)
        principal = await gatekeeper.authenticate(f"Bearer {secret}")
        with pytest.raises(NotFound):
            await gatekeeper.resolve_project(principal, "@current")

        project = await identity.create_project(conn, "First")

        assert await gatekeeper.resolve_project(principal, "@current") == project.id
        await pool.close()
