"""The audit: the whole log of a project, with the events of the keys and shares that open it.

Events show people by their ids alone: names of people are no part of the log.
"""

import csv
import io
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from domain.artifacts import mirrors, policies
from domain.artifacts.kinds import kind_of
from domain.events import EVENT_TYPES
from projections import sizes
from projections.encoding import timestamp
from projections.events.cloudevents import ENVELOPE, NUMBERED, subject_of, topic_among, type_of
from projections.events.feed import LOOKED
from projections.events.policies import subject_of as named_by
from projections.read.past import position_at
from projections.read.renames import NAMED_AT
from projections.sizes import fitting, size_of
from store.log.log import Recorded, head
from store.log.mapper import decode, encode
from store.postgres.connection import Connection

KEY = "key"
SHARE = "share"
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)  # no event is older
KEY_TOPICS = ("key.created", "key.revoked")
SHARE_TOPICS = ("share.created", "share.revoked")

ENVELOPE_COLUMNS = """events.position, events.stream_id, events.stream_version, events.topic, events.state,
    events.recorded_at, events.project_id, events.actor_id, events.key_id, events.command_id, events.correlation_id"""

# events_of_project for each part (events of keys and shares have no project), name_spans_of_name, name_spans_pkey, keys_pkey.
# Which project a share was of is read in its events: they stay when it has been swept.
EVENTS = f"""
SELECT *, {size_of("state")} AS size FROM (
    (SELECT {ENVELOPE_COLUMNS}, named.kind, named.name
     FROM events
     LEFT JOIN LATERAL ({NAMED_AT.format(stream="events.stream_id", position="events.position")}) AS named ON true
     WHERE events.project_id = %(project)s AND position > %(after)s AND position <= %(upto)s
       AND (%(topics)s::text[] IS NULL OR topic = ANY(%(topics)s))
       AND (%(actor)s::bigint IS NULL OR actor_id = %(actor)s)
       AND (%(key)s::uuid IS NULL OR key_id = %(key)s)
       AND (%(kind)s::text IS NULL OR events.stream_id IN (
           SELECT stream_id FROM name_spans
           WHERE project_id = %(project)s AND kind = %(kind)s AND name = %(name)s) AND named.name = %(name)s
         OR %(kind)s = 'label_policy' AND events.stream_id = %(policies)s
             AND convert_from(state, 'UTF8')::jsonb ->> 'label' = %(name)s
         OR %(kind)s = 'mirror' AND events.stream_id = %(mirror)s AND events.project_id::text = %(name)s)
     ORDER BY position LIMIT %(limit)s)
    UNION ALL
    (SELECT {ENVELOPE_COLUMNS}, NULL, NULL
     FROM events JOIN keys ON keys.id = events.stream_id
     WHERE events.project_id IS NULL AND position > %(after)s AND position <= %(upto)s
       AND topic = ANY(%(key_topics)s)
       AND (keys.project_ids IS NULL OR %(project)s = ANY(keys.project_ids))
       AND (%(topics)s::text[] IS NULL OR topic = ANY(%(topics)s))
       AND (%(actor)s::bigint IS NULL OR actor_id = %(actor)s)
       AND (%(key)s::uuid IS NULL OR key_id = %(key)s OR events.stream_id = %(key)s)
       AND (%(kind)s::text IS NULL OR (%(kind)s = 'key' AND events.stream_id::text = %(name)s))
     ORDER BY position LIMIT %(limit)s)
    UNION ALL
    (SELECT {ENVELOPE_COLUMNS}, NULL, NULL
     FROM events
     WHERE events.project_id IS NULL AND position > %(after)s AND position <= %(upto)s
       AND topic = ANY(%(share_topics)s)
       AND (convert_from(state, 'UTF8')::jsonb ->> 'project_id')::bigint = %(project)s
       AND (%(topics)s::text[] IS NULL OR topic = ANY(%(topics)s))
       AND (%(actor)s::bigint IS NULL OR actor_id = %(actor)s)
       AND (%(key)s::uuid IS NULL OR key_id = %(key)s)
       AND (%(kind)s::text IS NULL OR (%(kind)s = 'share' AND events.stream_id::text = %(name)s))
     ORDER BY position LIMIT %(limit)s)
) AS entries
ORDER BY position LIMIT %(limit)s
"""
PAGE = f"{fitting(EVENTS, 'position')} ORDER BY nth"
# The same from the other end, and where that look ends.
LATEST = EVENTS.replace("ORDER BY position LIMIT", "ORDER BY position DESC LIMIT")
NEWEST = f"{fitting(LATEST, 'position DESC')} ORDER BY nth"
LOOKED_BACK = (
    LOOKED.replace("position - 1", "position")
    .replace("> %(after)s", "<= %(upto)s")
    .replace("ORDER BY position", "ORDER BY position DESC")
)


