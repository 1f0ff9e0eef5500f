"""Whatever is damaged: `verify` reports it, `replay` refuses or repairs it, and neither ends in between."""

from typing import LiteralString

import psycopg
import pytest

from projections.rebuild.rebuild import LogDamaged, replay
from projections.rebuild.verify import verify
from store.log.log import append
from store.postgres.pool import connect
from tests.support.histories import commit_of, created, new_skill, published
from tests.support.rewinding import changing_the_log

SKILL = "(SELECT stream_id FROM artifacts WHERE name = 'one')"
LAST = f"stream_id = {SKILL} AND stream_version = 3"

# What the log itself or a content has lost: no read model can be made of it.
LOG: dict[str, LiteralString] = {
    "a version is skipped": f"""
        UPDATE events SET stream_version = 4, state = convert_to(replace(convert_from(state, 'UTF8'),
            '"originator_version":3', '"originator_version":4'), 'UTF8') WHERE {LAST}""",
    "a stream has no beginning": f"DELETE FROM events WHERE stream_id = {SKILL} AND stream_version = 1",
    "a stream has a hole": f"DELETE FROM events WHERE stream_id = {SKILL} AND stream_version = 2",
    "an event has another state": f"UPDATE events SET state = '{{}}' WHERE {LAST}",
    "a state is no JSON": f"UPDATE events SET state = '\\xff00' WHERE {LAST}",
    "a state is that of another stream": f"""
        UPDATE events SET state = (SELECT state FROM events AS o WHERE stream_id <> {SKILL} ORDER BY position LIMIT 1) WHERE {LAST}""",
    "a topic is unknown": f"UPDATE events SET topic = 'skill.forgotten' WHERE {LAST}",
    "an event has no project": f"UPDATE events SET project_id = NULL WHERE {LAST}",
    "a body is lost": "DELETE FROM contents WHERE digest = (SELECT body FROM artifacts WHERE name = 'one')",
}
# What can be made anew.
MODELS: dict[str, LiteralString] = {
    "a version is not in its table": "DELETE FROM versions WHERE number = 2",
    "details are lost": "DELETE FROM contents WHERE digest = (SELECT details FROM artifacts WHERE name = 'one')",
    "a manifest is lost": "DELETE FROM contents WHERE digest IN (SELECT manifest FROM versions)",
}
# What is only found.
FOUND: dict[str, LiteralString] = {
    "times run backwards": "UPDATE events SET recorded_at = recorded_at - interval '1 day' WHERE position = 4",
    "a manifest has other bytes": "UPDATE contents SET bytes = '\\x00ff' WHERE digest IN (SELECT manifest FROM versions)",
    "a name is given twice": f"""
        UPDATE events SET state = convert_to(replace(convert_from(state, 'UTF8'), '"two"', '"one"'), 'UTF8')
        WHERE stream_id <> {SKILL} AND stream_version = 1""",
    "a file is lost": "DELETE FROM contents WHERE bytes = 'a file'",
    "an event is parked": "INSERT INTO dead_letters SELECT 'activity', position, stream_id, 'poison' FROM events WHERE position = 1",
}


@pytest.fixture
async def dsn(fresh_database_url: str) -> str:
    from domain.artifacts.skills import File

    async with await connect(fresh_database_url) as conn:
        skill, contents = new_skill("one", files=[File("a.txt", b"a file", "text/plain")])
        await append(conn, [commit_of(skill, contents)])
        for body in ("# Two\n", "# Three\n"):
            skill, commit = published(skill, body)
            await append(conn, [commit])
        await append(conn, [created("two")[1]])
    return fresh_database_url


def damage(dsn: str, statement: LiteralString) -> None:
    with changing_the_log(dsn) as conn:
        conn.execute(statement)


async def broken(dsn: str) -> dict[str, tuple[str, ...]]:
    return {check.name: check.findings for check in (await verify(dsn)).checks if not check.holds}


@pytest.mark.parametrize("what", LOG)
async def test_a_damaged_log_is_reported_and_not_replayed(dsn: str, what: str) -> None:
    damage(dsn, LOG[what])
    with psycopg.connect(dsn) as conn:
        before = conn.execute("SELECT * FROM versions ORDER BY position").fetchall()

    found = await broken(dsn)
    with pytest.raises(LogDamaged, match="the log is damaged"):
        await replay(dsn)

    assert found["every event can be folded"], found
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT * FROM versions ORDER BY position").fetchall() == before
        assert conn.execute("SELECT to_regnamespace('rebuild')").fetchone() == (None,)


@pytest.mark.parametrize("what", MODELS)
async def test_what_the_log_gives_is_reported_and_made_anew(dsn: str, what: str) -> None:
    damage(dsn, MODELS[what])

    found = await broken(dsn)
    await replay(dsn)

    assert found
    assert await broken(dsn) == {}


@pytest.mark.parametrize("what", FOUND)
async def test_what_is_damaged_beside_is_reported(dsn: str, what: str) -> None:
    damage(dsn, FOUND[what])

    found = await broken(dsn)
    await replay(dsn)

    assert found


async def test_the_other_streams_are_compared_all_the_same(dsn: str) -> None:
    damage(dsn, LOG["a stream has a hole"])
    damage(dsn, "UPDATE artifacts SET latest_version = 7 WHERE name = 'two'")

    found = await broken(dsn)

    assert any(
        finding.startswith("artifacts: 2 rows") for finding in found["read models are the fold of the log"]
    ), found
