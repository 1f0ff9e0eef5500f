"""Bodies of requests and answers about skills; rules as in ``api.artifacts.fields``."""

from base64 import b64decode
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.artifacts.fields import (
    PATH_PATTERN,
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
    one_line,
    only,
    trimmed,
)
from api.artifacts.schemas import AllLabels, LabelAnswer, YankedAnswer
from api.openapi.examples import examples_of
from api.openapi.parameters import NO_NUL, WITHOUT
from domain import content, names
from domain.artifacts import owners, skills, tags
from domain.errors import Invalid, TooBig

_EXAMPLES = examples_of("api.skills")


NOT_BLANK = rf"^[^\x00]*[^\x00{WHITE}][^\x00]*$"


# The Kelvin sign is a `k` in lower case.
SKILL_MD = r"[sS\u017f][kK\u212a][iI][lL][lL]\.[mM][dD](?:[\\/]|$)"


# The plain spellings; `domain.content.is_dot_git` knows more.
DOT_GIT = r"(?:[^\x00]*[\\/])?(?:\.[gG][iI][tT](?:[mM][oO][dD][uU][lL][eE][sS])?|[gG][iI][tT](?:[mM][oO][dD])?~[0-9])[ .]*(?::|[\\/]|$)"


# What no path begins with, in front of what every path is.
NO_PATH = rf"(?:{SKILL_MD}|{DOT_GIT}|[{WHITE}]*$|[A-Za-z]:)"


SkillName = Annotated[
    str,
    Meta(
        description="Lower-case letters, digits and single hyphens; 1 to 64 characters; `new` is reserved. "
        "White space around it is cut off.",
        examples=["pdf-forms"],
        extra={"trim": True, "rule": names.check_skill_name},
        extra_json_schema={
            "pattern": trimmed(
                rf"(?!new[{WHITE}]*$)(?![a-z0-9-]{{{names.MAX_SKILL_NAME + 1}}})[a-z0-9]+(?:-[a-z0-9]+)*"
            )
        },
    ),
]


Description = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=skills.MAX_DESCRIPTION,
        description="What the skill does and when to use it; 1 to 1024 characters. White space around it is cut off.",
        examples=["Fill in PDF forms. Use when a form has to be completed."],
        extra={"trim": True},
        extra_json_schema={WITHOUT: ["maxLength"], "pattern": trimmed(one_line(skills.MAX_DESCRIPTION))},
    ),
]


Body = Annotated[
    str,
    Meta(
        min_length=1,
        description="The SKILL.md body, kept byte for byte; not blank; at most 1,000,000 bytes of UTF-8 and 10,000 headings.",
        examples=["# PDF forms\n\nRead the form, then fill it in.\n"],
        extra={"max_bytes": content.MAX_CONTENT_BYTES},
        extra_json_schema={"maxLength": content.MAX_CONTENT_BYTES, "pattern": NOT_BLANK},
    ),
]


License = Annotated[
    str,
    Meta(
        max_length=skills.MAX_LICENSE,
        description="At most 255 characters. White space around it is cut off.",
        examples=["MIT"],
        extra={"trim": True, "blank": True},
        extra_json_schema={
            WITHOUT: ["maxLength"],
            "pattern": trimmed(f"(?:{one_line(skills.MAX_LICENSE)})?"),
        },
    ),
]


Compatibility = Annotated[
    str,
    Meta(
        max_length=skills.MAX_COMPATIBILITY,
        description="What the skill needs; at most 500 characters. White space around it is cut off.",
        examples=["Needs Python 3.11"],
        extra={"trim": True, "blank": True},
        extra_json_schema={
            WITHOUT: ["maxLength"],
            "pattern": trimmed(f"(?:{one_line(skills.MAX_COMPATIBILITY)})?"),
        },
    ),
]


Tool = Annotated[
    str,
    Meta(
        description="At most 500 characters; white space only inside one pair of parentheses; around the entry it is cut off.",
        examples=["Bash(git log:*)"],
        extra={"trim": True, "rule": names.check_tool},
        extra_json_schema={
            "pattern": trimmed(
                rf"(?![^\x00]{{{names.MAX_TOOL}}}[^\x00]*[^\x00{WHITE}])"
                rf"(?:[^\x00{WHITE}]+|[^\x00(){WHITE}]*\([^\x00()]*\)[^\x00(){WHITE}]*)"
            ),
        },
    ),
]


Tools = Annotated[list[Tool], Meta(max_length=names.MAX_TOOLS, description="At most 200 entries.")]


FilePath = Annotated[
    str,
    Meta(
        description="Relative path, 1 to 500 characters; `\\` becomes `/`; no empty, `.` or `..` segment, no control "
        "character; `SKILL.md` is reserved, as file and as folder, and so are `.git` and `.gitmodules` anywhere, in all spellings; no drive "
        "letter in front.",
        examples=["scripts/fill.py"],
        extra={"rule": content.check_path},
        extra_json_schema={
            "maxLength": content.MAX_PATH_LENGTH,
            "pattern": f"^(?!{NO_PATH}){PATH_PATTERN[1:]}",
        },
    ),
]


