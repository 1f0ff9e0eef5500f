"""How far a follower is that keeps its checkpoint in the same transaction as its rows: the table ``checkpoints``."""

from collections.abc import Mapping

from store.postgres.connection import Connection

# checkpoints_pkey. A failure that was noted before is over: the follower is at work.
BEGIN = """
INSERT INTO checkpoints (follower, position) VALUES (%s, 0)
ON CONFLICT (follower) DO UPDATE SET error = NULL, failed_at = NULL
RETURNING position
"""
HOLD = "SELECT position FROM checkpoints WHERE follower = %s FOR UPDATE"
MOVE = """
INSERT INTO checkpoints (follower, position, updated_at) VALUES (%s, %s, clock_timestamp())
ON CONFLICT (follower) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at,
    error = NULL, failed_at = NULL
"""
POSITIONS = "SELECT follower, position FROM checkpoints"


async def begin(conn: Connection, follower: str) -> int:
    """Where a follower goes on; 0, the start of the log, for one that never ran."""
    row = await (await conn.execute(BEGIN, (follower,))).fetchone()
    return int(row[0]) if row else 0


async def hold(conn: Connection, follower: str) -> int:
    """The checkpoint, locked until the transaction ends."""
    row = await (await conn.execute(HOLD, (follower,))).fetchone()
    return int(row[0]) if row else 0


async def move(conn: Connection, follower: str, position: int) -> None:
    await conn.execute(MOVE, (follower, position))


async def positions(conn: Connection) -> Mapping[str, int]:
    """The checkpoints of all followers that ever ran, by their names."""
    return dict(await (await conn.execute(POSITIONS)).fetchall())


async def forget_parked(conn: Connection) -> int:
    """Forget what followers have left out, so that they take what comes after it in its streams; how many events that were."""
    return (await conn.execute("DELETE FROM dead_letters")).rowcount
