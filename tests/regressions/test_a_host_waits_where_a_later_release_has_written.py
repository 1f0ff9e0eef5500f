"""In a rolling upgrade a later release writes events that a host of this one does not know: it leaves them to the later one.

It used to park them, and all that follows in their streams, for ever, and to answer 500.
"""

import asyncio
import json

import pytest

from api.http.errors import answer_for
from projections.declared import SEARCH
from store.errors import LaterRelease
from store.log.log import append
from store.log.mapper import decode
from store.postgres.pool import connect
from store.tables.readiness import followers
from tests.support.following import following
from tests.support.histories import created
from workers.projections import ProjectionFollower

LATER = """
INSERT INTO events (position, stream_id, stream_version, topic, state, recorded_at, project_id, command_id)
SELECT position + 1, stream_id, stream_version + 1, 'skill.dreamt', '{}', now(), project_id, gen_random_uuid()
FROM events ORDER BY position DESC LIMIT 1
"""


async def test_a_follower_parks_nothing_and_says_why_it_waits(fresh_database_url: str) -> None:
    async with await connect(fresh_database_url) as conn:
        await append(conn, [created("dreaming")[1]])
        await conn.execute(LATER)

        async def told() -> bool:
            state = (await followers(conn)).get(SEARCH.name)
            return state is not None and state.failure is not None and "later release" in state.failure.error

        async with following(fresh_database_url, lambda source: ProjectionFollower(source, SEARCH)):
            async with asyncio.timeout(60):
                while not await told():
                    await asyncio.sleep(0.02)
        state = (await followers(conn))[SEARCH.name]
        assert (state.parked, state.lag) == (0, 2)


@pytest.mark.parametrize(("topic", "state"), [("skill.dreamt", b"{}"), ("skill.archived", b'{"schema":99}')])
def test_a_request_is_told_to_ask_another_host(topic: str, state: bytes) -> None:
    with pytest.raises(LaterRelease) as caught:
        decode(topic, state)
    answer = answer_for(caught.value)
    assert answer.status == 503
    assert "later release" in json.loads(answer.body)["detail"]
