"""A log that goes back: the database as it was at a position, as after a failover that lost the end or a restored backup."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection

from projections.rebuild.rebuild import replay

FORGET = """
DELETE FROM events WHERE position > {position};
DELETE FROM snapshots WHERE NOT EXISTS (
    SELECT FROM events WHERE events.stream_id = snapshots.stream_id AND events.stream_version = snapshots.stream_version);
DELETE FROM commands WHERE NOT EXISTS (
    SELECT FROM events WHERE events.stream_id = commands.stream_id AND events.stream_version = commands.stream_version);
UPDATE checkpoints SET position = least(position, {position});
UPDATE webhooks SET position = least(position, {position});
DELETE FROM webhook_deliveries WHERE position > {position};
"""
FORGET_CONTENTS = """
DELETE FROM contents WHERE digest <> ALL(%s)
"""


@contextmanager
def changing_the_log(dsn: str) -> Iterator[Connection[Any]]:
    """A connection that may do what no service may: change events and contents."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SET session_replication_role = replica")
        yield conn


async def go_back(dsn: str, position: int, *, contents: set[bytes] | None = None) -> None:
    """Forget everything after ``position``; with ``contents`` all others too. Connections that are open stay open."""
    with changing_the_log(dsn) as conn:
        conn.execute(FORGET.format(position=position).encode())
    await replay(dsn, notify=False)
    if contents is not None:
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(FORGET_CONTENTS, (list(contents),))


def stored(dsn: str) -> set[bytes]:
    """The digests of all contents."""
    with psycopg.connect(dsn) as conn:
        return {bytes(row[0]) for row in conn.execute("SELECT digest FROM contents").fetchall()}
