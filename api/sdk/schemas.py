"""Bodies and answers of ``/v1/skills``.

An answer has the fields of one SDK or of the other, beside those of both: generators of clients make nothing of a choice between two
objects, so each is one object with what may be in it.
"""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.openapi.examples import examples_of
from api.sdk.ids import LATEST, NUMBER, SKILL_ID, VERSION_ID

_EXAMPLES = examples_of("api.sdk")

MAX_DISPLAY_NAME = 255

SkillId = Annotated[
    str, Meta(description="The same through renames.", extra_json_schema={"pattern": f"^{SKILL_ID.pattern}$"})
]
VersionId = Annotated[str, Meta(extra_json_schema={"pattern": f"^{VERSION_ID.pattern}$"})]
Number = Annotated[
    str, Meta(description="The number of a version.", extra_json_schema={"pattern": f"^{NUMBER.pattern}$"})
]
# Two types, which no schema says that generators understand.
Time = Annotated[Any, Meta(description="For Anthropic an RFC 3339 instant, for OpenAI seconds since 1970.")]
Instant = Annotated[str, Meta(description="For Anthropic.", extra_json_schema={"format": "date-time"})]
Files = Annotated[
    str,
    Meta(
        description="A zip of the folder of a skill; or instead, as often as there are files, the part `files[]`, each with "
        "`folder/path` as its file name. All lie under one top folder, SKILL.md in it: at most 200 files beside it, 1,000,000 "
        "bytes each, and in all no more, unpacked, than a request may have.",
        extra_json_schema={"format": "binary"},
    ),
]


class CreateSkillForm(msgspec.Struct):
    """A new skill: its files, and a name to show."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["CreateSkillForm"]

    files: Files
    display_name: Annotated[
        str,
        Meta(
            description="One line of at most 255 characters to show instead of the name, which is that of SKILL.md; also as "
            "`display_title`.",
            extra_json_schema={
                "maxLength": MAX_DISPLAY_NAME,
                "pattern": r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$",
            },
        ),
    ] = ""


class CreateVersionForm(msgspec.Struct):
    """A new version of a skill, with the name that it has."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["CreateVersionForm"]

    files: Files
    default: Annotated[
        Literal["true", "false"], Meta(description="Whether the label `default` moves to it.")
    ] = "false"


class SetDefault(msgspec.Struct):
    """Which version is used where none is named."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["SetDefault"]

    default_version: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=100,
            description="The number or the id of a version, or `latest`: the one that is so now.",
            extra_json_schema={"pattern": rf"^(?:{NUMBER.pattern}|{LATEST}|{VERSION_ID.pattern})$"},
        ),
    ]


class SdkSource(msgspec.Struct):
    """Whose skill it is."""

    type: Literal["custom"] = "custom"


class SdkSkill(msgspec.Struct, kw_only=True):
    """A skill, as the SDK of Anthropic or of OpenAI has it."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["SdkSkill"]

    id: SkillId
    created_at: Time
    display_name: Annotated[str, Meta(description="For Anthropic.")] | UnsetType = UNSET
    latest_version_id: VersionId | UnsetType = UNSET
    updated_at: Instant | UnsetType = UNSET
    source: SdkSource | UnsetType = UNSET
    type: Literal["skill"] | UnsetType = UNSET
    name: Annotated[str, Meta(description="For OpenAI, as all that follows.")] | UnsetType = UNSET
    description: str | UnsetType = UNSET
    default_version: Number | UnsetType = UNSET
    latest_version: Number | UnsetType = UNSET
    object: Literal["skill"] | UnsetType = UNSET


class SdkSkillVersion(msgspec.Struct, kw_only=True):
    """A version of a skill, as the SDK of Anthropic or of OpenAI has it."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["SdkSkillVersion"]

    id: VersionId
    skill_id: SkillId
    name: Annotated[str, Meta(description="That of the folder of its files.")]
    description: str
    created_at: Time
    type: Annotated[Literal["skill_version"], Meta(description="For Anthropic.")] | UnsetType = UNSET
    version: Number | UnsetType = UNSET
    object: Annotated[Literal["skill.version"], Meta(description="For OpenAI.")] | UnsetType = UNSET


class Listing(msgspec.Struct, kw_only=True):
    """What a page says beside what is on it."""

    has_more: bool
    next_page: (
        Annotated[str | None, Meta(description="For Anthropic: the `page` that follows.")] | UnsetType
    ) = UNSET
    first_id: Annotated[str | None, Meta(description="For OpenAI, as all that follows.")] | UnsetType = UNSET
    last_id: Annotated[str | None, Meta(description="`after` of the page that follows.")] | UnsetType = UNSET
    object: Literal["list"] | UnsetType = UNSET


class SdkSkills(Listing, kw_only=True):
    """A page of skills, the newest first unless `order` says otherwise."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["SdkSkills"]

    data: list[SdkSkill]


class SdkSkillVersions(Listing, kw_only=True):
    """A page of versions, the newest first unless `order` says otherwise."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["SdkSkillVersions"]

    data: list[SdkSkillVersion]


class SdkDeletedSkill(msgspec.Struct, kw_only=True):
    """What is gone, as the SDK of Anthropic or of OpenAI has it."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["SdkDeletedSkill"]

    id: SkillId
    type: Annotated[Literal["skill_deleted"], Meta(description="For Anthropic.")] | UnsetType = UNSET
    deleted: bool | UnsetType = UNSET
    object: Annotated[Literal["skill.deleted"], Meta(description="For OpenAI.")] | UnsetType = UNSET


class SdkDeletedVersion(msgspec.Struct, kw_only=True):
    """What is withdrawn, as the SDK of Anthropic or of OpenAI has it."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["SdkDeletedVersion"]

    id: VersionId
    type: Annotated[Literal["skill_version_deleted"], Meta(description="For Anthropic.")] | UnsetType = UNSET
    version: Number | UnsetType = UNSET
    deleted: bool | UnsetType = UNSET
    object: Annotated[Literal["skill.version.deleted"], Meta(description="For OpenAI.")] | UnsetType = UNSET


class SdkErrorObject(msgspec.Struct, kw_only=True):
    """What is wrong; `param` and `code` are for OpenAI."""

    message: str
    type: Literal[
        "invalid_request_error",
        "authentication_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "api_error",
        "overloaded_error",
        "server_error",
    ]
    param: Annotated[str | None, Meta(description="The field to blame.")] | UnsetType = UNSET
    code: Annotated[str, Meta(description="For programs, as everywhere in this API.")] | UnsetType = UNSET


class SdkError(msgspec.Struct, kw_only=True):
    """An error, as the SDK of Anthropic or of OpenAI has it."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["SdkError"]

    error: SdkErrorObject
    type: Annotated[Literal["error"], Meta(description="For Anthropic.")] | UnsetType = UNSET
    request_id: Annotated[str, Meta(description="For Anthropic.")] | UnsetType = UNSET
