"""Reads go to a streaming replica, and never show less than the primary had when they began."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import psycopg
import pytest_asyncio
from psycopg.conninfo import make_conninfo

from api.config import ApiConfig
from cli.schema import migrate
from console.access import COOKIE
from store.log.log import append
from store.postgres.pool import connect
from store.tables import console_sessions, identity
from tests.support.cluster import Pair
from tests.support.histories import created
from tests.support.space import Asgi, Space, file, open_space, running

WITHIN = 20.0  # seconds for what happens by itself, on a busy machine
SCOPES = ("llm_skill:write", "llm_prompt:write", "event:read")
READS = (
    "",
    "?search=pdf",
    "resolve/name/pdf-forms",
    "name/pdf-forms",
    "name/pdf-forms/history",
    "name/pdf-forms/diff",
)
# Below the project in the console.
PAGES = (
    "skills",
    "skills?search=pdf",
    "skills/pdf-forms",
    "skills/pdf-forms/files/a.txt",
    "skills/pdf-forms/timeline",
    "skills/pdf-forms/compare",
    "skills/pdf-forms/blame",
    "audit",
    "live",
)

Open = Callable[..., Awaitable[Space]]


@pytest_asyncio.fixture
async def host(tmp_path: Path) -> AsyncIterator[Open]:
    """``await host(primary, replica, of=another)``: a host, or one more, on the project of ``of``; nothing is cached."""
    async with AsyncExitStack() as stack:

        async def start(primary: str, replica: str | None, of: Space | None = None) -> Space:
            config = ApiConfig(
                database_url=primary,
                read_database_url=replica,
                run_dir=tmp_path / f"run-{len(list(tmp_path.iterdir()))}",
                rate_limit_per_minute=0,
                access_log=False,
                pool_size=4,
                cache_bytes=0,
            )
            app: Asgi = await stack.enter_async_context(running(config))
            if of is None:
                async with await connect(primary) as conn:
                    space = await open_space(app, conn, scopes=SCOPES)
            else:
                space = Space(app, of.conn, of.project, of.user, of.key)
            stack.push_async_callback(space.client.aclose)
            return space

        yield start


async def looked(space: Space) -> dict[str, int]:
    """What came of the reads that looked for a replica, since the start."""
    text = (await space.client.get("/metrics")).text
    found = re.findall(r'skald_cache_requests_total\{cache="replica",result="(\w+)"\} (\d+)', text)
    return {result: int(count) for result, count in found}


async def see(space: Space, path: str) -> httpx.Response:
    answer = await space.at("GET", path if path.startswith("/") else f"llm_skills/{path}")
    assert answer.status_code == 200, (path, answer.text)
    return answer


async def until(space: Space, path: str, result: str) -> None:
    """Read until one such read had that result, whatever a busy machine makes of the first; each is answered."""
    before = (await looked(space)).get(result, 0)
    deadline = monotonic() + WITHIN
    while (await looked(space)).get(result, 0) == before:
        assert monotonic() < deadline, await looked(space)
        await see(space, path)
        await asyncio.sleep(0.02)


async def test_a_replica_is_read_when_it_has_everything_and_is_passed_over_while_it_lags(
    cluster: Pair, host: Open
) -> None:
    await migrate(cluster.primary.url)
    async with await connect(cluster.primary.url) as conn:
        await conn.execute("CREATE ROLE reading LOGIN")
        await conn.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reading")
    replicas = make_conninfo(
        cluster.url, user="reading", target_session_attrs="standby", load_balance_hosts="random"
    )
    space = await host(cluster.primary.url, replicas)
    other = await host(cluster.primary.url, cluster.standby.url, of=space)
    await space.create(files=[file("a.txt", "one")])
    await space.publish("pdf-forms", 1, body="# Two\n")
    async with await connect(cluster.primary.url) as conn:
        found = await identity.find_key(conn, identity.digest_of(space.key))
        assert found is not None
        secret = await console_sessions.begin(conn, found.key_id, "a test")
    for one in (space, other):
        one.client.cookies.set(COOKIE, secret)
    cluster.catch_up()
    await all_from_the_replica(space)
    with psycopg.connect(cluster.standby.url, autocommit=True) as standby:
        await pause(standby)
        await space.publish("pdf-forms", 2, body="# Three\n")
        await space.create("pdf-lines")
        for one in (space, other):
            await nothing_older(one)
        standby.execute("SELECT pg_wal_replay_resume()")
        await until(space, "", "hit")
        standby.execute("ALTER SYSTEM SET recovery_min_apply_delay = '3ms'")
        standby.execute("SELECT pg_reload_conf()")
    await every_read_shows_the_writes_before_it(space, other)


async def pause(standby: "psycopg.Connection[tuple[object, ...]]") -> None:
    """Only asked for, it would still take in what comes next."""
    standby.execute("SELECT pg_wal_replay_pause()")
    async with asyncio.timeout(WITHIN):
        while standby.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() != ("paused",):
            await asyncio.sleep(0.02)


async def all_from_the_replica(space: Space) -> None:
    """For a role that may only select."""
    for path in (*READS, *(page_of(space, page) for page in PAGES)):
        await until(space, path, "hit")


def page_of(space: Space, path: str) -> str:
    return f"/console/projects/{space.id}/{path}"


async def nothing_older(space: Space) -> None:
    hits = (await looked(space)).get("hit", 0)
    assert (await see(space, "")).json()["count"] == 2
    assert (await see(space, "?search=lines")).json()["count"] == 1
    assert (await see(space, "name/pdf-forms")).json()["version"] == 3
    assert len((await see(space, "resolve/name/pdf-forms")).json()["versions"]) == 3
    assert (await see(space, "name/pdf-forms/history")).json()["count"] == 3
    assert "pdf-lines" in (await see(space, page_of(space, "skills"))).text
    assert "version 3" in (await see(space, page_of(space, "skills/pdf-forms"))).text
    assert (await looked(space)).get("hit", 0) == hits


async def every_read_shows_the_writes_before_it(space: Space, other: Space) -> None:
    """On two hosts, while the replica is always a little behind."""
    acknowledged, writing = 3, True

    async def write() -> None:
        nonlocal acknowledged, writing
        for version in range(3, 60):
            await space.publish("pdf-forms", version, body=f"# {version}\n")
            acknowledged = version + 1
            await asyncio.sleep(0.005)
        writing = False

    async def read(one: Space, path: str) -> None:
        shown = 0
        while writing:
            least = max(acknowledged, shown)
            shown = latest_of("pdf-forms", (await see(one, path)).json())
            assert shown >= least, path

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        for one in (space, other):
            for path in ("", "name/pdf-forms", "name/pdf-forms"):
                group.create_task(read(one, path))


def latest_of(name: str, found: dict[str, Any]) -> int:
    """Of a version, or of the one in a list that has the name: until its next version, another is the newest there."""
    if "results" in found:
        [found] = [result for result in found["results"] if result["name"] == name]
    return int(found["latest_version"])


async def test_a_replica_of_another_history_is_not_read_however_far_it_is(cluster: Pair, host: Open) -> None:
    await migrate(cluster.primary.url)
    space = await host(cluster.primary.url, cluster.standby.url)
    await space.create()
    cluster.catch_up()
    with psycopg.connect(cluster.standby.url, autocommit=True) as standby:
        standby.execute("SELECT pg_promote(true, 60)")
    async with await connect(cluster.standby.url) as split:
        await append(split, [created(f"elsewhere-{number}")[1] for number in range(4)])
    await space.publish("pdf-forms", 1, body="# Two\n")
    hits = (await looked(space)).get("hit", 0)
    for _ in range(3):
        assert (await see(space, "name/pdf-forms")).json()["version"] == 2
        assert (await see(space, "")).json()["results"][0]["latest_version"] == 2
    assert (await looked(space)).get("hit", 0) == hits


async def test_a_replica_that_is_away_costs_no_answer_and_is_read_again_when_it_is_back(
    cluster: Pair, host: Open
) -> None:
    await migrate(cluster.primary.url)
    space = await host(cluster.primary.url, cluster.standby.url)
    await space.create()
    cluster.catch_up()
    await until(space, "", "hit")
    cluster.standby.kill()
    for path in READS * 2:
        await see(space, path)
    assert (await looked(space)).get("bypass", 0) > 0
    cluster.standby.start()
    cluster.catch_up()
    await until(space, "", "hit")
