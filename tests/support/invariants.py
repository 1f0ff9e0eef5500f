"""What must hold of every database that Skald has written, whatever happened to it.

Each function looks through a psycopg connection and raises AssertionError with what it found; ``check`` runs them all in
one snapshot, so it may be called while the service writes. The read models are compared with a fold that is written
here once more, in plain Python on the aggregates: it shares no SQL with the projections.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from psycopg import IsolationLevel

from domain.artifacts import kinds as domain_kinds
from domain.artifacts.labels import LabelRemoved, LabelSet
from domain.artifacts.owners import OwnersSet
from domain.artifacts.promotions import (
    PromotionApproved,
    PromotionRejected,
    PromotionRequested,
    PromotionWithdrawn,
)
from domain.artifacts.prompts import Prompt
from domain.artifacts.references import found_in
from domain.artifacts.skills import Skill
from domain.artifacts.tags import TagsSet
from domain.artifacts.versioned import Renamed, Versioned, VersionEvent
from domain.artifacts.yanks import VersionUnyanked, VersionYanked
from domain.events import EVENT_TYPES
from projections.declared import TABLES
from projections.read.kinds import KINDS
from projections.write.artifacts import AppliedEvent
from store.log.mapper import decode
from tests.support import searched

Connection = psycopg.Connection[Any]
Rows = set[tuple[Any, ...]]

Name = tuple[int, str, str]


class Acknowledged(NamedTuple):
    """A write that was answered with success: its last position, and what else the answer said about it."""

    position: int
    version_id: UUID | None = None
    command_id: UUID | None = None


def check(database: str | Connection, acknowledged: Iterable[Acknowledged] = ()) -> None:
    """All of the below in one snapshot; takes an address or an idle connection."""
    if isinstance(database, str):
        with psycopg.connect(database) as conn:
            check(conn, acknowledged)
        return
    database.isolation_level = IsolationLevel.REPEATABLE_READ
    with database.transaction():
        positions_are_gapless(database)
        streams_are_contiguous(database)
        contents_are_what_they_are_named(database)
        read_models_are_the_fold_of_the_log(database)
        commands_point_to_their_events(database)
        acknowledged_writes_are_present(database, acknowledged)


def positions_are_gapless(conn: Connection) -> None:
    """1, 2, 3, …, from the beginning of each history on, and the clock of the log never runs backwards."""
    gaps = conn.execute(
        """
        SELECT position, before FROM (SELECT position, topic, lag(position, 1, 0::bigint) OVER (ORDER BY position) AS before
                                      FROM events) AS steps
        WHERE position <> before + 1 AND topic <> 'log.rewound'
        """
    ).fetchall()
    assert not gaps, f"positions that do not follow the ones before them: {gaps}"
    late = conn.execute(
        """
        SELECT position FROM (SELECT position, recorded_at < lag(recorded_at) OVER (ORDER BY position) AS earlier
                              FROM events) AS steps
        WHERE earlier
        """
    ).fetchall()
    assert not late, f"recorded before the event in front of them: {late}"


def streams_are_contiguous(conn: Connection) -> None:
    """Each stream has the versions 1, 2, 3, … in the order of their positions."""
    broken = conn.execute(
        """
        SELECT stream_id, stream_version, place FROM (
            SELECT stream_id, stream_version, row_number() OVER (PARTITION BY stream_id ORDER BY position) AS place
            FROM events) AS numbered
        WHERE stream_version <> place
        """
    ).fetchall()
    assert not broken, f"streams with gaps or out of order: {broken}"


def contents_are_what_they_are_named(conn: Connection) -> None:
    """Every digest is the SHA-256 of its bytes, and everything that events and versions name is there."""
    known: dict[bytes, int] = {}
    for digest, data in conn.execute("SELECT digest, bytes FROM contents"):
        assert hashlib.sha256(data).digest() == digest, f"content {digest.hex()} is something else"
        known[digest] = len(data)
    named: set[bytes] = set()
    for row in conn.execute("SELECT body, details, outline, manifest, package FROM versions"):
        named.update(digest for digest in row if digest is not None)
    named.update(digest for (digest,) in conn.execute("SELECT package FROM earlier_packages"))
    for row in conn.execute("SELECT details, outline FROM artifacts"):
        named.update(digest for digest in row if digest is not None)
    for topic, state in conn.execute("SELECT topic, state FROM events"):
        if topic in EVENT_TYPES:
            for ref in _refs(decode(topic, state)):
                named.add(ref.digest)
                assert known.get(ref.digest) == ref.size, (
                    f"{topic} names {ref}, stored: {known.get(ref.digest)}"
                )
    missing = named - known.keys()
    assert not missing, f"{len(missing)} contents are named but not stored"


def read_models_are_the_fold_of_the_log(conn: Connection) -> None:
    """The live tables hold exactly what the events say."""
    for table, expected in fold(conn).items():
        live: Rows = set(conn.execute(QUERIES[table]).fetchall())
        if live != expected:
            extra, missing = list(live - expected)[:3], list(expected - live)[:3]
            raise AssertionError(
                f"{table}: {len(live - expected)} rows that the log does not give, such as {extra}; "
                f"{len(expected - live)} rows lack, such as {missing}"
            )


def commands_point_to_their_events(conn: Connection) -> None:
    """The answer to a repeated request can always be found."""
    lost = conn.execute(
        """
        SELECT idempotency_key FROM commands LEFT JOIN events USING (stream_id, stream_version)
        WHERE events.position IS NULL OR events.key_id IS DISTINCT FROM commands.key_id
        """
    ).fetchall()
    assert not lost, f"commands without their event: {lost}"


def acknowledged_writes_are_present(conn: Connection, acknowledged: Iterable[Acknowledged]) -> None:
    """What was answered with success stands where the answer said, once."""
    found = {
        position: (version_id, command_id)
        for position, command_id, version_id in conn.execute(
            """
            SELECT events.position, command_id, versions.id FROM events
            LEFT JOIN versions ON versions.stream_id = events.stream_id
                              AND versions.stream_version = events.stream_version
            """
        )
    }
    seen: set[int] = set()
    for write in acknowledged:
        assert write.position in found, f"lost: {write}"
        assert write.position not in seen, f"two writes were told the same position: {write}"
        seen.add(write.position)
        version_id, command_id = found[write.position]
        assert write.version_id in (None, version_id), f"{write}, but there stands version {version_id}"
        assert write.command_id in (None, command_id), f"{write}, but there stands command {command_id}"


QUERIES = {
    "active_names": "SELECT project_id, kind, name, stream_id FROM active_names",
    "name_spans": "SELECT stream_id, project_id, kind, name, since_position, until_position FROM name_spans",
    "artifacts": """SELECT stream_id, project_id, kind, name, created_position, created_at, archived_position,
                           archived_at, latest_version, latest_id, latest_at, latest_by, body, details, outline,
                           package, has_problems
                    FROM artifacts""",
    "versions": """SELECT stream_id, number, id, stream_version, position, created_at, created_by, body, details,
                          outline, manifest, package, has_problems FROM versions""",
    "earlier_packages": "SELECT stream_id, number, until_position, package FROM earlier_packages",
    "search_texts": "SELECT stream_id, project_id, kind, name, text FROM search_texts",
    "labels": "SELECT stream_id, name, number, since_position, until_position, set_at, set_by, promotion_id FROM labels",
    "yanks": "SELECT stream_id, number, since_position, until_position, yanked_at, yanked_by, reason FROM yanks",
    "promotions": """SELECT id, stream_id, project_id, kind, label, number, from_number, note, requested_by, requested_at,
                            requested_position, status, decided_at, decided_position FROM promotions""",
    "promotion_approvals": "SELECT promotion_id, position, approved_by, approved_at, comment FROM promotion_approvals",
    "owners": "SELECT stream_id, user_id, project_id, kind, place, since_position, until_position FROM owners",
    "tags": "SELECT stream_id, name, project_id, kind, since_position, until_position FROM tags",
    "prompt_references": "SELECT stream_id, number, project_id, name, version, label FROM prompt_references",
    "artifact_counts": "SELECT project_id, kind, active FROM artifact_counts WHERE active <> 0",
    "activity": "SELECT project_id, day, stream_id, author, kind, publishes, first_at, last_at FROM activity",
    **searched.QUERIES,
}
assert set(QUERIES) == set(TABLES), "the tables of the declared projections, each with a query"


def fold(conn: Connection) -> dict[str, Rows]:
    """The rows of each read model as the log has them; those of a follower, as far as its checkpoint."""
    reached = dict(conn.execute("SELECT follower, position FROM checkpoints").fetchall())
    contents = dict(conn.execute("SELECT digest, bytes FROM contents").fetchall())
    aggregates: dict[UUID, Versioned] = {}
    names: dict[Name, UUID] = {}
    spans: list[list[Any]] = []
    artifacts: dict[UUID, list[Any]] = {}
    labels: list[list[Any]] = []
    yanks: list[list[Any]] = []
    owners: list[list[Any]] = []
    tags: list[list[Any]] = []
    versions: dict[tuple[UUID, int], tuple[Any, ...]] = {}
    earlier: Rows = set()
    promotions: dict[UUID, list[Any]] = {}
    approvals: Rows = set()
    references: Rows = set()
    activity: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    sought = searched.Searched(contents)
    events = conn.execute(
        """SELECT position, stream_id, stream_version, topic, state, recorded_at, project_id, actor_id
           FROM events ORDER BY position"""
    )
    for position, stream, version, topic, state, at, project, actor in events:
        cls = domain_kinds.KINDS.get(topic.partition(".")[0])
        if cls is None:
            continue
        event = decode(topic, state)
        assert (event.originator_id, event.originator_version) == (stream, version), f"{position}: {event}"
        artifact = aggregates.setdefault(stream, cls(id=stream))
        was_archived = artifact.archived
        artifact.evolve(event, actor)
        name: Name = (project, artifact.KIND, artifact.name)
        if isinstance(event, VersionEvent):
            view = KINDS[artifact.KIND].view(AppliedEvent(artifact, event, project, actor, contents))
            body, details, outline = view.body, view.details.ref.digest, view.outline
            manifest = view.manifest.ref.digest if view.manifest else None
            package = view.package.ref.digest if view.package else None
            packed = (package, view.has_problems)
            latest = [artifact.number, event.version_id, at, actor, body, details, outline, *packed]
            if version == 1:
                artifacts[stream] = [stream, *name, position, at, None, None, *latest]
            else:
                artifacts[stream][8:] = latest
            head = (stream, artifact.number, event.version_id, version, position, at, actor)
            versions[stream, artifact.number] = (*head, body, details, outline, manifest, *packed)
            for one in found_in(contents[body]) if isinstance(artifact, Prompt) else ():
                references.add(
                    (stream, artifact.number, project, one.name, one.version or 0, one.label or "")
                )
            if position <= reached.get("activity", 0):
                key = (project, at.astimezone(UTC).date(), stream, actor or 0)
                _, publishes, first, _ = activity.get(key, (artifact.KIND, 0, at, at))
                activity[key] = (artifact.KIND, publishes + 1, first, at)
        if position <= reached.get("search", 0):
            sought.take(project, artifact)
        if version == 1 or isinstance(event, OwnersSet):
            _replace(
                owners, position, stream, [(id, *name[:2], nth) for nth, id in enumerate(artifact.owners, 1)]
            )
        if version == 1 or isinstance(event, TagsSet) or (artifact.archived and not was_archived):
            _replace(tags, position, stream, [(tag, *name[:2]) for tag in artifact.tags])
        if isinstance(event, LabelSet | LabelRemoved):
            _end(labels, position, stream, event.label)
        if isinstance(event, LabelSet):
            labels.append([stream, event.label, event.number, position, None, at, actor, event.promotion_id])
        if isinstance(event, Renamed):
            old: Name = (project, artifact.KIND, event.old_name)
            assert names.pop(old, None) == stream, f"{position}: {old} was not its name"
            assert name not in names, f"{position}: the name {name} was given away twice"
            names[name] = stream
            spans = [[*row[:5], row[5] or position] if row[0] == stream else row for row in spans]
            spans.append([stream, *name, position, None])
            artifacts[stream][3] = artifact.name
            view = KINDS[artifact.KIND].view(AppliedEvent(artifact, event, project, actor, contents))
            if view.package is not None:
                *kept, before, _ = versions[stream, artifact.number]
                packed = (view.package.ref.digest, view.has_problems)
                earlier.add((stream, artifact.number, position, before))
                artifacts[stream][-2:] = packed
                versions[stream, artifact.number] = (*kept, *packed)
        if isinstance(event, VersionYanked):
            yanks.append([stream, event.number, position, None, at, actor, event.reason])
        elif isinstance(event, VersionUnyanked):
            [row] = [row for row in yanks if row[:2] == [stream, event.number] and row[3] is None]
            row[3] = position
        if isinstance(event, VersionYanked | VersionUnyanked) and event.latest is not None:
            *kept, package, has_problems = versions[stream, artifact.number]
            assert (kept[2], kept[7]) == (event.latest.version_id, artifact.text.digest), (
                f"{position}: {event}"
            )
            view = KINDS[artifact.KIND].view(AppliedEvent(artifact, event, project, actor, contents))
            if view.package is not None and view.package.ref.digest != package:
                earlier.add((stream, artifact.number, position, package))
                package, has_problems = view.package.ref.digest, view.has_problems
            packed = (package, has_problems)
            versions[stream, artifact.number] = (*kept, *packed)
            artifacts[stream][8:] = [kept[1], kept[2], kept[5], kept[6], *kept[7:10], *packed]
        if isinstance(event, PromotionRequested):
            asked = (
                event.label,
                event.number,
                event.from_number,
                event.note,
                event.requested_by,
                at,
                position,
            )
            promotions[event.promotion_id] = [stream, project, artifact.KIND, *asked, "open", None, None]
        elif isinstance(event, PromotionApproved):
            approvals.add((event.promotion_id, position, event.approved_by, at, event.comment))
        # Whatever is not open in the aggregate any more has been decided by this event.
        for id, row in promotions.items():
            if row[0] == stream and row[-3] == "open" and id not in artifact.promotions:
                row[-3:] = [_decided(id, event), at, position]
        if version == 1 or (was_archived and not artifact.archived):
            assert name not in names, f"{position}: the name {name} was given away twice"
            names[name] = stream
            spans.append([stream, *name, position, None])
            artifacts[stream][6:8] = [None, None]
        elif artifact.archived and not was_archived:
            assert names.pop(name, None) == stream, f"{position}: {name} was not its name"
            artifacts[stream][6:8] = [position, at]
            spans = [[*row[:5], row[5] or position] if row[0] == stream else row for row in spans]
            _end(labels, position, stream)
    counts = Counter((project, kind) for project, kind, _ in names)
    return {
        "active_names": {(*name, stream) for name, stream in names.items()},
        "name_spans": {tuple(row) for row in spans},
        "artifacts": {tuple(row) for row in artifacts.values()},
        "versions": set(versions.values()),
        "earlier_packages": earlier,
        "search_texts": {
            (stream, *name, _text(aggregates[stream], contents)) for name, stream in names.items()
        },
        "labels": {tuple(row) for row in labels},
        "yanks": {tuple(row) for row in yanks},
        "owners": {tuple(row) for row in owners},
        "tags": {tuple(row) for row in tags},
        "promotions": {(id, *row) for id, row in promotions.items()},
        "promotion_approvals": approvals,
        "prompt_references": references,
        "artifact_counts": {(*key, active) for key, active in counts.items()},
        "activity": {(*key, *row) for key, row in activity.items()},
        **sought.rows(),
    }


def _decided(id: UUID, event: Any) -> str:
    if isinstance(event, PromotionRejected):
        return "rejected"
    if isinstance(event, PromotionWithdrawn):
        return "withdrawn"
    return "promoted" if getattr(event, "promotion_id", None) == id else "outdated"


def _end(labels: list[list[Any]], position: int, stream: UUID, label: str | None = None) -> None:
    """The label, or all of the stream, point nowhere from here on."""
    for row in labels:
        if row[0] == stream and row[4] is None and label in (None, row[1]):
            row[4] = position


def _replace(rows: list[list[Any]], position: int, stream: UUID, new: list[tuple[Any, ...]]) -> None:
    """The rows of the stream are those of the new list from here on."""
    for row in rows:
        if row[0] == stream and row[-1] is None:
            row[-1] = position
    rows += [[stream, *one, position, None] for one in new]


def _text(artifact: Versioned, contents: Mapping[bytes, bytes]) -> str:
    if isinstance(artifact, Prompt):
        data = contents[artifact.prompt.digest]
        # Only a text is decoded: numbers may be beyond what a decoder takes.
        return (msgspec.json.decode(data, type=str) if data[:1] == b'"' else data.decode()).casefold()
    assert isinstance(artifact, Skill)
    return artifact.fields.description.casefold()


def _refs(event: Any) -> Iterable[Any]:
    """The contents that an event names."""
    for field in ("body", "outline", "prompt"):
        ref = getattr(event, field, None)
        if hasattr(ref, "digest"):
            yield ref
    for field in ("files", "edited"):
        files = getattr(event, field, ())
        if isinstance(files, tuple):
            yield from (file.ref for file in files)
    if (latest := getattr(event, "latest", None)) is not None:
        yield from _refs(latest)
    if hasattr(event, "file"):
        yield event.file.ref
