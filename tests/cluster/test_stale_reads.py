"""Reads go on while there is no primary, as old as the operator allows and marked as such; writes do not."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from time import monotonic

import httpx
import psycopg
import pytest
import pytest_asyncio

from api.config import ApiConfig
from cli.schema import migrate
from store.postgres.pool import connect
from tests.support.cluster import Pair, frozen
from tests.support.service import Service
from tests.support.space import Space, file, open_space, running

LONG = 3600  # seconds that an answer may be old
SHORT = 6
WITHIN = 20.0  # seconds for what happens by itself, on a busy machine
SCOPES = ("llm_skill:write", "llm_prompt:write")
READS = (
    "",
    "?search=pdf",
    "resolve/name/pdf-forms",
    "name/pdf-forms",
    "name/pdf-forms/history",
    "name/pdf-forms/diff",
    "name/pdf-forms/files/a.txt",
)

Open = Callable[..., Awaitable[Space]]


@pytest_asyncio.fixture
async def host(cluster: Pair, tmp_path: Path) -> AsyncIterator[Open]:
    """``await host(seconds, replica=False, of=another)``: a host, or one more on the project of ``of``."""
    await migrate(cluster.primary.url)
    async with AsyncExitStack() as stack:

        async def start(seconds: int, *, replica: bool = True, of: Space | None = None) -> Space:
            config = ApiConfig(
                database_url=cluster.primary.url,
                read_database_url=cluster.standby.url if replica else None,
                stale_reads=seconds,
                run_dir=tmp_path / f"run-{len(list(tmp_path.iterdir()))}",
                rate_limit_per_minute=0,
                access_log=False,
                pool_size=4,
            )
            app = await stack.enter_async_context(running(config))
            if of is None:
                async with await connect(cluster.primary.url) as conn:
                    space = await open_space(app, conn, scopes=SCOPES)
                await space.create(files=[file("a.txt", "one")])
                await space.publish("pdf-forms", 1, body="# Two\n")
            else:
                space = Space(app, of.conn, of.project, of.user, of.key)
            stack.push_async_callback(space.client.aclose)
            # Until it has looked at the end of the log.
            await asyncio.sleep(1.5)
            cluster.catch_up()
            return space

        yield start


def is_stale(answer: httpx.Response) -> bool:
    marked: bool = answer.headers.get("warning") == '110 - "Response is Stale"'
    assert marked == ("age" in answer.headers)
    return marked


async def readiness(space: Space) -> tuple[int, str, str]:
    answer = await space.at("GET", "/readyz")
    found = answer.json()
    return answer.status_code, found["status"], found["reads"]


async def until(space: Space, path: str, status: int, *, stale: bool) -> None:
    deadline = monotonic() + WITHIN
    while True:
        answer = await space.get(path)
        if answer.status_code == status and is_stale(answer) == stale:
            return
        assert monotonic() < deadline, (path, answer.status_code, answer.text, answer.headers)
        await asyncio.sleep(0.1)


async def test_reads_go_on_from_a_replica_and_say_so_until_the_primary_is_back(
    cluster: Pair, host: Open
) -> None:
    space = await host(LONG)
    fresh = await host(LONG, of=space)
    assert await readiness(space) == (200, "ok", "ok")
    for path in READS:
        await until(space, path, 200, stale=False)
    cluster.primary.kill()
    for one in (space, fresh):
        started = monotonic()
        await until(one, "name/pdf-forms", 200, stale=True)
        for path in READS:
            answer = await one.get(path)
            assert answer.status_code == 200, (path, answer.text)
            assert is_stale(answer), path
            assert int(answer.headers["age"]) < monotonic() - started + 10
        assert (await one.get("name/pdf-forms")).json()["version"] == 2
        missing = await one.get("name/pdf-form")
        assert (missing.status_code, is_stale(missing)) == (404, True)
        numbered = await one.get("name/pdf-forms?version=1")
        assert (numbered.json()["version"], is_stale(numbered)) == (1, False)
        tag = (await one.get("name/pdf-forms")).headers["etag"]
        known = await one.get("name/pdf-forms", headers={"If-None-Match": tag})
        assert (known.status_code, is_stale(known)) == (304, True)
        assert await readiness(one) == (200, "degraded", "stale")
        written = await one.patch("pdf-forms", {"base_version": 2, "body": "# Three\n"})
        assert (written.status_code, "retry-after" in written.headers) == (503, True)
        assert not is_stale(written)
    cluster.primary.start()
    for path in READS:
        await until(space, path, 200, stale=False)
    await space.publish("pdf-forms", 2, body="# Three\n")
    assert (await space.get("name/pdf-forms")).json()["version"] == 3


async def test_nothing_is_older_than_the_operator_says_but_for_versions_by_number(
    cluster: Pair, host: Open
) -> None:
    space = await host(SHORT)
    assert (await space.get("name/pdf-forms")).status_code == 200
    cluster.primary.kill()
    ended = monotonic()
    await until(space, "", 200, stale=True)
    oldest = 0
    while (answer := await space.get("")).status_code == 200:
        assert monotonic() - ended < WITHIN
        oldest = max(oldest, int(answer.headers["age"]))
        await asyncio.sleep(0.1)
    assert oldest <= SHORT
    for path in (*READS, "name/pdf-form"):
        # Each rests on a look of its own, a second apart.
        await until(space, path, 503, stale=False)
    for number in (1, 2):
        assert (await space.get(f"name/pdf-forms?version={number}")).json()["version"] == number
    # Whether there is one by now is not known.
    assert (await space.get("name/pdf-forms?version=3")).status_code == 503
    assert await readiness(space) == (503, "unavailable", "unavailable")


async def test_without_a_replica_what_is_cached_goes_on(cluster: Pair, host: Open) -> None:
    space = await host(LONG, replica=False)
    await space.create("pdf-lines")
    assert (await space.get("name/pdf-lines?version=1")).status_code == 200
    assert (await space.get("name/pdf-lines")).status_code == 200
    cluster.primary.kill()
    await until(space, "name/pdf-lines", 200, stale=True)
    numbered = await space.get("name/pdf-lines?version=1")
    assert (numbered.status_code, is_stale(numbered)) == (200, False)
    for path in ("", "name/pdf-forms/history", "name/unknown"):
        assert (await space.get(path)).status_code == 503, path


async def test_a_replica_that_lags_by_more_is_not_read(cluster: Pair, host: Open) -> None:
    space = await host(SHORT)
    with psycopg.connect(cluster.standby.url, autocommit=True) as standby:
        standby.execute("SELECT pg_wal_replay_pause()")
        async with asyncio.timeout(WITHIN):
            while standby.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() != ("paused",):
                await asyncio.sleep(0.02)
        await space.publish("pdf-forms", 2, body="# Three\n")
        await asyncio.sleep(SHORT + 1)
        cluster.primary.kill()
        for _ in range(3):
            answer = await space.get("")
            assert answer.status_code == 503, answer.text
        # What the caches held when the log was last seen is not that old.
        assert (await space.get("name/pdf-forms")).json()["version"] == 3
        assert (await space.get("name/pdf-forms?version=1")).json()["version"] == 1


async def test_a_frozen_primary_is_not_waited_for_by_each_read(cluster: Pair, host: Open) -> None:
    space = await host(LONG)
    with frozen(cluster.primary):
        await until(space, "", 200, stale=True)
        started = monotonic()
        for path in READS:
            assert (await space.get(path)).status_code == 200, path
        assert monotonic() - started < 4
    await until(space, "", 200, stale=False)


@pytest.mark.slow
def test_the_processes_of_a_host_read_on_until_the_standby_is_promoted(cluster: Pair, redis_url: str) -> None:
    """Over sockets, through the short way of hot requests, by keys and by shares."""
    asyncio.run(migrate(cluster.primary.url))
    settings = {"SKALD_READ_DATABASE_URL": cluster.standby.url, "SKALD_STALE_READS": str(LONG)}
    with (
        closing(Service(cluster.url, redis_url, workers=2, settings=settings)) as service,
        service.start().client() as client,
    ):
        body = {"name": "pdf-forms", "description": "Fill in forms.", "body": "# One\n"}
        assert client.post("llm_skills/", json=body).status_code == 201
        share = client.post("llm_skills/shares/", json={"name": "All"}).json()["url"]
        paths = ("llm_skills/name/pdf-forms", "llm_skills/", f"{share}/.well-known/agent-skills/index.json")
        for path in paths * 8:
            assert client.get(path).status_code == 200, path
        time.sleep(1.5)
        cluster.catch_up()
        cluster.primary.kill()
        deadline = monotonic() + WITHIN
        # What a process has just seen to be true it answers until it notices, for 2 seconds at most.
        while not is_stale(answer := client.get(paths[0], timeout=WITHIN)):
            assert answer.status_code == 200, answer.text
            assert monotonic() < deadline
        for path in paths * 8:
            answer = client.get(path, timeout=WITHIN)
            assert (answer.status_code, is_stale(answer)) == (200, True), (path, answer.text)
        assert monotonic() < deadline
        change = {"base_version": 1, "body": "# Two\n"}
        assert client.patch("llm_skills/name/pdf-forms", json=change, timeout=30).status_code == 503
        with psycopg.connect(cluster.standby.url, autocommit=True) as standby:
            standby.execute("SELECT pg_promote(true, 60)")
        deadline = monotonic() + WITHIN
        while client.patch("llm_skills/name/pdf-forms", json=change, timeout=30).status_code != 200:
            assert monotonic() < deadline
            time.sleep(0.1)
        fresh = 0
        while fresh < 8:
            assert monotonic() < deadline
            answer = client.get("llm_skills/name/pdf-forms")
            fresh = 0 if is_stale(answer) else fresh + 1
            assert is_stale(answer) or answer.json()["version"] == 2


@pytest.mark.parametrize("replica", [True, False])
async def test_without_the_setting_reads_end_with_the_primary(
    cluster: Pair, host: Open, replica: bool
) -> None:
    space = await host(0, replica=replica)
    cluster.primary.kill()
    assert (await space.get("")).status_code == 503
    assert (await readiness(space))[0] == 503
