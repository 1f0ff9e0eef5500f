"""What years leave: a project of hundreds of thousands of skills, and the requests that once looked at all of it."""

import asyncio
from pathlib import Path
from statistics import median

import httpx

from benchmarks import fill
from benchmarks.figures import milliseconds
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import Server, Stage, service
from benchmarks.versions import timed
from store.postgres.connection import Connection
from store.postgres.pool import connect

SKILLS, QUICK_SKILLS = 300_000, 2_000
VERSIONS = 6
TOGETHER = 2_000  # skills of one transaction
REQUESTS = 10  # of each kind in a round

GROW = (Path(__file__).parent / "grow.sql").read_text()
INDEX = "SELECT indexdef FROM pg_indexes WHERE indexname = 'search_texts_trigrams'"

# What is asked, the most that it may take, and the status of the answer.
ASKS = (
    ("404 with suggestions", "llm_skills/name/skill-0012x4", 20, 404),
    ("404, a long name", "llm_skills/name/a-long-name-of-a-skill-with-many-words", 20, 404),
    ("404 of then", "llm_skills/name/skill-0012x4?position=then", 50, 404),
    ("feed, a type that none has", "events/?type=skald.skill.archived.v1", 50, 200),
    ("feed, a name that nothing has", "events/?subject=skill/none", 50, 200),
    ("audit, a type that none has", "audit/?type=skald.skill.archived.v1", 50, 200),
)


def run(on: Stage, plan: Plan) -> Table:
    """One API process that keeps no answers, one request at a time."""
    count = SKILLS if plan.seconds >= 1 else QUICK_SKILLS
    project_id, key, then = asyncio.run(_fill(on, count))
    table = Table(
        title=f"Years of use: ms a request in a project of {count:,} skills with {VERSIONS} versions each",
        head=("request", "p50", "most", "target"),
        notes=[
            "Copied row by row in the database from one skill that was written through the product's own append."
        ],
    )
    with service(on, workers=1, cached=False) as server, _client(server, project_id, key) as http:
        for name, path, target, status in ASKS:
            path = path.replace("=then", f"={then}")
            seconds = _measure(http, path, status, plan.rounds * REQUESTS)
            verdict = "≤" if median(seconds) * 1000 <= target else "MISSES"
            table.add(name, milliseconds(median(seconds)), milliseconds(max(seconds)), f"{verdict} {target}")
    return table


def _client(server: Server, project_id: int, key: str) -> httpx.Client:
    base = f"http://127.0.0.1:{server.port}/api/projects/{project_id}/"
    return httpx.Client(base_url=base, headers={"authorization": f"Bearer {key}"}, timeout=60)


def _measure(http: httpx.Client, path: str, status: int, times: int) -> list[float]:
    def get() -> None:
        answer = http.get(path)
        assert answer.status_code == status, answer.text

    # The first ones prepare the statements.
    return [timed(get) for _ in range(times + 6)][6:]


async def _fill(on: Stage, count: int) -> tuple[int, str, int]:
    """The project, its key, and a position at which all of it was there."""
    async with await connect(on.database_url) as conn:
        project_id, key = await fill.project(conn, "Years")
        await fill.skills(conn, project_id, 1, versions=VERSIONS)
        await grow(conn, project_id, count)
        row = await (await conn.execute("SELECT max(position) FROM events")).fetchone()
        assert row is not None
        return project_id, key, row[0]


async def grow(conn: Connection, project_id: int, count: int) -> None:
    """Copies of skill number 0 of a project until it has ``count`` of them."""
    row = await (await conn.execute(INDEX)).fetchone()
    assert row is not None
    # Row by row, the index takes longer than all the rest.
    await conn.execute("DROP INDEX search_texts_trigrams")
    for first in range(1, count, TOGETHER):
        last = min(first + TOGETHER, count) - 1
        await conn.execute(GROW, {"project": project_id, "first": first, "last": last})
    await conn.execute(row[0])
    await conn.execute("VACUUM (ANALYZE)")
