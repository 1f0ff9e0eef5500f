"""Bodies of requests and answers about webhooks; rules and schemas as in ``api.artifacts.fields``."""

from typing import Annotated, Any, ClassVar, Literal, get_args
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.openapi.examples import examples_of
from api.openapi.parameters import NO_NUL
from domain.artifacts.kinds import PREFIXES
from domain.errors import Invalid
from domain.webhooks import (
    DEFAULT_ROTATION,
    MAX_NAMES,
    MAX_ROTATION,
    MAX_TYPES,
    MAX_URL,
    check_names,
)
from projections.events.cloudevents import schemas
from store.tables.webhooks import Cause, Status

_EXAMPLES = examples_of("api.webhooks")


MAX_DESCRIPTION = 300
MAX_POSITION = 2**63 - 1

TYPES = tuple(schemas())
STATUSES = get_args(Status)
PATTERN = rf"^(?:(?:{'|'.join(PREFIXES)}|\*)[!-~]*)?$"
_PREFIXES = " or ".join(f"`{prefix}`" for prefix in PREFIXES)


def check_type(type_: str) -> str:
    """Raises Invalid for an event type that does not exist."""
    if type_ not in TYPES:
        raise Invalid(f"There is no event type '{type_[:100]}'; {TYPES[0]} is one.")
    return type_


# Requests ------------------------------------------------------------------------------------------------------

# What the address may be depends on a setting, so the controller checks it.
Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_URL,
        description="Where to POST the events: http or https, without user and fragment. Private, loopback and link-local "
        "addresses are not called; redirects are not followed.",
        examples=["https://example.com/hooks/skald"],
        extra_json_schema={"format": "uri", "pattern": "^https?://"},
    ),
]
EventType = Annotated[
    str,
    Meta(
        description="An event type.",
        examples=["skald.skill.published.v1"],
        extra={"rule": check_type},
        extra_json_schema={"enum": list(TYPES)},
    ),
]
Types = Annotated[
    list[EventType],
    Meta(max_length=MAX_TYPES, description="Only events of these types; empty: all of them."),
]
Names = Annotated[
    str,
    Meta(
        max_length=MAX_NAMES,
        description=f"Only events whose subject ({_PREFIXES} and the name) matches this pattern: `*` any text, `?` "
        "any character, `[ab]` one of them. Empty: every name.",
        examples=["skill/pdf-*"],
        extra={"blank": True, "rule": check_names},
        extra_json_schema={"pattern": PATTERN},
    ),
]
Text = Annotated[
    str,
    Meta(
        max_length=MAX_DESCRIPTION,
        description="What it is for.",
        extra={"blank": True, "rule": str.strip},
        extra_json_schema={"pattern": NO_NUL},
    ),
]
Enabled = Annotated[
    bool, Meta(description="Whether events are sent. Switched on again, it goes on where it stopped.")
]


class CreateWebhook(msgspec.Struct):
    """Where which events are sent."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["CreateWebhook"]

    url: Url
    types: Types = []
    names: Names = ""
    enabled: Enabled = True
    description: Text = ""
    after: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_POSITION)] | None,
        Meta(
            description="Begin with the event after this position of the log; null: with the next one that happens."
        ),
    ] = None


class ChangeWebhook(msgspec.Struct):
    """What is left out stays as it is."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["ChangeWebhook"]

    url: Url | UnsetType = UNSET
    types: Types | UnsetType = UNSET
    names: Names | UnsetType = UNSET
    enabled: Enabled | UnsetType = UNSET
    description: Text | UnsetType = UNSET


class RotateSecret(msgspec.Struct):
    """How long the secret before it goes on signing."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["RotateSecret"]

    expire_after: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_ROTATION,
            description="Seconds for which both secrets sign every message; 0 ends the old one at once.",
        ),
    ] = DEFAULT_ROTATION


class ReplayRange(msgspec.Struct, rename={"first": "from", "last": "to"}):
    """Positions of the log, both included."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["ReplayRange"]

    first: Annotated[int, Meta(ge=1, le=MAX_POSITION, description="The first position.")]
    last: Annotated[
        int,
        Meta(ge=1, le=MAX_POSITION, description="The last one; beyond the log, the last that there is now."),
    ]


# Answers -------------------------------------------------------------------------------------------------------


class WebhookAnswer(msgspec.Struct):
    """A webhook. Its secret is shown when it is made, and never again."""

    id: UUID
    url: str
    types: list[str]
    names: str
    enabled: bool
    description: str
    disabled_reason: Annotated[
        str | None,
        Meta(description="Why the service switched it off: the endpoint is gone, or failed for three days."),
    ]
    position: Annotated[
        int,
        Meta(description="Every event up to this position of the log has been sent or is among the pending."),
    ]
    pending: Annotated[int, Meta(description="Deliveries that are still to succeed.")]
    failing_since: Annotated[str | None, Meta(description="The first failure since the last success.")]
    created_at: str
    updated_at: str


class NewWebhook(WebhookAnswer):
    """The webhook with its secret, which is shown this once."""

    secret: Annotated[
        str, Meta(description="`whsec_` and base64, as the libraries of Standard Webhooks take it.")
    ]


class WebhookList(msgspec.Struct):
    """All webhooks of the project, oldest first."""

    results: list[WebhookAnswer]


class NewSecret(msgspec.Struct):
    """The new secret, which is shown this once."""

    secret: str
    previous_valid_until: Annotated[
        str | None, Meta(description="Until then the one before it signs as well.")
    ]


class AttemptAnswer(msgspec.Struct):
    """The last request, and what came back."""

    at: str
    duration_ms: int
    response_status: int | None
    response_body: Annotated[
        str | None, Meta(description="The first 1024 bytes; what is no UTF-8 is replaced.")
    ]
    error: Annotated[str | None, Meta(description="Null for a success.")]


class DeliveryAnswer(msgspec.Struct):
    """One event for this endpoint."""

    id: int
    event_id: Annotated[
        str, Meta(description="The `webhook-id` header: the same for every attempt and repetition.")
    ]
    position: int
    type: str
    subject: str
    cause: Cause
    status: Status
    attempts: int
    created_at: str
    next_attempt_at: Annotated[str | None, Meta(description="Null when it is done.")]
    last_attempt: AttemptAnswer | None


class DeliveryPage(msgspec.Struct):
    """Newest first. Kept for 30 days, the newest 10,000 of each webhook."""

    results: list[DeliveryAnswer]
    next: str | None


class ReplayAnswer(msgspec.Struct, rename={"first": "from", "last": "to"}):
    """What will be delivered again; the deliveries appear in the log of deliveries."""

    status: Literal["accepted"]
    first: int
    last: int
