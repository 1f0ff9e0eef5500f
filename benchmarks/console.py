"""The console in a project of 100,000 skills: how long a page takes, and how large it is, beside what the API takes for the same rows."""

import asyncio
import random
from collections.abc import Callable
from statistics import median
from time import perf_counter

import httpx

from benchmarks import fill
from benchmarks.figures import milliseconds
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.search import follow
from benchmarks.stage import Stage, service
from benchmarks.versions import timed
from console.access import COOKIE
from store.postgres.pool import connect
from store.tables import console_sessions, identity

SKILLS, QUICK_SKILLS = 100_000, 5_000
REQUESTS = 20  # of each kind in a round
TARGET = 0.100  # seconds on the server
MAX_BYTES = 50_000  # of a page, as it is and not packed

Ask = Callable[[random.Random, int], str]


def _some(chance: random.Random, skills: int) -> str:
    return fill.name_of(chance.randrange(skills))


API: dict[str, Ask] = {
    "API, list of 50": lambda chance, skills: "llm_skills/?limit=50",
    "API, one skill": lambda chance, skills: f"llm_skills/name/{_some(chance, skills)}/",
    "API, search": lambda chance, skills: f"search?q={chance.choice(fill.TOPICS)}&limit=20",
}
PAGES: dict[str, Ask] = {
    "list, first page": lambda chance, skills: "skills",
    "list by name": lambda chance, skills: "skills?order_by=name",
    "list, one by its name": lambda chance, skills: f"skills?search={_some(chance, skills)}",
    "list, a 64th by description": lambda chance, skills: f"skills?search={chance.choice(fill.TOPICS)}",
    "list, unused for 30 days": lambda chance, skills: "skills?unused=30",
    "list, with problems": lambda chance, skills: "skills?problems=true",
    "search in all texts": lambda chance, skills: f"search?q={chance.choice(fill.TOPICS)}",
    "page of a skill": lambda chance, skills: f"skills/{_some(chance, skills)}",
    "timeline": lambda chance, skills: f"skills/{_some(chance, skills)}/timeline",
    "usage": lambda chance, skills: f"skills/{_some(chance, skills)}/usage",
    "audit": lambda chance, skills: "audit",
}


def run(on: Stage, plan: Plan) -> Table:
    """One API process, one request at a time, the kinds taking turns."""
    skills = SKILLS if plan.seconds >= 1 else QUICK_SKILLS
    started = perf_counter()
    key, project_id, secret = asyncio.run(_fill(on, skills))
    table = Table(
        title=f"Console: pages of a project of {skills:,} skills",
        head=("page", "p50 ms", "p99 ms", "bytes", "packed", "target"),
        notes=[
            f"{plan.rounds} × {REQUESTS} requests of each, over HTTP from the same machine. Filled in and searched in "
            f"{perf_counter() - started:.0f} s. The rows of the API are the floor."
        ],
    )
    with (
        service(on, workers=1, cached=False) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as http,
    ):
        asked = {
            **{name: (f"/api/projects/{project_id}/", ask) for name, ask in API.items()},
            **{name: (f"/console/projects/{project_id}/", ask) for name, ask in PAGES.items()},
        }
        headers = {
            "authorization": f"Bearer {key}",
            "cookie": f"{COOKIE}={secret}",
            "accept-encoding": "identity",
        }
        found: dict[str, list[float]] = {name: [] for name in asked}
        sizes = dict.fromkeys(asked, 0)
        packed = dict.fromkeys(asked, 0)
        for turn in range(-1, plan.rounds * REQUESTS):
            for number, (name, (root, ask)) in enumerate(asked.items()):
                path = root + ask(random.Random(turn * 1_000 + number), skills)

                def get(path: str = path, name: str = name) -> None:
                    answer = http.get(path, headers=headers)
                    if answer.status_code != 200:
                        raise RuntimeError(f"{path} answers {answer.status_code}")
                    sizes[name] = max(sizes[name], len(answer.content))

                took = timed(get)
                # The first turn prepares the statements.
                if turn >= 0:
                    found[name].append(took)
                else:
                    with http.stream("GET", path, headers={**headers, "accept-encoding": "gzip"}) as answer:
                        packed[name] = sum(map(len, answer.iter_raw()))
    for name, seconds in found.items():
        p50 = median(seconds)
        is_met = p50 <= TARGET and sizes[name] <= MAX_BYTES
        verdict = "" if name in API else f"{'≤' if is_met else 'MISSES'} 100 ms, 50 kB"
        p99 = sorted(seconds)[len(seconds) * 99 // 100]
        table.add(
            name, milliseconds(p50), milliseconds(p99), f"{sizes[name]:,}", f"{packed[name]:,}", verdict
        )
    return table


async def _fill(on: Stage, skills: int) -> tuple[str, int, str]:
    """A key that may do everything, its project, and the secret of a session."""
    async with await connect(on.database_url) as conn:
        project_id, _ = await fill.project(conn, "Shown", key=False)
        made, key = await identity.create_key(conn, email=fill.EMAIL, scopes=["*"], project_ids=[project_id])
        await fill.skills(conn, project_id, skills)
        await follow(on, conn)
        # What autovacuum does within a minute of such a load.
        await conn.execute("VACUUM (ANALYZE)")
        return key, project_id, await console_sessions.begin(conn, made.id, "benchmark")
