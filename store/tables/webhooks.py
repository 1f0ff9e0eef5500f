"""Webhooks, their secrets and their deliveries: plain tables beside the log, written by the API and by the worker."""

import base64
import secrets as random
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

import msgspec

from domain.errors import Conflict, NotFound
from domain.webhooks import MAX_WEBHOOKS
from store.ids import new_id
from store.postgres.connection import Connection
from store.tables.sealing import Sealer

Status = Literal["pending", "delivered", "failed"]
Outcome = Literal["delivered", "retry", "failed"]  # of an attempt; failed is the last one of a delivery
Cause = Literal["event", "redelivery", "replay"]

CHANNEL = "skald_webhooks"  # its payload is the id of a webhook that has changed or has something to do
SECRET_BYTES = 32  # Standard Webhooks requires 24 to 64
PREFIX = "whsec_"
MAX_SECRETS = 4  # that sign at the same time
KEEP_ANSWER = 1024  # bytes
KEEP_DAYS = 30
KEEP_DELIVERIES = 10_000  # of each endpoint, besides what is pending


class Webhook(msgspec.Struct, frozen=True):
    """An endpoint. ``position``: every event up to it has its delivery; the rest is still to be looked at."""

    id: UUID
    project_id: int
    url: str
    description: str
    types: list[str]
    names: str
    enabled: bool
    disabled_reason: str | None
    position: int
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime
    pending: int


class Delivery(msgspec.Struct, frozen=True):
    """One event for one endpoint, with its last attempt; ``due_at`` is of no meaning once it is no longer pending."""

    id: int
    webhook_id: UUID
    position: int
    subject: str
    type: str
    cause: Cause
    status: Status
    attempts: int
    created_at: datetime
    due_at: datetime
    first_at: datetime | None
    attempted_at: datetime | None
    duration_ms: int | None
    response_status: int | None
    response_body: bytes | None
    error: str | None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one request. ``error`` is None for a success."""

    started_at: datetime
    duration_ms: int
    status: int | None = None
    body: bytes | None = None
    error: str | None = None
    retry_after: float | None = None


class Totals(msgspec.Struct, frozen=True):
    """What came of all attempts since ever, by outcome, and how many deliveries are pending now."""

    attempts: dict[str, int]
    pending: int


class Replay(msgspec.Struct, frozen=True):
    """Events after ``position`` up to ``last_position`` are still to be written as deliveries."""

    id: int
    position: int
    last_position: int


class Request(msgspec.Struct, frozen=True):
    """What makes a repeated request recognisable; ``fingerprint`` is a digest of it."""

    key_id: UUID
    key: str
    fingerprint: bytes


class OtherRequest(Exception):
    """The same key came with another request before."""


NOTIFY = "SELECT pg_notify('skald_webhooks', %s::text)"

WEBHOOK = """id, project_id, url, description, types, names, enabled, disabled_reason, position, failing_since, created_at,
             updated_at,
             (SELECT count(*) FROM webhook_deliveries
              WHERE webhook_id = webhooks.id AND webhook_deliveries.status = 'pending')"""
DELIVERY = """id, webhook_id, position, subject, type, cause, status, attempts, created_at, due_at, first_at, attempted_at,
              duration_ms, response_status, response_body, error"""

# Two requests at once must not pass the limit together.
LOCK_PROJECT = "SELECT pg_advisory_xact_lock(7203017, %s::int)"
COUNT = "SELECT count(*) FROM webhooks WHERE project_id = %s"  # webhooks_of_project
INSERT = f"""
INSERT INTO webhooks (id, project_id, url, description, types, names, enabled, position, created_by)
VALUES (%s, %s, %s, %s, %s, %s, %s,
        least(coalesce(%s, 9223372036854775807), (SELECT coalesce(max(position), 0) FROM events)), %s)
