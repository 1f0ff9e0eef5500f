"""Bodies of requests and answers about label policies; rules and schemas as in ``api.artifacts.fields``."""

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.artifacts.fields import CreatedBy, Timestamp, given
from api.openapi.examples import examples_of
from domain.artifacts.policies import MAX_APPROVALS, MAX_POLICIES

_EXAMPLES = examples_of("api.governance")


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