# What the largest content has in base64.
MAX_BASE64 = (content.MAX_CONTENT_BYTES + 2) // 3 * 4


FileContent = Annotated[
    str,
    Meta(
        description="Kept byte for byte; may be empty; at most 1,000,000 bytes, of UTF-8 or of what `encoding` stands for.",
        examples=["print('filled')\n"],
        extra={"blank": True},
        extra_json_schema={"maxLength": MAX_BASE64, "pattern": NO_NUL},
    ),
]


Encoding = Annotated[
    Literal["utf-8", "base64"],
    Meta(description="How `content` stands for the bytes of the file; `base64` for those that are no text."),
]


ContentType = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=content.MAX_CONTENT_TYPE_LENGTH,
        description="The media type; at most 100 characters, not blank.",
        examples=["text/x-python"],
        extra_json_schema={"pattern": NOT_BLANK},
    ),
]


def check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Raises Invalid (max_depth) or TooBig."""
    return check_object(metadata, skills.MAX_METADATA_BYTES, skills.MAX_METADATA_DEPTH, "metadata")


MetadataField = Annotated[
    dict[str, Any],
    Meta(
        description="A JSON object; at most 1000 keys and 100,000 bytes of compact JSON, nested at most 32 deep. It replaces the "
        "whole of the earlier one. No text in it, keys included, may hold a NUL.",
        examples=[{"team": "docs"}],
        extra={"rule": check_metadata},
        extra_json_schema={"maxProperties": skills.MAX_METADATA_KEYS, "propertyNames": {"pattern": NO_NUL}},
    ),
]


# What is sent as text is at most 1,000,000 characters, what is sent as base64 is valid base64.
ENCODED = {
    "if": given("encoding", {"const": "base64"}),
    "then": only("content", {"pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"}),
    "else": only("content", {"maxLength": content.MAX_CONTENT_BYTES}),
}


class FileBody(msgspec.Struct, frozen=True):
    """A bundled file."""

    HINTS: ClassVar[dict[str, Any]] = ENCODED

    path: FilePath
    content: FileContent
    content_type: ContentType = "text/plain"
    encoding: Encoding = "utf-8"


class FileEditsBody(msgspec.Struct, frozen=True):
    """Edits to the content of one file; its content type stays."""

    path: FilePath
    edits: Edits


def bytes_of(file: "FileBody | AddFile") -> bytes:
    """The content that is meant. Raises Invalid or TooBig that blames ``content``."""
    if file.encoding == "base64":
        try:
            data = b64decode(file.content, validate=True)
        except ValueError:
            raise Invalid(
                "This is no base64: use the standard alphabet with padding, and no white space.",
                attr="content",
            ) from None
    else:
        data = file.content.encode()
    if len(data) > content.MAX_CONTENT_BYTES:
        raise TooBig(
            f"This may have at most {content.MAX_CONTENT_BYTES:,} bytes; it has {len(data):,}.",
            attr="content",
        )
    return data


def check_files(files: list[FileBody]) -> list[FileBody]:
    """Raises Invalid when a content is not what its encoding says, or when two files do not fit in one tree."""
    for index, file in enumerate(files):
        try:
            bytes_of(file)
        except Invalid as error:
            raise error.within(index) from None
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
        description="The bundled files, at most 200; paths are unique, and none is another's folder.",
        extra={"rule": check_files},
    ),
]


FileEditsList = Annotated[
    list[FileEditsBody],
    Meta(
        min_length=1,
        max_length=content.MAX_FILES,
        description="Edits to files by unique paths.",
        extra={"rule": check_file_edits},
    ),
]


class CreateSkill(msgspec.Struct, frozen=True):
    """A new skill. Fields that are not named here are ignored."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["CreateSkill"]

    name: SkillName
    description: Description
    body: Body
    license: License = ""
    compatibility: Compatibility = ""
    allowed_tools: Tools = []
    metadata: MetadataField = {}
    files: Files = []
    version_description: VersionDescription | None = None
    owners: OwnersField | UnsetType = UNSET
    tags: TagsField | UnsetType = UNSET


FILE_EDITS_OR_FILES = {"if": given("file_edits"), "then": only("files", False)}


class PublishSkill(msgspec.Struct, frozen=True):
    """What is absent carries forward, files too, but for `version_description`; what is sent replaces the whole field.

    `body` and `edits` exclude each other, and so do `files` and `file_edits`. `base_version` is required unless
    `If-Match` is sent. `owners` and `tags` alone make no version and do not need it.
    """

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["PublishSkill"]
    HINTS: ClassVar[dict[str, Any]] = {
        "if": given("edits"),
        "then": only("body", False) | FILE_EDITS_OR_FILES,
        "else": FILE_EDITS_OR_FILES,
    }

    body: Body | UnsetType = UNSET
    edits: Edits | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    license: License | UnsetType = UNSET
    compatibility: Compatibility | UnsetType = UNSET
    allowed_tools: Tools | UnsetType = UNSET
    metadata: MetadataField | UnsetType = UNSET
    files: Files | UnsetType = UNSET
    file_edits: FileEditsList | UnsetType = UNSET
    version_description: VersionDescription | None = None
    owners: OwnersField | UnsetType = UNSET
    tags: TagsField | UnsetType = UNSET
    base_version: BaseVersion | UnsetType = UNSET


