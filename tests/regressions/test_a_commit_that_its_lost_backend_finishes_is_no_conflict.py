"""A backend does not notice at once that its client is gone: it may finish the commit while that is being retried."""

import asyncio

from store.log.appender import Appender
from store.log.log import LOCK
from store.postgres.pool import connect
from tests.support import invariants
from tests.support.histories import created
from tests.support.proxy import proxy

WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"


async def test_both_reach_the_log(fresh_database_url: str) -> None:
    holder, look = await connect(fresh_database_url), await connect(fresh_database_url)

    async def waiting(number: int) -> None:
        for _ in range(500):
            row = await (await look.execute(WAITING.encode())).fetchone()
            if row and row[0] == number:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"not {number} of them wait for the order lock")

    async with proxy(fresh_database_url) as through:
        appender = Appender(through.url)
        await appender.start()
        # So that the next request is the append, and not what its connection needs for it.
        await appender.append(created("before")[1])
        async with holder.transaction():
            await holder.execute(LOCK)
            through.hold_and_cut = True
            task = asyncio.create_task(appender.append(created("one")[1]))
            await through.held.wait()
            # The appender has lost its connection; its look into the log waits for the lock …
            await waiting(1)
            # … and now the server reads the lost append, which waits behind that look and before the retry.
            through.release()
            await waiting(2)
        answer = await asyncio.wait_for(task, 10)
        await appender.close()
    assert answer.first == answer.last == 2
    invariants.check(fresh_database_url)
    await holder.close()
    await look.close()