class AuditFilter(msgspec.Struct, frozen=True):
    """The filters of an audit; None is everything. ``subject`` is a kind (``key`` and ``share`` too) and a name or id."""

    topics: Sequence[str] | None = None
    actor: int | None = None
    key: UUID | None = None
    subject: tuple[str, str] | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def filters(self) -> bool:
        """Whether events between its instants are left out."""
        return any(one is not None for one in (self.topics, self.actor, self.key, self.subject))


class Found(NamedTuple):
    """An event and what it is about; what has no name is shown by its id."""

    recorded: Recorded
    kind: str | None
    name: str | None


class AuditEntry(msgspec.Struct, frozen=True):
    """One event, ids only. ``data`` has its own fields: digests of contents, never contents."""

    position: int
    time: str
    type: str
    subject: str
    version: int | None
    actor: int | None
    key_id: UUID | None
    request_id: str | None
    command_id: UUID
    stream_id: UUID
    stream_version: int
    data: dict[str, Any]


def topic_of(type_: str) -> str | None:
    """The topic behind a type that an audit knows, None for any other."""
    return topic_among(topics(), type_)


def topics() -> list[str]:
    return [topic for topic in EVENT_TYPES if _audited(topic)]


def _audited(topic: str) -> bool:
    return (
        topic in (*KEY_TOPICS, *SHARE_TOPICS, *policies.TOPICS, *mirrors.TOPICS) or kind_of(topic) is not None
    )


async def bounds(conn: Connection, wanted: AuditFilter) -> tuple[int, int]:
    """The positions that the time from ``since`` to ``until``, both included, lies between: above the first, up to the second."""
    after, upto = 0, await head(conn)
    if wanted.since is not None and wanted.since > BEGINNING:
        after = await position_at(conn, wanted.since - timedelta(microseconds=1))
    if wanted.until is not None:
        upto = min(upto, await position_at(conn, wanted.until))
    return after, upto


async def newest(
    conn: Connection, project_id: int, wanted: AuditFilter, *, after: int, upto: int, limit: int
) -> tuple[list[Found], int]:
    """The same from the other end: the newest first, up to a position, and the position above which they are complete."""
    params = _params(project_id, wanted, after=after, upto=upto, limit=limit)
    if wanted.filters:
        looked = await (await conn.execute(LOOKED_BACK, params)).fetchone()
        after = params["after"] = max(after, looked[0]) if looked else after
    rows = await (await conn.execute(NEWEST, params, binary=True)).fetchall()
    found = [_found(Recorded(*row[:11]), row[11], row[12]) for row in rows]
    is_cut = found and (rows[0][-1] == limit or len(found) < rows[0][-1])
    return found, found[-1].recorded.position - 1 if is_cut else after


def _params(
    project_id: int,
    wanted: AuditFilter,
    *,
    after: int,
    upto: int,
    limit: int,
    max_bytes: int | None = None,
) -> dict[str, Any]:
    kind, name = wanted.subject or (None, None)
    return {
        "project": project_id,
        "after": after,
        "upto": upto,
        "limit": limit,
        "topics": None if wanted.topics is None else list(wanted.topics),
        "key_topics": list(KEY_TOPICS),
        "share_topics": list(SHARE_TOPICS),
        "policies": policies.stream_of(project_id),
        "mirror": mirrors.stream_of(project_id),
        "actor": wanted.actor,
        "key": wanted.key,
        "kind": kind,
        "name": name,
        "max_bytes": max_bytes or sizes.MAX_ANSWER,
    }


