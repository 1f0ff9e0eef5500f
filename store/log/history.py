"""Whether the log is still the one that this process knows, and the beginning of a new history when it is not.

A server that takes the place of another one, or a backup that is restored, may know less. Positions are then given anew, and what
remembers the lost ones (caches, cursors, ids of deliveries) would take other events for them. So a log that may have gone
back begins a new history: an event that says so, at a position above every one that was ever given. Positions stay unique
and in order, and whatever is kept by position is outdated by that event as by any other.
"""

import logging
from collections import deque
from collections.abc import Callable
from uuid import UUID

import psycopg
from psycopg.errors import InsufficientPrivilege

from domain.maintenance import LogRewound
from store.ids import new_id
from store.log.log import CHANNEL, LOCK
from store.log.mapper import to_stored
from store.postgres.connection import Connection

logger = logging.getLogger(__name__)

MAX_WITNESSES = (
    100  # events that are looked for in a log that may have gone back: those of the last minute or so
)
# Positions of later histories are microseconds since 1970, of which there are more than events; a first history has none of
# them, and every program reads them exactly (they are below 2^53).
FIRST_LATER = 10**15
# How far a history begins above the last position that the log has, should the clock be behind: a second's worth.
STEP = 1_000_000

# histories_pkey, events_pkey. ``known``: the last of the witnesses that is in the log; ``refuted``: whether another event stands
# in the place of one.
SELECT_STATE = """
SELECT server_identity(), pg_is_in_recovery() OR current_setting('transaction_read_only')::bool,
    latest.begins, latest.server, head.position, head.command_id, found.known, found.refuted
FROM (SELECT) AS always
LEFT JOIN (SELECT begins, server FROM histories ORDER BY begins DESC LIMIT 1) AS latest ON true
LEFT JOIN (SELECT position, command_id FROM events ORDER BY position DESC LIMIT 1) AS head ON true
CROSS JOIN (
    SELECT max(seen.position) FILTER (WHERE events.command_id = seen.command_id) AS known,
           coalesce(bool_or(events.command_id <> seen.command_id), false) AS refuted
    FROM unnest(%s::bigint[], %s::uuid[]) AS seen (position, command_id) LEFT JOIN events USING (position)
) AS found
"""
INSERT_FIRST = """
INSERT INTO histories (begins, shared, previous, server) VALUES (0, 0, 0, server_identity()) ON CONFLICT DO NOTHING
"""
# events_pkey
BEGIN = f"""
WITH head AS MATERIALIZED (
    SELECT coalesce(max(position), 0) AS position, greatest(clock_timestamp(), max(recorded_at)) AS now
    FROM (SELECT position, recorded_at FROM events ORDER BY position DESC LIMIT 1) AS last
), begun AS (
    INSERT INTO events (position, stream_id, stream_version, topic, state, recorded_at, command_id)
    SELECT greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint, head.position + {STEP}, {FIRST_LATER}),
           %(stream)s, 1, %(topic)s, %(state)s, head.now, %(command)s
    FROM head RETURNING position
), noted AS (
    INSERT INTO histories (begins, shared, previous, server)
    SELECT begun.position, %(shared)s, head.position, server_identity() FROM begun, head
)
SELECT begun.position, pg_notify('{CHANNEL}', begun.position || ' 1') FROM begun
"""


class Unsettled(psycopg.OperationalError):
    """The log went back, and this server takes no event that says so: it is a standby, or the role lacks a right."""


class LogHistory:
    """What one process knows of the log, kept up to date by what appends to it and what follows it.

    ``begins`` is where the current history begins, 0 for the first one; ``began`` is called when that is another one than before.
    """

    def __init__(self, began: Callable[[int], None] = lambda begins: None) -> None:
        self.begins = 0
        self._began = began
        self._reached = 0
        self._witnesses: deque[tuple[int, UUID]] = deque(maxlen=MAX_WITNESSES)

    def reach(self, position: int, command_id: UUID | None = None) -> None:
        """The log has come to ``position``, with an event of this command."""
        self._reached = max(self._reached, position)
        if command_id is not None:
            self._witnesses.append((position, command_id))

    def is_witnessed(self, position: int) -> bool:
        """Whether the event at ``position`` is one that would be recognised."""
        return bool(self._witnesses) and self._witnesses[-1][0] >= position

    async def settle(self, conn: Connection) -> None:
        """Compare the log behind a new connection with what is known, and begin a new history when it may have gone back.

        To be called before anything is read or written there. ``conn`` is in autocommit. Raises Unsettled.
        """
        state = await self._look(conn)
        if state.latest is None and not state.read_only:
            try:
                await conn.execute(INSERT_FIRST)
            except InsufficientPrivilege:
                logger.warning("this role may not note the server's identity: GRANT INSERT ON histories")
            state = await self._look(conn)
        if state.shared is not None:
            if state.read_only:
                raise Unsettled("the log may have gone back, and this server takes no writes")
            try:
                await self._begin(conn)
            except InsufficientPrivilege as error:
                raise Unsettled(
                    f"the log may have gone back, and this role may not note it: {error}"
                ) from None
            state = await self._look(conn)
        if state.head:
            self.reach(*state.head)
        latest = state.latest or 0
        if latest != self.begins:
            # Everything that was known before it is known of another log.
            self._witnesses.clear()
            self._reached, self.begins = latest, latest
            if state.head:
                self.reach(*state.head)
            self._began(latest)

    async def _begin(self, conn: Connection) -> None:
        async with conn.transaction():
            await conn.execute(LOCK)
            # Behind the lock: another process may have begun it.
            state = await self._look(conn)
            if state.shared is None:
                return
            end = state.head[0] if state.head else 0
            event = LogRewound(
                originator_id=new_id(),
                originator_version=1,
                shared=state.shared,
                known=max(self._reached, end),
            )
            stored = to_stored(event)
            values = {
                "stream": event.originator_id,
                "topic": stored.topic,
                "state": stored.state,
                "command": new_id(),
                "shared": state.shared,
            }
            row = await (await conn.execute(BEGIN, values)).fetchone()
        logger.log(
            logging.WARNING if event.known > state.shared else logging.INFO,
            "the log may have gone back to position %d, so a new history begins at %d; position %d was the last one known",
            state.shared, row[0] if row else 0, event.known,
        )  # fmt: skip

    async def _look(self, conn: Connection) -> "_State":
        positions = [position for position, _ in self._witnesses]
        commands = [command for _, command in self._witnesses]
        row = await (await conn.execute(SELECT_STATE, (positions, commands), binary=True)).fetchone()
        assert row is not None
        server, read_only, latest, begun_on, position, command_id, known, refuted = row
        state = _State()
        state.read_only, state.latest = read_only, latest
        state.head = None if position is None else (position, command_id)
        end = position or 0
        # A history that began behind all that is known here explains whatever is missing.
        explained = latest is not None and latest > self._reached
        if refuted and not explained:
            state.shared = known or 0
        elif (end < self._reached and not explained) or (latest is not None and is_another(begun_on, server)):
            state.shared = end
        return state


class _State:
    """What a look at the log found. ``shared``: up to where it is what it was, when a new history has to begin."""

    read_only: bool
    latest: int | None
    head: tuple[int, UUID] | None
    shared: int | None = None


def is_another(server: str, found: str) -> bool:
    """Whether two identities are those of different servers, as far as both say."""
    parts, others = server.split("/"), found.split("/")
    return len(parts) != len(others) or any(
        part != other and "-" not in (part, other) for part, other in zip(parts, others, strict=True)
    )
