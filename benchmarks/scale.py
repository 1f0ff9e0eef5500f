"""What size costs: the same requests in a small and a large project, and to a skill of few and of many versions."""

import asyncio
import random
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter

import httpx
import msgspec

from benchmarks import fill
from benchmarks.figures import milliseconds
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import Server, Stage, service
from benchmarks.versions import timed
from store.postgres.pool import connect

TARGET = 2.0  # times the p50 of the smallest
REQUESTS = 20  # of each kind in a round
SMALL, LARGE, QUICK_LARGE = 1_000, 100_000, 10_000
FEW, MANY, QUICK_MANY = 10, 10_000, 1_000

# Projects, skills in each, versions of each skill: the same number of versions in all, divided in different ways.
SHAPES = ((1, 10_000, 1), (100, 100, 1), (1, 500, 20), (10, 50, 20), (1, 10, 1_000))
QUICK_SHAPES = ((1, 1_000, 1), (10, 100, 1), (1, 50, 20), (1, 1, 1_000))


class Place(msgspec.Struct, frozen=True):
    """A project to ask. ``skills`` is how many it has, ``versions`` how many each of them."""

    project_id: int
    key: str
    skills: int
    versions: int = 1


# What is asked of a place, given a source of chance: a path below its skills.
Ask = Callable[[Place, random.Random], str]


def some(place: Place, chance: random.Random) -> int:
    return chance.randrange(place.skills)


LISTS: dict[str, Ask] = {
    "list, first page": lambda place, chance: "",
    "list by name": lambda place, chance: "?order_by=name",
    "search, one by its name": lambda place, chance: f"?search={fill.name_of(some(place, chance))}",
    "search, one by its description": lambda place, chance: f"?search=number {some(place, chance):06d}",
    "search, a 64th by description": lambda place, chance: f"?search={chance.choice(fill.TOPICS)}",
    "search, all": lambda place, chance: "?search=fills",
    "search, none": lambda place, chance: f"?search=zebra{some(place, chance)}",
    "resolve, first page": lambda place, chance: f"resolve/name/{fill.name_of(some(place, chance))}",
    "get, not cached": lambda place, chance: f"name/{fill.name_of(some(place, chance))}",
    "list, offset of a half": lambda place, chance: f"?offset={place.skills // 2}",
    "list, last page by offset": lambda place, chance: f"?offset={max(place.skills - 100, 0)}",
}
HISTORIES: dict[str, Ask] = {
    "resolve, first page": lambda place, chance: f"resolve/name/{fill.name_of(0)}",
    "get latest": lambda place, chance: f"name/{fill.name_of(0)}",
    "get old, not cached": lambda place, chance: (
        f"name/{fill.name_of(0)}?version={chance.randint(1, place.versions)}"
    ),
    "resolve, last page by version": lambda place, chance: (
        f"resolve/name/{fill.name_of(0)}?before_version={min(51, place.versions)}"
    ),
    "resolve, last page by offset": lambda place, chance: (
        f"resolve/name/{fill.name_of(0)}?offset={max(place.versions - 50, 0)}"
    ),
}
# How deep an offset goes is for the caller to choose, so it is shown without a target.
SHOWN = ("offset", "a 64th", "all")
IN_SHAPES = (
    "list, first page",
    "search, one by its name",
    "search, one by its description",
    "resolve, first page",
    "get, not cached",
)


