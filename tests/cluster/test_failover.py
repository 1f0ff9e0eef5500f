"""The primary dies with writes that its asynchronous standby never got: what is lost is shown by no host any more."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic

import httpx
import pytest_asyncio
from redis.asyncio import Redis

from api.config import ApiConfig
from cli.schema import migrate
from projections.rebuild.verify import verify
from store.log.history import FIRST_LATER
from store.postgres.pool import connect
from store.tables import identity
from tests.support.cluster import Pair
from tests.support.servers import StartServers
from tests.support.space import Space, file, open_space, refusal, running
from tests.support.working import working

WITHIN = 15.0  # seconds for the hosts to find the new primary, on a busy machine
SCOPES = ("llm_skill:write", "llm_prompt:write", "event:read")

Hosts = list[Space]
Open = Callable[[str], Awaitable[Hosts]]


@pytest_asyncio.fixture
async def hosts(tmp_path: Path, redis: Redis, redis_url: str) -> AsyncIterator[Open]:
    """``await hosts(url)``: the same project on two processes of one host and on another host; one worker, and Redis for all."""
    async with AsyncExitStack() as stack:

        async def open_hosts(url: str) -> Hosts:
            await migrate(url)
            await stack.enter_async_context(working(url, redis_url))
            spaces: Hosts = []
            for run_dir in ("one", "one", "other"):
                config = ApiConfig(
                    database_url=url,
                    redis_url=redis_url,
                    run_dir=tmp_path / run_dir,
                    rate_limit_per_minute=0,
                    access_log=False,
                    pool_size=4,
                )
                app = await stack.enter_async_context(running(config))
                if not spaces:
                    async with await connect(url) as conn:
                        spaces.append(await open_space(app, conn, scopes=SCOPES))
                else:
                    first = spaces[0]
                    spaces.append(Space(app, first.conn, first.project, first.user, first.key))
                stack.push_async_callback(spaces[-1].client.aclose)
            return spaces

        yield open_hosts


async def see(space: Space, path: str, **headers: str) -> httpx.Response:
    return await space.at("GET", f"llm_skills/{path}", headers=headers)


async def settle(hosts: Hosts, version: int, lost: str) -> None:
    """Until each host shows ``version``; what it shows from then on is never older news."""
    deadline = monotonic() + WITHIN
    for space in hosts:
        while True:
            answer = await see(space, "name/pdf-forms")
            if answer.status_code == 200 and answer.json()["version"] == version:
                break
            assert monotonic() < deadline, answer.text
            await asyncio.sleep(0.05)
    for space in hosts:
        for _ in range(3):
            answer = await see(space, "name/pdf-forms", **{"If-None-Match": lost})
            assert (answer.status_code, answer.json()["version"]) == (200, version)


async def served(hosts: Hosts) -> None:
    """Until each host has connections again."""
    deadline = monotonic() + WITHIN
    for space in hosts:
        while [(await see(space, "")).status_code for _ in range(8)] != [200] * 8:
            assert monotonic() < deadline
            await asyncio.sleep(0.05)


async def forget(hosts: Hosts, lose: Callable[[], None], keep: Callable[[], None]) -> None:
    """A story of a log that goes back: what every host knew, lost, and then knows again."""
    first, second, other = hosts
    await first.create(files=[file("a.txt", "kept")])
    await second.publish("pdf-forms", 1, body="# Two\n")
    keep()
    await served(hosts)
    await first.publish("pdf-forms", 2, body="# Lost\n", files=[file("b.txt", "lost")])
    await first.publish("pdf-forms", 3, body="# Lost as well\n")
    await other.create("lost-skill")
    for space in hosts:
        shown = await space.show()
        assert shown["version"] == 4
        assert (await see(space, "name/lost-skill")).status_code == 200
    etag = (await see(first, "name/pdf-forms")).headers["etag"]
    assert (await see(other, "name/pdf-forms", **{"If-None-Match": etag})).status_code == 304

    lose()
    await settle(hosts, 2, etag)

    for space in hosts:
        assert refusal(await see(space, "name/lost-skill"))[:2] == (404, "not_found")
        assert refusal(await see(space, "name/pdf-forms?version=4"))[:2] == (404, "version_not_found")
    refused = await other.patch("pdf-forms", {"base_version": 4, "body": "# Five\n"})
    assert refusal(refused) == (409, "version_conflict", "base_version")
    third = await second.publish("pdf-forms", 2, description="Another third one.")
    assert (third["version"], third["body"], [one["path"] for one in third["files"]]) == (
        3,
        "# Two\n",
        ["a.txt"],
    )
    copy = await other.ok(201, await other.post("name/pdf-forms/duplicate", json={"new_name": "copy"}))
    assert (await see(first, "name/copy/files/a.txt")).json()["content"] == "kept"
    again = await first.create("lost-skill")
    assert again["version"] == 1
    for space in hosts:
        assert (await space.show())["version"] == 3
        assert await space.show("copy") == copy


async def checked(url: str, first_lost: int) -> None:
    verdict = await verify(url)
    assert verdict.sound, verdict
    [note] = verdict.notes
    assert f"readers may have seen positions {first_lost} to {first_lost + 2} or later" in note
    assert verdict.position > FIRST_LATER


async def test_a_standby_that_knows_less_takes_over(cluster: Pair, hosts: Open) -> None:
    await migrate(cluster.primary.url)
    spaces = await hosts(cluster.url)

    def keep() -> None:
        cluster.catch_up()
        cluster.cut()

    await forget(spaces, cluster.fail_over, keep)

    # The key, two versions, and then what was lost.
    await checked(cluster.standby.url, 4)


async def test_a_standby_that_knows_everything_takes_over(cluster: Pair, hosts: Open) -> None:
    spaces = await hosts(cluster.url)
    made = await spaces[0].create()
    cluster.catch_up()

    cluster.fail_over()
    await settle(spaces, 1, '"none"')

    assert await spaces[1].show() == made
    assert (await spaces[2].publish("pdf-forms", 1, body="# Two\n"))["version"] == 2
    verdict = await verify(cluster.standby.url)
    assert verdict.sound, verdict
    assert "nothing is known to be lost" in verdict.notes[0]


async def test_a_copy_of_the_folder_is_put_back_under_running_hosts(
    private_servers: StartServers, hosts: Open, tmp_path: Path
) -> None:
    """The server is the same by its identifier and timeline: what the processes know alone tells that it went back."""
    postgres = private_servers(cache=False).postgres
    assert postgres is not None
    spaces = await hosts(postgres.url)
    copy = tmp_path / "copy"

    def keep() -> None:
        postgres.stop()
        shutil.copytree(postgres.cluster, copy, copy_function=shutil.copy2)
        postgres.start()

    def lose() -> None:
        postgres.stop()
        owner = postgres.cluster.stat()
        shutil.rmtree(postgres.cluster)
        shutil.copytree(copy, postgres.cluster)
        for path in (postgres.cluster, *postgres.cluster.rglob("*")):
            shutil.chown(path, owner.st_uid, owner.st_gid)
        postgres.cluster.chmod(0o700)
        postgres.start()

    await forget(spaces, lose, keep)

    await checked(postgres.url, 4)


async def test_a_lost_key_and_project_open_nothing(cluster: Pair, hosts: Open) -> None:
    spaces = await hosts(cluster.url)
    await spaces[0].create()
    cluster.catch_up()
    cluster.cut()
    async with await connect(cluster.url) as conn:
        lost = await open_space(spaces[0].app, conn, scopes=SCOPES)
        _, everywhere = await identity.create_key(
            conn, email=spaces[0].user.email, scopes=SCOPES, project_ids=None
        )
    await lost.create()

    cluster.fail_over()
    await settle(spaces, 1, '"none"')

    assert (await lost.get("")).status_code == 401
    await lost.client.aclose()
    assert everywhere
