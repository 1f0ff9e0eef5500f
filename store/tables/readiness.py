"""Readiness: whether the schema is complete, how far behind each follower is, and whether it goes on."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from store.postgres.connection import Connection
from store.postgres.migrate import collect

# A new database has no such table yet; that is "not ready" and no error.
SELECT_HISTORY = "SELECT to_regclass('schema_migrations') IS NOT NULL"

SELECT_APPLIED = "SELECT number FROM schema_migrations"

# Read-only is a server in recovery as well.
SELECT_WRITES = (
    "SELECT current_setting('transaction_read_only')::bool, has_table_privilege('events', 'INSERT')"
)

NONE = "worker"  # what stands for all followers while there is none
STALLED = 30.0  # seconds that a follower may leave the next event where it is

# Positions that no event has: between a history and the one before it.
GAPS = """
coalesce((SELECT sum(begins - 1 - greatest(previous, {position}))::bigint FROM histories WHERE begins > {position}), 0)
"""
# events_pkey. A follower at the end of the log has no next event.
SELECT_FOLLOWERS = f"""
SELECT follower, greatest(0, head.position - checkpoints.position - {GAPS.format(position="checkpoints.position")}),
    coalesce(parked.events, 0), checkpoints.error,
    extract(epoch FROM clock_timestamp() - checkpoints.failed_at)::float8,
    extract(epoch FROM clock_timestamp() - greatest(checkpoints.updated_at, next.recorded_at))::float8
FROM checkpoints
CROSS JOIN (SELECT coalesce(max(position), 0) AS position FROM events) AS head
LEFT JOIN LATERAL (
    SELECT recorded_at FROM events WHERE position > checkpoints.position ORDER BY position LIMIT 1
) AS next ON true
LEFT JOIN (SELECT follower, count(*) AS events FROM dead_letters GROUP BY follower) AS parked USING (follower)
ORDER BY follower
"""


def not_run(*, redis: bool, secret_key: bool) -> set[str]:
    """The followers that a service without Redis, or without a key for secrets, runs no more, whatever their last position was."""
    return (set() if redis else {"cache", "streams"}) | (set() if secret_key else {"webhooks"})


# events_pkey, histories_pkey
SELECT_END = """
SELECT coalesce(head.position, 0), head.recorded_at, (SELECT coalesce(max(begins), 0) FROM histories)
FROM (SELECT) AS always
LEFT JOIN (SELECT position, recorded_at FROM events ORDER BY position DESC LIMIT 1) AS head ON true
"""

SELECT_COUNT = f"SELECT coalesce(max(position), 0) - {GAPS.format(position=0)} FROM events"


class Failure(msgspec.Struct, frozen=True):
    """A follower that does not go on: how many events it is behind, for how many seconds, and why."""

    lag: int
    seconds: int
    error: str


class FollowerState(msgspec.Struct, frozen=True):
    """``lag``: events that it has not seen yet. ``parked``: events that it could not take and has left out."""

    lag: int
    parked: int
    failure: Failure | None = None


class LogEnd(msgspec.Struct, frozen=True):
    """The last event of the log, and where its history begins, 0 for the first one."""

    position: int
    recorded_at: datetime | None
    begins: int


async def log_end(conn: Connection) -> LogEnd:
    row = await (await conn.execute(SELECT_END)).fetchone()
    return LogEnd(*row) if row else LogEnd(0, None, 0)


async def missing_migrations(conn: Connection, folders: Sequence[Path]) -> list[str]:
    """The names of the migrations that this release brings and the database lacks."""
    history = await (await conn.execute(SELECT_HISTORY)).fetchone()
    applied = set()
    if history and history[0]:
        applied = {row[0] for row in await (await conn.execute(SELECT_APPLIED)).fetchall()}
    return [file.name for file in collect(folders) if int(file.name[:4]) not in applied]


async def followers(conn: Connection) -> dict[str, FollowerState]:
    """How each follower is, by its name; ``NONE`` alone when none has ever run here."""
    found = {
        name: _state(lag, parked, error, failed, waited)
        for name, lag, parked, error, failed, waited in await (
            await conn.execute(SELECT_FOLLOWERS)
        ).fetchall()
    }
    if found:
        return found
    row = await (await conn.execute(SELECT_COUNT)).fetchone()
    lag = row[0] if row else 0
    return {
        NONE: FollowerState(lag, 0, Failure(lag, 0, "no follower has ever run here; start `skald worker`"))
    }


def _state(
    lag: int, parked: int, error: str | None, failed: float | None, waited: float | None
) -> FollowerState:
    if error is not None:
        return FollowerState(lag, parked, Failure(lag, round(failed or 0), error))
    if lag and waited is not None and waited > STALLED:
        return FollowerState(
            lag, parked, Failure(lag, round(waited), "it does not go on; is a worker running?")
        )
    return FollowerState(lag, parked)


async def writes(conn: Connection) -> Literal["ok", "read-only", "not permitted"]:
    """Whether the log can be appended to. A connection that may only read is closed: what has changed holds for a new one."""
    row = await (await conn.execute(SELECT_WRITES)).fetchone()
    read_only, permitted = row or (False, False)
    if read_only:
        await conn.close()
        return "read-only"
    return "ok" if permitted else "not permitted"
