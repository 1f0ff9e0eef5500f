"""Owners of what was created before they were kept: the migration gives it to the user who created it."""

import psycopg

from store.log.log import append
from store.postgres.pool import connect
from tests.support import invariants
from tests.support.histories import commit_of, created, published
from tests.support.servers import ROOT

MIGRATION = ROOT / "projections/migrations/0027_owners_tags.sql"


async def test_rows_that_stand_already_belong_to_their_creator(fresh_database_url: str) -> None:
    async with await connect(fresh_database_url) as conn:
        for name, actor in (("ada", 7), ("bo", 8), ("of no user", None)):
            skill, commit = created(name.replace(" ", "-"), actor_id=actor)
            await append(conn, [commit])
            skill, commit = published(skill, "# Two\n", actor_id=9)
            await append(conn, [commit])
        skill.archive()
        await append(conn, [commit_of(skill, actor_id=9)])
    with psycopg.connect(fresh_database_url, autocommit=True) as before:
        before.execute("DROP TABLE owners, tags")
        before.execute(MIGRATION.read_bytes())
        found = before.execute("SELECT user_id FROM owners ORDER BY user_id").fetchall()
    assert found == [(7,), (8,)]
    invariants.check(fresh_database_url)
