"""A process that remembers more than the log has: what it appends must fit the log and not its memory."""

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from api.config import ApiConfig
from projections.rebuild.verify import verify
from store.postgres.pool import connect
from tests.support.rewinding import go_back, stored
from tests.support.space import Space, file, open_space, refusal, running


@pytest_asyncio.fixture
async def own(fresh_database_url: str, tmp_path: Path) -> AsyncIterator[Space]:
    """A project in a database of its own."""
    config = ApiConfig(
        database_url=fresh_database_url, run_dir=tmp_path, rate_limit_per_minute=0, access_log=False
    )
    async with running(config) as app, await connect(fresh_database_url) as conn:
        space = await open_space(app, conn, scopes=("llm_skill:write", "llm_prompt:write"))
        yield space
        await space.client.aclose()


async def sound(dsn: str) -> None:
    verdict = await verify(dsn)
    assert verdict.sound, verdict


async def test_a_lost_version_takes_no_next_one(own: Space, fresh_database_url: str) -> None:
    await own.create()
    await own.publish("pdf-forms", 1, body="# Two\n")
    kept = await own.head()
    await own.publish("pdf-forms", 2, body="# Lost\n")
    await go_back(fresh_database_url, kept)

    refused = await own.patch("pdf-forms", {"base_version": 3, "body": "# Four\n"})
    taken = await own.publish("pdf-forms", 2, description="Another third one.")

    assert refusal(refused) == (409, "version_conflict", "base_version")
    assert (taken["version"], taken["body"]) == (3, "# Two\n")
    await sound(fresh_database_url)


async def test_another_event_in_the_place_of_a_lost_one_is_not_built_on(
    own: Space, fresh_database_url: str
) -> None:
    await own.create()
    kept = await own.head()
    await own.publish("pdf-forms", 1, body="# Lost\n")
    await go_back(fresh_database_url, kept)
    async with await connect(fresh_database_url) as conn:
        # What another host has published meanwhile: the same number, at another position.
        await conn.execute(
            "INSERT INTO events SELECT position + 5, stream_id, 2, 'skill.archived', convert_to(format("
            """'{"originator_id":"%s","originator_version":2}', stream_id), 'UTF8'), recorded_at, project_id, actor_id, key_id,"""
            " command_id, correlation_id FROM events WHERE topic = 'skill.created'"
        )

    refused = await own.patch("pdf-forms", {"base_version": 2, "body": "# Three\n"})

    assert refused.status_code == 404, refused.text


async def test_a_copy_of_what_is_lost_is_not_made(own: Space, fresh_database_url: str) -> None:
    await own.create(files=[file("a.txt", "kept")])
    kept, contents = await own.head(), stored(fresh_database_url)
    await own.publish("pdf-forms", 1, files=[file("b.txt", "lost")])
    await go_back(fresh_database_url, kept, contents=contents)

    copy = await own.ok(201, await own.post("name/pdf-forms/duplicate", json={"new_name": "copy"}))

    assert [one["path"] for one in copy["files"]] == ["a.txt"]
    assert (await own.get("name/copy/files/a.txt")).json()["content"] == "kept"
    await sound(fresh_database_url)


@pytest.mark.parametrize("versions", [499, 500])
async def test_no_snapshot_is_left_of_what_is_lost(
    own: Space, fresh_database_url: str, versions: int
) -> None:
    from api.commands.repository import SAVE_SNAPSHOT

    await own.create()
    with psycopg.connect(fresh_database_url, autocommit=True) as conn:
        [stream] = conn.execute("SELECT stream_id FROM artifacts").fetchone() or ()
        [position] = conn.execute("SELECT max(position) FROM events").fetchone() or ()
        conn.execute(SAVE_SNAPSHOT, ("skill:", b"{}", position + versions, stream))

        assert conn.execute("SELECT count(*) FROM snapshots").fetchone() == (0,)
