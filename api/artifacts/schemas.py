"""Bodies of requests and answers about the past: history, differences, authors of lines, archived streams, the audit."""

from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.artifacts.fields import (
    UUID_PATTERN,
    BaseVersion,
    CreatedBy,
    Timestamp,
    check_uuid,
    one_line,
    trimmed,
)
from api.openapi.examples import examples_of
from api.openapi.parameters import WITHOUT
from domain.artifacts.yanks import MAX_REASON
from domain.names import CONTROLS, check_line
from projections.compare.diff import FieldChange, FileChange, MetadataChanges, TextChange
from projections.events.changes import Changes
from projections.read.tags import MAX_TAGS_LISTED
from projections.read.versions import MAX_VERSION

_EXAMPLES = examples_of("api.artifacts")


_ID = "0195c2e0-5a11-7c02-8f3e-2b7d9e0c4d17"
# Requests ------------------------------------------------------------------------------------------------------


class Revert(msgspec.Struct, frozen=True):
    """Which version the new one is to be equal to."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["Revert"]

    version: Annotated[
        int, Meta(ge=1, le=MAX_VERSION, description="The version to go back to.", examples=[1])
    ]
    base_version: BaseVersion | UnsetType = UNSET


class Restore(msgspec.Struct, frozen=True):
    """Which archived stream of the name is to come back; without `id` the one that was archived last."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["Restore"]

    id: (
        Annotated[
            str,
            Meta(
                description="The id of any version of the stream that is meant, or its `stream_id` in the history.",
                examples=[_ID],
                extra={"rule": check_uuid},
                extra_json_schema={
                    "format": "uuid",
                    "pattern": UUID_PATTERN,
                },
            ),
        ]
        | UnsetType
    ) = UNSET


class SetLabel(msgspec.Struct, frozen=True):
    """Which version the label shall point to."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["SetLabel"]

    version: Annotated[
        int,
        Meta(ge=1, description="The version that the label shall point to.", examples=[1]),
    ]


class Yank(msgspec.Struct, frozen=True):
    """Why the version should not be used any more."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["Yank"]

    reason: Annotated[
        str,
        Meta(
            max_length=MAX_REASON,
            description="1 to 400 characters, one line without control characters. White space around it is cut off.",
            examples=["Deletes the fields that it should fill"],
            extra={"trim": True, "rule": check_line},
            extra_json_schema={WITHOUT: ["maxLength"], "pattern": trimmed(one_line(MAX_REASON, CONTROLS))},
        ),
    ]


class Unyank(msgspec.Struct, frozen=True):
    """Nothing has to be said."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["Unyank"]


# Answers -------------------------------------------------------------------------------------------------------


class TagList(msgspec.Struct):
    """Tags in use, sorted."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["TagList"]

    tags: Annotated[list[str], Meta(max_length=MAX_TAGS_LISTED)]


class AllLabels(msgspec.Struct):
    """A label and the version that it points to."""

    name: str
    version: int


class YankedAnswer(msgspec.Struct):
    """Why a version should not be used any more, and who said so when; `by` is null for an erased user."""

    reason: str
    by: CreatedBy | None
    at: Timestamp


class LabelAnswer(msgspec.Struct):
    """A label, who set it and when."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["LabelAnswer"]

    name: str
    version: int
    created_by: CreatedBy | None
    created_at: Timestamp


class HistoryEntry(msgspec.Struct):
    """One event. `actor` is null for an event without a user and for an erased one; the versions are the latest before and after it."""

    position: int
    time: Timestamp
    type: str
    stream_id: UUID
    actor: CreatedBy | None
    key_id: UUID | None
    request_id: str | None
    version_before: int | None
    version_after: int
    changes: Changes


class HistoryPage(msgspec.Struct):
    """`count` is of all pages; `next` and `previous` are absolute addresses that keep the query."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["HistoryPage"]

    count: int
    next: str | None
    previous: str | None
    results: list[HistoryEntry]


class DiffSide(msgspec.Struct):
    """A version that is compared."""

    id: UUID
    version: int
    created_by: CreatedBy | None
    created_at: Timestamp


class SkillDiff(msgspec.Struct):
    """What differs. `from` is null when there is no version before `to`; `body` when the bodies are equal."""

    name: str
    older: DiffSide | None = msgspec.field(name="from")
    newer: DiffSide = msgspec.field(name="to")
    fields: list[FieldChange]
    metadata: MetadataChanges
    body: TextChange | None
    files: list[FileChange]


class PromptDiff(msgspec.Struct):
    """What differs. `from` is null when there is no version before `to`; `prompt` when the prompts are equal."""

    name: str
    older: DiffSide | None = msgspec.field(name="from")
    newer: DiffSide = msgspec.field(name="to")
    fields: list[FieldChange]
    prompt: TextChange | None


class BlameLine(msgspec.Struct):
    """A line without its end, and the version that brought it."""

    line: int
    text: str
    version: int
    created_by: CreatedBy | None
    created_at: Timestamp


class BlameAnswer(msgspec.Struct):
    """`path` is null for the body or prompt. `complete` is false when older lines are given to the oldest version that
    was looked at; `truncated` is true, without lines, for a text that is too large."""

    name: str
    version: int
    path: str | None
    lines: list[BlameLine]
    complete: bool
    truncated: bool


DiffFormat = Literal["json", "unified"]


AuditFormat = Literal["json", "ndjson", "csv"]
