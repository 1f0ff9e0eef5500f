"""The prompt: text or any other JSON value, with a configuration and labels; its commands and its events."""

from collections.abc import Mapping
from typing import ClassVar, Self
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from domain.artifacts.labels import LabelRemoved, LabelSet
from domain.artifacts.owners import OwnersSet, checked_owners
from domain.artifacts.promotions import (
    PromotionApproved,
    PromotionEvents,
    PromotionRejected,
    PromotionRequested,
    PromotionWithdrawn,
)
from domain.artifacts.tags import TagsSet
from domain.artifacts.versioned import Archived, Renamed, Restored, Source, Versioned, VersionEvent
from domain.artifacts.yanks import Latest, VersionUnyanked, VersionYanked
from domain.content import MAX_CONTENT_BYTES, Content, Edit, Ref, apply_edits, too_big
from domain.errors import Invalid
from domain.events import Event, event
from domain.json_text import depth, indented, parse_edited

MAX_PROMPT_DEPTH = 256
MAX_CONFIG_BYTES = 100_000


@event
class PromptCreated(VersionEvent, frozen=True, kw_only=True):
    """``prompt`` is the compact JSON of the value; ``config`` is JSON text, kept as it was written.

    Without ``owners`` it belongs to the user who made it.
    """

    TOPIC: ClassVar[str] = "prompt.created"

    name: str
    prompt: Ref
    config: str | None = None
    version_description: str = ""
    source: Source | None = None
    owners: tuple[int, ...] | None = None
    tags: tuple[str, ...] = ()


@event
class PromptPublished(VersionEvent, frozen=True, kw_only=True):
    """Absent fields carry forward, but for the description of the version."""

    TOPIC: ClassVar[str] = "prompt.published"

    prompt: Ref | UnsetType = UNSET
    config: str | UnsetType | None = UNSET
    version_description: str = ""
    reverted_to: int | None = None


