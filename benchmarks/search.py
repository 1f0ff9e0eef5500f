"""Search: how long one takes in one of 50 projects, over HTTP, how fast the follower takes skills in, and how good the order is.

The order is judged on skills of others, which are no part of this repository: the npm package is fetched once, into
``~/.cache/skald-bench/ecc``; where that cannot be done there is no such row. Each of ``JUDGED`` was written from the description of one
skill, in other words than its own where people have them; its score is one over the place of that skill, 0 below the tenth.
"""

import asyncio
import random
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from uuid import uuid4

import httpx

from benchmarks import fill
from benchmarks.figures import milliseconds
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import Server, Stage, service
from benchmarks.versions import timed
from domain.artifacts.skills import File, Skill, SkillFields
from domain.formats.skill_md import parse
from projections.declared import SEARCH
from projections.read.kinds import KINDS
from projections.write.artifacts import AppliedEvent, fold
from store.log.log import Commit, append, head
from store.log.mapper import to_stored
from store.postgres.connection import Connection
from store.postgres.pool import connect
from store.tables import checkpoints
from workers.event_buffer import EventBuffer
from workers.projections import ProjectionFollower

PROJECTS = 50
SKILLS, QUICK_SKILLS = 2_000, 100  # in each
REQUESTS = 20  # of each kind in a round
WORDS_TARGET, SYMBOL_TARGET = 0.015, 0.040  # seconds

VOCABULARY = 20_000
BODY_WORDS = 300  # some 2 KB
SYMBOLS = 500  # flags; one in 250 skills has a certain one

PACKAGE = "ecc-universal@2.0.0"
PLACE = Path.home() / ".cache" / "skald-bench" / "ecc"
FETCH_WITHIN = 120.0  # seconds


def run(on: Stage, plan: Plan) -> list[Table]:
    """One API process, one request at a time, the kinds taking turns."""
    each = SKILLS if plan.seconds >= 1 else QUICK_SKILLS
    chance = random.Random(30)
    words = Words(chance)
    judged = Table(
        title=f"Search: the order of {len(JUDGED)} questions over real skills",
        head=("by", "mean reciprocal rank", "first", "in ten"),
        notes=[],
    )
    with service(on, workers=1) as server:
        filled, key, project_id, followed = asyncio.run(_fill(on, words, each))
        table = Table(
            title=f"Search: ms a request in one of {PROJECTS} projects with {each:,} skills each",
            head=("sought", "p50", "p99", "target p50"),
            notes=[
                f"p50 of {plan.rounds} × {REQUESTS} requests, each with other words. Bodies have {BODY_WORDS} words of {VOCABULARY:,}.",
                f"{PROJECTS * each:,} skills were filled in in {filled:.0f} s; the follower took in {PROJECTS * each / followed:,.0f} a second.",
            ],
        )
        for name, seconds in _measure(server, plan, words, key, project_id).items():
            target = SYMBOL_TARGET if "symbol" in name else WORDS_TARGET if "word" in name else None
            p50 = median(seconds)
            verdict = "" if target is None else f"{'≤' if p50 <= target else 'MISSES'} {target * 1000:.0f}"
            table.add(
                name, milliseconds(p50), milliseconds(sorted(seconds)[len(seconds) * 99 // 100]), verdict
            )
        try:
            count, key, project_id = asyncio.run(_fill_real(on))
        except (OSError, subprocess.SubprocessError) as error:
            judged.notes.append(f"{PACKAGE} could not be fetched ({type(error).__name__}).")
        else:
            judged.notes.append(f"{count} skills of {PACKAGE} (npm).")
            _judge(server, judged, key, project_id)
    return [table, judged]


class Words:
    """Words as texts have them: few often, most seldom (Zipf)."""

    def __init__(self, chance: random.Random) -> None:
        syllables = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "is")]
        found: dict[str, None] = {}
        while len(found) < VOCABULARY:
            found["".join(chance.choices(syllables, k=chance.randint(2, 4)))] = None
        self.all = list(found)
        total = 0.0
        self._weights = [total := total + 1 / (rank + 2) for rank in range(VOCABULARY)]
        self._chance = chance

    def some(self, count: int) -> list[str]:
        return self._chance.choices(self.all, cum_weights=self._weights, k=count)

    def body(self) -> str:
        words = self.some(BODY_WORDS)
        lines = [" ".join(words[at : at + 12]) for at in range(0, BODY_WORDS, 12)]
        lines[0] = f"# {lines[0]}"
        lines[12] = f"## {lines[12]}"
        lines[-1] = f"Run `{words[0]} --{self.all[7 * self._chance.randrange(SYMBOLS)]}-{words[1]}`."
        return "\n".join(lines) + "\n"


