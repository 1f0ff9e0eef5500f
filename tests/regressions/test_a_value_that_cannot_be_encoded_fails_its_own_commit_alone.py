"""One commit of a batch that cannot even be sent must not take the commits of other callers with it."""

import asyncio

from store.log.appender import Appender
from store.log.log import LOCK
from store.postgres.pool import connect
from tests.support import invariants
from tests.support.histories import created


async def test_the_others_are_written(fresh_database_url: str) -> None:
    appender = Appender(fresh_database_url)
    await appender.start()
    commits = [created(f"skill-{n}", correlation_id="\ud800" if n == 2 else None)[1] for n in range(5)]
    holder = await connect(fresh_database_url)
    async with holder.transaction():
        await holder.execute(LOCK)
        first = asyncio.create_task(appender.append(created("first")[1]))
        await asyncio.sleep(0.05)
        waiting = asyncio.gather(*map(appender.append, commits), return_exceptions=True)
        await asyncio.sleep(0.05)
    await first
    results = await waiting
    await appender.close()
    await holder.close()
    assert isinstance(results.pop(2), UnicodeEncodeError)
    assert [getattr(result, "first", result) for result in results] == [2, 3, 4, 5]
    invariants.check(fresh_database_url)
