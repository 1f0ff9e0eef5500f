"""Bodies of requests and answers. Rules of requests are in the annotations; ``api.payload`` applies them in this order."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from domain import content, names, skills
from domain.errors import Invalid, TooBig

# Requests ------------------------------------------------------------------------------------------------------

SkillName = Annotated[
    str,
    Meta(
        description="Lower-case letters, digits and single hyphens; 1 to 64 characters; `new` is reserved.",
        examples=["pdf-forms"],
        extra={"trim": True, "rule": names.check_skill_name},
        extra_json_schema={
            "minLength": 1,
            "maxLength": names.MAX_SKILL_NAME,
            "pattern": r"^[a-z0-9]+(-[a-z0-9]+)*$",
            "not": {"enum": ["new"]},
        },
    ),
]
Description = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=skills.MAX_DESCRIPTION,
        pattern=r"\S",
        description="What the skill does and when to use it.",
        examples=["Fill in PDF forms. Use when a form has to be completed."],
        extra={"trim": True},
    ),
]
Body = Annotated[
    str,
    Meta(
        min_length=1,
        pattern=r"\S",
        description="The SKILL.md body, kept byte for byte; at most 1,000,000 bytes of UTF-8.",
        examples=["# PDF forms\n\nRead the form, then fill it in.\n"],
        extra={"max_bytes": content.MAX_CONTENT_BYTES},
    ),
]
License = Annotated[
    str,
    Meta(max_length=skills.MAX_LICENSE, examples=["MIT"], extra={"trim": True, "blank": True}),
]
Compatibility = Annotated[
    str,
    Meta(
        max_length=skills.MAX_COMPATIBILITY,
        examples=["Needs Python 3.11"],
        extra={"trim": True, "blank": True},
    ),
]
Tool = Annotated[
    str,
    Meta(
        description="White space only inside one pair of parentheses.",
        examples=["Bash(git log:*)"],
        extra={"trim": True, "rule": names.check_tool},
        extra_json_schema={"pattern": r"^\s*([^\s]+|[^\s()]*\([^()]*\)[^\s()]*)\s*$"},
    ),
]
FilePath = Annotated[
    str,
    Meta(
        description="Relative path; `\\` becomes `/`; no empty, `.` or `..` segment; `SKILL.md` is reserved.",
        examples=["scripts/fill.py"],
        extra={"rule": content.check_path},
        extra_json_schema={"minLength": 1, "maxLength": content.MAX_PATH_LENGTH},
    ),
]
FileContent = Annotated[
    str,
    Meta(
        description="Kept byte for byte; may be empty; at most 1,000,000 bytes of UTF-8.",
        examples=["print('filled')\n"],
        extra={"blank": True, "max_bytes": content.MAX_CONTENT_BYTES},
    ),
]
ContentType = Annotated[
    str,
    Meta(min_length=1, max_length=content.MAX_CONTENT_TYPE_LENGTH, pattern=r"\S", examples=["text/x-python"]),
]
BaseVersion = Annotated[
    int, Meta(ge=1, description="The version that this change starts from.", examples=[1])
]


def check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Raises Invalid (max_depth) or TooBig."""
    level: list[Any] = [metadata]
    depth = 0
    while level:
        depth += 1
        if depth > skills.MAX_METADATA_DEPTH:
            raise Invalid(f"Nest at most {skills.MAX_METADATA_DEPTH} levels.", code="max_depth")
        inner = [list(value.values()) if isinstance(value, dict) else value for value in level]
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
    if len(msgspec.json.encode(metadata)) > skills.MAX_METADATA_BYTES:
        raise TooBig(
            f"The metadata is larger than the limit of {skills.MAX_METADATA_BYTES:,} bytes of compact JSON."
        )
    return metadata


MetadataField = Annotated[
    dict[str, Any],
    Meta(
        description="A JSON object; at most 100,000 bytes of compact JSON, nested at most 32 deep.",
        examples=[{"team": "docs"}],
        extra={"rule": check_metadata},
    ),
]


class EditBody(msgspec.Struct, frozen=True):
    """Replace the one occurrence of `old` by `new`."""

    old: Annotated[str, Meta(min_length=1, examples=["fill it in"], extra={"blank": True})]
    new: Annotated[str, Meta(examples=["complete it"], extra={"blank": True})]


Edits = Annotated[
    list[EditBody], Meta(min_length=1, description="Applied in order, each to the result of the one before.")
]


