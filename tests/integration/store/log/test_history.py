"""A log that may have gone back begins a new history, at positions that no event has had."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from domain.maintenance import LogRewound
from projections.rebuild.verify import verify
from store.log.history import FIRST_LATER, LogHistory, Unsettled, is_another
from store.log.log import append, head, read_after
from store.log.mapper import decode
from store.postgres.connection import Connection
from store.postgres.pool import connect
from store.tables import readiness
from tests.support import invariants
from tests.support.histories import created, published
from tests.support.rewinding import go_back


@pytest.fixture
async def conn(fresh_database_url: str) -> AsyncIterator[Connection]:
    conn = await connect(fresh_database_url)
    yield conn
    await conn.close()


async def known(conn: Connection, count: int) -> LogHistory:
    """What a process knows that has appended ``count`` events."""
    history = LogHistory()
    await history.settle(conn)
    for number in range(count):
        [at] = await append(conn, [commit := created(f"name-{number}")[1]])
        history.reach(at.last, commit.command_id)
    return history


async def elsewhere(conn: Connection) -> None:
    """As after a failover: the same log on another server."""
    await conn.execute("UPDATE histories SET server = 'another/00000001/1'")


async def marks(conn: Connection) -> list[LogRewound]:
    events = await read_after(conn, 0, limit=1000)
    found = [decode(event.topic, event.state) for event in events if event.topic == LogRewound.TOPIC]
    return [event for event in found if isinstance(event, LogRewound)]


async def test_the_same_log_on_the_same_server_goes_on(conn: Connection) -> None:
    history = await known(conn, 3)

    await history.settle(conn)
    await LogHistory().settle(conn)

    assert (history.begins, await head(conn)) == (0, 3)


async def test_another_server_begins_a_new_history(conn: Connection, fresh_database_url: str) -> None:
    heard: list[int] = []
    history = LogHistory(heard.append)
    await known(conn, 3)
    await elsewhere(conn)

    await history.settle(conn)
    await append(conn, [created("after")[1]])

    assert FIRST_LATER < history.begins < 2**53
    assert heard == [history.begins]
    assert await head(conn) == history.begins + 1
    [mark] = await marks(conn)
    assert (mark.shared, mark.known) == (3, 3)
    with psycopg.connect(fresh_database_url) as plain:
        invariants.positions_are_gapless(plain)
    verdict = await verify(fresh_database_url)
    assert verdict.sound, verdict
    assert "nothing is known to be lost" in verdict.notes[0]


@pytest.mark.parametrize("again", [0, 1, 2, 5])
async def test_what_a_process_knows_is_missed(conn: Connection, fresh_database_url: str, again: int) -> None:
    """On the same server, as after a copy of its folder was put back, and others may have written since."""
    history = await known(conn, 4)
    await go_back(fresh_database_url, 2)
    for number in range(again):
        await append(conn, [created(f"other-{number}")[1]])

    await history.settle(conn)

    [mark] = await marks(conn)
    assert (mark.shared, mark.known) == (2, max(4, 2 + again))
    notes = (await verify(fresh_database_url)).notes
    assert f"positions 3 to {mark.known} or later, which are gone" in notes[0], notes


async def test_many_begin_it_once(conn: Connection, fresh_database_url: str) -> None:
    await known(conn, 2)
    await elsewhere(conn)
    conns = [await connect(fresh_database_url) for _ in range(4)]

    await asyncio.gather(*(LogHistory().settle(each) for each in conns))

    assert len(await marks(conn)) == 1
    for each in conns:
        await each.close()


async def test_a_lost_history_and_a_new_one_share_no_position(
    conn: Connection, fresh_database_url: str
) -> None:
    history = await known(conn, 2)
    await elsewhere(conn)
    await history.settle(conn)
    lost = [(await append(conn, [created(f"lost-{number}")[1]]))[0].last for number in range(3)]
    await go_back(fresh_database_url, 2)
    await conn.execute("DELETE FROM histories WHERE begins > 0")

    fresh = LogHistory()
    await fresh.settle(conn)

    assert fresh.begins > max(lost)


async def test_a_server_that_takes_no_writes_does_not_pass_for_the_log(conn: Connection) -> None:
    history = await known(conn, 2)
    await elsewhere(conn)
    await conn.execute("SET default_transaction_read_only = on")

    with pytest.raises(Unsettled):
        await history.settle(conn)


async def test_a_role_that_may_not_note_it_still_serves_the_log(
    conn: Connection, fresh_database_url: str
) -> None:
    await known(conn, 1)
    await conn.execute("DELETE FROM histories")
    await conn.execute(
        "DO $$ BEGIN IF to_regrole('reader') IS NULL THEN CREATE ROLE reader LOGIN; END IF; END $$"
    )
    await conn.execute("GRANT SELECT ON events, histories TO reader")
    await conn.execute("SET ROLE reader")

    await LogHistory().settle(conn)

    cursor = await conn.execute("SELECT server_identity()")
    [identity] = await cursor.fetchone() or ()
    assert len(identity.split("/")) == 3


async def test_lags_count_events_and_not_positions(conn: Connection) -> None:
    await known(conn, 3)
    await conn.execute("INSERT INTO checkpoints (follower, position) VALUES ('behind', 1), ('ahead', 7)")
    await elsewhere(conn)
    await LogHistory().settle(conn)
    await append(conn, [created("after")[1]])

    found = await readiness.followers(conn)

    assert {name: state.lag for name, state in found.items()} == {"behind": 4, "ahead": 2}


@pytest.mark.parametrize(
    ("one", "other", "differs"),
    [
        ("1/00000001/5", "1/00000001/5", False),
        ("1/00000001/5", "1/00000002/5", True),
        ("1/00000001/5", "2/00000001/5", True),
        ("1/00000001/5", "1/00000001/6", True),
        ("-/-/5", "1/00000002/5", False),
        ("1/00000001/5", "1/-/5", False),
        ("imported", "1/00000001/5", True),
    ],
)
def test_identities_differ_where_both_say_something(one: str, other: str, differs: bool) -> None:
    assert is_another(one, other) is differs


async def test_a_published_version_follows_across_histories(conn: Connection) -> None:
    skill, commit = created("kept")
    await append(conn, [commit])
    await LogHistory().settle(conn)
    await elsewhere(conn)
    await LogHistory().settle(conn)

    await append(conn, [published(skill)[1]])

    assert await head(conn) > FIRST_LATER
