"""A notification of a batch marked all its streams as changed at its last position, so what the writers of the others had
just kept, true at their own positions, counted as old: under load every publish loaded its stream again."""

import asyncio
from time import monotonic
from uuid import UUID

from msgspec.structs import replace

from api.cache.log_follower import LogFollower
from api.cache.positions import StreamPositions
from store.log.log import append
from store.postgres.pool import connect
from tests.support.histories import created, published


async def test_each_stream_is_marked_at_its_own_event(fresh_database_url: str) -> None:
    positions = StreamPositions()
    follower = LogFollower(fresh_database_url, positions)
    await follower.start()
    conn = await connect(fresh_database_url)
    (one, first), (two, second), (three, third) = created("one"), created("two"), created("three")

    await append(conn, [first, second, third])
    await seen(follower, 3)

    assert [fresh_from(positions, skill.id, 3) for skill in (one, two, three)] == [1, 2, 3]

    # Of two events of one stream in a batch the later one counts.
    _, again = published(one)
    await append(conn, [again, published(two)[1]])
    await seen(follower, 5)

    assert [fresh_from(positions, skill.id, 5) for skill in (one, two, three)] == [4, 5, 3]
    await conn.close()
    await follower.close()


async def test_so_it_is_when_the_tail_has_to_look_itself(fresh_database_url: str) -> None:
    positions = StreamPositions()
    follower = LogFollower(fresh_database_url, positions)
    await follower.start()
    conn = await connect(fresh_database_url)
    # Events of no project name no stream in their notification.
    (one, first), (two, second) = created("one"), created("two")

    await append(conn, [replace(commit, project_id=None) for commit in (first, second)])
    await seen(follower, 2)

    assert [fresh_from(positions, skill.id, 2) for skill in (one, two)] == [1, 2]
    await conn.close()
    await follower.close()


async def seen(follower: LogFollower, position: int) -> None:
    deadline = monotonic() + 10
    while follower.seen < position:
        assert monotonic() < deadline
        await asyncio.sleep(0.01)


def fresh_from(positions: StreamPositions, stream: UUID, last: int) -> int:
    """The first position whose snapshot of the stream counts as true."""
    slot = StreamPositions.slot(stream)
    return next(position for position in range(last + 1) if positions.is_fresh(slot, position))
