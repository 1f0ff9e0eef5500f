"""`skald sweep` removes what nothing else ends, and no more."""

import asyncio
import json
from typing import Any

import psycopg
from click.testing import CliRunner

from cli.main import skald
from projections.git.history import Histories
from store.log.log import append
from store.postgres.pool import connect
from tests.integration.projections.git.test_history import pool_of
from tests.support.histories import commit_of, new_skill

PARK = """
INSERT INTO dead_letters (follower, position, stream_id, error) SELECT 'streams', position, stream_id, 'an error' FROM events
"""


def sweep(url: str, *options: str) -> dict[str, Any]:
    run = CliRunner().invoke(skald, ["sweep", "--json", *options], env={"SKALD_DATABASE_URL": url})
    assert run.exit_code == 0, run.output
    found: dict[str, Any] = json.loads(run.stdout)
    return found


async def test_repositories_come_back_with_the_same_ids_and_parked_events_go(fresh_database_url: str) -> None:
    url = fresh_database_url
    async with await connect(url) as conn:
        await append(conn, [commit_of(*new_skill("one"))])
        await conn.execute(PARK)
    async with pool_of(url) as pool:
        before = await Histories(pool).head(1)
        assert counts(url) == (1, 1)
        assert await asyncio.to_thread(sweep, url, "--parked") == {"parked_events": 1}
        assert counts(url) == (1, 0)
        assert await asyncio.to_thread(sweep, url, "--git") == {"git_repositories": 1}
        assert counts(url) == (0, 0)
        assert await Histories(pool).head(1) == before


def counts(url: str) -> Any:
    with psycopg.connect(url) as conn:
        query = "SELECT (SELECT count(*) FROM git_repositories), (SELECT count(*) FROM dead_letters)"
        return conn.execute(query).fetchone()


def test_it_wants_to_know_what() -> None:
    run = CliRunner().invoke(skald, ["sweep"])
    assert run.exit_code == 2
    assert "--git, --parked" in run.output
