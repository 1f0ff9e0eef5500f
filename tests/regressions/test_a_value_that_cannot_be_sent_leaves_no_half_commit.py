"""Leaving a pipeline commits what was sent; an error on our side in the middle of it must not leave half a commit."""

import psycopg
import pytest

from store.log.appender import Appender
from store.log.log import append
from store.postgres.pool import connect
from tests.support import invariants
from tests.support.histories import created


async def test_half_a_commit(fresh_database_url: str) -> None:
    # The idempotency key is the last thing sent, after events and read models, and text cannot hold a NUL.
    _, bad = created("bad", idempotency_key="a\0b")
    conn = await connect(fresh_database_url)
    with pytest.raises(psycopg.DataError):
        await append(conn, [bad])
    with psycopg.connect(fresh_database_url) as look:
        assert look.execute("SELECT count(*) FROM events").fetchone() == (0,)
        assert look.execute("SELECT count(*) FROM contents").fetchone() == (0,)


async def test_only_its_own_caller_hears_of_it(fresh_database_url: str) -> None:
    appender = Appender(fresh_database_url)
    await appender.start()
    _, bad = created("bad", correlation_id="a\0b")
    with pytest.raises(psycopg.DataError):
        await appender.append(bad)
    appended = await appender.append(created("good")[1])
    await appender.close()
    assert appended.first == 1
    invariants.check(fresh_database_url)
