"""A role without rights, extensions elsewhere, a database of a later release: one sentence with what to do."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cli.schema import FOLDERS, migrate
from cli.server.connections import lacking, needed
from cli.settings import Settings
from store.postgres.connection import Connection
from store.postgres.migrate import MigrationError
from store.postgres.pool import connect
from store.tables.readiness import NONE, followers, missing_migrations


@pytest.fixture
async def owner(fresh_database_url: str) -> AsyncIterator[Connection]:
    async with await connect(fresh_database_url) as conn:
        yield conn


@pytest.fixture
async def role(owner: Connection) -> AsyncIterator[str]:
    name = f"r{uuid4().hex[:12]}"
    await owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'p'").format(sql.Identifier(name)))
    yield name
    await owner.execute(sql.SQL("DROP OWNED BY {0} CASCADE").format(sql.Identifier(name)))
    await owner.execute(sql.SQL("DROP ROLE {0}").format(sql.Identifier(name)))


async def grant(owner: Connection, text: str, role: str) -> None:
    await owner.execute(sql.SQL(text).format(sql.Identifier(role)))


def as_role(url: str, role: str) -> str:
    return make_conninfo(url, user=role, password="p")


async def refusal(url: str) -> str:
    with pytest.raises(MigrationError) as refused:
        await migrate(url)
    assert "\n" not in str(refused.value)
    return str(refused.value)


async def test_a_role_is_told_each_right_that_it_lacks(
    owner: Connection, role: str, fresh_database_url: str
) -> None:
    await owner.execute("DROP SCHEMA public CASCADE")
    await owner.execute("CREATE SCHEMA public")
    await grant(owner, "GRANT USAGE ON SCHEMA public TO {}", role)
    url = as_role(fresh_database_url, role)
    assert "GRANT CREATE ON SCHEMA" in await refusal(url)
    await grant(owner, "GRANT CREATE ON SCHEMA public TO {}", role)
    assert "GRANT CREATE ON DATABASE" in await refusal(url)
    await owner.execute("CREATE SCHEMA elsewhere")
    for extension in ("pg_trgm", "btree_gin"):
        await owner.execute(f"CREATE EXTENSION {extension} SCHEMA elsewhere".encode())
    assert "search_path" in await refusal(url)
    await grant(owner, "GRANT USAGE ON SCHEMA elsewhere TO {}", role)
    await grant(owner, "ALTER ROLE {} SET search_path = public, elsewhere", role)
    assert await migrate(url)


async def test_a_role_for_serving_alone_needs_no_right_to_create(
    owner: Connection, role: str, fresh_database_url: str
) -> None:
    await migrate(fresh_database_url)
    url = as_role(fresh_database_url, role)
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES" in await refusal(url)
    await grant(owner, "GRANT SELECT ON schema_migrations TO {}", role)
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES" in await refusal(url)
    await grant(owner, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}", role)
    await grant(owner, "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}", role)
    assert await migrate(url) == []
    database = sql.Identifier(owner.info.dbname)
    await owner.execute(sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(database))
    assert "GRANT TEMPORARY ON DATABASE" in await refusal(url)
    await owner.execute(
        sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(database, sql.Identifier(role))
    )
    assert await migrate(url) == []


async def test_a_database_of_a_later_release_is_refused(owner: Connection, fresh_database_url: str) -> None:
    await migrate(fresh_database_url)
    await owner.execute("INSERT INTO schema_migrations (number, name, sha256) VALUES (9001, 'later', '')")
    assert "later release" in await refusal(fresh_database_url)
    # One that runs already goes on beside it.
    assert await missing_migrations(owner, FOLDERS) == []


async def test_readiness_says_that_no_follower_has_ever_run(
    owner: Connection, fresh_database_url: str
) -> None:
    await migrate(fresh_database_url)
    state: dict[str, Any] = await followers(owner)
    assert list(state) == [NONE]
    assert "skald worker" in state[NONE].failure.error
    await owner.execute("INSERT INTO checkpoints (follower, position) VALUES ('cache', 0)")
    assert state.keys() != (await followers(owner)).keys()


async def test_more_connections_than_the_database_gives_are_named(fresh_database_url: str) -> None:
    assert needed(Settings(workers=2, pool_size=8), followers=False) == 22
    assert await lacking(fresh_database_url, 1) is None
    assert "max_connections" in (await lacking(fresh_database_url, 10**6) or "")
