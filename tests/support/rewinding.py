"""A log that goes back: the database as it was at a position, as after a failover that lost the end or a restored backup."""

import psycopg

from projections.rebuild.rebuild import replay

# What no service may do, so the owner of the tables does it.
FORGET = """
ALTER TABLE events DISABLE TRIGGER events_append_only;
DELETE FROM events WHERE position > {position};
ALTER TABLE events ENABLE TRIGGER events_append_only;
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


async def go_back(dsn: str, position: int, *, contents: set[bytes] | None = None) -> None:
    """Forget everything after ``position``; with ``contents`` all others too. Connections that are open stay open."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(FORGET.format(position=position).encode())
    await replay(dsn, notify=False)
    if contents is not None:
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(FORGET_CONTENTS, (list(contents),))


def stored(dsn: str) -> set[bytes]:
    """The digests of all contents."""
    with psycopg.connect(dsn) as conn:
        return {bytes(row[0]) for row in conn.execute("SELECT digest FROM contents").fetchall()}
