"""Who may own something in a project: users with a live key for it, or for all projects."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from store.postgres.connection import Connection
from store.postgres.pool import connect
from store.tables import identity

ONE, OTHER = 1, 2


@pytest.fixture
async def conn(fresh_database_url: str) -> AsyncIterator[Connection]:
    async with await connect(fresh_database_url) as connection:
        for name in ("One", "Other"):
            await identity.create_project(connection, name)
        yield connection


async def user(conn: Connection, *projects: int, expires_in: timedelta | None = None) -> identity.User:
    """With a key for these projects, for all of them without."""
    made = await identity.create_user(conn, email=f"{uuid4().hex}@example.com")
    await identity.create_key(
        conn, email=made.email, scopes=["llm_skill:read"], project_ids=projects, expires_in=expires_in
    )
    return made


async def test_a_key_for_the_project_or_for_all_makes_a_member(conn: Connection) -> None:
    of_one, of_all, of_other = await user(conn, ONE), await user(conn), await user(conn, OTHER)
    expired = await user(conn, ONE, expires_in=timedelta(microseconds=1))
    asked = [of_one.uuid, of_all.uuid, of_other.uuid, expired.uuid, uuid4()]
    assert await identity.members(conn, ONE, asked) == {of_one.uuid: of_one.id, of_all.uuid: of_all.id}
    assert await identity.members(conn, ONE, []) == {}
