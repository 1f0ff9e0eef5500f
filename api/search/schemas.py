"""Bodies of answers to searches."""

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.openapi.examples import examples_of
from projections.search.excerpts import MAX_EXCERPT, MatchedField
from projections.search.find import MAX_MATCHES

_examples = examples_of("api.search")


class SearchMatch(msgspec.Struct, frozen=True):
    """Where it was found. `path` and `line` (from 1) are those of a body (`SKILL.md`) or a file; null for name and description, as is
    the line of a `file_path`, and the path of a prompt.
    """

    matched_field: MatchedField
    path: str | None
    line: int | None
    excerpt: Annotated[str, Meta(max_length=MAX_EXCERPT)]


Matches = Annotated[list[SearchMatch], Meta(max_length=MAX_MATCHES)]
Score = Annotated[float, Meta(ge=0, description="Higher is better; it compares hits of one search.")]


class SearchHit(msgspec.Struct, frozen=True, kw_only=True):
    """`version` is the one that was looked through. With `ever`, all that was sought was in one version from `first_version` on, the
    last time in `last_version`.
    """

    kind: str
    name: str
    description: str
    version: int
    first_version: int | UnsetType = UNSET
    last_version: int | UnsetType = UNSET
    score: Score
    matches: Matches


class SearchAnswer(msgspec.Struct, frozen=True):
    """`next_cursor` is the `cursor` of the next page, null on the last one."""

    EXAMPLES: ClassVar[dict[str, Any]] = _examples["SearchAnswer"]

    results: list[SearchHit]
    next_cursor: str | None


class FoundSkill(msgspec.Struct, frozen=True):
    """A skill, and at most two places where it has what was sought."""

    name: str
    description: str
    score: Score
    matches: Matches


class FoundSkills(msgspec.Struct, frozen=True):
    """The best skills; `count` is their number."""

    EXAMPLES: ClassVar[dict[str, Any]] = _examples["FoundSkills"]

    count: int
    results: list[FoundSkill]
