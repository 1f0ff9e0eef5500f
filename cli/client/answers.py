"""What the commands read of the service's answers, by name and type.

Whatever answers at the address need not be the service: `Remote.get` compares an answer with one of these shapes before
a command looks into it. Fields that are not named here are left as they came, and are for ``--json``.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

Number = Annotated[int, Meta(ge=1, lt=10**18)]
Size = Annotated[int, Meta(ge=0)]


class Person(TypedDict):
    first_name: NotRequired[str | None]
    last_name: NotRequired[str | None]
    email: NotRequired[str | None]


class Owner(TypedDict):
    """A user who answers for something, as answers show one."""

    id: Number
    uuid: str
    first_name: str
    last_name: str
    email: str


class Member(TypedDict):
    user: Owner


class Me(TypedDict):
    email: str


class CurrentKey(TypedDict):
    scopes: list[str]


class Project(TypedDict):
    id: Number
    name: str


class Page(TypedDict):
    """``results`` are compared one by one, with the shape of the list's rows."""

    count: Size
    results: list[dict[str, Any]]


class Row(TypedDict):
    """A skill or prompt in a list; prompts have no description, and old services no digest."""

    name: str
    version: NotRequired[Number]
    latest_version: Number
    updated_at: str
    created_by: NotRequired[Person | None]
    description: NotRequired[str]
    prompt_preview: NotRequired[str]
    digest: NotRequired[str]


class Match(TypedDict):
    matched_field: str
    path: str | None
    line: Number | None
    excerpt: str


class Hit(TypedDict):
    """What a search found; the versions that had it when it looked in all of them."""

    kind: str
    name: str
    version: Number
    first_version: NotRequired[Number]
    last_version: NotRequired[Number]
    matches: list[Match]


class Hits(TypedDict):
    results: list[Hit]
    next_cursor: str | None


class FileRow(TypedDict):
    path: str
    size: Size


class Hint(TypedDict):
    path: str
    message: str


class Yanked(TypedDict):
    """Why a version should not be used any more."""

    reason: str


class Pin(TypedDict):
    """What has become of a version of a lock file; ``version`` is None where none has the hash that is held."""

    name: str
    version: Number | None
    states: list[Literal["newer", "yanked", "drifted", "renamed", "missing"]]
    latest_version: NotRequired[Number | None]
    digest: NotRequired[str | None]
    position: NotRequired[Number | None]
    renamed_to: NotRequired[str | None]
    yanked: NotRequired[Yanked | None]


class Pins(TypedDict):
    results: list[Pin]


class Line(TypedDict):
    version: Number


class Versions(TypedDict):
    """The newest versions of a skill."""

    versions: list[Line]


class Version(TypedDict):
    """A version of a skill (``body``) or prompt (``prompt``)."""

    name: str
    version: Number
    latest_version: Number
    updated_at: str
    created_by: NotRequired[Person | None]
    body: NotRequired[str]
    prompt: NotRequired[Any]
    description: NotRequired[str]
    license: NotRequired[str]
    compatibility: NotRequired[str]
    allowed_tools: NotRequired[list[str]]
    labels: NotRequired[list[str]]
    owners: NotRequired[list[Owner]]
    tags: NotRequired[list[str]]
    yanked: NotRequired[Yanked | None]
    digest: NotRequired[str]
    files: NotRequired[list[FileRow]]
    spec_problems: NotRequired[list[Hint]]


class Digested(TypedDict):
    """A version of a skill by its digest."""

    name: str
    version: Number
    digest: str
    yanked: NotRequired[Yanked | None]


class File(TypedDict):
    content: str
    encoding: NotRequired[str | None]


class Imported(TypedDict):
    """``version`` and ``digest`` are missing or null in a dry run."""

    outcome: str
    version: NotRequired[Number | None]
    digest: NotRequired[str | None]


class Renamed(TypedDict):
    old_path: str
    path: str


class PathOf(TypedDict):
    path: str


class FileChanges(TypedDict):
    added: list[PathOf]
    removed: list[PathOf]
    renamed: list[Renamed]
    edited: list[PathOf]


class SizeOf(TypedDict):
    size: Size


class TextChange(TypedDict):
    before: SizeOf | None
    after: SizeOf


class LabelMove(TypedDict):
    name: str
    to: int | None


class Source(TypedDict):
    name: str | None
    version: int


# ``from`` is no name of a field in Python.
NameMove = TypedDict("NameMove", {"from": str, "to": str})


class OwnersChanged(TypedDict):
    """Users by their ids."""

    to: list[int]


class TagsChanged(TypedDict):
    to: list[str]


class PromotionChange(TypedDict):
    status: str
    label: str
    version: int
    text: str


class Changes(TypedDict):
    """What an event changed; old services know neither owners nor tags."""

    fields: list[str]
    content: TextChange | None
    files: FileChanges
    labels: list[LabelMove]
    reverted_to: int | None
    source: Source | None
    renamed: NotRequired[NameMove]
    owners: NotRequired[OwnersChanged | None]
    tags: NotRequired[TagsChanged | None]
    promotion: NotRequired[PromotionChange]


class Entry(TypedDict):
    """An event of a history."""

    time: str
    type: str
    actor: Person | None
    version_before: int | None
    version_after: int
    changes: Changes


class History(TypedDict):
    count: Size
    results: list[Entry]


class AuditEntry(TypedDict):
    position: Size
    time: str
    type: str
    subject: str
    actor: int | None


class Audit(TypedDict):
    results: list[AuditEntry]
    position: Size


class BlameLine(TypedDict):
    text: str
    version: Number
    created_by: Person | None
    created_at: str


class Blame(TypedDict):
    lines: list[BlameLine]
    complete: bool
    truncated: bool


class Archived(TypedDict):
    id: str
    name: str
    latest_version: Number
    archived_at: str
    archived_by: Person | None


class Label(TypedDict):
    name: str
    version: Number
    created_by: Person | None
    created_at: str


class Resolved(TypedDict):
    labels: list[Label]


class Policy(TypedDict):
    label: str
    protected: bool
    approvals: Size
    updated_by: Person | None
    updated_at: str


class Policies(TypedDict):
    results: list[Policy]


class Approval(TypedDict):
    by: Person | None


class Promotion(TypedDict):
    id: str
    kind: str
    name: str
    label: str
    version: Number
    from_version: Number | None
    status: str
    note: str
    requested_by: Person | None
    requested_at: str
    approvals: list[Approval]
    required: Size