RETURNING {WEBHOOK}
"""
INSERT_SEALED = """
INSERT INTO webhook_secrets (webhook_id, number, sealed)
SELECT %(id)s, coalesce(max(number), 0) + 1, %(sealed)s FROM webhook_secrets WHERE webhook_id = %(id)s
"""
# webhook_requests_pkey. Two at once: the second waits here for the first.
INSERT_REQUEST = """
INSERT INTO webhook_requests (key_id, idempotency_key, fingerprint, webhook_id) VALUES (%s, %s, %s, %s)
"""
SELECT_REQUEST = (
    "SELECT fingerprint, webhook_id FROM webhook_requests WHERE key_id = %s AND idempotency_key = %s"
)
# webhooks_of_project
SELECT_ALL = f"SELECT {WEBHOOK} FROM webhooks WHERE project_id = %s ORDER BY created_at, id"
SELECT_ONE = f"SELECT {WEBHOOK} FROM webhooks WHERE id = %s"
LOCK_ONE = f"{SELECT_ONE} AND project_id = %s FOR UPDATE"
UPDATE = f"""
UPDATE webhooks SET url = %s, description = %s, types = %s, names = %s, enabled = %s, disabled_reason = %s,
                    failing_since = %s, updated_at = clock_timestamp()
WHERE id = %s RETURNING {WEBHOOK}
"""
# webhook_deliveries_pending
RESTART_PENDING = """
UPDATE webhook_deliveries SET due_at = clock_timestamp(), first_at = NULL, attempts = 0
WHERE webhook_id = %s AND status = 'pending'
"""
DELETE = "DELETE FROM webhooks WHERE id = %s AND project_id = %s"

# Of calls in a row, because an answer was lost, each leaves what the receiver may still have; a leak ends all at once.
END_OLDER = """
DELETE FROM webhook_secrets WHERE webhook_id = %s AND (%s::float8 <= 0 OR number < (
    SELECT number FROM webhook_secrets WHERE webhook_id = %s ORDER BY number DESC OFFSET %s LIMIT 1))
"""
END_CURRENT = """
UPDATE webhook_secrets SET expires_at = clock_timestamp() + make_interval(secs => %s::float8)
WHERE webhook_id = %s AND expires_at IS NULL RETURNING expires_at
"""
# Newest first: most receivers know it already.
SELECT_SECRETS = """
SELECT sealed FROM webhook_secrets
WHERE webhook_id = %s AND (expires_at IS NULL OR expires_at > clock_timestamp()) ORDER BY number DESC
"""

# webhook_deliveries_of_webhook
SELECT_DELIVERIES = f"""
SELECT {DELIVERY} FROM webhook_deliveries
WHERE webhook_id = %s AND (%s::text IS NULL OR status = %s) AND (%s::bigint IS NULL OR id < %s)
ORDER BY id DESC LIMIT %s
"""
SELECT_DELIVERY = f"SELECT {DELIVERY} FROM webhook_deliveries WHERE id = %s AND webhook_id = %s"
TRY_NOW = f"UPDATE webhook_deliveries SET due_at = clock_timestamp() WHERE id = %s AND status = 'pending' RETURNING {DELIVERY}"
# webhook_deliveries_pending: of the same event one delivery waits at most.
INSERT_DELIVERIES = """
INSERT INTO webhook_deliveries (webhook_id, position, subject, type, cause)
SELECT %s, new.position, new.subject, new.type, %s
FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS new (position, subject, type)
ON CONFLICT (webhook_id, position) WHERE status = 'pending' DO NOTHING
"""
REPEAT = f"""
INSERT INTO webhook_deliveries (webhook_id, position, subject, type, cause)
SELECT webhook_id, position, subject, type, 'redelivery' FROM webhook_deliveries WHERE id = %s
ON CONFLICT (webhook_id, position) WHERE status = 'pending' DO UPDATE SET due_at = clock_timestamp()
RETURNING {DELIVERY}
"""
# webhook_deliveries_of_webhook. Of an event that has been sent again since, that counts.
REPEAT_FAILED = """
INSERT INTO webhook_deliveries (webhook_id, position, subject, type, cause)
SELECT webhook_id, position, subject, type, 'redelivery' FROM (
    SELECT DISTINCT ON (position) webhook_id, position, subject, type, status FROM webhook_deliveries
    WHERE webhook_id = %s ORDER BY position, id DESC
) AS last WHERE status = 'failed' ORDER BY position LIMIT %s
ON CONFLICT (webhook_id, position) WHERE status = 'pending' DO NOTHING
"""
MAX_REPEATED = 1000  # in one go: what is pending has a limit, too
INSERT_REPLAY = """
INSERT INTO webhook_replays (webhook_id, position, last_position) VALUES (%s, %s, %s)
RETURNING id, position, last_position
"""
COUNT_REPLAYS = "SELECT count(*) FROM webhook_replays WHERE webhook_id = %s"
MAX_REPLAYS = 10

SELECT_ENABLED = "SELECT id, project_id FROM webhooks WHERE enabled"
# webhook_replays_of_webhook
SELECT_REPLAY = """
SELECT id, position, last_position FROM webhook_replays WHERE webhook_id = %s ORDER BY id LIMIT 1
"""
MOVE = "UPDATE webhooks SET position = %s WHERE id = %s AND position = %s"
MOVE_REPLAY = "UPDATE webhook_replays SET position = %s WHERE id = %s AND position = %s"
END_REPLAY = "DELETE FROM webhook_replays WHERE id = %s"

# webhook_deliveries_lanes. The first of each subject: what comes after it waits for it.
SELECT_HEADS = f"""
SELECT * FROM (
    SELECT DISTINCT ON (subject) {DELIVERY}, greatest(0, extract(epoch FROM due_at - clock_timestamp()))::float8 AS wait
    FROM webhook_deliveries
    WHERE webhook_id = %s AND status = 'pending' AND (%s::text[] IS NULL OR subject = ANY(%s))
    ORDER BY subject, position
) AS heads ORDER BY wait, position
"""

# A delivery that was deleted or reassigned meanwhile is not written.
RECORD = """
UPDATE webhook_deliveries
SET status = %s, attempts = attempts + 1, due_at = clock_timestamp() + make_interval(secs => %s::float8),
    first_at = coalesce(first_at, %s), attempted_at = %s, duration_ms = %s, response_status = %s, response_body = %s,
    error = %s
