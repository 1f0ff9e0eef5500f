"""Bodies of requests and answers about the key's own user; rules as in ``api.artifacts.fields``."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.artifacts.fields import one_line, trimmed
from api.openapi.examples import examples_of
from api.openapi.parameters import WITHOUT
from domain.errors import Invalid, TooBig
from domain.json_text import depth

_EXAMPLES = examples_of("api.users")

MAX_NAME = 150  # characters, as clients have it
MAX_TABS = 100
MAX_SETTINGS_BYTES = 100_000  # of the compact JSON of either setting
MAX_SETTINGS_DEPTH = 32


def check_name(name: str) -> str:
    """Raises Invalid."""
    if not name.isprintable():
        raise Invalid("A name is one line, without control characters.", code="not_printable")
    return name


Name = Annotated[
    str,
    Meta(
        max_length=MAX_NAME,
        description="At most 150 characters. White space around it is cut off.",
        examples=["Ada"],
        extra={"trim": True, "blank": True, "rule": check_name},
        extra_json_schema={WITHOUT: ["maxLength"], "pattern": trimmed(f"(?:{one_line(MAX_NAME)})?")},
    ),
]

Role = Literal[
    "engineering", "data", "product", "founder", "leadership", "marketing", "sales", "student", "other"
]


class ChangeUser(msgspec.Struct, frozen=True):
    """What is to change; the rest stays. Settings that nothing here has a use for are ignored, as all unknown fields are.

    A mail address is changed on the host, and there are no passwords: either is refused.
    """

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["ChangeUser"]

    first_name: Name | UnsetType = UNSET
    last_name: Name | UnsetType = UNSET
    email: Annotated[str, Meta(description="The address as it is.", max_length=254)] | UnsetType = UNSET
    set_current_organization: (
        Annotated[str, Meta(description="The id of the one organization.", max_length=100)] | UnsetType
    ) = UNSET
    set_current_team: (
        Annotated[
            str,
            Meta(
                description="The number of a project that the key may enter: what `@current` means for keys that enter several.",
                examples=["1"],
                max_length=18,
                extra_json_schema={"pattern": "^[0-9]{1,18}$"},
            ),
        ]
        | UnsetType
    ) = UNSET
    password: Annotated[str, Meta(max_length=128, extra={"blank": True})] | UnsetType = UNSET
    role_at_organization: Role | UnsetType = UNSET


MAX_TAB_KEYS = 1000  # what fits into the bytes has no more of any use


def check_settings(value: Any) -> Any:
    """Raises Invalid (max_depth) or TooBig."""
    data = msgspec.json.encode(value)
    if len(data) > MAX_SETTINGS_BYTES:
        raise TooBig(f"This is larger than the limit of {MAX_SETTINGS_BYTES:,} bytes of compact JSON.")
    if any(len(tab) > MAX_TAB_KEYS for tab in (value if isinstance(value, list) else [value])):
        raise Invalid(f"An object has at most {MAX_TAB_KEYS} keys.", code="max_length")
    if depth(data) > MAX_SETTINGS_DEPTH:
        raise Invalid(f"Nest at most {MAX_SETTINGS_DEPTH} levels.", code="max_depth")
    return value


Tab = Annotated[dict[str, Any], Meta(extra_json_schema={"maxProperties": MAX_TAB_KEYS})]


class ChangeHome(msgspec.Struct, frozen=True):
    """What is sent replaces the whole value; what is not sent stays."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["ChangeHome"]

    tabs: (
        Annotated[
            list[Tab],
            Meta(
                max_length=MAX_TABS,
                description="Pinned tabs, at most 100 objects and 100,000 bytes of compact JSON.",
                extra={"rule": check_settings},
            ),
        ]
        | UnsetType
    ) = UNSET
    homepage: (
        Annotated[
            Tab,
            Meta(
                description="The page to begin with, at most 100,000 bytes of compact JSON; null for none.",
                extra={"rule": check_settings},
            ),
        ]
        | UnsetType
        | None
    ) = UNSET


class HomeAnswer(msgspec.Struct):
    """The start page of the user in the current project, as it was sent."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["HomeAnswer"]

    tabs: list[dict[str, Any]]
    homepage: dict[str, Any] | None
