"""What a filtered page looks through is bounded: it says how far it came, and the next one goes on from there."""

from uuid import UUID

import psycopg
import pytest

from projections.events import audit, feed
from projections.sizes import MAX_ANSWER
from store.postgres.pool import connect
from tests.support.plans import MODES, Mode, explain, nodes

EVENTS = 3 * feed.MAX_LOOKED
PROJECT, STREAM = 1, UUID(int=1)
LAST = EVENTS + 1

# Publishes of a thousand skills, then one archive.
FILL = """
INSERT INTO events (position, stream_id, stream_version, topic, state, recorded_at, project_id, actor_id, command_id)
SELECT n, lpad(to_hex(n %% 1000 + 2), 32, '0')::uuid, n / 1000 + 1, 'skill.published', '{}'::bytea, now(), 1, 1, gen_random_uuid()
FROM generate_series(1, %(events)s) AS n
UNION ALL
SELECT %(events)s + 1, %(stream)s, 1, 'skill.archived', '{}'::bytea, now(), 1, 1, gen_random_uuid()
"""
NAMES = """
INSERT INTO artifacts (stream_id, project_id, kind, name, created_position, created_at, latest_version, latest_id, latest_at,
                       body, details)
SELECT DISTINCT ON (stream_id) stream_id, 1, 'skill', 'skill-' || stream_id, 1, now(), 1, stream_id, now(), ''::bytea, ''::bytea FROM events
"""
SPANS = "INSERT INTO name_spans SELECT stream_id, project_id, kind, name, created_position FROM artifacts"


@pytest.fixture
def url(fresh_database_url: str) -> str:
    with psycopg.connect(fresh_database_url, autocommit=True) as conn:
        conn.execute(FILL, {"events": EVENTS, "stream": STREAM})
        conn.execute(NAMES)
        conn.execute(SPANS)
        conn.execute("VACUUM ANALYZE")
    return fresh_database_url


def values(topics: list[str] | None, name: str | None) -> dict[str, object]:
    kind = None if name is None else "skill"
    some = {"topics": topics, "kind": kind, "name": name, "max_bytes": MAX_ANSWER}
    return {"project": PROJECT, "after": 0, "limit": 100, **some}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("sql", "topics", "name", "looked"),
    [
        (feed.BOUNDED, ["skill.archived"], None, feed.MAX_LOOKED),
        (feed.OF_SUBJECT, None, "no-such-skill", 0),
        (feed.OF_SUBJECT, None, f"skill-{UUID(int=2)}", EVENTS // 1000 + 1),
    ],
)
def test_a_page_looks_at_no_more_than_it_may(
    url: str, sql: str, topics: list[str] | None, name: str | None, looked: int, mode: Mode
) -> None:
    plan = explain(url, sql, values(topics, name), mode)
    events = [node for node in nodes(plan) if node.get("Relation Name") == "events"]
    rows = [
        node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        for node in events
    ]
    assert max(rows) <= looked + 1, [(node["Node Type"], node.get("Index Name")) for node in events]


async def test_following_the_pages_finds_what_is_behind_them(url: str) -> None:
    positions, after = [], 0
    async with await connect(url) as conn:
        while True:
            items, complete = await feed.page(
                conn, PROJECT, after=after, limit=10, topics=["skill.archived"], bounded=True
            )
            positions.append((complete, len(items)))
            if complete == after:
                break
            after = complete
    assert positions == [
        *((n * feed.MAX_LOOKED, 0) for n in (1, 2)),
        (LAST - 1, 0), (LAST, 1), (LAST, 0),
    ]  # fmt: skip


async def test_so_does_the_audit(url: str) -> None:
    found, after = [], 0
    async with await connect(url) as conn:
        for _ in range(10):
            some, complete = await audit.page(
                conn, PROJECT, audit.AuditFilter(topics=["skill.archived"]), after=after, upto=LAST, limit=10
            )
            assert complete - after <= feed.MAX_LOOKED
            found += some
            after = complete
    assert [one.recorded.position for one in found] == [LAST]
