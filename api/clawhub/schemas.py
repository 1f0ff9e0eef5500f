"""Bodies and answers of the API of ClawHub; times are milliseconds since 1970, as JavaScript has them."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from api.artifacts.fields import VersionDescription
from api.openapi.examples import examples_of
from api.openapi.parameters import NO_NUL
from api.skills.schemas import SkillName
from domain.content import MAX_CONTENT_BYTES, MAX_FILES, MAX_PATH_LENGTH

_EXAMPLES = examples_of("api.clawhub")

SHA256 = "^[0-9a-f]{64}$"
UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
TICKET = "^[A-Za-z0-9_-]{43}$"
# SKILL.md may have a body of the largest size, and what stands before it.
MAX_FILE = 2 * MAX_CONTENT_BYTES

Release = Annotated[
    str, Meta(pattern=r"^1\.0\.[1-9][0-9]*$", description="`1.0.` and the number of the version.")
]
# What the client knows and this service has not. Generators of clients know no field that is null alone.
Absent = Annotated[str, Meta(max_length=0, description="Always null.")] | None
Millis = Annotated[int, Meta(ge=0, description="Milliseconds since 1970.")]
# With their lengths, because `$` also stands before a line end.
Sha256 = Annotated[
    str,
    Meta(
        min_length=64,
        max_length=64,
        pattern=SHA256,
        description="The SHA-256 of the bytes, in lower-case hex.",
    ),
]
Path = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_PATH_LENGTH,
        description="Within the skill. Whether a file may have it is said when it is published.",
        extra={"blank": True},
        extra_json_schema={"pattern": NO_NUL},
    ),
]
Size = Annotated[int, Meta(ge=0, le=MAX_FILE, description="In bytes; at most 2,000,000.")]


Word = Annotated[str, Meta(max_length=64, extra={"blank": True}, extra_json_schema={"pattern": NO_NUL})]


class WellKnown(msgspec.Struct, rename="camel"):
    """Where the registry is."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["WellKnown"]

    api_base: str
    auth_base: str


class ClawUser(msgspec.Struct, rename="camel"):
    """`handle` is the mail address."""

    handle: str | None
    display_name: str | None
    image: Absent
    role: Absent


class WhoAmI(msgspec.Struct, rename="camel"):
    """The owner of the key."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["WhoAmI"]

    user: ClawUser


class ClawHit(msgspec.Struct, rename="camel"):
    """A skill that was found."""

    slug: str
    owner_handle: str
    display_name: str
    summary: str
    version: Release
    score: Annotated[float, Meta(ge=0, description="Higher is better; it compares hits of one search.")]


class ClawHits(msgspec.Struct, rename="camel"):
    """The best first."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["ClawHits"]

    results: Annotated[list[ClawHit], Meta(max_length=200)]


class ClawVersionRow(msgspec.Struct, rename="camel"):
    """`changelog` is the description of the version."""

    version: Release
    created_at: Millis
    changelog: str


class ClawOwner(msgspec.Struct, rename="camel"):
    """Always the same: a project has one name space."""

    handle: str
    display_name: str | None
    image: Absent


class ClawSkill(msgspec.Struct, rename="camel", kw_only=True):
    """`tags` are `latest` and all labels that point to versions which are not yanked."""

    slug: str
    display_name: str
    summary: str
    description: str
    tags: dict[str, Release]
    stats: dict[str, int]
    created_at: Millis
    updated_at: Millis


class ClawItem(ClawSkill, rename="camel", kw_only=True):
    """A skill of a list."""

    latest_version: ClawVersionRow


class ClawSkills(msgspec.Struct, rename="camel"):
    """A page of skills."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["ClawSkills"]

    items: Annotated[list[ClawItem], Meta(max_length=200)]
    next_cursor: str | None


class ClawSkillAnswer(msgspec.Struct, rename="camel"):
    """A skill."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["ClawSkillAnswer"]

    skill: ClawSkill
    latest_version: ClawVersionRow
    metadata: Absent
    owner: ClawOwner
    moderation: Absent


class ClawFile(msgspec.Struct, rename="camel"):
    path: str
    size: int
    sha256: Sha256
    content_type: str


class ClawVersion(ClawVersionRow, rename="camel"):
    """A version and its files."""

    files: Annotated[list[ClawFile], Meta(max_length=MAX_FILES + 1)]


class ClawSkillRef(msgspec.Struct, rename="camel"):
    slug: str
    display_name: str


class ClawVersionAnswer(msgspec.Struct, rename="camel"):
    """A version of a skill."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["ClawVersionAnswer"]

    version: ClawVersion
    skill: ClawSkillRef


class ClawVersions(msgspec.Struct, rename="camel"):
    """The versions of a skill, the newest first."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["ClawVersions"]

    items: Annotated[list[ClawVersionRow], Meta(max_length=200)]
    next_cursor: Absent


class ClawRelease(msgspec.Struct):
    version: Release


class ClawResolved(msgspec.Struct, rename="camel"):
    """`match` is the newest version that is the folder, null when none is."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["ClawResolved"]

    match: ClawRelease | None
    latest_version: ClawRelease


class AnnounceUpload(msgspec.Struct, rename="camel"):
    """A file that is going to be sent."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["AnnounceUpload"]

    path: Path
    size: Size
    sha256: Sha256


class UploadTicket(msgspec.Struct, rename="camel"):
    """POST the bytes to `upload_url` with the same key, within 15 minutes; publish with the ticket."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["UploadTicket"]

    upload_url: str
    upload_ticket: str


class Stored(msgspec.Struct, rename="camel"):
    """A file that was sent."""

    storage_id: str


class SentFile(msgspec.Struct, rename="camel"):
    """A file that was sent, and its ticket."""

    path: Path
    size: Size
    storage_id: Annotated[str, Meta(min_length=36, max_length=36, pattern=UUID)]
    sha256: Sha256
    upload_ticket: Annotated[str, Meta(min_length=43, max_length=43, pattern=TICKET)]


class PublishClaw(msgspec.Struct, rename="camel"):
    """A skill, or a new version of one. `changelog` becomes the description of the version. What else clients send is ignored: the
    registry counts versions itself, and labels are its tags."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["PublishClaw"]

    slug: SkillName
    files: Annotated[
        list[SentFile],
        Meta(min_length=1, max_length=MAX_FILES + 1, description="SKILL.md among them; each path once."),
    ]
    changelog: VersionDescription = ""


class Published(msgspec.Struct, rename="camel"):
    """`version` is what it became, or the latest where nothing would change."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["Published"]

    ok: Literal[True]
    skill_id: str
    version_id: str
    publication_status: Literal["published"]
    slug: str
    version: Release


class ReportInstall(msgspec.Struct, rename="camel"):
    """An installed skill. Of other events nothing is counted."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["ReportInstall"]

    event: Word = ""
    slug: Word = ""
    version: Word | None = None


class Fine(msgspec.Struct):
    """It was taken."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["Fine"]

    ok: Literal[True]
