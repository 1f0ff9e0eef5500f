"""Suggestions of a large project come from candidates of a bounded number; the name that was meant is among them."""

import psycopg
import pytest

from projections.read.suggestions import CLOSEST, FEW, close_names, edits, starts
from store.postgres.pool import connect

PROJECT, SMALL = 1, 2
MEANT = "pdf-form-filler"
NAMES = """
INSERT INTO active_names
SELECT %(project)s, 'skill', name, md5(name || %(project)s)::uuid
FROM (SELECT 'skill-' || lpad(n::text, 6, '0') FROM generate_series(1, %(count)s) AS n UNION ALL SELECT %(meant)s) AS made (name)
"""
COUNTS = "INSERT INTO artifact_counts SELECT project_id, kind, count(*) FROM active_names GROUP BY 1, 2"
SPANS = "INSERT INTO name_spans SELECT stream_id, project_id, kind, name, 1, 5 FROM active_names"


@pytest.fixture
def url(fresh_database_url: str) -> str:
    with psycopg.connect(fresh_database_url, autocommit=True) as conn:
        for project, count in ((PROJECT, 2 * FEW), (SMALL, 10)):
            conn.execute(NAMES, {"project": project, "count": count, "meant": MEANT})
        conn.execute(SPANS)
        conn.execute(COUNTS)
        conn.execute("VACUUM ANALYZE")
    return fresh_database_url


async def test_what_was_meant_is_suggested_in_a_project_of_any_size(url: str) -> None:
    slips = (
        "pfd-form-filler",  # two swapped
        "df-form-filler",  # one too few
        "ppdf-form-filler",  # one too many
        "xdf-form-filler",  # another
        "pdf-form-fillerr",
        "pdf-form-fillre",
        "pdf-form-fill",  # its start
        "pdf-form-filler-for-all",  # what begins with it
        "my-pdf-form-filler",  # its words behind another
    )
    async with await connect(url) as conn:
        for project in (PROJECT, SMALL):
            for name in slips:
                assert MEANT in await close_names(conn, project, "skill", name), name
                assert MEANT in await close_names(conn, project, "skill", name, 3), name
                assert await close_names(conn, project, "skill", name, 6) == []
        near = await close_names(conn, PROJECT, "skill", "skill-0012x4")
        assert len(near) == 3
        assert "skill-001204" in near
        assert await close_names(conn, PROJECT, "prompt", MEANT) == []
        assert await close_names(conn, PROJECT, "skill", "zebra") == []
        assert await close_names(conn, PROJECT, "skill", "nul\0") == []


async def test_what_resembles_a_name_is_what_the_operator_of_pg_trgm_says(url: str) -> None:
    """The operator itself is not asked: to plan for it, the planner compares a name with hundreds of others."""
    assert "%%" not in CLOSEST
    async with await connect(url) as conn:
        for name in (
            "pdf",
            "filler",
            "pdf-x",
            "form-of-a-file",
            "skill",
            "pdf-form-filler-and-many-more-words-of-a-long-name",
        ):
            found = await close_names(conn, SMALL, "skill", name)
            cursor = await conn.execute(
                "SELECT name FROM active_names WHERE project_id = %s AND name %% %s ORDER BY similarity(name, %s) DESC, name LIMIT 3",
                (SMALL, name, name),
            )
            assert found == [row[0] for row in await cursor.fetchall()], name


def test_the_candidates_are_bounded_whatever_the_name() -> None:
    for name in ("", "a", "a-b" * 1000, "Ä_ö" * 1000, "-" * 5000):
        heads, rest = edits(name)
        assert len(heads) <= 1_300
        assert max(map(len, heads)) <= 20
        assert name[1:255] in {head + rest for head in heads}
        assert 1 <= len(starts(name)) <= 8
        assert all(len(one) <= 256 for one in (head + rest for head in heads))
        assert all(len(one) <= 255 for one in starts(name))
