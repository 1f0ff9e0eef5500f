"""Versions that a lock file names, and what has become of them."""

import re
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from api.artifacts.schemas import YankedAnswer
from api.openapi.examples import examples_of
from domain.errors import Invalid
from projections.read.versions import MAX_VERSION

_EXAMPLES = examples_of("api.skills")

MAX_PINS = 100  # one look-up each; a client with more asks again
MAX_NAME = 64  # as long as names are
DIGEST_PATTERN = "^sha256:[0-9a-f]{64}$"


def check_digest(text: str) -> str:
    """Raises Invalid."""
    if re.fullmatch(DIGEST_PATTERN, text) is None:
        raise Invalid("Send `sha256:` and 64 hexadecimal digits, in lower case.", code="invalid_digest")
    return text


class Pin(msgspec.Struct, frozen=True):
    """A version that is held on to; without `digest` its number alone."""

    name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_NAME,
            description="1 to 64 characters; what is no name is `missing`.",
            examples=["pdf-forms"],
            extra_json_schema={"pattern": r"^[^\x00]*[^\s\x00][^\x00]*$"},
        ),
    ]
    version: Annotated[int, Meta(ge=1, le=MAX_VERSION, examples=[1])]
    digest: (
        Annotated[
            str,
            Meta(
                description="As `digest` of the version was.",
                extra={"rule": check_digest},
                extra_json_schema={"pattern": DIGEST_PATTERN, "maxLength": 71},
            ),
        ]
        | None
    ) = None


class CheckPins(msgspec.Struct, frozen=True):
    """Versions to look up."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["CheckPins"]

    pins: Annotated[
        list[Pin],
        Meta(min_length=1, max_length=MAX_PINS, description="1 to 100 versions; one may come twice."),
    ]


State = Literal["newer", "yanked", "drifted", "renamed", "missing"]


class PinAnswer(msgspec.Struct):
    """What has become of a version. `latest_version` is null for a name that leads to nothing, `digest` and `position` (of the event that
    published it) for a version that there is not."""

    name: str
    version: int
    states: Annotated[list[State], Meta(max_length=5)]
    latest_version: int | None
    digest: str | None
    position: int | None
    renamed_to: str | None
    yanked: YankedAnswer | None


class PinsAnswer(msgspec.Struct):
    """One entry for each version that was asked for, in their order."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["PinsAnswer"]

    results: Annotated[list[PinAnswer], Meta(max_length=MAX_PINS)]
