"""Artifacts (skills, prompts) and their versions: the tables ``artifacts``, ``versions``, ``search_texts``, ``artifact_counts``.

``fold`` turns steps of the log into rows; the same code serves an append, which brings one step, and a rebuild, which
brings thousands. Position and time of a row are those of its event, which stands in ``events`` before the rows are written.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from domain.artifacts.labels import LabelRemoved, LabelSet
from domain.artifacts.owners import OwnersSet
from domain.artifacts.promotions import PromotionEvent
from domain.artifacts.references import Reference
from domain.artifacts.tags import TagsSet
from domain.artifacts.versioned import Archived, Renamed, Restored, Versioned, VersionEvent
from domain.artifacts.yanks import VersionUnyanked, VersionYanked
from domain.content import Content, Ref
from domain.events import Event
from projections.encoding import RENDERING
from projections.write import labels, names, owners, promotions, references, renames, tags, yanks
from projections.write.replaced import ReplacedLists
from store.log.statements import Row, SetStatement, Writes, arrays

VERSION = """stream_id uuid, stream_version int, number int, id uuid, created_by bigint, body bytea, details bytea,
             outline bytea, manifest bytea, package bytea, has_problems bool"""
ARTIFACT = """stream_id uuid, stream_version int, project_id bigint, kind text, name text, number int, id uuid,
              created_by bigint, body bytea, details bytea, outline bytea, package bytea, has_problems bool"""

VERSION_ADDED = SetStatement(
    "versions.add",
    30,
    f"""
    INSERT INTO versions (stream_id, number, id, stream_version, position, created_at, created_by,
                          body, details, outline, manifest, package, has_problems, rendering)
    SELECT new.stream_id, number, id, new.stream_version, position, recorded_at, created_by,
           body, details, outline, manifest, package, has_problems, {RENDERING}
    FROM {arrays(VERSION)} AS new
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    """,
)

CREATED = SetStatement(
    "artifacts.create",
    40,
    f"""
    INSERT INTO artifacts (stream_id, project_id, kind, name, created_position, created_at,
                           latest_version, latest_id, latest_at, latest_by, body, details, outline, package,
                           has_problems)
    SELECT new.stream_id, new.project_id, kind, name, position, recorded_at,
           number, id, recorded_at, created_by, body, details, outline, package, has_problems
    FROM {arrays(ARTIFACT)} AS new
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    """,
)

# One statement for both tables: the columns are sent once, and the events are joined once. ``latest`` is true for the last
# version of its stream among the rows.
PUBLISHED = SetStatement(
    "versions.publish",
    50,
    f"""
    WITH new AS MATERIALIZED (
        SELECT new.*, position, recorded_at
        FROM {arrays(f"{VERSION}, latest bool")} AS new
        JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    ), added AS (
        INSERT INTO versions (stream_id, number, id, stream_version, position, created_at, created_by,
                              body, details, outline, manifest, package, has_problems, rendering)
        SELECT stream_id, number, id, stream_version, position, recorded_at, created_by,
               body, details, outline, manifest, package, has_problems, {RENDERING}
        FROM new
    )
    UPDATE artifacts SET latest_version = number, latest_id = id, latest_at = recorded_at, latest_by = created_by,
                         body = new.body, details = new.details, outline = new.outline, package = new.package,
                         has_problems = new.has_problems
    FROM new WHERE artifacts.stream_id = new.stream_id AND new.latest
    """,
)

ARCHIVED = SetStatement(
    "artifacts.archive",
    60,
    f"""
    UPDATE artifacts SET archived_position = position, archived_at = recorded_at
    FROM {arrays("stream_id uuid, stream_version int")} AS new
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    WHERE artifacts.stream_id = new.stream_id
    """,
)

RESTORED = SetStatement(
    "artifacts.restore",
    61,
    "UPDATE artifacts SET archived_position = NULL, archived_at = NULL WHERE stream_id = ANY(%s::uuid[])",
)

TEXT_CHANGED = SetStatement(
    "search_texts.change",
    70,
    f"""
    INSERT INTO search_texts (stream_id, project_id, kind, name, text)
    SELECT * FROM {arrays("stream_id uuid, project_id bigint, kind text, name text, text text")} AS new
    ON CONFLICT (stream_id) DO UPDATE SET name = excluded.name, text = excluded.text
    """,
)

TEXT_REMOVED = SetStatement(
    "search_texts.remove", 80, "DELETE FROM search_texts WHERE stream_id = ANY(%s::uuid[])"
)

COUNTED = SetStatement(
    "artifact_counts.add",
    90,
    f"""
    INSERT INTO artifact_counts (project_id, kind, active)
    SELECT project_id, kind, sum(change) FROM {arrays("project_id bigint, kind text, change int")} AS new
    GROUP BY project_id, kind ORDER BY project_id, kind
    ON CONFLICT (project_id, kind) DO UPDATE SET active = artifact_counts.active + excluded.active
    """,
)

STATEMENTS = (
    names.RELEASE,
    names.CLAIM,
    references.ADDED,
    names.SPAN_BEGUN,
    names.SPAN_ENDED,
    labels.ENDED,
    labels.SET,
    labels.ALL_ENDED,
    *promotions.STATEMENTS,
    owners.ENDED,
    owners.SET,
    tags.ENDED,
    tags.SET,
    VERSION_ADDED,
    CREATED,
    PUBLISHED,
    renames.RENDERED,
    renames.RENAMED,
    renames.KEPT,
    *yanks.STATEMENTS,
    ARCHIVED,
    RESTORED,
    TEXT_CHANGED,
    TEXT_REMOVED,
    COUNTED,
)


class AppliedEvent(msgspec.Struct, frozen=True):
    """One event with what it led to: the artifact as it is after it, the ids of its envelope, contents by digest."""

    artifact: Versioned
    event: Event
    project_id: int
    actor_id: int | None
    contents: Mapping[bytes, bytes]


class VersionRow(msgspec.Struct, frozen=True):
    """What one kind contributes to the rows of a version. ``has_problems``: its package says what should be better about it."""

    body: bytes
    details: Content
    outline: bytes | None
    manifest: Content | None
    package: Content | None = None
    has_problems: bool = False
    references: Sequence[Reference] = ()


class Kind(Protocol):
    """How one kind of artifact is seen by the read models."""

    def needs(self, artifact: Versioned) -> Sequence[Ref]:
        """The contents that ``view`` reads from those of the step."""
        ...

    def view(self, step: AppliedEvent) -> VersionRow: ...

    def text(self, step: AppliedEvent) -> str:
        """What a search finds it by, beside its name."""
        ...

    def text_changed(self, event: Event) -> bool:
        """Whether a new version may have another text than the one before."""
        ...


def search_fold(text: str) -> str:
    """The form in which texts are compared: case is folded here, so that no database locale decides it."""
    return text.casefold()


class Rows(msgspec.Struct, frozen=True):
    """The rows that steps bring, by statement, the rendered parts that the rows point to, and the last view of each."""

    writes: Writes
    parts: list[Content]
    views: dict[UUID, VersionRow]


def fold(steps: Sequence[AppliedEvent], kinds: Mapping[str, Kind]) -> Rows:
    """Pure: nothing is read, nothing is written.

    Where several steps of a batch touch one row, the rows are those of their sum: the statements run once, in their order.
    """
    batch = _RowBatch()
    for step in steps:
        batch.take(step, kinds[step.artifact.KIND])
    return batch.folded()


class _RowBatch:
    """The rows of the steps so far."""

    def __init__(self) -> None:
        self.rows: defaultdict[SetStatement, list[Row]] = defaultdict(list)
        # By stream, of which the last row counts. As a key, a UUID takes ten times as long as its number.
        self.last: defaultdict[SetStatement, dict[int, Row]] = defaultdict(dict)
        self.texts: dict[int, tuple[AppliedEvent, Kind]] = {}
        # Where the last published version of a stream stands in its rows.
        self.published: dict[int, int] = {}
        self.claims: dict[Row, UUID] = {}
        self.pointers: labels.Pointers | None = None
        self.promotions: promotions.Promotions | None = None
        # By stream and number, of which the last row counts.
        self.rendered: dict[tuple[int, int], Row] = {}
        self.owners: ReplacedLists | None = None
        self.tags: ReplacedLists | None = None
        self.yanks: yanks.Yanks | None = None
        self.contents: dict[bytes, Content] = {}
        self.views: dict[UUID, VersionRow] = {}

    def take(self, step: AppliedEvent, kind: Kind) -> None:
        event, stream = step.event, step.event.originator_id
        if isinstance(event, VersionEvent):
            self._version(step, event, kind)
        elif isinstance(event, LabelSet | LabelRemoved):
            self._labels().follow(event, step.actor_id)
            self._promotions().moved(event)
        elif isinstance(event, OwnersSet):
            self._owned(step, event.owners)
        elif isinstance(event, TagsSet):
            self._tagged(step, event.tags)
        elif isinstance(event, Archived):
            version = event.originator_version
            self._labels().end_all(stream, version)
            self._promotions().end_all(stream, version)
            self._tagged(step, ())
            self._release(step)
            self.rows[names.SPAN_ENDED].append((stream, version))
            self.last[ARCHIVED][stream.int] = (stream, version)
            self.last[RESTORED].pop(stream.int, None)
            self.texts.pop(stream.int, None)
            self.last[TEXT_REMOVED][stream.int] = (stream,)
        elif isinstance(event, Restored):
            self._claim(step)
            self.last[RESTORED][stream.int] = (stream,)
            self.last[ARCHIVED].pop(stream.int, None)
            self._found_by(step, kind)
        elif isinstance(event, Renamed):
            self._renamed(step, event, kind)
        elif isinstance(event, PromotionEvent):
            self._promotions().follow(event, step.project_id, step.artifact.KIND)
        elif isinstance(event, VersionYanked | VersionUnyanked):
            self._yanked(step, event, kind)

    def _promotions(self) -> promotions.Promotions:
        if self.promotions is None:
            self.promotions = promotions.Promotions()
        return self.promotions

    def _owned(self, step: AppliedEvent, ids: Iterable[int]) -> None:
        event, artifact = step.event, step.artifact
        if self.owners is None:
            self.owners = ReplacedLists()
        rows = [(user_id, step.project_id, artifact.KIND, place) for place, user_id in enumerate(ids, 1)]
        self.owners.replace(event.originator_id, event.originator_version, rows)

    def _tagged(self, step: AppliedEvent, words: Iterable[str]) -> None:
        event, artifact = step.event, step.artifact
        if self.tags is None:
            self.tags = ReplacedLists()
        rows = [(step.project_id, artifact.KIND, word) for word in words]
        self.tags.replace(event.originator_id, event.originator_version, rows)

    def _labels(self) -> labels.Pointers:
        if self.pointers is None:
            self.pointers = labels.Pointers()
        return self.pointers

    def _version(self, step: AppliedEvent, event: VersionEvent, kind: Kind) -> None:
        stream, version = event.originator_id, event.originator_version
        view = self.views[stream] = kind.view(step)
        for part in (view.details, view.manifest, view.package):
            if part is not None:
                self.contents[part.digest] = part
        manifest = view.manifest.digest if view.manifest else None
        packed = (view.package.digest if view.package else None, view.has_problems)
        latest = (event.number, event.version_id, step.actor_id, view.body, view.details.digest, view.outline)
        if event.number == 1:
            self.rows[VERSION_ADDED].append((stream, version, *latest, manifest, *packed))
            self._claim(step)
            self.rows[CREATED].append((stream, version, *_name(step), *latest, *packed))
            self._owned(step, _owners_at_first(step))
            if step.artifact.tags:
                self._tagged(step, step.artifact.tags)
        else:
            rows = self.rows[PUBLISHED]
            before = self.published.get(stream.int)
            if before is not None:
                rows[before] = (*rows[before][:-1], False)
            self.published[stream.int] = len(rows)
            rows.append((stream, version, *latest, manifest, *packed, True))
            if yanks.LATEST in self.last:
                self.last[yanks.LATEST].pop(stream.int, None)
        if view.references:
            self.rows[references.ADDED] += references.rows(
                stream, event.number, step.project_id, view.references
            )
        if kind.text_changed(event):
            self._found_by(step, kind)

    def _renamed(self, step: AppliedEvent, event: Renamed, kind: Kind) -> None:
        stream, version = event.originator_id, event.originator_version
        old = _named(step, event.old_name)
        self._let_go(old)
        self.rows[names.SPAN_ENDED].append((stream, version))
        self._hold(step)
        self.last[renames.RENAMED][stream.int] = (stream, event.name)
        self._rendered_anew(old, step, kind)
        self._found_by(step, kind)

    def _rendered_anew(self, old: AppliedEvent, step: AppliedEvent, kind: Kind) -> None:
        """The package of the latest version under its present name in place of the one that it had."""
        stream, version = step.event.originator_id, step.event.originator_version
        # In this order: what is kept of the parts of a skill is of the later one.
        before, view = kind.view(old).package, kind.view(step)
        after = view.package
        if before is not None and after is not None:
            number = step.artifact.number
            self.contents |= {before.digest: before, after.digest: after}
            self.rows[renames.KEPT].append((stream, version, number, before.digest))
            self.rendered[stream.int, number] = (stream, number, after.digest, view.has_problems)

    def _yanked(self, step: AppliedEvent, event: VersionYanked | VersionUnyanked, kind: Kind) -> None:
        if self.yanks is None:
            self.yanks = yanks.Yanks()
        self.yanks.follow(event, step.actor_id)
        latest = event.latest
        if latest is None:
            return
        self.last[yanks.LATEST][event.originator_id.int] = (event.originator_id, latest.number)
        if latest.name != step.artifact.name:
            self._rendered_anew(_named(step, latest.name), step, kind)
        if not step.artifact.archived:
            self._found_by(step, kind)

    def _claim(self, step: AppliedEvent) -> None:
        self._hold(step)
        self.rows[COUNTED].append((*_name(step)[:2], 1))

    def _hold(self, step: AppliedEvent) -> None:
        name, stream = _name(step), step.event.originator_id
        self.claims[name] = stream
        self.rows[names.SPAN_BEGUN].append((stream, step.event.originator_version, *name))

    def _release(self, step: AppliedEvent) -> None:
        self._let_go(step)
        self.rows[COUNTED].append((*_name(step)[:2], -1))

    def _let_go(self, step: AppliedEvent) -> None:
        name, stream = _name(step), step.event.originator_id
        if self.claims.get(name) == stream:
            del self.claims[name]
        else:
            self.rows[names.RELEASE].append((*name, stream))

    def _found_by(self, step: AppliedEvent, kind: Kind) -> None:
        key = step.event.originator_id.int
        self.texts[key] = step, kind
        self.last[TEXT_REMOVED].pop(key, None)

    def folded(self) -> Rows:
        rows = self.rows
        rows[renames.RENDERED] = list(self.rendered.values())
        rows[names.CLAIM] = [(*name, stream) for name, stream in self.claims.items()]
        rows[TEXT_CHANGED] = [
            (step.event.originator_id, *_name(step), search_fold(kind.text(step)))
            for step, kind in self.texts.values()
        ]
        for statement, last in self.last.items():
            rows[statement] = list(last.values())
        if self.pointers is not None:
            rows.update(self.pointers.rows())
        if self.owners is not None:
            rows[owners.ENDED], rows[owners.SET] = self.owners.ended, self.owners.set
        if self.tags is not None:
            rows[tags.ENDED], rows[tags.SET] = self.tags.ended, self.tags.set
        if self.promotions is not None:
            rows.update(self.promotions.rows())
        if self.yanks is not None:
            rows.update(self.yanks.rows())
        writes = {statement: some for statement, some in rows.items() if some}
        return Rows(writes, list(self.contents.values()), self.views)


def _name(step: AppliedEvent) -> Row:
    return (step.project_id, step.artifact.KIND, step.artifact.name)


def _named(step: AppliedEvent, name: str) -> AppliedEvent:
    """The same of an artifact with this name."""
    return msgspec.structs.replace(step, artifact=msgspec.structs.replace(step.artifact, name=name))


def _owners_at_first(step: AppliedEvent) -> tuple[int, ...]:
    """The owners of a new artifact."""
    if step.artifact.named_owners is not None:
        return step.artifact.named_owners
    return () if step.actor_id is None else (step.actor_id,)
