"""What one event changed: the difference between the states before and after it, in names, sizes and digests. Pure."""

from collections.abc import Mapping
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from domain.artifacts.labels import LabelSet
from domain.artifacts.promotions import (
    PromotionApproved,
    PromotionEvent,
    PromotionRejected,
    PromotionRequested,
)
from domain.artifacts.skills import FileRef, Skill, SkillFileRenamed
from domain.artifacts.versioned import Renamed, Versioned, reverted_to, source_of
from domain.artifacts.yanks import VersionUnyanked, VersionYanked
from domain.content import Ref
from domain.events import Event


class ContentChange(msgspec.Struct, frozen=True):
    """The body or prompt before and after; null where there was none."""

    before: Ref | None
    after: Ref


class FileRenamed(msgspec.Struct, frozen=True):
    """A file that has the same content at another path."""

    old_path: str
    path: str
    size: int
    sha256: str


class FileEdited(msgspec.Struct, frozen=True):
    """A file with another content or content type at the same path."""

    path: str
    before: FileRef
    after: FileRef


class FileChanges(msgspec.Struct, frozen=True):
    """Files by what happened to them, sorted by path. Sizes are in bytes, digests SHA-256 in hex."""

    added: list[FileRef]
    removed: list[FileRef]
    renamed: list[FileRenamed]
    edited: list[FileEdited]


class LabelMoved(msgspec.Struct, frozen=True):
    """Where a label pointed and points; null for nowhere."""

    name: str
    before: int | None = msgspec.field(name="from")
    after: int | None = msgspec.field(name="to")


class NameMoved(msgspec.Struct, frozen=True):
    """The name before and after a rename."""

    before: str = msgspec.field(name="from")
    after: str = msgspec.field(name="to")


class OwnersChanged(msgspec.Struct, frozen=True):
    """Users, by their ids, who answered for it before and answer for it after."""

    before: list[int] = msgspec.field(name="from")
    after: list[int] = msgspec.field(name="to")


class TagsChanged(msgspec.Struct, frozen=True):
    """Tags before and after."""

    before: list[str] = msgspec.field(name="from")
    after: list[str] = msgspec.field(name="to")


class PromotionChange(msgspec.Struct, frozen=True):
    """What happened to a promotion: requested, approved, promoted, rejected or withdrawn; `text` is the note or comment."""

    id: UUID
    status: str
    label: str
    version: int
    text: str


class YankChange(msgspec.Struct, frozen=True):
    """The version that was yanked, and why; `reason` is null when the yank was taken back."""

    version: int
    reason: str | None


class Origin(msgspec.Struct, frozen=True):
    """The version that a duplicate was made from."""

    name: str | None
    version: int
    stream_id: UUID


class Changes(msgspec.Struct, frozen=True):
    """What an event changed. `fields` are those with another value; `content` is there when the body or prompt changed.

    `renamed` is there for a rename alone, `promotion` for what happened to one, `yanked` for a yank and its end.
    """

    fields: list[str]
    content: ContentChange | None
    files: FileChanges
    labels: list[LabelMoved]
    reverted_to: int | None
    source: Origin | None
    owners: OwnersChanged | None
    tags: TagsChanged | None
    renamed: NameMoved | UnsetType = UNSET
    promotion: PromotionChange | UnsetType = UNSET
    yanked: YankChange | UnsetType = UNSET


def changes(
    before: Versioned, event: Event, after: Versioned, names: Mapping[UUID, str] | None = None
) -> Changes:
    """``names`` has the names of the streams that duplicates were made from.

    ``before`` is the state that ``event`` turned into ``after``; the empty state for the first event.
    """
    fields = [field for field in after.COMPARED if before.compared(field) != after.compared(field)]
    content = None
    if after.TEXT in fields:
        content = ContentChange(before.text if before.text.sha256 else None, after.text)
    return Changes(
        fields=fields,
        content=content,
        files=_files(before, event, after),
        labels=_labels(before.labels, after.labels),
        reverted_to=reverted_to(event),
        source=_source(event, names or {}),
        renamed=NameMoved(event.old_name, event.name) if isinstance(event, Renamed) else UNSET,
        owners=_owners(before, after),
        tags=None if before.tags == after.tags else TagsChanged(list(before.tags), list(after.tags)),
        promotion=_promotion(before, event),
        yanked=_yanked(event),
    )


def _owners(before: Versioned, after: Versioned) -> OwnersChanged | None:
    """None, too, when a new artifact belongs to its maker."""
    if before.owners == after.owners or after.named_owners is None:
        return None
    return OwnersChanged(list(before.owners), list(after.owners))


def _promotion(before: Versioned, event: Event) -> PromotionChange | UnsetType:
    if isinstance(event, PromotionRequested):
        return PromotionChange(event.promotion_id, "requested", event.label, event.number, event.note)
    if isinstance(event, LabelSet) and event.promotion_id is not None:
        return PromotionChange(event.promotion_id, "promoted", event.label, event.number, "")
    if not isinstance(event, PromotionEvent):
        return UNSET
    one = before.promotions[event.promotion_id]
    status = type(event).TOPIC.rpartition("_")[2]
    text = event.comment if isinstance(event, PromotionApproved | PromotionRejected) else ""
    return PromotionChange(event.promotion_id, status, one.label, one.number, text)


def _yanked(event: Event) -> YankChange | UnsetType:
    if isinstance(event, VersionYanked):
        return YankChange(event.number, event.reason)
    return YankChange(event.number, None) if isinstance(event, VersionUnyanked) else UNSET


def _source(event: Event, names: Mapping[UUID, str]) -> Origin | None:
    source = source_of(event)
    if source is None:
        return None
    return Origin(names.get(source.stream_id), source.number, source.stream_id)


def _files(before: Versioned, event: Event, after: Versioned) -> FileChanges:
    renamed: list[FileRenamed] = []
    if not isinstance(before, Skill) or not isinstance(after, Skill) or before.files is after.files:
        return FileChanges([], [], [], [])
    old, new = before.files, after.files
    if isinstance(event, SkillFileRenamed):
        moved = new[event.new_path]
        renamed.append(FileRenamed(event.old_path, event.new_path, moved.size, moved.sha256))
        old = {path: file for path, file in old.items() if path != event.old_path}
        new = {path: file for path, file in new.items() if path != event.new_path}
    return FileChanges(
        added=[file for path, file in new.items() if path not in old],
        removed=[file for path, file in old.items() if path not in new],
        renamed=renamed,
        edited=[
            FileEdited(path, old[path], file)
            for path, file in new.items()
            if path in old and not old[path].same(file)
        ],
    )


def _labels(before: Mapping[str, int], after: Mapping[str, int]) -> list[LabelMoved]:
    return [
        LabelMoved(name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
