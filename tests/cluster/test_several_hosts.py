"""Several API hosts on one log, while machines die, freeze or are cut off.

In every trial: what was acknowledged is found, once; no host shows less than it promises; every consumer has every event
once and in order; and `skald verify` finds nothing.
"""

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from time import monotonic

import httpx
import psycopg
import pytest
from redis.asyncio import Redis

from cli.embedded.servers import EmbeddedServers
from cli.process.child import Child
from cli.schema import migrate
from domain.maintenance import LogRewound
from projections.rebuild.verify import verify
from projections.redis.streams import stream_key
from tests.support import invariants
from tests.support.cluster import REPLICATION, Network, Pair, frozen, with_standby
from tests.support.invariants import Acknowledged
from tests.support.servers import ROOT, StartServers, eventually
from tests.support.service import WRITE, Service
from tests.support.traffic import KINDS, Traffic

# Most of a minute each on a busy machine, a third of it on a quiet one.
pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(300)]

SLACK = 8.0  # seconds over what is documented, for a machine that is busy with other things
LOCK_FREE = 11.0
NEW_LEADER = 15.0
REFUSED = 15.0
PROBED = 1.0

StartHost = Callable[..., Service]


@pytest.fixture
def start_host() -> Iterator[StartHost]:
    """A host has folders and processes of its own: two API processes and the followers."""
    hosts: list[Service] = []

    def start(url: str, redis_url: str, **options: object) -> Service:
        hosts.append(Service(url, redis_url, workers=2, followers=True, **options))  # type: ignore[arg-type]
        return hosts[-1].start()

    yield start
    for host in hosts:
        host.close()


class Feed:
    """A consumer that asks one host after the other for what follows its position."""

    def __init__(self, hosts: list[Service], project: int) -> None:
        self._key = hosts[0].make_key((*WRITE, "event:read"))
        self._hosts = hosts
        self._project = project
        self.position = 0
        self.seen: list[int] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._live())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled(), task.exception()

    async def _live(self) -> None:
        while True:
            for host in self._hosts:
                async with host.async_client(self._key, self._project, timeout=20) as client:
                    await self._ask(client)
                await asyncio.sleep(0.05)

    async def _ask(self, client: httpx.AsyncClient) -> None:
        try:
            answer = await client.get("events/", params={"after": self.position, "limit": 500})
        except httpx.TransportError:
            return
        if answer.status_code == 409:  # the log went back
            self.position = answer.json()["position"]
            self.seen = [position for position in self.seen if position <= self.position]
        elif answer.status_code != 503:
            assert answer.status_code == 200, answer.text
            page = answer.json()
            self.seen += [event["position"] for event in page["results"]]
            self.position = page["position"]


async def complete(traffic: Traffic, feed: Feed, redis_url: str) -> None:
    """Everything that a trial has to leave behind."""
    traffic.check()
    await delivered(traffic, feed, redis_url)
    assert (await verify(traffic.service.database_url)).sound


async def delivered(traffic: Traffic, feed: Feed, redis_url: str) -> None:
    """To each consumer every event that is in the log, once and in order, and where a history begins."""
    with psycopg.connect(traffic.service.database_url, autocommit=True) as conn:
        rows = conn.execute(
            "SELECT position FROM events WHERE project_id = %s OR topic = %s ORDER BY position",
            (traffic.project, LogRewound.TOPIC),
        )
        expected = [row[0] for row in rows]
    streamed: list[object] = []
    async with Redis.from_url(redis_url) as redis:
        with suppress(TimeoutError):
            async with asyncio.timeout(30):
                while feed.seen != expected or len(streamed) != len(expected):
                    await asyncio.sleep(0.1)
                    streamed = [entry[0] for entry in await redis.xrange(stream_key(traffic.project)) or []]
                for host in traffic.hosts:
                    while await asyncio.to_thread(lag, host):
                        await asyncio.sleep(0.1)
    assert feed.seen == expected
    assert streamed == [f"{position}-0".encode() for position in expected]