async def page(
    conn: Connection,
    project_id: int,
    wanted: AuditFilter,
    *,
    after: int,
    upto: int,
    limit: int,
    max_bytes: int | None = None,
) -> tuple[list[Found], int]:
    """Up to ``limit`` events after a position, as many as ``max_bytes`` hold, and the position up to which they are complete.

    Of a filter that may match nothing, it is at most as far as a page of the feed looks.
    """
    params = _params(project_id, wanted, after=after, upto=upto, limit=limit, max_bytes=max_bytes)
    if wanted.filters:
        looked = await (await conn.execute(LOOKED, params)).fetchone()
        upto = params["upto"] = min(upto, looked[0]) if looked else upto
    rows = await (await conn.execute(PAGE, params, binary=True)).fetchall()
    found = [_found(Recorded(*row[:11]), row[11], row[12]) for row in rows]
    is_cut = found and (rows[0][-1] == limit or len(found) < rows[0][-1])
    return found, found[-1].recorded.position if is_cut else max(upto, after)


def _found(recorded: Recorded, kind: str | None, name: str | None) -> Found:
    return Found(recorded, *named_by(recorded, kind, name))


def entries(found: Collection[Found], project_id: int) -> list[AuditEntry]:
    """Events as an audit of this project shows them."""
    return [entry(recorded, project_id, kind, name) for recorded, kind, name in found]


def entry(recorded: Recorded, project_id: int, kind: str | None, name: str | None) -> AuditEntry:
    """``kind`` and ``name`` are None for what has no name, as keys: its subject is its id."""
    fields = fields_of(recorded)
    if fields.get("project_ids") is not None:
        # Of the projects that a key opens, only this one is shown.
        fields["project_ids"] = [project_id]
    numbered = issubclass(EVENT_TYPES[recorded.topic], NUMBERED)
    kind = kind or recorded.topic.partition(".")[0]
    return AuditEntry(
        position=recorded.position,
        time=timestamp(recorded.recorded_at),
        type=type_of(recorded.topic),
        subject=subject_of(kind, name or str(recorded.stream_id)),
        version=fields.get("number", 1) if numbered else None,
        actor=recorded.actor_id,
        key_id=recorded.key_id,
        request_id=recorded.correlation_id,
        command_id=recorded.command_id,
        stream_id=recorded.stream_id,
        stream_version=recorded.stream_version,
        data={field: value for field, value in fields.items() if field not in ENVELOPE},
    )


def fields_of(recorded: Recorded) -> dict[str, Any]:
    """The fields of an event as they stand in the log, in the present shape of its type."""
    state = recorded.state
    if EVENT_TYPES[recorded.topic].SCHEMA > 1:
        state = encode(decode(recorded.topic, state))
    fields: dict[str, Any] = msgspec.json.decode(state)
    fields.pop("schema", None)
    return fields


# As files -------------------------------------------------------------------------------------------------------

_encoder = msgspec.json.Encoder()

# What a spreadsheet takes for a formula, or may after it has dropped what is before.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def json(entries: Collection[AuditEntry]) -> bytes:
    """A JSON array; entry by entry, so that a large one does not keep the interpreter to itself."""
    return b"[" + b",".join(_encoder.encode(one) for one in entries) + b"]"


def ndjson(entries: Collection[AuditEntry]) -> bytes:
    return b"".join(_encoder.encode(one) + b"\n" for one in entries)


def csv_header() -> bytes:
    return _csv([AuditEntry.__struct_fields__])


def csv_lines(entries: Collection[AuditEntry]) -> bytes:
    return _csv([cells(one) for one in entries])


def cells(one: AuditEntry) -> list[str]:
    """An entry as the cells of a line; its data as JSON."""
    values = [getattr(one, field) for field in AuditEntry.__struct_fields__[:-1]]
    texts = ["" if value is None else str(value) for value in values]
    return [safe(text) for text in (*texts, _encoder.encode(one.data).decode())]


def safe(text: str) -> str:
    """A cell that no spreadsheet executes: what looks like a formula begins with an apostrophe."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text


def _csv(rows: Collection[Sequence[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode()