class DuplicateSkill(msgspec.Struct, frozen=True):
    """What the copy is called."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["DuplicateSkill"]

    new_name: SkillName


class RenameSkill(msgspec.Struct, frozen=True):
    """What it is called from now on."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["RenameSkill"]

    new_name: SkillName


class AddFile(msgspec.Struct, frozen=True):
    """One more file; 409 `file_exists` when the path is taken."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["AddFile"]

    HINTS: ClassVar[dict[str, Any]] = ENCODED

    path: FilePath
    content: FileContent
    content_type: ContentType = "text/plain"
    encoding: Encoding = "utf-8"
    base_version: BaseVersion | UnsetType = UNSET


class RenameFile(msgspec.Struct, frozen=True):
    """Another path for one file; 409 `file_exists` when it is taken."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["RenameFile"]

    old_path: FilePath
    new_path: FilePath
    base_version: BaseVersion | UnsetType = UNSET


class HeadingAnswer(msgspec.Struct):
    """A heading of the body, as CommonMark has it."""

    level: Annotated[int, Meta(ge=1, le=6)]
    text: str


class ManifestEntry(msgspec.Struct):
    """A file of the version without its content."""

    path: str
    content_type: str
    size: Annotated[int, Meta(ge=0, description="Bytes.")]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="Of the content, in hex.")]
    line_count: Annotated[int, Meta(ge=0, description="Lines; null for what is no text.")] | None
    char_count: (
        Annotated[int, Meta(ge=0, description="Unicode code points; null for what is no text.")] | None
    )


class SkillMd(msgspec.Struct):
    """The SKILL.md of the version: frontmatter and body, as every way to install the skill serves it."""

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="Of the whole file, in hex.")]
    size: Annotated[int, Meta(ge=0, description="Bytes.")]


class SpecProblem(msgspec.Struct):
    """Something to look at in the file at `path`. An error keeps a skill from being imported."""

    code: str
    message: str
    path: str
    severity: Literal["error", "warning"]


class SkillBase(msgspec.Struct, kw_only=True):
    id: UUID
    name: str
    category: Annotated[str, Meta(description="Always empty: no categories are kept.")]
    description: str
    license: str
    compatibility: str
    allowed_tools: list[str]
    metadata: dict[str, Any]
    version_description: str
    outline: list[HeadingAnswer]
    digest: Annotated[
        str,
        Meta(
            pattern="^sha256:[0-9a-f]{64}$",
            description="Of SKILL.md and all files: the SHA-256 of what `sha256sum` prints for them, sorted by path.",
        ),
    ]
    skill_md: SkillMd
    spec_problems: Annotated[
        list[SpecProblem],
        Meta(description="What should be better by the specification of Agent Skills (agentskills.io)."),
    ]
    frontmatter: Annotated[
        str,
        Meta(description="Lines of the frontmatter that an import brought beside the fields, as they were."),
    ]
    version: int
    created_by: CreatedBy | None
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


class SkillRow(SkillBase, kw_only=True):
    """A skill as a list shows it. `label` is there when the list is of the versions that it points to."""

    all_labels: list[AllLabels]


class SkillAnswer(SkillBase, kw_only=True):
    """A whole skill. `body_total_length` and `body_next_offset` (characters) are there when the body was paged, `label` when
    it was fetched by label."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["SkillAnswer"]

    body: str
    files: list[ManifestEntry]
    labels: list[str]
    body_total_length: int | UnsetType = UNSET
    body_next_offset: int | None | UnsetType = UNSET


class SkillPage(msgspec.Struct):
    """`count` is of all pages; `next` and `previous` are absolute addresses that keep the query."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["SkillPage"]

    count: int
    next: str | None
    previous: str | None
    results: list[SkillRow]


class FileAnswer(msgspec.Struct):
    """A file with its content. `encoding` is there, and `base64`, when the bytes are no text without NUL in UTF-8."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["FileAnswer"]

    path: str
    content: str
    content_type: str
    encoding: Literal["base64"] | UnsetType = UNSET


class ResolveSkill(msgspec.Struct):
    """The picked version, one page of all versions, newest first, and all labels."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["ResolveSkill"]

    skill: SkillAnswer
    versions: list[VersionLine]
    has_more: bool
    labels: list[LabelAnswer]


class ArchivedSkill(SkillRow, kw_only=True):
    """The latest version of an archived skill. It can come back unless its name is taken; `id` names it to restore."""

    archived_at: Timestamp
    archived_by: CreatedBy | None
    name_taken: bool


class ArchivedSkillPage(msgspec.Struct):
    """`count` is of all pages; `next` and `previous` are absolute addresses that keep the query."""

    count: int
    next: str | None
    previous: str | None
    results: list[ArchivedSkill]
