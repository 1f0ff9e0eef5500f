"""What has become of versions that lock files hold on to, many in one statement."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from projections.encoding import YANKED, yanked
from projections.read.versions import MAX_VERSION, NOW
from store.postgres.connection import Connection

# A stored package begins with its digest (see ``projections.read.skills.Summary``): no more of it is unpacked.
BEGINNING = b'{"digest":"'
DIGEST = 71  # bytes of ``sha256:`` and 64 digits

# name_spans_of_name, artifacts_pkey, versions_pkey, contents_pkey, yanks_pkey. A name leads to what held it last.
FIND = f"""
SELECT wanted.nth, artifacts.name, artifacts.latest_version, versions.position,
       (SELECT substring(bytes FROM {len(BEGINNING) + 1} FOR {DIGEST}) FROM contents WHERE contents.digest = versions.package),
       {YANKED.format(held=NOW)}
FROM unnest(%(names)s::text[], %(numbers)s::int[]) WITH ORDINALITY AS wanted (name, number, nth)
CROSS JOIN LATERAL (
    SELECT stream_id FROM name_spans
    WHERE name_spans.project_id = %(project)s AND name_spans.kind = 'skill' AND name_spans.name = wanted.name
    ORDER BY since_position DESC LIMIT 1
) AS held
JOIN artifacts ON artifacts.stream_id = held.stream_id AND artifacts.archived_position IS NULL
LEFT JOIN versions ON versions.stream_id = held.stream_id AND versions.number = wanted.number
ORDER BY wanted.nth
"""


class Held(NamedTuple):
    """A skill as it is now, and the version of it that is asked for, if there is one: the position of its event, its digest, why it
    is yanked (JSON). Without ``latest_version`` there is no such skill."""

    name: str
    latest_version: int | None
    position: int | None
    digest: str | None
    yanked: bytes


async def find(conn: Connection, project_id: int, pins: Sequence[tuple[str, int]]) -> list[Held | None]:
    """By name and number, in their order; None for a name that leads to nothing."""
    params: dict[str, Any] = {
        "project": project_id,
        "names": [name for name, _ in pins],
        "numbers": [min(number, MAX_VERSION) for _, number in pins],
    }
    found: list[Held | None] = [None] * len(pins)
    for nth, name, latest, position, digest, why in await (
        await conn.execute(FIND, params, binary=True)
    ).fetchall():
        shown = None if digest is None else bytes(digest).decode("ascii")
        found[nth - 1] = Held(name, latest, position, shown, yanked(why))
    return found
