"""What every event has in common, and the register of all event types."""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import msgspec

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fact about one stream. Ids only: no name and no mail address of a person.

    ``TOPIC`` is its literal name in the log. ``SCHEMA`` counts the shapes that it has had; the shape is written
    into the stored state as ``schema``, and ``UPCASTERS[n]`` turns the fields of shape n into those of n + 1.
    """

    TOPIC: ClassVar[str]
    SCHEMA: ClassVar[int] = 1
    UPCASTERS: ClassVar[dict[int, Upcaster]] = {}

    originator_id: UUID
    originator_version: int


EVENT_TYPES: dict[str, type[Event]] = {}

E = TypeVar("E", bound=type[Event])


def event(cls: E) -> E:
    """Register an event type under its topic; two types may not share one."""
    if EVENT_TYPES.setdefault(cls.TOPIC, cls) is not cls:
        raise ValueError(f"two event types have the topic {cls.TOPIC}")
    return cls
