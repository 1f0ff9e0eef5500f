"""A database that an older release wrote: its rows are completed from the log before anything is served."""

import asyncio

import psycopg

from cli.schema import migrate
from projections.read import skills, versions
from projections.rebuild.verify import verify
from store.postgres.pool import connect
from tests.integration.projections.rebuild.test_rebuild import write

# As the rows were before the migration that added the column.
OLD = """
UPDATE versions SET package = NULL, rendering = 0;
UPDATE artifacts SET package = NULL;
DELETE FROM contents WHERE digest = ANY(%s);
"""


def made_old(url: str) -> None:
    """Nothing of the packages is left."""
    with psycopg.connect(url, autocommit=True) as conn:
        packages = [
            row[0] for row in conn.execute("SELECT DISTINCT package FROM versions WHERE package IS NOT NULL")
        ]
        assert packages
        with psycopg.ClientCursor(conn) as cursor:
            cursor.execute(OLD, (packages,))


async def test_rows_of_an_older_release_are_completed_once(fresh_database_url: str) -> None:
    await write(fresh_database_url, 5, 60)
    made_old(fresh_database_url)
    assert await asyncio.gather(*(migrate(fresh_database_url) for _ in range(3))) == [[], [], []]
    assert (await verify(fresh_database_url)).sound
    with psycopg.connect(fresh_database_url) as conn:
        [(replays,)] = conn.execute("SELECT count(*) FROM events WHERE topic = 'models.replaced'").fetchall()
    assert replays == 1


async def test_until_then_reads_make_what_the_rows_lack(fresh_database_url: str) -> None:
    await write(fresh_database_url, 5, 60)
    select = """SELECT project_id, name FROM active_names WHERE kind = 'skill'"""

    async def shown() -> dict[tuple[int, str], bytes]:
        async with await connect(fresh_database_url) as conn:
            found = {}
            for project, name in await (await conn.execute(select)).fetchall():
                read = await versions.find(conn, versions.Lookup(project, "skill", name))
                assert read is not None
                assert read[1] is not None
                found[(project, name)] = skills.full(read[1])
            return found

    before = await shown()
    assert before
    made_old(fresh_database_url)
    assert await shown() == before
