"""psycopg drops all prepared statements of a connection after a rollback; some of the next append's may be new to it."""

from uuid import uuid4

from store.log.log import append
from store.postgres.pool import connect
from tests.support import invariants
from tests.support.histories import commit_of, created


async def test_after_a_rollback(fresh_database_url: str) -> None:
    conn = await connect(fresh_database_url)
    one, first = created("one")
    await append(conn, [first])
    await conn.execute("BEGIN")
    await conn.rollback()
    one.archive()
    await append(conn, [commit_of(one)])
    await conn.execute("DEALLOCATE ALL")
    await append(conn, [created("two", idempotency_key="k", key_id=uuid4())[1]])
    await append(conn, [created("three")[1]])
    await conn.close()
    invariants.check(fresh_database_url)