async def _fill(on: Stage, words: Words, each: int) -> tuple[float, str, int, float]:
    """Seconds of filling; key and id of the last project; seconds of following."""
    started = perf_counter()
    async with await connect(on.database_url) as conn:
        for number in range(PROJECTS):
            project_id, key = await fill.project(conn, f"Searched {number}", key=number == PROJECTS - 1)
            batch: list[Commit] = []
            for place in range(each):
                fields = SkillFields(" ".join(words.some(12)).capitalize() + ".")
                batch.append(
                    _created(project_id, "-".join([*words.some(2), str(place)]), fields, words.body())
                )
                if len(batch) == fill.EVENTS or place == each - 1:
                    await append(conn, batch)
                    batch = []
        filled = perf_counter() - started
        started = perf_counter()
        await follow(on, conn)
        followed = perf_counter() - started
        # What autovacuum does within a minute of such a load.
        await conn.execute("VACUUM (ANALYZE)")
    return filled, key, project_id, followed


def _created(
    project_id: int, name: str, fields: SkillFields, body: str, files: tuple[File, ...] = ()
) -> Commit:
    skill, contents = Skill.create(
        id=uuid4(), version_id=uuid4(), name=name, fields=fields, body=body, files=files
    )
    texts = {content.digest: content.data for content in contents}
    rows = fold([AppliedEvent(skill, skill.pending[-1], project_id, 1, texts)], KINDS)
    return Commit(
        events=tuple(map(to_stored, skill.collect_events())),
        command_id=uuid4(),
        project_id=project_id,
        actor_id=1,
        key_id=uuid4(),
        correlation_id=uuid4().hex,
        contents=(*contents, *rows.parts),
        writes=rows.writes,
    )


async def follow(on: Stage, conn: Connection) -> None:
    """Run the follower until it is at the end of the log."""
    news, stop = EventBuffer(), asyncio.Event()
    running = [
        asyncio.create_task(task.run(on.database_url, stop))
        for task in (news, ProjectionFollower(news, SEARCH))
    ]
    while (await checkpoints.positions(conn)).get(SEARCH.name) != await head(conn):
        await asyncio.sleep(0.1)
    stop.set()
    await asyncio.gather(*running)


def _measure(server: Server, plan: Plan, words: Words, key: str, project_id: int) -> dict[str, list[float]]:
    chance = random.Random(31)

    def word(first: int, last: int) -> str:
        return words.all[chance.randrange(first, last)]

    def mistyped() -> str:
        found = word(300, 3_000) + word(300, 400)
        return found[:3] + found[4] + found[3] + found[5:]

    asks: dict[str, Callable[[], str]] = {
        "a frequent word": lambda: word(0, 100),
        "a rare word": lambda: word(1_000, 10_000),
        "two words": lambda: f"{word(20, 500)} {word(20, 500)}",
        "three words, one left out": lambda: f"{word(0, 50)} {word(0, 50)} -{word(100, 200)}",
        "a symbol": lambda: f"--{words.all[7 * chance.randrange(SYMBOLS)]}-{word(0, 30)}",
        "a part of a symbol": lambda: f"--{words.all[7 * chance.randrange(SYMBOLS)]}",
        "a phrase": lambda: f'"{word(0, 20)} {word(0, 20)}"',
        "a mistyped one": mistyped,
        "in all versions": lambda: f"{word(20, 500)}&ever=true",
    }
    found: dict[str, list[float]] = {name: [] for name in asks}
    headers = {"authorization": f"Bearer {key}"}
    root = f"/api/projects/{project_id}/search?q="
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60, headers=headers) as http:
        for turn in range(-2, plan.rounds * REQUESTS):
            for name, ask in asks.items():
                path = root + ask().replace(" ", "+").replace('"', "%22")

                def get(path: str = path) -> None:
                    http.get(path).raise_for_status()

                took = timed(get)
                # The first turns prepare the statements.
                if turn >= 0:
                    found[name].append(took)
    return found


async def _fill_real(on: Stage) -> tuple[int, str, int]:
    async with await connect(on.database_url) as conn:
        project_id, key = await fill.project(conn, "Real")
        batch = [_created(project_id, name, fields, body) for name, fields, body in _real()]
        await append(conn, batch)
        await follow(on, conn)
        await conn.execute("VACUUM (ANALYZE)")
    return len(batch), key, project_id


