"""Bodies of answers about activity."""

from datetime import date
from typing import Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from api.artifacts.fields import Timestamp
from api.openapi.examples import examples_of


class ActivityRow(msgspec.Struct, frozen=True, kw_only=True):
    """The publishes of one day (UTC), of one author (the id of a user; null for none and for erased ones) or of one name: of what
    was counted `by`. `first_at` and `last_at` are those of the period.
    """

    day: date | UnsetType = UNSET
    author: int | None | UnsetType = UNSET
    kind: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    publishes: int
    first_at: Timestamp
    last_at: Timestamp


class Activity(msgspec.Struct, frozen=True):
    """All publishes of the period as `total`, and up to 1,000 rows; `truncated` when there are more. `position` is how far the log
    was counted.
    """

    EXAMPLES: ClassVar[dict[str, Any]] = examples_of("api.activity")["Activity"]

    total: int
    rows: list[ActivityRow]
    truncated: bool
    position: int