def lag(host: Service) -> int:
    """How many events the followers have not seen yet, as the host says it."""
    return sum(httpx.get(f"{host.base_url}/readyz", timeout=20).json()["followers"].values())


@pytest.fixture
def servers(private_servers: StartServers) -> EmbeddedServers:
    return private_servers(settings=REPLICATION)


@pytest.fixture
def pair(servers: EmbeddedServers) -> Iterator[Pair]:
    assert servers.postgres is not None
    with with_standby(servers.postgres) as found:
        asyncio.run(migrate(found.primary.url))
        yield found


async def test_a_primary_with_a_synchronous_standby_dies_under_load(
    pair: Pair, servers: EmbeddedServers, start_host: StartHost
) -> None:
    pair.make_synchronous()
    hosts = [start_host(pair.url, servers.redis_url) for _ in range(2)]
    traffic = Traffic(*hosts)
    feed = Feed(hosts, traffic.project)
    async with feed.running():
        async with traffic.running():
            await traffic.more(40)
            pair.fail_over()
            promoted = monotonic()
            await traffic.more(5)
            assert monotonic() - promoted < SLACK
            await traffic.more(40)
            for host in hosts:
                await asyncio.to_thread(eventually, host.is_ready, "the host is ready")
        await complete(traffic, feed, servers.redis_url)


async def test_a_primary_whose_standby_lags_dies_under_load(
    pair: Pair, servers: EmbeddedServers, start_host: StartHost
) -> None:
    """What the standby did not have is gone for all hosts alike; what was written since is found, once."""
    hosts = [start_host(pair.url, servers.redis_url) for _ in range(2)]
    traffic = Traffic(*hosts, lossy=True)
    feed = Feed(hosts, traffic.project)
    async with feed.running():
        async with traffic.running():
            await traffic.more(40)
            pair.cut()
            await traffic.more(40)
            pair.fail_over()
            # Until nothing is under way any more that the old primary has answered.
            await traffic.more(len(KINDS) * traffic.clients)
            since = len(traffic.acknowledged)
            await traffic.more(40)
        await delivered(traffic, feed, servers.redis_url)
    found = present(pair.url, traffic.acknowledged)
    lost = [write for write in traffic.acknowledged if write not in found]
    assert lost, "the standby had everything: this is no trial"
    assert not set(lost) & set(traffic.acknowledged[since:])
    invariants.check(pair.url, found)
    verdict = await verify(pair.url)
    assert verdict.sound, verdict
    # What is gone is named as far as the host knew that found it first, which need not be the one that wrote it.
    assert any("went back to" in note or "gone back to" in note for note in verdict.notes)
    for host in hosts:
        async with host.async_client(project_id=traffic.project) as client:
            shown = (await client.get("llm_skills/", params={"limit": 1000})).json()["results"]
            assert {(one["name"], one["version"]) for one in shown} == latest(pair.url, traffic.project)


def present(url: str, acknowledged: list[Acknowledged]) -> list[Acknowledged]:
    with psycopg.connect(url) as conn:
        ids = {row[0] for row in conn.execute("SELECT id FROM versions")}
    return [write for write in acknowledged if write.version_id in ids]


def latest(url: str, project: int) -> set[tuple[str, int]]:
    query = "SELECT name, latest_version FROM artifacts WHERE project_id = %s AND kind = 'skill' AND archived_at IS NULL"
    with psycopg.connect(url) as conn:
        return set(conn.execute(query, (project,)).fetchall())


async def test_a_server_that_is_frozen_is_not_waited_for(
    servers: EmbeddedServers, start_host: StartHost
) -> None:
    assert servers.postgres is not None
    await migrate(servers.database_url)
    host = start_host(servers.database_url, servers.redis_url)
    traffic = Traffic(host)
    feed = Feed([host], traffic.project)
    async with feed.running(), host.async_client(project_id=traffic.project, timeout=60) as client:
        async with traffic.running():
            await traffic.more()
            with frozen(servers.postgres):
                began = monotonic()
                assert (await client.get(f"{host.base_url}/readyz")).status_code == 503
                assert monotonic() - began < PROBED + SLACK
                began = monotonic()
                asked = (client.get("llm_skills/", params={"search": one}) for one in "abcd")
                answers = await asyncio.gather(*asked)
                assert monotonic() - began < REFUSED + SLACK
                assert {answer.status_code for answer in answers} == {503}
                assert all(answer.headers["retry-after"] for answer in answers)
            await traffic.more()
        await complete(traffic, feed, servers.redis_url)


