"""Counts of the projection ``activity``: bounded rows, all of the total, the days in order."""

from datetime import date

import psycopg
import pytest

from projections.read import activity
from projections.read.activity import Period, counts
from store.postgres.pool import connect

FILL = """
INSERT INTO activity SELECT 1, date '2026-03-01' + n % 10, md5((n % 7)::text)::uuid, n % 3, 'skill', 2,
    timestamptz '2026-03-01Z' + n * interval '1 hour', timestamptz '2026-03-01Z' + (n + 1) * interval '1 hour'
FROM generate_series(1, 30) AS n ON CONFLICT DO NOTHING
"""
MARCH = Period(date(2026, 3, 1), date(2026, 3, 31))


@pytest.mark.parametrize("limit", [1000, 4])
async def test_given_more_rows_than_an_answer_holds_then_the_total_counts_them(
    fresh_database_url: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "MAX_ROWS", limit)
    queries = {by: activity._query(*parts) for by, parts in activity.BY.items()}
    monkeypatch.setattr(activity, "QUERIES", queries)
    with psycopg.connect(fresh_database_url) as conn:
        conn.execute(FILL)
        conn.execute("INSERT INTO checkpoints (follower, position) VALUES ('activity', 77)")
        row = conn.execute("SELECT sum(publishes)::int, count(DISTINCT day)::int FROM activity").fetchone()
    assert row is not None
    total, days = row
    async with await connect(fresh_database_url) as conn:
        found = await counts(conn, 1, ["skill", "prompt"], MARCH, "day")
        nothing = await counts(conn, 2, ["skill"], MARCH, "name")
        other = await counts(conn, 1, ["prompt"], MARCH, "author")
    shown = [count.key[0] for count in found.rows]
    assert (found.position, found.total, found.found, len(shown)) == (77, total, days, min(limit, days))
    assert shown == sorted(shown), "in their order"
    assert shown[-1] == date(2026, 3, 10), "the last ones"
    assert (nothing.total, nothing.rows) == (other.total, other.rows) == (0, [])
    assert nothing.position == 77