def _real() -> Iterator[tuple[str, SkillFields, str]]:
    """Name, fields and body of each skill in English. Raises OSError, SubprocessError when there is no npm or no registry."""
    archives = list(PLACE.glob("*.tgz"))
    if not archives:
        PLACE.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["npm", "pack", "--silent", PACKAGE],
            cwd=PLACE,
            check=True,
            capture_output=True,
            timeout=FETCH_WITHIN,
        )
        archives = list(PLACE.glob("*.tgz"))
    with tarfile.open(archives[0]) as archive:
        for member in archive:
            parts = member.name.split("/")
            if parts[:2] != ["package", "skills"] or parts[3:] != ["SKILL.md"]:
                continue
            opened = archive.extractfile(member)
            assert opened is not None
            document = parse(opened.read()).document
            if document is not None:
                yield parts[2], SkillFields(document.description), document.body


def _judge(server: Server, table: Table, key: str, project_id: int) -> None:
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60, headers=headers) as http:
        ranks = []
        for question, wanted in JUDGED:
            path = f"/api/projects/{project_id}/llm_skills/search"
            answer = http.get(path, params={"query": question}).raise_for_status().json()
            names = [hit["name"] for hit in answer["results"]]
            ranks.append(names.index(wanted) + 1 if wanted in names else None)
    scores = [1 / rank if rank else 0 for rank in ranks]
    table.add(
        "llm_skills/search",
        f"{sum(scores) / len(scores):.3f}",
        f"{sum(rank == 1 for rank in ranks)} of {len(ranks)}",
        f"{sum(rank is not None for rank in ranks)} of {len(ranks)}",
    )


# A question, and the skill that answers it.
JUDGED = (
    ("postgres index tuning", "postgres-patterns"),
    ("write unit tests in rust", "rust-testing"),
    ("pytest fixtures", "python-testing"),
    ("how do I roll back a schema migration without downtime", "database-migrations"),
    ("docker compose networking", "docker-patterns"),
    ("playwright page object", "e2e-testing"),
    ("sql injection in django", "django-security"),
    ("hibernate entity relationships", "jpa-patterns"),
    ("design REST endpoints with pagination", "api-design"),
    ("HIPAA", "hipaa-compliance"),
    ("protect patient data", "healthcare-phi-compliance"),
    ("BGP neighbor down", "network-bgp-diagnostics"),
    ("ssh to switches from python", "netmiko-ssh-automation"),
    ("cisco access list review", "cisco-ios-patterns"),
    ("wireguard vlan at home", "homelab-network-readiness"),
    ("post a thread on twitter", "x-api"),
    ("pitch deck for investors", "investor-materials"),
    ("cold email to a venture fund", "investor-outreach"),
    ("animated math explainer video", "manim-video"),
    ("kubernets canary deployment health checks", "deployment-patterns"),
    ("convert powerpoint to html slides", "frontend-slides"),
    ("optimize react rerenders", "react-performance"),
    ("testing-library msw", "react-testing"),
    ("nestjs guards and interceptors", "nestjs-patterns"),
    ("prisma transactions", "prisma-patterns"),
    ("clickhouse analytics queries", "clickhouse-io"),
    ("swift actors for storage", "swift-actor-persistence"),
    ("flutter widgets null safety", "dart-flutter-patterns"),
    ("kotlin flow cancellation", "kotlin-coroutines-flows"),
    ("ktor authentication", "kotlin-ktor-patterns"),
    ("table-driven tests", "golang-testing"),
    ("perl taint mode", "perl-security"),
    ("googletest", "cpp-testing"),
    ("pydantic dependency injection", "fastapi-patterns"),
    ("csrf protection in laravel", "laravel-security"),
    ("jira ticket status", "jira-integration"),
    ("grafana dashboard", "dashboard-builder"),
    ("build an mcp server with zod", "mcp-server-patterns"),
    ("keccak hashing in javascript", "nodejs-keccak256"),
    ("reentrancy in solidity pools", "defi-amm-security"),
    ("search patents", "scientific-db-uspto-database"),
    ("pubmed literature", "scientific-db-pubmed-database"),
    ("translate visa documents", "visa-doc-translate"),
    ("customs tariff classification", "customs-trade-compliance"),
    ("negotiate freight rates with carriers", "carrier-relationship-management"),
    ("safety stock and reorder points", "inventory-demand-planning"),
    ("core web vitals and structured data", "seo"),
    ("cache results by content hash", "content-hash-cache-pattern"),
    ("refund a subscription", "customer-billing-ops"),
    ("blender rig animation", "blender-motion-state-inspection"),
)
