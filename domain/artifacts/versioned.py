"""What skills and prompts share: a name, numbered versions, an end."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, ClassVar, Self
from uuid import UUID

import msgspec

from domain.artifacts import promotions
from domain.artifacts.labels import MAX_LABELS, LabelRemoved, LabelSet, no_label
from domain.artifacts.owners import OwnersSet, checked_owners
from domain.artifacts.promotions import Promotion, PromotionEvent, PromotionEvents
from domain.artifacts.tags import TagsSet
from domain.artifacts.yanks import (
    LabelsYanked,
    LastVersion,
    Latest,
    VersionUnyanked,
    VersionYanked,
    newest,
)
from domain.content import Ref
from domain.errors import Invalid, VersionConflict, VersionNotFound
from domain.events import Event

MAX_AVAILABLE = 20  # versions that a refusal lists
MAX_VERSION_DESCRIPTION = 400  # characters


class Source(msgspec.Struct, frozen=True):
    """The version that a duplicate was made from."""

    stream_id: UUID
    number: int


class VersionEvent(Event, frozen=True, kw_only=True):
    """An event that brings a new version: its ``number`` from 1, and its own ``version_id``."""

    number: int = 1
    version_id: UUID


class Archived(Event, frozen=True, kw_only=True):
    """Every version, label and tag leaves all reads and the name is free again."""


class Restored(Event, frozen=True, kw_only=True):
    """An archived stream has its name back, with all its versions and owners, without labels and tags."""


class Renamed(Event, frozen=True, kw_only=True):
    """The stream holds another name from here on; ``old_name`` is free again. Versions and labels stay as they are."""

    name: str
    old_name: str


class Versioned(msgspec.Struct, kw_only=True):
    """The folded state of one stream, and the decisions that may extend it.

    A decision checks its rules, triggers an event and returns; nothing is written until the events that
    ``collect_events`` hands out are appended. Values are replaced, never changed in place, so that ``fork`` is cheap.
    """

    # What declares a kind; ``domain.artifacts.kinds`` lists all of them.
    KIND: ClassVar[str]  # in topics, subjects, tables and sentences
    RESOURCE: ClassVar[str]  # the segment of its addresses
    SCOPE: ClassVar[str]  # of keys, before ``:read`` and ``:write``
    READS: ClassVar[str]  # what that scope opens, in a sentence
    TEXT: ClassVar[str]  # the field that holds its text
    COMPARED: ClassVar[tuple[str, ...]]  # the fields that can change from version to version
    TAGS: ClassVar[
        Mapping[str, str]
    ]  # what parts of its API are, by tag; that of its own operations is the plural of its kind
    NAMES: ClassVar[str]  # of the parameter that holds a name: what it is
    EXAMPLE: ClassVar[str]  # such a name
    ARCHIVED: ClassVar[type[Archived]]
    RESTORED: ClassVar[type[Restored]]
    RENAMED: ClassVar[type[Renamed]]
    OWNERS_SET: ClassVar[type[OwnersSet]]
    TAGS_SET: ClassVar[type[TagsSet]]
    LABEL_SET: ClassVar[type[LabelSet]]
    LABEL_REMOVED: ClassVar[type[LabelRemoved]]
    YANKED: ClassVar[type[VersionYanked]]
    UNYANKED: ClassVar[type[VersionUnyanked]]
    PROMOTION: ClassVar[PromotionEvents]

    id: UUID
    version: int = 0
    name: str = ""
    number: int = 0  # of the latest version: the newest that is not yanked, to which all fields belong
    highest: int = 0  # number that was ever used
    yanked: frozenset[int] = frozenset()
    version_id: UUID = UUID(int=0)
    archived: bool = False
    labels: dict[str, int] = {}
    promotions: dict[UUID, Promotion] = {}  # those that are open
    made_by: int | None = None  # the user of the first event
    named_owners: tuple[int, ...] | None = None
    tags: tuple[str, ...] = ()
    pending: tuple[Event, ...] = ()

    @property
    def text(self) -> Ref:
        """The content of the field ``TEXT``."""
        found: Ref = getattr(self, self.TEXT)
        return found

    def compared(self, field: str) -> Any:
        """The value of one of the fields ``COMPARED``."""
        return getattr(self, field)

    @property
    def refs(self) -> Iterable[Ref]:
        """The contents that the latest version is made of."""
        return (self.text,)

    @property
    def owners(self) -> tuple[int, ...]:
        """The ids of the users who answer for it: its maker, unless others were named."""
        if self.named_owners is not None:
            return self.named_owners
        return () if self.made_by is None else (self.made_by,)

    def fork(self) -> Self:
        """An independent copy to decide on; drop it when its events could not be appended."""
        return msgspec.structs.replace(self)

    def collect_events(self) -> tuple[Event, ...]:
        """The events triggered since the last call, oldest first."""
        events, self.pending = self.pending, ()
        return events

    def check_base(self, base_version: int | None) -> None:
        """Raises VersionConflict unless ``base_version`` is the latest version (None: whatever it is)."""
        if base_version is not None and base_version != self.number:
            raise VersionConflict(base_version, self.number)

    def archive(self) -> None:
        self.trigger(self.ARCHIVED(originator_id=self.id, originator_version=self.version + 1))

    def set_owners(self, owners: Iterable[int]) -> None:
        """Raises Invalid."""
        wanted = checked_owners(owners)
        if wanted != self.owners:
            self.trigger(
                self.OWNERS_SET(originator_id=self.id, originator_version=self.version + 1, owners=wanted)
            )

    def set_tags(self, tags: tuple[str, ...]) -> None:
        """``tags`` have their normal form."""
        if tags != self.tags:
            self.trigger(self.TAGS_SET(originator_id=self.id, originator_version=self.version + 1, tags=tags))

    def duplicate(self, *, id: UUID, version_id: UUID, name: str) -> "Versioned":
        """Version 1 of ``name``, a new stream, with the latest content and the tags of this one; it belongs to its maker."""
        raise NotImplementedError

    def rename(self, name: str) -> None:
        """Hold ``name`` instead; nothing happens when it is the name already."""
        if name != self.name:
            self.trigger(
                self.RENAMED(
                    originator_id=self.id,
                    originator_version=self.version + 1,
                    name=name,
                    old_name=self.name,
                )
            )

    def restore(self) -> None:
        """Raises Invalid when it is not archived."""
        if not self.archived:
            raise Invalid(f"The {self.KIND} '{self.name}' is not archived.")
        self.trigger(self.RESTORED(originator_id=self.id, originator_version=self.version + 1))

    def check_label(self, label: str, number: int) -> None:
        """Raises VersionNotFound, LabelsYanked or Invalid unless the label may point to the version."""
        self.check_number(number)
        if number in self.yanked:
            raise LabelsYanked(self.KIND, self.name, number)
        if label not in self.labels and len(self.labels) >= MAX_LABELS:
            raise Invalid(
                f"A {self.KIND} has at most {MAX_LABELS} labels; remove one first.",
                code="max_length",
                attr="label_name",
            )

    def check_number(self, number: int) -> None:
        """Raises VersionNotFound unless there is such a version, yanked or not."""
        if not 1 <= number <= self.highest:
            raise VersionNotFound(self.KIND, self.name, number, self.available)

    @property
    def available(self) -> tuple[int, ...]:
        """The newest versions that are not yanked, as a refusal lists them."""
        every = (one for one in range(self.highest, 0, -1) if one not in self.yanked)
        return tuple(islice(every, MAX_AVAILABLE))

    def latest_without(self, number: int) -> int:
        """Which version is the latest when this one is yanked. Raises VersionNotFound, LastVersion."""
        self.check_number(number)
        found = newest(self.highest, {*self.yanked, number})
        if not found:
            raise LastVersion(self.KIND, self.name, number)
        return found

    def latest_with(self, number: int) -> int:
        """Which version is the latest when this one is not yanked. Raises VersionNotFound."""
        self.check_number(number)
        return newest(self.highest, self.yanked - {number})

    def yank(self, number: int, reason: str, latest: Latest | None = None) -> None:
        """Let the version be passed over; nothing happens to one that is. ``latest``: see ``as_latest``. Raises VersionNotFound, LastVersion."""
        self.check_number(number)
        if number not in self.yanked:
            self._check_latest(self.latest_without(number), latest)
            self.trigger(
                self.YANKED(
                    originator_id=self.id,
                    originator_version=self.version + 1,
                    number=number,
                    reason=reason,
                    latest=latest,
                )
            )

    def unyank(self, number: int, latest: Latest | None = None) -> None:
        """Take a yank back; nothing happens to a version without one. ``latest``: see ``as_latest``. Raises VersionNotFound."""
        if number in self.yanked:
            self._check_latest(self.latest_with(number), latest)
            self.trigger(
                self.UNYANKED(
                    originator_id=self.id,
                    originator_version=self.version + 1,
                    number=number,
                    latest=latest,
                )
            )
        else:
            self.check_number(number)

    def _check_latest(self, number: int, latest: Latest | None) -> None:
        """Raises ValueError unless ``latest`` is what becomes the latest version, None when that stays."""
        if (number if number != self.number else None) != (latest and latest.number):
            raise ValueError(f"version {number} of {self.id} is the latest then, not {latest}")

    def as_latest(self, name: str) -> Latest:
        """This state of an earlier version, as the event has it that makes that one the latest; ``name`` as there."""
        raise NotImplementedError

    def go_to(self, latest: Latest) -> None:
        """The fold of such an event: the fields are those of that version."""
        raise NotImplementedError

    def set_label(self, label: str, number: int, *, promotion_id: UUID | None = None) -> bool:
        """Point the label to a version; False when the label is new. Raises VersionNotFound, Invalid."""
        self.check_label(label, number)
        known = label in self.labels
        if self.labels.get(label) != number:
            self.trigger(
                self.LABEL_SET(
                    originator_id=self.id,
                    originator_version=self.version + 1,
                    label=label,
                    number=number,
                    promotion_id=promotion_id,
                )
            )
        return known

    def remove_label(self, label: str) -> None:
        """Raises NotFound."""
        if label not in self.labels:
            raise no_label(self.KIND, self.name, label)
        self.trigger(
            self.LABEL_REMOVED(originator_id=self.id, originator_version=self.version + 1, label=label)
        )

    def evolve(self, event: Event, actor_id: int | None = None) -> None:
        """Fold one event, brought by the user ``actor_id``, into the state.

        Raises ValueError on an event out of order or of another stream.
        """
        if event.originator_id != self.id or event.originator_version != self.version + 1:
            raise ValueError(
                f"{event.TOPIC} {event.originator_version} does not follow version {self.version} of {self.id}"
            )
        if isinstance(event, VersionEvent):
            self.number = self.highest = event.number
            self.version_id = event.version_id
            if event.originator_version == 1:
                self.made_by = actor_id
            self.apply(event)
        elif isinstance(event, Archived):
            self.archived = True
            self.labels, self.promotions = {}, {}
            self.tags = ()
        elif isinstance(event, Restored):
            self.archived = False
        elif isinstance(event, Renamed):
            self.name = event.name
        elif isinstance(event, OwnersSet):
            self.named_owners = event.owners
        elif isinstance(event, TagsSet):
            self.tags = event.tags
        elif isinstance(event, LabelSet):
            self.labels = {**self.labels, event.label: event.number}
            self.promotions = promotions.moved(self.promotions, event)
        elif isinstance(event, LabelRemoved):
            self.labels = {label: number for label, number in self.labels.items() if label != event.label}
            self.promotions = promotions.moved(self.promotions, event)
        elif isinstance(event, PromotionEvent):
            self.promotions = promotions.follow(self.promotions, event)
        elif isinstance(event, VersionYanked | VersionUnyanked):
            self.yanked ^= {event.number}
            if event.latest is not None:
                self.number, self.version_id = event.latest.number, event.latest.version_id
                self.go_to(event.latest)
        else:
            self.apply(event)
        self.version = event.originator_version

    def apply(self, event: Event) -> None:
        """What any other event means for this kind of stream."""
        raise NotImplementedError

    def trigger(self, event: Event) -> None:
        self.evolve(event)
        self.pending = (*self.pending, event)


def source_of(event: Event) -> Source | None:
    """The version that a new stream is a duplicate of, if it is one."""
    return getattr(event, "source", None)


def reverted_to(event: Event) -> int | None:
    """The version whose content a new one takes over, if it is a revert."""
    return getattr(event, "reverted_to", None)
