"""Users, projects and keys in the database and in the log, and the endpoints that show them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest

from api.access.attempts import FailedAttempts
from api.access.authenticate import Authenticator
from api.access.authorize import Authorizer
from api.access.me import IdentityController
from api.access.rate_limit import RateLimiter
from api.cache.positions import StreamPositions
from api.cache.reads import Reads
from api.http.errors import EXCEPTION_HANDLERS
from api.http.proxies import TrustedProxies
from api.server.application import Application
from api.server.health import Health, HealthController
from api.server.metrics import open_metrics
from api.server.observability import Observability
from api.services import Services
from api.users.controller import UsersController
from cli.schema import FOLDERS
from domain.errors import Invalid, NotFound
from store.log.log import head, read_after
from store.postgres.connection import Connection
from store.postgres.pool import connect, open_pool
from store.tables import identity


@pytest.fixture
async def conn(postgres_url: str) -> AsyncIterator[Connection]:
    async with await connect(postgres_url) as connection:
        yield connection


async def new_user(conn: Connection) -> identity.User:
    return await identity.create_user(
        conn, email=f"Ada.{uuid4().hex}@example.com", first_name="Ada", last_name="Lovelace"
    )


async def test_a_user_has_one_address_in_any_case_of_its_letters(conn: Connection) -> None:
    user = await new_user(conn)

    with pytest.raises(Invalid) as refused:
        await identity.create_user(conn, email=user.email.upper())

    assert (refused.value.code, refused.value.attr) == ("unique", "email")


async def test_a_new_key_is_found_by_its_digest_and_is_an_event_of_ids(conn: Connection) -> None:
    user = await new_user(conn)
    project = await identity.create_project(conn, "Docs")
    before = await head(conn)

    key, secret = await identity.create_key(
        conn,
        email=user.email.lower(),
        scopes=["llm_skill:write"],
        project_ids=[project.id],
        label="ci",
        expires_in=timedelta(days=1),
    )

    principal = await identity.find_key(conn, identity.digest_of(secret))
    assert principal is not None
    assert (principal.key_id, principal.user, principal.project_ids) == (key.id, user, (project.id,))
    assert principal.scopes == {"llm_skill:write"}
    assert principal.expires_at == key.expires_at
    assert principal.as_of == before + 1
    assert secret.startswith(key.prefix)
    assert len(secret) == 46
    assert key in await identity.list_keys(conn)
    [event] = await read_after(conn, before, limit=10)
    assert (event.topic, event.stream_id, event.stream_version) == ("key.created", key.id, 1)
    assert event.recorded_at == key.created_at
    for private in (secret, user.email, "Ada", "ci"):
        assert private.encode() not in event.state


@pytest.mark.parametrize(
    ("change", "kind", "attr"),
    [
        ({"email": "nobody@example.com"}, NotFound, None),
        ({"email": "nobody"}, Invalid, "email"),
        ({"scopes": ["llm_skill:delete"]}, Invalid, "scopes"),
        ({"scopes": []}, Invalid, "scopes"),
        ({"project_ids": [10**9]}, Invalid, "project_ids"),
        ({"project_ids": [10**30]}, Invalid, "project_ids"),
        ({"expires_in": timedelta(0)}, Invalid, "expires_in"),
        ({"expires_in": timedelta(days=10**6)}, Invalid, "expires_in"),
        ({"label": "a\0b"}, Invalid, "label"),
    ],
)
async def test_a_bad_key_is_refused_and_nothing_is_written(
    conn: Connection, change: dict[str, Any], kind: type[Exception], attr: str | None
) -> None:
    user = await new_user(conn)
    before = await head(conn)

    with pytest.raises(kind) as refused:
        await identity.create_key(conn, **({"email": user.email, "scopes": ["*"]} | change))

    assert getattr(refused.value, "attr", None) == attr
    assert await head(conn) == before


async def test_a_revoked_key_opens_nothing_and_revoking_it_again_changes_nothing(conn: Connection) -> None:
    user = await new_user(conn)
    key, secret = await identity.create_key(conn, email=user.email, scopes=["*"])

    revoked = await identity.revoke_key(conn, key.id)
    position = await head(conn)

    assert revoked.revoked_at is not None
    assert await identity.find_key(conn, identity.digest_of(secret)) is None
    assert await identity.revoke_key(conn, key.id) == revoked
    assert await head(conn) == position
    with pytest.raises(NotFound):
        await identity.revoke_key(conn, uuid4())


async def test_erasing_a_user_blanks_the_row_and_revokes_every_key(conn: Connection) -> None:
    user = await new_user(conn)
    secrets = [(await identity.create_key(conn, email=user.email, scopes=["*"]))[1] for _ in range(2)]
    before = await head(conn)

    assert await identity.erase_user(conn, user.email) == user.id

    row = await (
        await conn.execute(
            "SELECT email, first_name, last_name, distinct_id FROM users WHERE id = %s", (user.id,)
        )
    ).fetchone()
    assert row == ("", "", "", "")
    for secret in secrets:
        assert await identity.find_key(conn, identity.digest_of(secret)) is None
    topics = [event.topic for event in await read_after(conn, before, limit=10)]
    assert topics == ["user.erased", "key.revoked", "key.revoked"]
    with pytest.raises(NotFound):
        await identity.erase_user(conn, user.email)
    # The address is free again.
    await identity.create_user(conn, email=user.email)


# The endpoints -------------------------------------------------------------------------------------------------


@pytest.fixture
async def client(
    postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    pool = await open_pool(postgres_url, size=2)
    positions = StreamPositions()
    positions.confirm()
    metrics = open_metrics(tmp_path_factory.mktemp("run") / "metrics")
    app = Application(
        [IdentityController, UsersController, HealthController],
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=None,
    )
    limiter = RateLimiter(None, per_minute=0, per_hour=0)
    attempts = FailedAttempts(TrustedProxies(), per_minute=0)
    authorizer = Authorizer(Authenticator(Reads(pool), positions), limiter, attempts)
    health = Health(pool=pool, redis=None, migrations=FOLDERS, metrics=metrics)
    # The two that these endpoints use.
    app.services = cast(Services, SimpleNamespace(authorizer=authorizer, health=health))
    transport = httpx.ASGITransport(Observability(app, metrics=metrics))
    async with httpx.AsyncClient(transport=transport, base_url="http://skald.test") as opened:
        yield opened
    await pool.close()


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def test_a_client_learns_who_it_is_and_where_it_may_go(
    conn: Connection, client: httpx.AsyncClient
) -> None:
    user = await new_user(conn)
    project = await identity.create_project(conn, "Docs")
    _, secret = await identity.create_key(
        conn, email=user.email, scopes=["llm_skill:read"], project_ids=[project.id]
    )

    me = await client.get("/api/users/@me/", headers=bearer(secret))
    key = await client.get("/api/personal_api_keys/@current", headers=bearer(secret))
    mine = await client.get(f"/api/projects/{project.id}/", headers=bearer(secret))
    current = await client.get("/api/environments/@current", headers=bearer(secret))

    assert me.json() == {
        "id": user.id,
        "uuid": str(user.uuid),
        "distinct_id": user.distinct_id,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": user.email,
        "is_email_verified": False,
        "hedgehog_config": None,
        "role_at_organization": "",
        "organization": me.json()["organization"],
        "team": {"id": project.id},
    }
    assert list(me.json()["organization"]) == ["id"]
    assert key.json() == {
        "scopes": ["llm_skill:read"],
        "scoped_teams": [project.id],
        "scoped_organizations": [],
    }
    assert mine.json() == {
        "id": project.id,
        "name": "Docs",
        "api_token": project.api_token,
        "organization": me.json()["organization"]["id"],
    }
    assert current.json() == mine.json()
    again = await client.get(
        "/api/users/@me/", headers={**bearer(secret), "If-None-Match": me.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == me.headers["etag"]


async def test_errors_of_the_small_endpoints(conn: Connection, client: httpx.AsyncClient) -> None:
    user = await new_user(conn)
    project, other = [await identity.create_project(conn, name) for name in ("Docs", "Other")]
    _, secret = await identity.create_key(conn, email=user.email, scopes=["*"], project_ids=[project.id])

    none = await client.get("/api/users/@me")
    bad = await client.get("/api/users/@me", headers=bearer("sk_" + "x" * 43))
    forbidden = await client.get(f"/api/projects/{other.id}", headers=bearer(secret))
    unknown = await client.get("/api/projects/999999999", headers=bearer(secret))
    nowhere = await client.get("/api/nowhere", headers=bearer(secret))
    method = await client.delete("/api/users/@me", headers=bearer(secret))

    assert (none.status_code, none.json()["code"]) == (401, "not_authenticated")
    assert none.headers["www-authenticate"] == "Bearer"
    assert (bad.status_code, bad.json()["code"]) == (401, "authentication_failed")
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "permission_denied")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")
    assert (method.status_code, method.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in method.headers["allow"]


async def test_head_is_get_without_its_body(conn: Connection, client: httpx.AsyncClient) -> None:
    user = await new_user(conn)
    _, secret = await identity.create_key(conn, email=user.email, scopes=["*"])

    got = await client.get("/api/users/@me", headers={**bearer(secret), "X-Request-ID": "mine-1"})
    asked = await client.head("/api/users/@me", headers={**bearer(secret), "X-Request-ID": "not sane"})

    assert (asked.status_code, asked.content) == (200, b"")
    assert asked.headers["content-length"] == str(len(got.content))
    assert asked.headers["etag"] == got.headers["etag"]
    assert got.headers["x-request-id"] == "mine-1"
    assert len(asked.headers["x-request-id"]) == 32


async def test_probes_and_metrics(conn: Connection, client: httpx.AsyncClient) -> None:
    await conn.execute("INSERT INTO checkpoints VALUES ('probed', 0)")

    alive = await client.get("/healthz")
    ready = await client.get("/readyz")
    await client.get("/api/nowhere")
    metrics = await client.get("/metrics")

    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    # The database is that of other tests, too: what they appended may be older than a follower may leave it.
    assert ready.status_code == 200
    assert (ready.json()["database"], ready.json()["redis"]) == ("ok", "off")
    assert ready.json()["followers"]["probed"] == await head(conn)
    assert 'skald_http_requests_total{method="GET",route="/healthz",status="200"}' in metrics.text
    assert 'route="unmatched",status="404"' in metrics.text
    assert 'skald_follower_lag_positions{follower="probed"}' in metrics.text
    assert "/api/nowhere" not in metrics.text


async def test_a_database_without_tables_is_not_ready(empty_database_url: str, tmp_path: Path) -> None:
    pool = await open_pool(empty_database_url, size=1)
    health = Health(pool=pool, redis=None, migrations=FOLDERS, metrics=open_metrics(tmp_path))

    assert (await health.readiness()).database == "migrations missing"

    await pool.close()
