"""Under asyncio a socket may be called readable once more after all was read; that is no reason to read the log again.

asyncio looks at the sockets before the task that waited has read, so it calls once too often: the wait that the task had begun by
then ended at once, it looked the log up, and by that made the next call come.
"""

import asyncio
from pathlib import Path

import pytest

from api.cache.log_follower import POLL, LogFollower
from api.cache.positions import StreamPositions
from store.postgres.listening import Listener
from store.postgres.pipeline import select
from store.postgres.pool import connect


class Counted(Listener):
    received = 0

    async def receive(self, seconds: float) -> list[tuple[str, str]]:
        Counted.received += 1
        return await super().receive(seconds)


async def test_a_follower_without_news_looks_at_each_poll_alone(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cache.log_follower.Listener", Counted)
    follower = LogFollower(postgres_url, StreamPositions(tmp_path / "positions"))
    await follower.start()
    Counted.received = 0
    await asyncio.sleep(3 * POLL)
    await follower.close()

    # Other tests write to this log at the same time; a loop that never rests comes to thousands.
    assert Counted.received < 300


async def test_a_wait_for_notifications_ends_when_one_comes_or_the_time_is_up(postgres_url: str) -> None:
    """The sibling: whatever else is read on the connection."""
    async with await connect(postgres_url) as conn, await connect(postgres_url) as other:
        listener = Listener(conn)
        await conn.execute("LISTEN resting")
        loop = asyncio.get_running_loop()
        for _ in range(3):
            assert await select(conn, "SELECT 1 WHERE 1 = %s::int", (1,)) == [(1,)]
            began = loop.time()
            assert await listener.receive(0.05) == []
            assert loop.time() - began >= 0.045
        await other.execute("NOTIFY resting, 'now'")
        assert await listener.receive(30) == [("resting", "now")]
