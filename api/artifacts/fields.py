"""Fields that bodies of skills and prompts share, and what rules and patterns are made of.

Rules of requests are in the annotations; ``api.payload.decode`` applies them in this order. The schemas that clients see must say
the same as those rules: where trimming makes a plain ``maxLength`` untrue, a pattern says it, and ``WITHOUT`` lists the keywords
of the rule that the document leaves out.
"""

import re
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from api.openapi.parameters import NO_NUL, WITHOUT
from domain import content
from domain.artifacts import owners, skills, tags, versioned
from domain.errors import Invalid, TooBig
from domain.json_text import depth
from projections.encoding import Author

# What ``str.strip`` and ``str.isspace`` take for white space: written out, because every dialect has its own ``\s``.
WHITE = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


def trimmed(core: str) -> str:
    """``core`` with white space around it that will be cut off."""
    return rf"^[{WHITE}]*{core}[{WHITE}]*$"


def one_line(longest: int, without: str = r"\x00") -> str:
    """Text of 1 to ``longest`` characters that does not begin or end with white space, ``without`` some characters."""
    inked = rf"[^{without}{WHITE}]"
    return rf"{inked}(?:[^{without}]{{0,{longest - 2}}}{inked})?"


def only(field: str, rule: Any) -> dict[str, Any]:
    """What a condition in ``HINTS`` says of one field, and nothing of the others: linters take them for forbidden otherwise."""
    return {"properties": {field: rule}, "additionalProperties": True}


def given(field: str, rule: Any = True) -> dict[str, Any]:
    """The condition that the field is there and fits."""
    return {**only(field, rule), "required": [field]}


BaseVersion = Annotated[
    int,
    Meta(
        ge=1,
        description="The version that this change starts from; 409 unless it is the latest one.",
        examples=[1],
    ),
]


def check_object(value: dict[str, Any], max_bytes: int, max_depth: int, what: str) -> dict[str, Any]:
    """A JSON object within its bounds. Raises Invalid (max_depth) or TooBig."""
    if len(value) > skills.MAX_METADATA_KEYS:
        raise Invalid(
            f"The {what} has at most {skills.MAX_METADATA_KEYS} keys; this has {len(value)}.",
            code="max_length",
        )
    data = msgspec.json.encode(value)
    if len(data) > max_bytes:
        raise TooBig(f"The {what} is larger than the limit of {max_bytes:,} bytes of compact JSON.")
    if depth(data) > max_depth:
        raise Invalid(f"Nest at most {max_depth} levels.", code="max_depth")
    return value


# An edit may replace a whole text, and that of a prompt has its indentation, too (see ``domain.artifacts.prompts.edited``).
MAX_EDIT_BYTES = 16 * content.MAX_CONTENT_BYTES

# A segment of a path is neither empty nor `.` nor `..`; a path has no control character, and `\` separates as `/` does.
_IN_SEGMENT = r"[^\x00-\x1f\x7f-\x9f\\/]"


_SEGMENT = rf"(?:\.?[^\x00-\x1f\x7f-\x9f\\/.]{_IN_SEGMENT}*|\.\.{_IN_SEGMENT}+)"


PATH_PATTERN = rf"^{_SEGMENT}(?:[\\/]{_SEGMENT})*$"


class EditBody(msgspec.Struct, frozen=True):
    """Replace the one occurrence of `old` by `new`."""

    old: Annotated[
        str,
        Meta(
            min_length=1,
            description="Must occur exactly once.",
            examples=["fill it in"],
            extra={"blank": True, "max_bytes": MAX_EDIT_BYTES},
            extra_json_schema={"maxLength": MAX_EDIT_BYTES, "pattern": NO_NUL},
        ),
    ]
    new: Annotated[
        str,
        Meta(
            description="May be empty.",
            examples=["complete it"],
            extra={"blank": True, "max_bytes": MAX_EDIT_BYTES},
            extra_json_schema={"maxLength": MAX_EDIT_BYTES, "pattern": NO_NUL},
        ),
    ]


Edits = Annotated[
    list[EditBody],
    Meta(
        min_length=1,
        max_length=content.MAX_EDITS,
        description="Applied in order, each to the result of the one before; at most 1000. Together, the edits of a "
        "request may look through at most 100,000,000 characters, each its whole text.",
    ),
]


VersionDescription = Annotated[
    str,
    Meta(
        max_length=versioned.MAX_VERSION_DESCRIPTION,
        description="What changed in this version; at most 400 characters; not carried forward. White space around it "
        "is cut off.",
        examples=["Shorter greeting"],
        extra={"trim": True, "blank": True},
        extra_json_schema={
            WITHOUT: ["maxLength"],
            "pattern": trimmed(f"(?:{one_line(versioned.MAX_VERSION_DESCRIPTION)})?"),
        },
    ),
]


UUID_PATTERN = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"


def check_uuid(text: str) -> str:
    """Raises Invalid."""
    if not re.fullmatch(UUID_PATTERN, text):
        raise Invalid("This must be a UUID.")
    return text


OwnersField = Annotated[
    list[
        Annotated[
            str,
            Meta(
                description="The `uuid` of a user with a live key for the project.",
                extra={"rule": check_uuid},
                extra_json_schema={"format": "uuid", "pattern": UUID_PATTERN},
            ),
        ]
    ],
    Meta(
        max_length=owners.MAX_OWNERS,
        description="Users who answer for it, at most 25, doubles dropped. They belong to the name, not to a version.",
    ),
]


def check_tags(sent: list[str]) -> list[str]:
    """In their normal form. Raises Invalid."""
    return list(tags.normal_tags(sent))


_TAG = rf"[^\x00,{WHITE}]"

TagsField = Annotated[
    list[
        Annotated[
            str,
            Meta(
                description="At most 64 characters, without a comma. White space around it is cut off, and letters become small.",
                examples=["docs"],
                extra={"blank": True},
                extra_json_schema={
                    "pattern": trimmed(rf"(?:{_TAG}(?:[^\x00,]{{0,{tags.MAX_TAG - 2}}}{_TAG})?)?")
                },
            ),
        ]
    ],
    Meta(
        max_length=tags.MAX_TAGS_SENT,
        description="Words it is found by, at most 20 once they are sorted and doubles and blanks dropped. They belong to the "
        "name, not to a version.",
        extra={"rule": check_tags},
    ),
]


class Owner(Author, frozen=True):
    """A user who answers for it."""


class CreatedBy(Author, frozen=True):
    """The user who published the version; null once that user is erased."""


Timestamp = Annotated[
    str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$", examples=["2026-03-03T09:30:00.000000Z"])
]


class VersionLine(msgspec.Struct):
    """One version in the history of a skill."""

    id: UUID
    version: int
    created_by: CreatedBy | None
    created_at: Timestamp
    is_latest: bool
