"""The upgrade that docs/operate.md describes: hosts of the older release write beside this one, and end; what they wrote is made whole.

The older release is this one with statements that lack the column which it does not know.
"""

import asyncio
import re

import msgspec
import psycopg
import pytest

from cli.schema import migrate
from projections.encoding import RENDERING
from projections.rebuild import rebuild
from projections.rebuild.rebuild import Outdated, Report, complete, outdated
from projections.rebuild.verify import verify
from projections.write.artifacts import PUBLISHED, VERSION_ADDED
from store.log.appender import Appender
from store.log.log import Commit
from store.log.statements import SetStatement
from tests.support.histories import History
from workers.completer import Completer

LACKING = re.compile(rf", rendering(?=\))|, {RENDERING}(?=\s)")
# What the older release rendered otherwise.
OTHERWISE = """
UPDATE versions SET package = NULL, details = body WHERE rendering < %s
"""


def older(statement: SetStatement) -> SetStatement:
    sql, count = LACKING.subn("", statement.sql)
    assert count == 2, sql
    return SetStatement(statement.name, statement.rank, sql)


OLDER = {statement: older(statement) for statement in (VERSION_ADDED, PUBLISHED)}


def by_older(commit: Commit) -> Commit:
    writes = {OLDER.get(statement, statement): rows for statement, rows in commit.writes.items()}
    return msgspec.structs.replace(commit, writes=writes)


@pytest.fixture
def url(fresh_database_url: str) -> str:
    return fresh_database_url


async def write(url: str, history: History, events: int, *, is_older: bool) -> None:
    appender = Appender(url)
    await appender.start()
    for _ in range(events):
        commit = history.next()
        await appender.append(by_older(commit) if is_older else commit)
    await appender.close()


def render_otherwise(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as conn:
        return conn.execute(OTHERWISE, (RENDERING,)).rowcount


async def test_what_hosts_of_an_older_release_write_is_completed_when_they_end(url: str) -> None:
    await write(url, History(1, projects=(1,)), 20, is_older=False)
    await migrate(url)
    old, new = History(2, projects=(2,)), History(3, projects=(3,))
    await asyncio.gather(write(url, old, 40, is_older=True), write(url, new, 40, is_older=False))
    assert render_otherwise(url) > 0
    assert not (await verify(url)).sound
    stop = asyncio.Event()
    completing = asyncio.create_task(Completer(every=0.05).run(url, stop))
    async with asyncio.timeout(60):
        while await outdated(url) is not None:
            await asyncio.sleep(0.05)
    stop.set()
    await completing
    assert (await verify(url)).sound


async def test_the_next_start_completes_it_as_well(url: str) -> None:
    await write(url, History(2, projects=(2,)), 30, is_older=True)
    assert render_otherwise(url) > 0
    await migrate(url)
    assert await outdated(url) is None
    assert (await verify(url)).sound


async def test_a_start_ends_while_an_older_host_goes_on_writing(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, replay, replays = History(2, projects=(2,)), rebuild.replay, 0

    async def and_another_write(dsn: str) -> Report:
        nonlocal replays
        replays += 1
        report = await replay(dsn)
        if replays < 10:
            await write(url, old, 10, is_older=True)
        return report

    monkeypatch.setattr(rebuild, "replay", and_another_write)
    await write(url, old, 30, is_older=True)
    assert await complete(url)
    assert replays == 1
    assert await outdated(url) is not None


def test_a_replay_waits_until_the_older_hosts_are_silent_but_not_for_ever() -> None:
    completer = Completer(patience=1000)
    looks = (None, 5, 9, 9, None, 20, 30)
    found = [None if newest is None else Outdated(1, newest) for newest in looks]
    assert [completer._is_due(one) for one in found] == [False, False, False, True, False, False, False]
    hasty = Completer(patience=0)
    assert hasty._is_due(Outdated(5, 5))
