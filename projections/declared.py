"""Every projection, declared once: its name, tables, statements, fold and lane.

An *inline* projection is written in the transaction of the append, so that a writer reads what it wrote; whatever its fold takes,
each publish waits for. An *async* one is written by a follower (``workers.projections``) from a checkpoint of its own; its reader
may wait for a position. `skald replay`, `skald verify`, the followers and the tests take their lists from ``PROJECTIONS``.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from projections.write import activity, artifacts, search
from projections.write.artifacts import AppliedEvent, Kind, Rows
from projections.write.changes import Change
from store.log.log import Recorded
from store.log.statements import SetStatement, Writes
from store.postgres.connection import Connection


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """Tables that are a fold of the log, and no one else writes.

    ``about``: what its tables say, in a few words, for the docs. The part of a statement's name before the dot is its table.
    """

    name: str
    about: str
    tables: tuple[str, ...]
    statements: tuple[SetStatement, ...]


class InlineProjection(Projection, frozen=True, kw_only=True, tag="inline"):
    """``fold`` takes what a commit, or a batch of a rebuild, applied to its artifacts."""

    fold: Callable[[Sequence[AppliedEvent], Mapping[str, Kind]], Rows]


class AsyncProjection(Projection, frozen=True, kw_only=True, tag="async"):
    """``fold`` takes events of the log in their order, those of all streams; ``name`` is also that of its checkpoint."""

    fold: Callable[[Sequence[Recorded]], Writes]


class ArtifactProjection(Projection, frozen=True, kw_only=True, tag="artifact"):
    """An async one whose rows follow from artifacts before and after their events, and from contents.

    ``read`` gives ``fold`` the contents that it makes rows of; ``size_of`` is how many bytes these have at most.
    """

    size_of: Callable[[Change], int]
    read: Callable[[Connection, Sequence[Change]], Awaitable[Mapping[bytes, bytes]]]
    fold: Callable[[Sequence[Change], Mapping[bytes, bytes], Mapping[str, search.Readable]], Writes]


CATALOG = InlineProjection(
    name="catalog",
    about="skills and prompts, their names, versions, labels, yanks, references, promotions, owners and tags, and what a search finds them by",
    tables=(
        "active_names",
        "name_spans",
        "artifacts",
        "versions",
        "earlier_packages",
        "search_texts",
        "labels",
        "yanks",
        "promotions",
        "promotion_approvals",
        "owners",
        "tags",
        "prompt_references",
        "artifact_counts",
    ),
    statements=artifacts.STATEMENTS,
    fold=artifacts.fold,
)

ACTIVITY = AsyncProjection(
    name="activity",
    about="publishes by day, name and author",
    tables=("activity",),
    statements=activity.STATEMENTS,
    fold=activity.fold,
)

SEARCH = ArtifactProjection(
    name="search",
    about="every text by the versions that have it, its words, and the words of a project",
    tables=("search_entries", "search_parts", "search_words"),
    statements=search.STATEMENTS,
    size_of=search.size_of,
    read=search.read,
    fold=search.fold,
)

PROJECTIONS: tuple[InlineProjection | AsyncProjection | ArtifactProjection, ...] = (CATALOG, ACTIVITY, SEARCH)

INLINE = tuple(one for one in PROJECTIONS if isinstance(one, InlineProjection))
ASYNC = tuple(one for one in PROJECTIONS if isinstance(one, AsyncProjection | ArtifactProjection))
# By table, its projection.
TABLES = {table: one for one in PROJECTIONS for table in one.tables}


def fold_inline(steps: Sequence[AppliedEvent], kinds: Mapping[str, Kind]) -> Rows:
    """The rows of all inline projections."""
    folded = INLINE[0].fold(steps, kinds)
    for projection in INLINE[1:]:
        more = projection.fold(steps, kinds)
        folded = Rows(
            {**folded.writes, **more.writes}, [*folded.parts, *more.parts], {**folded.views, **more.views}
        )
    return folded
