"""All versions of one skill as packages, for clients that choose among versions by themselves."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from domain.artifacts.skills import Skill
from domain.content import Ref
from domain.formats import skill_md
from projections import sizes
from projections.read.packages import SKILL_MD
from projections.read.skills import VersionDetails, read_manifest, read_package
from projections.read.versions import KEPT_NOW
from projections.sizes import fitting, size_of
from store.postgres.connection import Connection

# The newest; a lock file of a client names an older one by its address.
MAX_RELEASES = 1000

# versions_pkey, yanks_pkey, contents_pkey. A version that has no package yet gets one by the replay that follows a migration.
FOUND = f"""
SELECT versions.number, versions.id, versions.created_at, details.bytes AS details, manifest.bytes AS manifest,
       package.bytes AS package, {size_of("details.bytes", "manifest.bytes", "package.bytes")} AS size
FROM versions
JOIN contents AS details ON details.digest = versions.details
JOIN contents AS package ON package.digest = versions.package
LEFT JOIN contents AS manifest ON manifest.digest = versions.manifest
WHERE versions.stream_id = %(stream)s AND {KEPT_NOW} AND (%(only)s::int IS NULL OR versions.number = %(only)s::int)
ORDER BY versions.number DESC LIMIT %(limit)s
"""
RELEASES = f"SELECT number, id, created_at, details, manifest, package FROM ({fitting(FOUND, 'number DESC')}) AS part ORDER BY number DESC"


# active_names_pkey, labels_now, yanks_pkey. Labels of versions that are not yanked.
TAGS = f"""
SELECT held.name, labels.name, labels.number
FROM active_names AS held
JOIN labels ON labels.stream_id = held.stream_id AND labels.until_position IS NULL
WHERE held.project_id = %s AND held.kind = '{Skill.KIND}' AND held.name = ANY(%s)
  AND NOT EXISTS (
      SELECT FROM yanks
      WHERE yanks.stream_id = labels.stream_id AND yanks.number = labels.number AND yanks.until_position IS NULL)
ORDER BY labels.name
"""


class Release(msgspec.Struct, frozen=True):
    """A version as it is installed. ``name`` is the one that its SKILL.md says, ``digest`` that of all its files.

    ``note`` is what changed in it; ``listed`` are SKILL.md and its files, sorted by path.
    """

    number: int
    version_id: UUID
    created_at: datetime
    name: str
    description: str
    note: str
    digest: str
    listed: Sequence[tuple[str, Ref]]


async def releases(conn: Connection, stream_id: UUID, only: int | None = None) -> list[Release]:
    """The newest first, as many as an answer holds; or ``only`` the one of that number."""
    params = {"stream": stream_id, "only": only, "limit": MAX_RELEASES, "max_bytes": sizes.MAX_ANSWER}
    rows = await (await conn.execute(RELEASES, params, binary=True)).fetchall()
    return [_release(*row) for row in rows]


async def tags(conn: Connection, project_id: int, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """By the names of skills: labels, and the versions that they point to."""
    found: dict[str, dict[str, int]] = {name: {} for name in names}
    for name, label, number in await (await conn.execute(TAGS, (project_id, list(names)))).fetchall():
        found[name][label] = number
    return found


def _release(
    number: int,
    version_id: UUID,
    created_at: datetime,
    details: bytes,
    manifest: bytes | None,
    package: bytes,
) -> Release:
    summary, head = read_package(package)
    files = read_manifest(manifest or b"[]").values()
    described = msgspec.json.decode(details, type=VersionDetails)
    return Release(
        number=number,
        version_id=version_id,
        created_at=created_at,
        name=skill_md.name_of(head),
        description=described.description,
        note=described.version_description,
        digest=summary.digest,
        listed=sorted([(SKILL_MD, summary.skill_md), *((file.path, file.ref) for file in files)]),
    )
