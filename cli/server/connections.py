"""Whether the database has room for the connections of this service."""

from cli.settings import Settings
from store.postgres.pool import connect

# Beside its pool: the log follower, the appender and the probes.
EACH_PROCESS = 3
# A connection each, the pool of the webhooks, and room.
FOLLOWERS = 12

SELECT_ROOM = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
     - coalesce(current_setting('reserved_connections', true), '0')::int
"""


def needed(settings: Settings, *, followers: bool) -> int:
    """The most that this service opens at once."""
    each = settings.pool_size + EACH_PROCESS + (settings.stale_reads > 0)
    return settings.workers * each + (FOLLOWERS if followers else 0)


async def lacking(database_url: str, count: int) -> str | None:
    """The sentence that ``count`` connections are more than the database gives, None when they are not."""
    async with await connect(database_url, application_name="skald-serve") as conn:
        row = await (await conn.execute(SELECT_ROOM)).fetchone()
    room = row[0] if row else count
    if count <= room:
        return None
    return (
        f"this service may open {count} connections, and the database gives {room} to all of its clients; raise "
        "max_connections, or lower SKALD_WORKERS or SKALD_POOL_SIZE"
    )