WHERE id = %s AND status = 'pending'
"""
SUCCEEDED = "UPDATE webhooks SET failing_since = NULL WHERE id = %s AND failing_since IS NOT NULL"
FAILED = """
UPDATE webhooks SET failing_since = coalesce(failing_since, %s) WHERE id = %s AND enabled RETURNING failing_since
"""
DISABLE = """
UPDATE webhooks SET enabled = false, disabled_reason = %s, updated_at = clock_timestamp() WHERE id = %s AND enabled
"""

ADD_TOTALS = """
INSERT INTO webhook_totals (outcome, attempts) SELECT * FROM unnest(%s::text[], %s::bigint[])
ON CONFLICT (outcome) DO UPDATE SET attempts = webhook_totals.attempts + excluded.attempts
"""
# webhook_deliveries_pending
COUNT_PENDING = "SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'"

# webhook_deliveries_age
SWEEP_OLD = """
DELETE FROM webhook_deliveries WHERE status <> 'pending' AND created_at < clock_timestamp() - make_interval(days => %s)
"""
# webhook_deliveries_of_webhook
SWEEP_MANY = """
DELETE FROM webhook_deliveries AS old USING (
    SELECT webhooks.id, (
        SELECT kept.id FROM webhook_deliveries AS kept WHERE kept.webhook_id = webhooks.id
        ORDER BY kept.id DESC OFFSET %s LIMIT 1) AS last
    FROM webhooks) AS full_ones
