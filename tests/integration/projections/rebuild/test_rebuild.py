"""The read models made anew from the log are the live ones."""

import asyncio
import re
from uuid import uuid4

import psycopg
import pytest

from domain.artifacts.prompts import Prompt, PromptChanges
from projections.declared import INLINE, PROJECTIONS, Projection
from projections.rebuild import rebuild as rebuilding
from projections.rebuild.rebuild import RebuildRunning, rebuild
from store.log.appender import Appender
from store.log.log import append
from store.postgres.pool import connect
from tests.support import invariants
from tests.support.histories import History, commit_of


async def write(url: str, seed: int, events: int) -> None:
    appender = Appender(url)
    await appender.start()
    history = History(seed)
    for _ in range(events):
        await appender.append(history.next())
    await appender.close()


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda one: one.name)
def test_a_projection_declares_what_its_statements_write(projection: Projection) -> None:
    written = {
        table
        for statement in projection.statements
        for table in re.findall(r"(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)", statement.sql)
    }
    assert written - {"SET"} == set(projection.tables)
    assert {statement.name.partition(".")[0] for statement in projection.statements} <= set(projection.tables)


def test_no_two_projections_have_a_name_table_or_rank_in_common() -> None:
    assert len({one.name for one in PROJECTIONS}) == len(PROJECTIONS)
    tables = [table for one in PROJECTIONS for table in one.tables]
    assert len(set(tables)) == len(tables)
    ranks = [statement.rank for one in INLINE for statement in one.statements]
    assert len(set(ranks)) == len(ranks)


@pytest.mark.parametrize("batch", [1, 7, 1000])
async def test_rebuilt_is_live(fresh_database_url: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "BATCH", batch)
    await write(fresh_database_url, batch, 250)
    invariants.check(fresh_database_url)
    report = await rebuild(fresh_database_url)
    assert report.differences == ()
    assert report.missing_parts == ()
    assert (report.position, report.events) == (250, 250)
    assert report.equal
    with psycopg.connect(fresh_database_url) as conn:
        assert conn.execute("SELECT to_regnamespace('rebuild')").fetchone() == (None,)


async def test_it_works_while_the_service_writes(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "BATCH", 20)
    await write(fresh_database_url, 1, 60)
    appender, history = Appender(fresh_database_url), History(2, projects=(3,))
    await appender.start()
    stop = asyncio.Event()

    async def go_on() -> None:
        while not stop.is_set():
            await appender.append(history.next())

    writer = asyncio.create_task(go_on())
    reports = [await rebuild(fresh_database_url) for _ in range(3)]
    stop.set()
    await writer
    await appender.close()
    assert all(report.equal for report in reports), reports
    assert 60 <= reports[0].position < reports[1].position < reports[2].position


async def test_each_kind_of_damage_is_told(fresh_database_url: str) -> None:
    await write(fresh_database_url, 4, 80)
    with psycopg.connect(fresh_database_url, autocommit=True) as conn:
        conn.execute("UPDATE artifact_counts SET active = active + 1")
        conn.execute(
            "DELETE FROM versions WHERE position = (SELECT max(position) FROM versions WHERE number > 1)"
        )
        conn.execute("DELETE FROM contents WHERE digest = (SELECT details FROM artifacts LIMIT 1)")
    report = await rebuild(fresh_database_url)
    found = {difference.table: difference for difference in report.differences}
    assert set(found) == {"artifact_counts", "versions"}
    assert (found["versions"].only_live, found["versions"].only_rebuilt) == (0, 1)
    assert found["artifact_counts"].only_live == found["artifact_counts"].only_rebuilt > 0
    assert len(report.missing_parts) == 1
    with pytest.raises(AssertionError):
        invariants.check(fresh_database_url)


async def test_two_at_once_are_refused(fresh_database_url: str) -> None:
    with psycopg.connect(fresh_database_url, autocommit=True) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", (rebuilding.REBUILD_LOCK,))
        with pytest.raises(RebuildRunning):
            await rebuild(fresh_database_url)


async def test_an_empty_log_is_no_problem(fresh_database_url: str) -> None:
    assert (await rebuild(fresh_database_url)).equal


async def test_what_prompts_refer_to_is_rebuilt(fresh_database_url: str) -> None:
    prompt, contents = Prompt.create(
        id=uuid4(),
        version_id=uuid4(),
        name="agent",
        prompt=b'"@@@prompt:name=tone|version=1@@@ @@@prompt:name=tone|label=a@@@"',
    )
    changes = PromptChanges(prompt=b'"@@@prompt:name=tone|version=2@@@"')
    contents += prompt.publish(changes, version_id=uuid4(), base_version=1, texts={})
    async with await connect(fresh_database_url) as conn:
        await append(conn, [commit_of(prompt, contents, project_id=1)])
        rows = await (
            await conn.execute("SELECT number, name, version, label FROM prompt_references ORDER BY 1, 3")
        ).fetchall()
        assert rows == [(1, "tone", 0, "a"), (1, "tone", 1, ""), (2, "tone", 2, "")]
    assert (await rebuild(fresh_database_url)).equal
    with psycopg.connect(fresh_database_url) as conn:
        conn.execute("DELETE FROM prompt_references WHERE number = 2")
    report = await rebuild(fresh_database_url)
    assert [(found.table, found.only_rebuilt) for found in report.differences] == [("prompt_references", 1)]
