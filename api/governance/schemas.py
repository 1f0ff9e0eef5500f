"""Bodies of requests and answers about label policies, promotions and mirrors; rules and schemas as in ``api.artifacts.fields``."""

from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.artifacts.fields import CreatedBy, Timestamp, given, one_line, trimmed
from api.openapi.examples import examples_of
from api.openapi.parameters import WITHOUT
from domain.artifacts.kinds import KINDS
from domain.artifacts.mirrors import MAX_SOURCE
from domain.artifacts.policies import MAX_APPROVALS, MAX_POLICIES
from domain.artifacts.promotions import MAX_NOTE
from domain.names import CONTROLS, MAX_LABEL, check_label, check_line
from projections.read.versions import MAX_VERSION

_EXAMPLES = examples_of("api.governance")

LABEL_PATTERN = rf"^(?!(?:latest|[nN][eE][wW]|[0-9]+)$)[a-z0-9](?:[a-z0-9._-]{{0,{MAX_LABEL - 2}}}[a-z0-9])?$"


class Person(CreatedBy, frozen=True):
    """A user; null once that user is erased."""


class SetPolicy(msgspec.Struct, frozen=True):
    """How a label moves. With `approvals` the label is protected as well, whatever `protected` says, which is required without them."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["SetPolicy"]
    HINTS: ClassVar[dict[str, Any]] = {
        "if": given("approvals", {"type": "integer", "minimum": 1}),
        "else": given("protected"),
    }

    protected: (
        Annotated[
            bool,
            Meta(
                description="Whether the label is set, moved and removed only by keys with the scope `llm_skill:promote` or "
                "`llm_prompt:promote`. To archive what has it removes it."
            ),
        ]
        | UnsetType
    ) = UNSET
    approvals: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_APPROVALS,
            description="How many people besides the requester approve a promotion before the label moves; with 1 or more it is "
            "neither moved nor removed in any other way.",
            examples=[1],
        ),
    ] = 0


class BeginMirror(msgspec.Struct, frozen=True):
    """What the project follows."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["BeginMirror"]

    source: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_SOURCE,
            description="What people call it, such as its address; 1 to 500 characters, one line without control characters. White space around it is cut off.",
            examples=["Skald at https://skald.example.com, project 1"],
            extra={"trim": True, "rule": check_line},
            extra_json_schema={WITHOUT: ["maxLength"], "pattern": trimmed(one_line(MAX_SOURCE, CONTROLS))},
        ),
    ]


class MirrorAnswer(msgspec.Struct):
    """What the project follows, which key alone writes to it, and by whom and since when."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["MirrorAnswer"]

    source: str
    key_id: UUID
    begun_by: Person | None
    begun_at: Timestamp


class PolicyAnswer(msgspec.Struct):
    """A policy, and by whom and when it was last changed."""

    label: str
    protected: bool
    approvals: int
    updated_by: Person | None
    updated_at: Timestamp


class PolicyList(msgspec.Struct):
    """All policies of the project by label."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["PolicyList"]

    results: Annotated[list[PolicyAnswer], Meta(max_length=MAX_POLICIES)]


Note = Annotated[
    str,
    Meta(
        max_length=MAX_NOTE,
        description="At most 400 characters. White space around it is cut off.",
        examples=["Answers in the reader's language"],
        extra={"trim": True, "blank": True},
        extra_json_schema={WITHOUT: ["maxLength"], "pattern": trimmed(f"(?:{one_line(MAX_NOTE)})?")},
    ),
]


class RequestPromotion(msgspec.Struct, frozen=True):
    """Which version the label shall point to, and what for."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["RequestPromotion"]

    label: Annotated[
        str,
        Meta(
            description="1 to 128 of `a-z`, `0-9`, `.`, `_`, `-`; a letter or digit at both ends; neither a number nor `latest` or "
            "`new`.",
            examples=["production"],
            extra={"rule": check_label},
            extra_json_schema={"pattern": LABEL_PATTERN},
        ),
    ]
    version: Annotated[
        int,
        Meta(ge=1, le=MAX_VERSION, description="The version that the label shall point to.", examples=[2]),
    ]
    note: Note = ""


class Decide(msgspec.Struct, frozen=True):
    """What the person says to it."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["Decide"]

    comment: Note = ""


class Approval(msgspec.Struct):
    by: Person | None
    at: Timestamp
    comment: str


class PromotionAnswer(msgspec.Struct):
    """A promotion. `from_version` is where the label pointed when it was requested, null for nowhere; `required` is how many approvals
    the policy of the label asks for, or asked for when it was decided; `decided_at` is null while it is open.
    """

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["PromotionAnswer"]

    id: UUID
    kind: Annotated[str, Meta(extra_json_schema={"enum": list(KINDS)})]
    name: str
    label: str
    version: int
    from_version: int | None
    status: Literal["open", "promoted", "rejected", "withdrawn", "outdated"]
    note: str
    requested_by: Person | None
    requested_at: Timestamp
    approvals: Annotated[list[Approval], Meta(max_length=MAX_APPROVALS)]
    required: Annotated[int, Meta(ge=0, le=MAX_APPROVALS)]
    decided_at: Timestamp | None


class PromotionPage(msgspec.Struct):
    """`count` is of all pages; `next` and `previous` are absolute addresses that keep the query."""

    count: int
    next: str | None
    previous: str | None
    results: list[PromotionAnswer]


class LabelMove(msgspec.Struct):
    """A version that the label pointed to from one time to another, null when it does now. `promotion_id` is null for a direct move."""

    version: int
    since: Timestamp = msgspec.field(name="from")
    until: Timestamp | None
    set_by: Person | None
    promotion_id: UUID | None


class LabelHistory(msgspec.Struct):
    """Newest first. `count` is of all pages; `next` and `previous` are absolute addresses that keep the query."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["LabelHistory"]

    count: int
    next: str | None
    previous: str | None
    results: list[LabelMove]