# The order lock as an append takes it, and then nothing more comes: where its host is when it is cut off in mid-append.
HOLD_THE_LOCK = """
import asyncio, sys
from store.log.log import LOCK
from store.postgres.pool import APPENDS, connect

async def main():
    conn = await connect(sys.argv[1], application_name="held", limits=APPENDS)
    await conn.execute("BEGIN")
    await conn.execute(LOCK)
    await asyncio.sleep(120)

asyncio.run(main())
"""


@pytest.fixture
def network() -> Iterator[Network]:
    with ExitStack() as stack:
        if lacking := [name for name in ("ip", "nsenter", "unshare") if not shutil.which(name)]:
            pytest.skip(f"a network to cut needs {', '.join(lacking)}")
        try:
            made = Network(stack)
        except OSError as error:
            pytest.skip(f"this machine gives no network to cut: {error}")
        yield made


async def test_a_host_that_is_cut_off_from_the_database_stops_no_other(
    network: Network, private_servers: StartServers, start_host: StartHost
) -> None:
    servers = private_servers(settings={"listen_addresses": network.database})
    postgres = servers.postgres
    assert postgres is not None
    with (postgres.cluster / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 198.18.0.0/15 trust\n")
    with psycopg.connect(postgres.url, autocommit=True) as conn:
        conn.execute("SELECT pg_reload_conf()")
    await migrate(postgres.url)
    by_network = f"postgresql://skald@{network.database}/skald"
    # It comes first, so its followers lead.
    far = start_host(by_network, servers.redis_url, address=network.address, prefix=network.prefix)
    eventually(lambda: leaders(postgres.url) == {True}, "the followers of the far host lead", timeout=30)
    near = start_host(postgres.url, servers.redis_url)
    beside, traffic = Traffic(far, clients=2), Traffic(near)
    feed = Feed([near], traffic.project)
    async with feed.running():
        async with traffic.running():
            async with beside.running():
                await beside.more()
                await traffic.more()
            holder = Child(
                "holder", [*network.prefix, sys.executable, "-c", HOLD_THE_LOCK, by_network], cwd=ROOT
            )
            try:
                await asyncio.to_thread(eventually, lambda: is_held(postgres.url), "the lock is held")
                network.cut()
                began = monotonic()
                await traffic.more(5, timeout=LOCK_FREE + SLACK)
                led = await asyncio.to_thread(is_led_from_here, postgres.url, began + NEW_LEADER + SLACK)
                assert led
                async with far.async_client(timeout=60) as client:
                    asked = monotonic()
                    answer = await client.get("llm_skills/", params={"search": "x"})
                    assert answer.status_code == 503
                    assert monotonic() - asked < REFUSED + SLACK
            finally:
                holder.kill()
                network.mend()
            await traffic.more()
            again = Traffic(far, clients=2)
            async with again.running():
                await again.more()
        for other in (beside, again):
            invariants.check(postgres.url, other.acknowledged)
        await complete(traffic, feed, servers.redis_url)


def is_held(url: str) -> bool:
    query = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted AND application_name = 'held'"
    with psycopg.connect(url) as conn:
        return conn.execute(query).fetchone() == (1,)


def leaders(url: str) -> set[bool]:
    """Whether the followers' leaders come by the network."""
    query = """
        SELECT DISTINCT client_addr IS NOT NULL FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'advisory' AND classid = 7203016 AND granted
    """
    with psycopg.connect(url) as conn:
        return {row[0] for row in conn.execute(query)}


def is_led_from_here(url: str, deadline: float) -> bool:
    while leaders(url) != {False}:
        if monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