@event
class PromptLabelSet(LabelSet, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "prompt.label_set"


@event
class PromptLabelRemoved(LabelRemoved, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "prompt.label_removed"


@event
class PromptPromotionRequested(PromotionRequested, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "prompt.promotion_requested"


@event
class PromptPromotionApproved(PromotionApproved, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "prompt.promotion_approved"


@event
class PromptPromotionRejected(PromotionRejected, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "prompt.promotion_rejected"


@event
class PromptPromotionWithdrawn(PromotionWithdrawn, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "prompt.promotion_withdrawn"


@event
class PromptArchived(Archived, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "prompt.archived"


@event
class PromptRestored(Restored, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "prompt.restored"


@event
class PromptRenamed(Renamed, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "prompt.renamed"


@event
class PromptOwnersSet(OwnersSet, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "prompt.owners_set"


@event
class PromptTagsSet(TagsSet, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "prompt.tags_set"


class PromptLatest(Latest, frozen=True):
    prompt: Ref
    config: str | None = None
    version_description: str = ""


@event
class PromptVersionYanked(VersionYanked, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "prompt.version_yanked"

    latest: PromptLatest | None = None


@event
class PromptVersionUnyanked(VersionUnyanked, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "prompt.version_unyanked"

    latest: PromptLatest | None = None


class PromptChanges(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a publish; ``prompt`` and ``config`` are compact JSON."""

    prompt: bytes | UnsetType = UNSET
    edits: tuple[Edit, ...] | UnsetType = UNSET
    config: str | UnsetType | None = UNSET
    version_description: str = ""


class Prompt(Versioned, kw_only=True):
    """A prompt: one stream, which holds a name, one at a time, from its creation to its archive."""

    KIND: ClassVar[str] = "prompt"
    RESOURCE: ClassVar[str] = "llm_prompts"
    SCOPE: ClassVar[str] = "llm_prompt"
    READS: ClassVar[str] = "prompts and their versions"
    TEXT: ClassVar[str] = "prompt"
    TAGS: ClassVar[Mapping[str, str]] = {"prompts": "Prompts: any JSON, in versions, with labels."}
    NAMES: ClassVar[str] = "The name of an active prompt; case counts."
    EXAMPLE: ClassVar[str] = "support-agent"
    COMPARED: ClassVar[tuple[str, ...]] = ("name", "prompt", "config", "version_description")
    ARCHIVED: ClassVar[type[Archived]] = PromptArchived
    RESTORED: ClassVar[type[Restored]] = PromptRestored
    RENAMED: ClassVar[type[Renamed]] = PromptRenamed
    OWNERS_SET: ClassVar[type[OwnersSet]] = PromptOwnersSet
    TAGS_SET: ClassVar[type[TagsSet]] = PromptTagsSet
    LABEL_SET: ClassVar[type[LabelSet]] = PromptLabelSet
    LABEL_REMOVED: ClassVar[type[LabelRemoved]] = PromptLabelRemoved
    YANKED: ClassVar[type[VersionYanked]] = PromptVersionYanked
    UNYANKED: ClassVar[type[VersionUnyanked]] = PromptVersionUnyanked
    PROMOTION: ClassVar[PromotionEvents] = PromotionEvents(
        PromptPromotionRequested, PromptPromotionApproved, PromptPromotionRejected, PromptPromotionWithdrawn
    )

    prompt: Ref = Ref("", 0)
    config: str | None = None
    version_description: str = ""

    # Commands

    @classmethod
    def create(
        cls,
        *,
        id: UUID,
        version_id: UUID,
        name: str,
        prompt: bytes,
        config: str | None = None,
        version_description: str = "",
        owners: tuple[int, ...] | None = None,
        tags: tuple[str, ...] = (),
    ) -> tuple[Self, list[Content]]:
        """Version 1 of a new prompt, which belongs to its maker without ``owners``. Raises Invalid or TooBig for a value that is nested too deeply or too large."""
        content = Content.of(check_prompt(prompt))
        new = cls(id=id)
        new.trigger(
            PromptCreated(
                originator_id=id,
                originator_version=1,
                version_id=version_id,
                name=name,
                prompt=content.ref,
                config=config,
                version_description=version_description,
                owners=None if owners is None else checked_owners(owners),
                tags=tags,
            )
        )
        return new, [content]

    def duplicate(self, *, id: UUID, version_id: UUID, name: str) -> "Prompt":
        """Version 1 of ``name`` with the latest content, configuration and tags of this prompt, without its labels."""
        copy = Prompt(id=id)
        copy.trigger(
            PromptCreated(
                originator_id=id,
                originator_version=1,
                version_id=version_id,
                name=name,
                prompt=self.prompt,
                config=self.config,
                source=Source(self.id, self.number),
                tags=self.tags,
            )
        )
        return copy

    def publish(
        self, changes: PromptChanges, *, version_id: UUID, base_version: int, texts: Mapping[bytes, bytes]
    ) -> list[Content]:
        """The next version. ``texts`` holds the current prompt, by its digest, when there are edits.

        Raises VersionConflict, then EditFailed, TooBig or Invalid for a value or edits that do not fit.
        """
        self.check_base(base_version)
        content: Content | None = None
        if changes.edits:
            content = Content.of(edited(texts[self.prompt.digest], changes.edits))
        elif changes.prompt is not UNSET:
            content = Content.of(check_prompt(changes.prompt))
        self.trigger(
            PromptPublished(
                originator_id=self.id,
                originator_version=self.version + 1,
                number=self.highest + 1,
                version_id=version_id,
                prompt=UNSET if content is None else content.ref,
                config=changes.config,
                version_description=changes.version_description,
            )
        )
        return [] if content is None else [content]

    def revert(self, old: "Prompt", *, version_id: UUID, base_version: int | None) -> None:
        """A new version that is equal to ``old``, an earlier state of this prompt. Raises VersionConflict."""
        self.check_base(base_version)
        self.trigger(
            PromptPublished(
                originator_id=self.id,
                originator_version=self.version + 1,
                number=self.highest + 1,
                version_id=version_id,
                prompt=old.prompt,
                config=old.config,
                reverted_to=old.number,
            )
        )

    def as_latest(self, name: str) -> PromptLatest:
        return PromptLatest(
            self.number, self.version_id, name, self.prompt, self.config, self.version_description
        )

    # Fold

    def go_to(self, latest: Latest) -> None:
        assert isinstance(latest, PromptLatest)
        self.prompt = latest.prompt
        self.config = latest.config
        self.version_description = latest.version_description

    def apply(self, event: Event) -> None:
        match event:
            case PromptPublished():
                if event.prompt is not UNSET:
                    self.prompt = event.prompt
                if event.config is not UNSET:
                    self.config = event.config
                self.version_description = event.version_description
            case PromptCreated():
                self.name = event.name
                self.prompt = event.prompt
                self.config = event.config
                self.version_description = event.version_description
                self.named_owners, self.tags = event.owners, event.tags
            case _:
                raise ValueError(f"a prompt has no event {event.TOPIC}")


def check_prompt(data: bytes) -> bytes:
    """Compact JSON within the bounds. Raises TooBig, Invalid (max_depth)."""
    if len(data) > MAX_CONTENT_BYTES:
        raise too_big(MAX_CONTENT_BYTES, attr="prompt")
    if depth(data) > MAX_PROMPT_DEPTH:
        raise Invalid(f"Nest at most {MAX_PROMPT_DEPTH} levels.", code="max_depth", attr="prompt")
    return data


def edited(current: bytes, edits: tuple[Edit, ...]) -> bytes:
    """Edits to a text work on it, those to any other value on its indented JSON, which must be JSON afterwards."""
    last = len(edits) - 1
    attr = f"edits__{last}__new"
    if current[:1] == b'"':
        data = msgspec.json.encode(apply_edits(msgspec.json.decode(current, type=str), edits, attr="edits"))
    else:
        # Indenting adds bytes that do not count, so the limit is checked on the compact form alone.
        text = apply_edits(indented(current), edits, attr="edits", max_bytes=16 * MAX_CONTENT_BYTES)
        data = parse_edited(text, attr=attr, edit_index=last)
    try:
        return check_prompt(data)
    except Invalid as error:
        error.attr = attr
        error.extra["edit_index"] = last
        raise
