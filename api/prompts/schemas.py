"""Bodies of requests and answers about prompts; rules as in ``api.artifacts.fields``."""

from typing import Annotated, Any, ClassVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.artifacts.fields import (
    WHITE,
    BaseVersion,
    CreatedBy,
    Edits,
    Owner,
    OwnersField,
    TagsField,
    Timestamp,
    VersionDescription,
    VersionLine,
    check_object,
    given,
    only,
    trimmed,
)
from api.artifacts.schemas import AllLabels, LabelAnswer, YankedAnswer
from api.openapi.examples import examples_of
from api.openapi.parameters import NO_NUL
from domain import content, names
from domain.artifacts import owners, prompts, skills, tags

_EXAMPLES = examples_of("api.prompts")


PromptName = Annotated[
    str,
    Meta(
        description="Letters, digits, `-` and `_`; 1 to 255 characters; case counts; `new` is reserved in any case. "
        "White space around it is cut off.",
        examples=["support-agent"],
        extra={"trim": True, "rule": names.check_prompt_name},
        extra_json_schema={
            "pattern": trimmed(rf"(?![nN][eE][wW][{WHITE}]*$)[A-Za-z0-9_-]{{1,{names.MAX_PROMPT_NAME}}}")
        },
    ),
]


PromptValue = Annotated[
    Any,
    Meta(
        description="Any JSON value but null, such as a text or a chat array; at most 1,000,000 bytes of compact JSON, "
        "nested at most 256 deep. It comes back as it was sent.",
        examples=["You are a helpful agent."],
        extra_json_schema={"not": {"type": "null"}, "maxLength": content.MAX_CONTENT_BYTES},
    ),
]


def check_config(config: dict[str, Any]) -> dict[str, Any]:
    """Raises Invalid (max_depth) or TooBig."""
    return check_object(config, prompts.MAX_CONFIG_BYTES, skills.MAX_METADATA_DEPTH, "configuration")


Config = Annotated[
    dict[str, Any],
    Meta(
        description="Model parameters or any other configuration, at most 1000 keys and 100,000 bytes of compact JSON, nested at most "
        "32 deep.",
        examples=[{"temperature": 0.2}],
        extra={"rule": check_config},
        extra_json_schema={"maxProperties": skills.MAX_METADATA_KEYS, "propertyNames": {"pattern": NO_NUL}},
    ),
]


class CreatePrompt(msgspec.Struct, frozen=True):
    """A new prompt. Fields that are not named here are ignored."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["CreatePrompt"]

    name: PromptName
    prompt: PromptValue
    config: Config | None = None
    version_description: VersionDescription | None = None
    owners: OwnersField | UnsetType = UNSET
    tags: TagsField | UnsetType = UNSET


class PublishPrompt(msgspec.Struct, frozen=True):
    """`prompt` and `edits` exclude each other; one of them is required unless `config`, or nothing but `owners` and `tags`, is given.

    `config` carries forward when it is absent and is cleared by null. `base_version` is required unless `If-Match` is
    sent; `owners` and `tags` alone make no version and do not need it. Edits to a prompt that is no text work on its JSON, indented by two spaces.
    """

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["PublishPrompt"]
    HINTS: ClassVar[dict[str, Any]] = {
        "if": given("edits"),
        "then": only("prompt", False),
        "else": {"anyOf": [given(field) for field in ("prompt", "config", "owners", "tags")]},
    }

    prompt: PromptValue | UnsetType = UNSET
    edits: Edits | UnsetType = UNSET
    config: Config | UnsetType | None = UNSET
    version_description: VersionDescription | None = None
    owners: OwnersField | UnsetType = UNSET
    tags: TagsField | UnsetType = UNSET
    base_version: BaseVersion | UnsetType = UNSET


class DuplicatePrompt(msgspec.Struct, frozen=True):
    """What the copy is called."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["DuplicatePrompt"]

    new_name: PromptName


class RenamePrompt(msgspec.Struct, frozen=True):
    """What it is called from now on."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["RenamePrompt"]

    new_name: PromptName


class PromptBase(msgspec.Struct, kw_only=True):
    id: UUID
    name: str
    prompt: Any = UNSET
    config: dict[str, Any] | UnsetType | None = UNSET
    prompt_preview: str | UnsetType = UNSET
    prompt_size_bytes: int | UnsetType = UNSET
    version_description: str
    version: int
    created_at: Timestamp
    updated_at: Timestamp
    deleted: bool
    is_latest: bool
    latest_version: int
    version_count: int
    first_version_created_at: Timestamp
    owners: Annotated[list[Owner], Meta(max_length=owners.MAX_OWNERS, description="Users who answer for it.")]
    tags: Annotated[list[str], Meta(max_length=tags.MAX_TAGS)]
    yanked: YankedAnswer | None
    label: str | UnsetType = UNSET


class ResolvedReference(msgspec.Struct):
    """A reference whose text stands in the prompt; `label` when it was by label, `version` is the one that it then pointed to."""

    name: str
    version: int
    label: str | None


class PromptByName(PromptBase, kw_only=True):
    """A prompt as a read by name shows it. `label` is there when it was fetched by label, `resolved_references` when it has any."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["PromptByName"]

    labels: list[str]
    resolved_references: list[ResolvedReference] | UnsetType = UNSET


class PromptAnswer(PromptByName, kw_only=True):
    """A prompt with its author, as writes answer with it."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["PromptAnswer"]

    created_by: CreatedBy | None


class PromptRow(PromptBase, kw_only=True):
    """A prompt as a list shows it; `content` decides about `prompt` and `prompt_preview`."""

    created_by: CreatedBy | None
    all_labels: list[AllLabels]


class PromptPage(msgspec.Struct):
    """`count` is of all pages; `next` and `previous` are absolute addresses that keep the query."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["PromptPage"]

    count: int
    next: str | None
    previous: str | None
    results: list[PromptRow]


class ResolvePrompt(msgspec.Struct):
    """The picked version, one page of all versions, newest first, and all labels."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["ResolvePrompt"]

    prompt: PromptAnswer
    versions: list[VersionLine]
    has_more: bool
    labels: list[LabelAnswer]


class ArchivedPrompt(PromptRow, kw_only=True):
    """The latest version of an archived prompt. It can come back unless its name is taken; `id` names it to restore."""

    archived_at: Timestamp
    archived_by: CreatedBy | None
    name_taken: bool


class ArchivedPromptPage(msgspec.Struct):
    """`count` is of all pages; `next` and `previous` are absolute addresses that keep the query."""

    count: int
    next: str | None
    previous: str | None
    results: list[ArchivedPrompt]