WHERE old.webhook_id = full_ones.id AND old.id <= full_ones.last AND old.status <> 'pending'
"""
# webhook_requests_age
SWEEP_REQUESTS = "DELETE FROM webhook_requests WHERE recorded_at < clock_timestamp() - interval '24 hours'"
SWEEP_SECRETS = "DELETE FROM webhook_secrets WHERE expires_at <= clock_timestamp()"


def new_secret() -> str:
    """``whsec_`` and random bytes in base64, as Standard Webhooks has it."""
    return PREFIX + base64.b64encode(random.token_bytes(SECRET_BYTES)).decode()


# What the API does ----------------------------------------------------------------------------------------------


async def create(
    conn: Connection,
    sealer: Sealer,
    *,
    project_id: int,
    url: str,
    description: str,
    types: Sequence[str],
    names: str,
    enabled: bool,
    after: int | None,
    created_by: int | None,
    request: Request | None = None,
) -> tuple[Webhook, str]:
    """A new webhook and its secret, shown this once. ``after`` None: it begins with the next event.

    Raises Conflict when the project has as many as it may, and psycopg.errors.UniqueViolation when the ``request`` has
    made one already (see ``made_by``).
    """
    secret = new_secret()
    async with conn.transaction():
        await conn.execute(LOCK_PROJECT, (project_id % 2**31,))
        row = await (await conn.execute(COUNT, (project_id,))).fetchone()
        if row is None or row[0] >= MAX_WEBHOOKS:
            raise Conflict(
                f"A project may have {MAX_WEBHOOKS} webhooks; delete one first.", code="limit_reached"
            )
        values = (new_id(), project_id, url, description, list(types), names, enabled, after, created_by)
        found = await (await conn.execute(INSERT, values)).fetchone()
        webhook = _webhook(found)
        await conn.execute(INSERT_SEALED, {"id": webhook.id, "sealed": sealer.seal(secret)})
        if request is not None:
            await conn.execute(INSERT_REQUEST, (request.key_id, request.key, request.fingerprint, webhook.id))
        await conn.execute(NOTIFY, (str(webhook.id),))
    return webhook, secret


async def made_by(conn: Connection, sealer: Sealer, request: Request) -> tuple[Webhook, str] | None:
    """The webhook that the request made before, as it is now, with the oldest of its secrets. Raises OtherRequest."""
    row = await (await conn.execute(SELECT_REQUEST, (request.key_id, request.key))).fetchone()
    if row is None:
        return None
    fingerprint, webhook_id = row
    if fingerprint != request.fingerprint:
        raise OtherRequest
    webhook = await load(conn, webhook_id)
    sealed = await sealed_secrets(conn, webhook_id)
    return (webhook, sealer.open(sealed[-1])) if webhook and sealed else None


async def list_all(conn: Connection, project_id: int) -> list[Webhook]:
    """The webhooks of a project, oldest first."""
    return [_webhook(row) for row in await (await conn.execute(SELECT_ALL, (project_id,))).fetchall()]


async def find(conn: Connection, webhook_id: UUID, project_id: int) -> Webhook:
    """Raises NotFound, also for a webhook of another project."""
    webhook = await load(conn, webhook_id)
    if webhook is None or webhook.project_id != project_id:
        raise _unknown(webhook_id)
    return webhook


async def change(conn: Connection, webhook_id: UUID, project_id: int, fields: dict[str, Any]) -> Webhook:
    """Replace the fields that are given. Switching it on forgets why it was off, and tries at once what is pending.

    Raises NotFound.
    """
    async with conn.transaction():
        row = await (await conn.execute(LOCK_ONE, (webhook_id, project_id))).fetchone()
        if row is None:
            raise _unknown(webhook_id)
        before = _webhook(row)
        after = msgspec.structs.replace(before, **fields)
        if fields.get("enabled"):
            after = msgspec.structs.replace(after, disabled_reason=None)
            if not before.enabled:
                after = msgspec.structs.replace(after, failing_since=None)
                await conn.execute(RESTART_PENDING, (webhook_id,))
        elif fields.get("enabled") is False and before.enabled:
            after = msgspec.structs.replace(after, disabled_reason=None)
        values = (
            after.url,
            after.description,
            after.types,
            after.names,
            after.enabled,
            after.disabled_reason,
            after.failing_since,
        )
        changed = await (await conn.execute(UPDATE, (*values, webhook_id))).fetchone()
        await conn.execute(NOTIFY, (str(webhook_id),))
    return _webhook(changed)


async def delete(conn: Connection, webhook_id: UUID, project_id: int) -> None:
    """The webhook and its deliveries are gone. Raises NotFound."""
    async with conn.transaction():
        gone = await conn.execute(DELETE, (webhook_id, project_id))
        if gone.rowcount == 0:
            raise _unknown(webhook_id)
        await conn.execute(NOTIFY, (str(webhook_id),))


async def rotate_secret(
    conn: Connection,
    sealer: Sealer,
    webhook_id: UUID,
    project_id: int,
    *,
    seconds: float,
    request: Request | None = None,
) -> tuple[str, datetime | None]:
    """A new secret, shown this once, and until when the one before it signs as well.

    Without ``seconds`` all earlier ones end. Raises NotFound, and psycopg.errors.UniqueViolation when the ``request`` has done it
    before.
    """
    secret = new_secret()
    async with conn.transaction():
        if await (await conn.execute(LOCK_ONE, (webhook_id, project_id))).fetchone() is None:
            raise _unknown(webhook_id)
        if request is not None:
            await conn.execute(INSERT_REQUEST, (request.key_id, request.key, request.fingerprint, webhook_id))
        ended = await (await conn.execute(END_CURRENT, (seconds, webhook_id))).fetchone()
        await conn.execute(END_OLDER, (webhook_id, seconds, webhook_id, MAX_SECRETS - 2))
        await conn.execute(INSERT_SEALED, {"id": webhook_id, "sealed": sealer.seal(secret)})
    return secret, ended[0] if ended else None


async def deliveries(
    conn: Connection, webhook_id: UUID, *, status: str | None, before: int | None, limit: int
) -> list[Delivery]:
    """Newest first, those before an id."""
    cursor = await conn.execute(SELECT_DELIVERIES, (webhook_id, status, status, before, before, limit))
    return [Delivery(*row) for row in await cursor.fetchall()]


async def redeliver(conn: Connection, webhook_id: UUID, delivery_id: int) -> Delivery:
    """The event of a delivery once more, at once: a new delivery, or the pending one. Raises NotFound."""
    async with conn.transaction():
        row = await (await conn.execute(TRY_NOW, (delivery_id,))).fetchone()
        known = await (await conn.execute(SELECT_DELIVERY, (delivery_id, webhook_id))).fetchone()
        if known is None:
            raise NotFound(f"This webhook has no delivery {delivery_id}.")
        row = row or await (await conn.execute(REPEAT, (delivery_id,))).fetchone()
        await conn.execute(NOTIFY, (str(webhook_id),))
    assert row is not None
    return Delivery(*row)


async def redeliver_failed(conn: Connection, webhook_id: UUID) -> int:
    """The events that were given up, and not sent again since, once more, the oldest first; how many, at most ``MAX_REPEATED``."""
    async with conn.transaction():
        count = (await conn.execute(REPEAT_FAILED, (webhook_id, MAX_REPEATED))).rowcount
        await conn.execute(NOTIFY, (str(webhook_id),))
    return count


async def replay(conn: Connection, webhook_id: UUID, *, first: int, last: int) -> Replay:
    """Let the worker deliver the matching events from ``first`` to ``last`` again. Raises Conflict when too many wait."""
    async with conn.transaction():
        row = await (await conn.execute(COUNT_REPLAYS, (webhook_id,))).fetchone()
        if row is None or row[0] >= MAX_REPLAYS:
            raise Conflict(
                f"{MAX_REPLAYS} replays are waiting already; try again later.", code="limit_reached"
            )
        made = await (await conn.execute(INSERT_REPLAY, (webhook_id, first - 1, last))).fetchone()
        await conn.execute(NOTIFY, (str(webhook_id),))
    assert made is not None
    return Replay(*made)


# What the worker does -------------------------------------------------------------------------------------------


async def load(conn: Connection, webhook_id: UUID) -> Webhook | None:
    row = await (await conn.execute(SELECT_ONE, (webhook_id,))).fetchone()
    return _webhook(row) if row else None


async def enabled(conn: Connection) -> dict[UUID, int]:
    """The webhooks that are switched on, each with its project."""
    return dict(await (await conn.execute(SELECT_ENABLED)).fetchall())


async def sealed_secrets(conn: Connection, webhook_id: UUID) -> list[bytes]:
    """The secrets that sign now, newest first."""
    return [row[0] for row in await (await conn.execute(SELECT_SECRETS, (webhook_id,))).fetchall()]


async def next_replay(conn: Connection, webhook_id: UUID) -> Replay | None:
    row = await (await conn.execute(SELECT_REPLAY, (webhook_id,))).fetchone()
    return Replay(*row) if row else None


class Moved(Exception):
    """The checkpoint is no longer where it was read: another process took these events in."""


async def take_in(
    conn: Connection,
    webhook: Webhook,
    events: Sequence[tuple[int, str, str]],
    position: int,
    replay: Replay | None = None,
) -> None:
    """Write a delivery for each event (position, subject, type) and move the checkpoint over them, both or neither.

    Raises Moved.
    """
    cause: Cause = "event" if replay is None else "replay"
    columns = [list(column) for column in zip(*events, strict=True)] or [[], [], []]
    async with conn.transaction():
        if events:
            await conn.execute(INSERT_DELIVERIES, (webhook.id, cause, *columns))
        if replay is None:
            moved = await conn.execute(MOVE, (position, webhook.id, webhook.position))
        elif position >= replay.last_position:
            moved = await conn.execute(END_REPLAY, (replay.id,))
        else:
            moved = await conn.execute(MOVE_REPLAY, (position, replay.id, replay.position))
        if moved.rowcount == 0:
            raise Moved


async def heads(
    conn: Connection, webhook_id: UUID, subjects: Sequence[str] | None = None
) -> list[tuple[Delivery, float]]:
    """The first pending delivery of each subject (None: of all), and in how many seconds it is due; the soonest first."""
    chosen = None if subjects is None else list(subjects)
    rows = await (await conn.execute(SELECT_HEADS, (webhook_id, chosen, chosen))).fetchall()
    return [(Delivery(*row[:-1]), row[-1]) for row in rows]


async def record(
    conn: Connection, delivery: Delivery, attempt: Attempt, *, status: Status, pause: float = 0.0
) -> datetime | None:
    """What an attempt led to. Returns since when the endpoint fails; None after a success or when it is off."""
    values = (
        status,
        pause,
        attempt.started_at,
        attempt.started_at,
        attempt.duration_ms,
        attempt.status,
        attempt.body,
        attempt.error,
        delivery.id,
    )
    async with conn.transaction():
        await conn.execute(RECORD, values)
        if attempt.error is None:
            await conn.execute(SUCCEEDED, (delivery.webhook_id,))
            return None
        row = await (await conn.execute(FAILED, (attempt.started_at, delivery.webhook_id))).fetchone()
    return row[0] if row else None


async def add_totals(conn: Connection, attempts: Mapping[Outcome, int]) -> None:
    """Count what came of attempts."""
    await conn.execute(ADD_TOTALS, (list(attempts), list(attempts.values())))


async def totals(conn: Connection) -> Totals:
    known = dict.fromkeys(get_args(Outcome), 0)
    counted = await (await conn.execute("SELECT outcome, attempts FROM webhook_totals")).fetchall()
    pending = await (await conn.execute(COUNT_PENDING)).fetchone()
    return Totals({**known, **dict(counted)}, pending[0] if pending else 0)


async def disable(conn: Connection, webhook_id: UUID, reason: str) -> None:
    """Switch it off and say why; what is pending stays, and goes on when it is switched on again."""
    await conn.execute(DISABLE, (reason, webhook_id))


async def sweep(conn: Connection) -> None:
    """Forget old deliveries and ended secrets."""
    await conn.execute(SWEEP_OLD, (KEEP_DAYS,))
    await conn.execute(SWEEP_MANY, (KEEP_DELIVERIES,))
    await conn.execute(SWEEP_SECRETS)
    await conn.execute(SWEEP_REQUESTS)


def _webhook(row: tuple[Any, ...] | None) -> Webhook:
    assert row is not None
    return Webhook(*row)


def _unknown(webhook_id: UUID) -> NotFound:
    return NotFound(f"There is no webhook {webhook_id} in this project.")