def run(on: Stage, plan: Plan) -> list[Table]:
    """One API process, one request at a time, the sizes taking turns within each round."""
    full = plan.seconds >= 1
    large, many = (LARGE, MANY) if full else (QUICK_LARGE, QUICK_MANY)
    started = perf_counter()
    small_place, large_place, few_place, many_place, shapes = asyncio.run(
        _fill(on, large, many, SHAPES if full else QUICK_SHAPES)
    )
    took = f"All was filled in {perf_counter() - started:.0f} s through the product's own fold and append."
    asked = f"p50 of {plan.rounds} × {REQUESTS} requests, each kind in turns. No process keeps an answer; get latest comes from Redis."
    # Else a history of 10 versions would soon be in the cache as a whole, and a long one not.
    with service(on, workers=1, cached=False) as server:
        sizes = _compare(
            f"Size of a project: ms a request at {SMALL:,} and at {large:,} skills",
            server, plan, LISTS, [small_place, large_place], [f"{SMALL:,}", f"{large:,}"],
        )  # fmt: skip
        histories = _compare(
            f"Length of a history: ms a request to a skill of {FEW:,} and of {many:,} versions",
            server, plan, HISTORIES, [few_place, many_place], [f"{FEW:,}", f"{many:,}"],
        )  # fmt: skip
        by_shape = Table(
            title="Projects × skills × versions: ms a request, p50",
            head=("projects", "skills each", "versions each", *IN_SHAPES),
            notes=["All in one database, beside the projects of the tables above."],
        )
        asks = {name: LISTS[name] for name in IN_SHAPES}
        found = measure(server, plan, asks, [place for _, place in shapes])
        for (projects, place), seconds in zip(shapes, found, strict=True):
            by_shape.add(
                f"{projects:,}", f"{place.skills:,}", f"{place.versions:,}",
                *(milliseconds(median(seconds[name])) for name in IN_SHAPES),
            )  # fmt: skip
    sizes.notes += [asked, took]
    histories.notes.append(asked)
    return [sizes, histories, by_shape]


async def _fill(
    on: Stage, large: int, many: int, shapes: Sequence[tuple[int, int, int]]
) -> tuple[Place, Place, Place, Place, list[tuple[int, Place]]]:
    async with await connect(on.database_url) as conn:

        async def place(name: str, skills: int, versions: int = 1) -> Place:
            project_id, key = await fill.project(conn, name)
            await fill.skills(conn, project_id, skills, versions=versions)
            return Place(project_id, key, skills, versions)

        small, big = await place("Small", SMALL), await place("Large", large)
        few, long = await place("Few", 1, FEW), await place("Many", 1, many)
        made = []
        for projects, skills, versions in shapes:
            for number in range(projects - 1):
                project_id, _ = await fill.project(conn, f"One of {projects}, {number}", key=False)
                await fill.skills(conn, project_id, skills, versions=versions)
            made.append((projects, await place(f"Of {projects}", skills, versions)))
        # What autovacuum does within a minute of such a load.
        await conn.execute("VACUUM (ANALYZE)")
    return small, big, few, long, made


def _compare(
    title: str,
    server: Server,
    plan: Plan,
    asks: dict[str, Ask],
    places: Sequence[Place],
    sizes: Sequence[str],
) -> Table:
    table = Table(
        title=title, head=("request", *(f"{size} p50" for size in sizes), "p99 at most", "ratio"), notes=[]
    )
    found = measure(server, plan, asks, places)
    for name in asks:
        least, most = found[0][name], found[-1][name]
        ratio = median(most) / median(least)
        shown = any(word in name for word in SHOWN)
        verdict = "" if shown else f" {'≤' if ratio <= TARGET else 'MISSES'} {TARGET:g}"
        table.add(
            name,
            *(milliseconds(median(seconds[name])) for seconds in found),
            milliseconds(max(sorted(seconds[name])[len(seconds[name]) * 99 // 100] for seconds in found)),
            f"{ratio:.2f}{verdict}",
        )
    return table


def measure(
    server: Server, plan: Plan, asks: dict[str, Ask], places: Sequence[Place]
) -> list[dict[str, list[float]]]:
    """The seconds of each kind of request, place by place; places and kinds take turns, so that all see the same machine."""
    found: list[dict[str, list[float]]] = [{name: [] for name in asks} for _ in places]
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as http:
        for turn in range(-1, plan.rounds * REQUESTS):
            for place, seconds in zip(places, found, strict=True):
                headers = {"authorization": f"Bearer {place.key}"}
                root = f"/api/projects/{place.project_id}/llm_skills/"
                for number, (name, ask) in enumerate(asks.items()):
                    path = root + ask(place, random.Random(turn * 1_000 + number))

                    def get(path: str = path, headers: dict[str, str] = headers) -> None:
                        http.get(path, headers=headers).raise_for_status()

                    took = timed(get)
                    # The first turn prepares the statements.
                    if turn >= 0:
                        seconds[name].append(took)
    return found
