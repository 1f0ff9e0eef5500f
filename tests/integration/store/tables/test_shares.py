"""Shares in the database, and `skald share` as an operator calls it."""

import asyncio
import json
import os
import subprocess
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from domain.errors import Invalid, NotFound
from store.log.log import head
from store.postgres.connection import Connection
from store.postgres.pool import connect
from store.tables import identity, shares
from tests.support import commands
from workers.sweep import Sweeper


@pytest_asyncio.fixture
async def conn(postgres_url: str) -> Any:
    async with await connect(postgres_url) as connection:
        yield connection


async def project(conn: Connection) -> int:
    return (await identity.create_project(conn, "Shared")).id


async def event_at(conn: Connection, position: int) -> tuple[Any, ...]:
    columns = "topic, stream_id, stream_version, project_id, convert_from(state, 'UTF8')"
    row = await (
        await conn.execute(f"SELECT {columns} FROM events WHERE position = %s", (position,))
    ).fetchone()
    assert row is not None
    return tuple(row)


async def test_the_token_is_stored_as_a_hash_and_told_by_no_event(conn: Connection) -> None:
    owner = await project(conn)
    made, token = await shares.create(conn, owner, label="  docs  ", expires_in=timedelta(days=1))
    assert made.label == "docs"
    assert token.startswith(made.prefix)
    assert len(made.prefix) == 8
    assert made.expires_at is not None
    row = await (await conn.execute("SELECT shares::text FROM shares WHERE id = %s", (made.id,))).fetchone()
    assert row is not None
    assert token not in row[0]
    topic, stream, version, of_project, state = await event_at(conn, await head(conn))
    # Like keys it is no part of what a feed tells of a project.
    assert (topic, stream, version, of_project) == ("share.created", made.id, 1, None)
    assert json.loads(state)["project_id"] == owner
    assert "docs" not in state
    assert "sks_" not in state


async def test_a_token_opens_its_project_until_it_is_revoked(conn: Connection) -> None:
    owner = await project(conn)
    made, token = await shares.create(conn, owner)
    opening = await shares.open_share(conn, identity.digest_of(token))
    assert opening is not None
    assert (opening.id, opening.project_id, opening.expires_at) == (made.id, owner, None)
    assert opening.as_of == await head(conn)
    revoked = await shares.revoke(conn, made.id)
    assert revoked.revoked_at is not None
    assert await shares.open_share(conn, identity.digest_of(token)) is None
    end = await head(conn)
    assert (await event_at(conn, end))[:3] == ("share.revoked", made.id, 2)
    assert await shares.revoke(conn, made.id) == revoked
    assert await head(conn) == end


async def test_what_cannot_be_is_refused_and_nothing_is_written(conn: Connection) -> None:
    owner, before = await project(conn), await head(conn)
    with pytest.raises(NotFound):
        await shares.create(conn, 2**62)
    with pytest.raises(Invalid):
        await shares.create(conn, owner, label="two\nlines")
    with pytest.raises(Invalid):
        await shares.create(conn, owner, expires_in=timedelta(0))
    with pytest.raises(NotFound):
        await shares.revoke(conn, uuid4())
    assert await head(conn) == before


async def test_what_has_long_opened_nothing_is_swept(postgres_url: str, conn: Connection) -> None:
    owner = await project(conn)

    async def share(expires: str | None = None, revoked: str | None = None) -> Any:
        made, _ = await shares.create(conn, owner)
        await conn.execute(
            "UPDATE shares SET expires_at = now() + %s::interval, revoked_at = now() + %s::interval WHERE id = %s",
            (expires, revoked, made.id),
        )
        return made.id

    await share(expires="-31 days")
    await share(expires="1 day", revoked="-31 days")
    kept = {
        await share(),
        await share(expires="1 day"),
        await share(expires="-29 days"),
        await share(expires="-29 days", revoked="-29 days"),
    }
    stop = asyncio.Event()
    sweeping = asyncio.create_task(Sweeper().run(postgres_url, stop))
    async with asyncio.timeout(10):
        while len(left := await shares.list_all(conn, owner)) != len(kept):
            await asyncio.sleep(0.01)
    stop.set()
    await sweeping
    assert {share.id for share in left} == kept


def skald(database_url: str, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
    return commands.run(*arguments, env={**shown, "SKALD_DATABASE_URL": database_url, **settings})


def answer(run: "subprocess.CompletedProcess[str]") -> Any:
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_an_operator_creates_lists_and_revokes(postgres_url: str) -> None:
    owner = answer(skald(postgres_url, "project", "create", "Docs", "--json"))["id"]
    of_owner = f"--project={owner}"
    made = answer(skald(postgres_url, "share", "create", of_owner, "--label=team", "--expires=90d", "--json"))
    assert made["path"] == f"/s/{made['token']}"
    assert made["expires_at"] is not None
    [listed] = answer(skald(postgres_url, "share", "list", of_owner, "--json"))["shares"]
    assert (listed["id"], listed["label"], listed["revoked_at"]) == (made["id"], "team", None)
    assert made["token"] not in json.dumps(listed)
    assert answer(skald(postgres_url, "share", "revoke", made["id"], "--json"))["id"] == made["id"]
    shown = skald(postgres_url, "share", "list", of_owner)
    assert "team" in shown.stdout
    assert made["token"][:8] in shown.stdout
    assert made["token"] not in shown.stdout
    lines = skald(postgres_url, "share", "create", of_owner).stdout
    assert lines.startswith("/s/sks_")


def test_below_a_public_address_a_share_is_shown_by_its_whole_one(postgres_url: str) -> None:
    owner = answer(skald(postgres_url, "project", "create", "Docs", "--json"))["id"]
    create, public = ("share", "create", f"--project={owner}"), "https://host.example/skald"
    made = answer(skald(postgres_url, *create, "--json", SKALD_PUBLIC_URL=f"{public}/"))
    assert made["url"] == f"{public}{made['path']}"
    assert skald(postgres_url, *create, SKALD_PUBLIC_URL=public).stdout.startswith(f"{public}/s/sks_")


def test_a_share_of_no_project_is_one_clear_line(postgres_url: str) -> None:
    run = skald(postgres_url, "share", "create", "--project=999999999", "--json")
    assert run.returncode == 1
    assert json.loads(run.stdout)["error"]["code"] == "not_found"
    assert skald(postgres_url, "share", "create").returncode == 2
