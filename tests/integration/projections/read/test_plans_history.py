"""Questions about the past go by an index, also in a log where most events are about something else."""

from typing import Any

import psycopg
import pytest

from api.commands import repository
from projections.events import archives, audit, feed, history
from projections.read import past
from projections.sizes import MAX_ANSWER
from tests.support.plans import MODES, Mode, explain, nodes

STREAM = "00000000-0000-0000-0000-000000000007"

# 40,000 events of 200 streams in 20 projects, and 50 archived lives of one name in project 1.
FILL = f"""
INSERT INTO events (position, stream_id, stream_version, topic, state, recorded_at, project_id, actor_id, command_id)
SELECT n, lpad(to_hex(n % 200), 32, '0')::uuid, 1 + n / 200, 'skill.published', '{{}}',
       timestamptz '2030-01-01' + n * interval '1 second', 1 + n % 20, 1, gen_random_uuid()
FROM generate_series(1, 40000) AS n;
INSERT INTO contents VALUES (sha256(''), '');
INSERT INTO artifacts (stream_id, project_id, kind, name, created_position, created_at, archived_position, archived_at,
                       latest_version, latest_id, latest_at, body, details)
SELECT CASE n WHEN 1 THEN '{STREAM}' ELSE gen_random_uuid() END, 1 + n % 100, 'skill', 'name-' || n % 100, n, now(),
       CASE WHEN n % 10 = 0 THEN n END, CASE WHEN n % 10 = 0 THEN now() END, 1, gen_random_uuid(), now(),
       sha256(''), sha256('')
FROM generate_series(1, 5000) AS n;
INSERT INTO name_spans
SELECT stream_id, project_id, kind, name, created_position, archived_position FROM artifacts;
INSERT INTO versions (stream_id, number, id, stream_version, position, created_at, body, details)
SELECT '{STREAM}', n, gen_random_uuid(), n, n, now(), sha256(''), sha256('') FROM generate_series(1, 5000) AS n;
INSERT INTO organizations (name) SELECT 'o' || n FROM generate_series(1, 3) AS n;
INSERT INTO users (distinct_id, email) SELECT n::text, n || '@example.com' FROM generate_series(1, 2000) AS n;
INSERT INTO keys (id, user_id, digest, prefix, scopes)
SELECT gen_random_uuid(), n, sha256(n::text::bytea), 'sk', '{{*}}' FROM generate_series(1, 2000) AS n;
ANALYZE;
"""

LARGE = {"events", "artifacts", "name_spans", "versions", "users", "keys"}

PAGE: dict[str, Any] = {
    "project": 1,
    "kind": "skill",
    "limit": 50,
    "offset": 0,
    "body": False,
    "max_bytes": MAX_ANSWER,
}
AUDIT: dict[str, Any] = {
    "project": 1, "after": 30_000, "upto": 40_000, "limit": 100, "max_bytes": MAX_ANSWER, "topics": None, "key_topics": list(audit.KEY_TOPICS),
    "share_topics": list(audit.SHARE_TOPICS),
    "actor": None, "key": None, "kind": None, "name": None, "policies": "00000000-0000-0000-0000-000000000001",
    "mirror": "00000000-0000-0000-0000-000000000002",
}  # fmt: skip
PART: dict[str, Any] = {"streams": [STREAM], "first": [1], "last": [2**31 - 1], "upto": 40_000}
READS: dict[str, tuple[str, Any]] = {
    "streams of a name": (history.SPANS, {"project": 1, "kind": "skill", "name": "name-0", "all": True}),
    "count of a history": (history.COUNT, PART),
    "page of a history": (
        history.EVENTS,
        {**PART, "limit": 50, "offset": 50, "max_bytes": MAX_ANSWER},
    ),
    "people": (history.PEOPLE, ([1, 2, 3],)),
    "lines of a blame": (history.LINES, (STREAM, [1, 50, 900])),
    "archived": (archives.ARCHIVED, PAGE),
    "count of archived": (archives.COUNT, PAGE),
    "archived then": (archives.ARCHIVED_THEN, {**PAGE, "at": 2500}),
    "what a name was": (
        archives.LAST_OF_NAME,
        {"project": 1, "kind": "skill", "name": "name-0", "at": 40_000},
    ),
    "what an event left": (past.BY_STREAM, {"stream": STREAM, "at": 2500, "number": None}),
    "what can be restored": (
        repository.FIND_ARCHIVED,
        ("s", 1, "skill", "name-0", "name-0", None, None, None),
    ),
    "audit": (audit.PAGE, AUDIT),
    "audit of a name": (audit.PAGE, {**AUDIT, "kind": "skill", "name": "name-0"}),
    "feed of a name": (
        feed.OF_SUBJECT,
        {
            "project": 1,
            "after": 30_000,
            "topics": None,
            "kind": "skill",
            "name": "name-0",
            "mirror": "00000000-0000-0000-0000-000000000002",
            "limit": 100,
            "max_bytes": MAX_ANSWER,
        },
    ),
}


@pytest.fixture
def filled(fresh_database_url: str) -> str:
    with psycopg.connect(fresh_database_url, autocommit=True) as conn:
        conn.execute(FILL)
    return fresh_database_url


@pytest.mark.parametrize("mode", MODES)
def test_no_question_about_the_past_reads_a_whole_table(filled: str, mode: Mode) -> None:
    for name, (sql, values) in READS.items():
        plan = explain(filled, sql, values, mode)
        scanned = {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}
        assert not scanned & LARGE, (name, scanned)
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 2_500, (name, plan)