class FileBody(msgspec.Struct, frozen=True):
    path: FilePath
    content: FileContent
    content_type: ContentType = "text/plain"


class FileEditsBody(msgspec.Struct, frozen=True):
    path: FilePath
    edits: Edits


def check_files(files: list[FileBody]) -> list[FileBody]:
    """Raises Invalid when two files do not fit in one tree."""
    content.check_tree((file.path for file in files), attr="")
    return files


def check_file_edits(entries: list[FileEditsBody]) -> list[FileEditsBody]:
    """Raises Invalid when a path is given twice."""
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        if entry.path in seen:
            raise Invalid(
                f"The path '{entry.path}' is given more than once.",
                code="duplicate_path",
                attr=f"{index}__path",
            )
        seen.add(entry.path)
    return entries


Files = Annotated[
    list[FileBody],
    Meta(
        max_length=content.MAX_FILES,
        description="The bundled files; paths are unique, and none is another's folder.",
        extra={"rule": check_files},
    ),
]
FileEditsList = Annotated[list[FileEditsBody], Meta(min_length=1, extra={"rule": check_file_edits})]


class CreateSkill(msgspec.Struct, frozen=True):
    name: SkillName
    description: Description
    body: Body
    license: License = ""
    compatibility: Compatibility = ""
    allowed_tools: list[Tool] = []
    metadata: MetadataField = {}
    files: Files = []


class PublishSkill(msgspec.Struct, frozen=True):
    """`body` and `edits` exclude each other, and so do `files` and `file_edits`. What is absent carries forward."""

    body: Body | UnsetType = UNSET
    edits: Edits | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    license: License | UnsetType = UNSET
    compatibility: Compatibility | UnsetType = UNSET
    allowed_tools: list[Tool] | UnsetType = UNSET
    metadata: MetadataField | UnsetType = UNSET
    files: Files | UnsetType = UNSET
    file_edits: FileEditsList | UnsetType = UNSET
    base_version: BaseVersion | UnsetType = UNSET


class DuplicateSkill(msgspec.Struct, frozen=True):
    new_name: SkillName


class AddFile(msgspec.Struct, frozen=True):
    path: FilePath
    content: FileContent
    content_type: ContentType = "text/plain"
    base_version: BaseVersion | UnsetType = UNSET


class RenameFile(msgspec.Struct, frozen=True):
    old_path: FilePath
    new_path: FilePath
    base_version: BaseVersion | UnsetType = UNSET


# Answers -------------------------------------------------------------------------------------------------------


class CreatedBy(msgspec.Struct):
    id: int
    uuid: UUID
    distinct_id: str
    first_name: str
    last_name: str
    email: str
    is_email_verified: bool
    hedgehog_config: dict[str, Any] | None
    role_at_organization: str


class HeadingAnswer(msgspec.Struct):
    level: Annotated[int, Meta(ge=1, le=6)]
    text: str


class ManifestEntry(msgspec.Struct):
    path: str
    content_type: str
    size: Annotated[int, Meta(ge=0, description="Bytes.")]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="Of the content, in hex.")]


Timestamp = Annotated[
    str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$", examples=["2026-03-03T09:30:00.000000Z"])
]


class SkillRow(msgspec.Struct, kw_only=True):
    """A skill as a list shows it."""

    id: UUID
    name: str
    description: str
    license: str
    compatibility: str
    allowed_tools: list[str]
    metadata: dict[str, Any]
    outline: list[HeadingAnswer]
    version: int
    created_by: CreatedBy | None
    created_at: Timestamp
    updated_at: Timestamp
    deleted: bool
    is_latest: bool
    latest_version: int
    version_count: int
    first_version_created_at: Timestamp


class SkillAnswer(SkillRow, kw_only=True):
    """A whole skill. `body_total_length` and `body_next_offset` (characters) are there when the body was paged."""

    body: str
    files: list[ManifestEntry]
    body_total_length: int | UnsetType = UNSET
    body_next_offset: int | None | UnsetType = UNSET


class SkillPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    results: list[SkillRow]


class FileAnswer(msgspec.Struct):
    path: str
    content: str
    content_type: str


class VersionLine(msgspec.Struct):
    id: UUID
    version: int
    created_by: CreatedBy | None
    created_at: Timestamp
    is_latest: bool


class ResolveSkill(msgspec.Struct):
    skill: SkillAnswer
    versions: list[VersionLine]
    has_more: bool
