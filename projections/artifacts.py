"""Artifacts (skills, prompts) and their versions: the tables ``artifacts``, ``versions``, ``search_texts``, ``artifact_counts``.

``fold`` turns steps of the log into rows; the same code serves an append, which brings one step, and a rebuild, which
brings thousands. Position and time of a row are those of its event, which stands in ``events`` before the rows are written.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from domain.content import Content, Ref
from domain.events import Event
from domain.labels import LabelRemoved, LabelSet
from domain.versioned import Versioned, VersionEvent
from projections import labels, names
from store.statements import Row, SetStatement, Writes

VERSION_ADDED = SetStatement(
    "versions.add",
    30,
    """
    INSERT INTO versions (stream_id, number, id, stream_version, position, created_at, created_by,
                          body, details, outline, manifest)
    SELECT new.stream_id, number, id, new.stream_version, position, recorded_at, created_by,
           body, details, outline, manifest
    FROM unnest(%s::uuid[], %s::int[], %s::int[], %s::uuid[], %s::bigint[], %s::bytea[], %s::bytea[], %s::bytea[],
                %s::bytea[])
        AS new (stream_id, stream_version, number, id, created_by, body, details, outline, manifest)
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    """,
)

CREATED = SetStatement(
    "artifacts.create",
    40,
    """
    INSERT INTO artifacts (stream_id, project_id, kind, name, created_position, created_at,
                           latest_version, latest_id, latest_at, latest_by, body, details, outline)
    SELECT new.stream_id, new.project_id, kind, name, position, recorded_at,
           number, id, recorded_at, created_by, body, details, outline
    FROM unnest(%s::uuid[], %s::int[], %s::bigint[], %s::text[], %s::text[], %s::int[], %s::uuid[], %s::bigint[],
                %s::bytea[], %s::bytea[], %s::bytea[])
        AS new (stream_id, stream_version, project_id, kind, name, number, id, created_by, body, details, outline)
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    """,
)

ADVANCED = SetStatement(
    "artifacts.advance",
    50,
    """
    UPDATE artifacts SET latest_version = number, latest_id = id, latest_at = recorded_at, latest_by = created_by,
                         body = new.body, details = new.details, outline = new.outline
    FROM unnest(%s::uuid[], %s::int[], %s::int[], %s::uuid[], %s::bigint[], %s::bytea[], %s::bytea[], %s::bytea[])
        AS new (stream_id, stream_version, number, id, created_by, body, details, outline)
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    WHERE artifacts.stream_id = new.stream_id
    """,
)

ARCHIVED = SetStatement(
    "artifacts.archive",
    60,
    """
    UPDATE artifacts SET archived_position = position, archived_at = recorded_at
    FROM unnest(%s::uuid[], %s::int[]) AS new (stream_id, stream_version)
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    WHERE artifacts.stream_id = new.stream_id
    """,
)

TEXT_CHANGED = SetStatement(
    "search_texts.change",
    70,
    """
    INSERT INTO search_texts (stream_id, project_id, kind, name, text)
    SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::text[], %s::text[])
    ON CONFLICT (stream_id) DO UPDATE SET text = excluded.text
    """,
)

TEXT_REMOVED = SetStatement(
    "search_texts.remove", 80, "DELETE FROM search_texts WHERE stream_id = ANY(%s::uuid[])"
)

COUNTED = SetStatement(
    "artifact_counts.add",
    90,
    """
    INSERT INTO artifact_counts (project_id, kind, active)
    SELECT project_id, kind, sum(change) FROM unnest(%s::bigint[], %s::text[], %s::int[])
        AS new (project_id, kind, change)
    GROUP BY project_id, kind ORDER BY project_id, kind
    ON CONFLICT (project_id, kind) DO UPDATE SET active = artifact_counts.active + excluded.active
    """,
)

STATEMENTS = (
    names.RELEASE,
    names.CLAIM,
    labels.ENDED,
    labels.SET,
    labels.ALL_ENDED,
    VERSION_ADDED,
    CREATED,
    ADVANCED,
    ARCHIVED,
    TEXT_CHANGED,
    TEXT_REMOVED,
    COUNTED,
)


class Step(msgspec.Struct, frozen=True):
    """One event with what it led to: the artifact as it is after it, and the ids of its envelope."""

    artifact: Versioned
    event: Event
    project_id: int
    actor_id: int | None
    contents: Mapping[str, bytes]


class View(msgspec.Struct, frozen=True):
    """What one kind contributes to the rows of a version. ``text`` is None when the search text has not changed."""

    body: bytes
    details: Content
    outline: bytes | None
    manifest: Content | None
    text: str | None


class Kind(Protocol):
    """How one kind of artifact is seen by the read models."""

    def needs(self, artifact: Versioned) -> Sequence[Ref]:
        """The contents that ``view`` reads, by sha256, from the contents of the step."""
        ...

    def view(self, step: Step) -> View: ...


def search_fold(text: str) -> str:
    """The form in which texts are compared: case is folded here, so that no database locale decides it."""
    return text.casefold()


class Folded(msgspec.Struct, frozen=True):
    """The rows that steps bring, by statement, the rendered parts that the rows point to, and the last view of each."""

    writes: Writes
    parts: list[Content]
    views: dict[UUID, View]


def fold(steps: Sequence[Step], kinds: Mapping[str, Kind]) -> Folded:
    """Pure: nothing is read, nothing is written."""
    rows: dict[SetStatement, list[Row]] = {statement: [] for statement in STATEMENTS}
    advanced: dict[UUID, Row] = {}
    texts: dict[UUID, Row] = {}
    views: dict[UUID, View] = {}
    contents: dict[str, Content] = {}
    pointers = labels.Pointers()
    for step in steps:
        artifact, event, project_id = step.artifact, step.event, step.project_id
        kind = artifact.KIND
        stream, version = event.originator_id, event.originator_version
        if isinstance(event, VersionEvent):
            view = views[stream] = kinds[kind].view(step)
            parts = [part for part in (view.details, view.manifest) if part is not None]
            contents.update((part.ref.sha256, part) for part in parts)
            details = view.details.ref.digest
            manifest = view.manifest.ref.digest if view.manifest else None
            latest = (event.number, event.version_id, step.actor_id)
            rows[VERSION_ADDED].append((stream, version, *latest, view.body, details, view.outline, manifest))
            if event.number == 1:
                rows[names.CLAIM].append((project_id, kind, artifact.name, stream))
                rows[CREATED].append(
                    (
                        stream,
                        version,
                        project_id,
                        kind,
                        artifact.name,
                        *latest,
                        view.body,
                        details,
                        view.outline,
                    )
                )
                rows[COUNTED].append((project_id, kind, 1))
            else:
                advanced[stream] = (stream, version, *latest, view.body, details, view.outline)
            if view.text is not None:
                texts[stream] = (stream, project_id, kind, artifact.name, search_fold(view.text))
        elif isinstance(event, LabelSet | LabelRemoved):
            pointers.follow(event, step.actor_id)
        elif artifact.archived:
            rows[labels.ALL_ENDED].append((stream, version))
            rows[names.RELEASE].append((project_id, kind, artifact.name, stream))
            rows[ARCHIVED].append((stream, version))
            rows[TEXT_REMOVED].append((stream,))
            rows[COUNTED].append((project_id, kind, -1))
    rows[labels.ENDED], rows[labels.SET] = pointers.ended, pointers.set
    rows[ADVANCED] = list(advanced.values())
    rows[TEXT_CHANGED] = list(texts.values())
    return Folded(
        {statement: changed for statement, changed in rows.items() if changed}, list(contents.values()), views
    )
