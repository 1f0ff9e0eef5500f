"""Bodies of answers about usage."""

from datetime import date
from typing import Annotated, Any, ClassVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.artifacts.fields import Timestamp
from api.openapi.examples import examples_of

_EXAMPLES = examples_of("api.usage")

Reads = Annotated[int, Meta(ge=0)]


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """The reads of one version, door, hour, day (UTC), or reader: of what was counted `by`. A reader is a `key` or a `share`, by its id;
    both are null for who reads at the public origin. `revalidated` were answered 304, and are no part of `reads`.
    """

    version: int | UnsetType = UNSET
    key: UUID | None | UnsetType = UNSET
    share: UUID | None | UnsetType = UNSET
    door: str | UnsetType = UNSET
    hour: Timestamp | UnsetType = UNSET
    day: date | UnsetType = UNSET
    reads: Reads
    revalidated: Reads
    first_at: Timestamp
    last_at: Timestamp


class Usage(msgspec.Struct, frozen=True):
    """All reads of the period as `total`, and up to 1,000 rows; `truncated` when there are more."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["Usage"]

    total: Reads
    rows: list[UsageRow]
    truncated: bool


class UsedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One skill or prompt with its reads; or, with `show=behind`, a key and what it read last, and the label that points to that
    version, if one does. `last_read_at` also knows of a 304, and is null for what was never read.
    """

    kind: str
    name: str
    reads: Reads | UnsetType = UNSET
    revalidated: Reads | UnsetType = UNSET
    last_read_at: Timestamp | None | UnsetType = UNSET
    readers: Reads | UnsetType = UNSET
    key_id: UUID | UnsetType = UNSET
    version: int | UnsetType = UNSET
    latest_version: int | UnsetType = UNSET
    label: str | None | UnsetType = UNSET


class UsedPage(msgspec.Struct, frozen=True):
    """A page of what is read, not read, or read in an earlier version."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["UsedPage"]

    count: int
    next: str | None
    previous: str | None
    results: list[UsedRow]


class ReaderRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one key or share read of a version in an hour; both are null for who reads at the public origin."""

    kind: str
    name: str
    key_id: UUID | None
    share_id: UUID | None
    version: int
    reads: Reads
    revalidated: Reads


class ReadersPage(msgspec.Struct, frozen=True):
    """A page of who read what in an hour."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["ReadersPage"]

    count: int
    next: str | None
    previous: str | None
    results: list[ReaderRow]
