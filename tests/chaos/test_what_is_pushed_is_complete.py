"""What followers push is complete, whatever happens to them: in Redis every event once and in order, to a webhook at least
once, under an id that stays the same, and in the order of each subject.

The follower process is killed again and again while eight writers write, and so are its connections.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import defaultdict

import psycopg
import pytest
from redis.asyncio import Redis

from projections.redis.streams import stream_key
from store.postgres.pool import connect
from store.tables import identity, webhooks
from store.tables.sealing import Sealer
from tests.chaos.test_feed_is_complete import WRITERS, WRITES, break_connections, hold_open, write
from tests.support.receiver import Received, Reply, receiving
from tests.support.servers import ROOT
from tests.support.service import SECRET_KEY

KILLS = 4  # at least
PATIENCE = 100.0  # seconds; a quarter of it is enough on a quiet machine


async def keep_killing(env: dict[str, str], stop: asyncio.Event) -> tuple["subprocess.Popen[bytes]", int]:
    """Run the followers and end them by SIGKILL after a second or so, until ``stop``; the last ones stay."""
    rng, kills = random.Random(3), 0
    while True:
        worker = subprocess.Popen(  # noqa: ASYNC220 - it is watched and killed by hand
            [sys.executable, "-P", "-m", "cli.main", "worker"], env=env, cwd=ROOT, stderr=subprocess.DEVNULL
        )
        if stop.is_set() and kills >= KILLS:
            return worker, kills
        await asyncio.sleep(rng.uniform(0.8, 1.6))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        kills += 1


async def positions_of(url: str, project_id: int) -> list[int]:
    async with await connect(url) as conn:
        query = "SELECT position FROM events WHERE project_id = %s ORDER BY position"
        return [row[0] for row in await (await conn.execute(query, (project_id,))).fetchall()]


@pytest.mark.chaos
@pytest.mark.timeout(150)
async def test_followers_that_are_killed_push_every_event(fresh_database_url: str, redis_url: str) -> None:
    redis = Redis.from_url(redis_url)
    await redis.flushdb()
    sealer = Sealer([SECRET_KEY])
    async with await connect(fresh_database_url) as conn:
        project = (await identity.create_project(conn, "One")).id
        other = (await identity.create_project(conn, "Other")).id
    env = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")} | {
        "SKALD_DATABASE_URL": fresh_database_url,
        "SKALD_REDIS_URL": redis_url,
        "SKALD_SECRET_KEY": SECRET_KEY,
        "SKALD_WEBHOOK_ALLOW_PRIVATE": "1",
    }
    rng, stop = random.Random(5), asyncio.Event()
    async with asyncio.timeout(PATIENCE), receiving() as receiver:
        # Some answers are lost or refused: those events have to come again.
        receiver.reply = lambda _: Reply(status=500 if rng.random() < 0.02 else 200)
        async with await connect(fresh_database_url) as conn:
            hook, secret = await webhooks.create(
                conn,
                sealer,
                project_id=project,
                url=receiver.url(),
                description="",
                types=[],
                names="",
                enabled=True,
                after=0,
                created_by=None,
            )
        killing = asyncio.create_task(keep_killing(env, stop))
        breaking = asyncio.create_task(break_connections(fresh_database_url, random.Random(1), stop))
        holding = asyncio.create_task(hold_open(fresh_database_url, project, 4))
        await asyncio.gather(
            *(write(fresh_database_url, project, other, writer) for writer in range(WRITERS))
        )
        await holding
        stop.set()
        worker, kills = await killing
        await breaking
        expected = await positions_of(fresh_database_url, project)
        try:
            while {received.event["position"] for received in receiver.requests} != set(expected) or (
                await redis.xlen(stream_key(project)) < len(expected)
            ):
                await asyncio.sleep(0.1)
        finally:
            worker.terminate()
            worker.wait(10)
        entries = await redis.xrange(stream_key(project)) or []
    await redis.aclose()
    assert kills >= KILLS
    assert len(expected) >= WRITERS * WRITES
    assert [entry[0] for entry in entries] == [f"{position}-0".encode() for position in expected]
    check_deliveries(receiver.requests, secret)
    with psycopg.connect(fresh_database_url) as checked:
        row = checked.execute("SELECT count(*) FROM dead_letters").fetchone()
    assert row == (0,)
    assert hook.project_id == project


def check_deliveries(requests: list[Received], secret: str) -> None:
    """One id for each event, and in each subject no event before the one in front of it has come."""
    ids: dict[int, set[str]] = defaultdict(set)
    seen: dict[str, list[int]] = defaultdict(list)
    for request in requests:
        request.verify(secret)
        position = request.event["position"]
        ids[position].add(request.id)
        if position not in seen[request.subject]:
            seen[request.subject].append(position)
    assert all(len(found) == 1 for found in ids.values())
    assert len({next(iter(found)) for found in ids.values()}) == len(ids)
    for subject, positions in seen.items():
        assert positions == sorted(positions), subject
