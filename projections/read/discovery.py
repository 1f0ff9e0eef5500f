"""What an installer finds at a well-known address: the skills of a project, each with its artifact, digests and files.

By the RFC of Agent Skills discovery, in two shapes: 0.2.0 names one artifact a skill and its digest, 0.1.0 lists the files
of a skill, which are fetched one by one. Older installers read the files of a 0.2.0 index, too.
"""

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from domain.artifacts.skills import Details
from domain.formats.semantic import semantic
from projections import sizes
from projections.encoding import timestamp
from projections.read.packages import SKILL_MD
from projections.read.skills import read_manifest, read_package
from projections.read.versions import KEPT_NOW, LABELED
from projections.sizes import fitting, size_of
from store.postgres.connection import Connection

logger = logging.getLogger(__name__)

SCHEMA = "https://schemas.agentskills.io/discovery/0.2.0/schema.json"
# Of the archives whose digests are stored: counts up when equal trees come to give other bytes.
FORMAT = 1
MAX_DESCRIPTION = 1024  # of UTF-16, which is what installers in JavaScript count

# Installers of files put a path into an address as it is, so it holds nothing that means something there.
PLAIN_PATH = re.compile(r"(?!.*\.\.)[!-~ ]+")
SPECIAL = set("\\?#[]%")

# What a client of plain files finds its skills by, and what it lets no path have.
INDEX = "index.json"
HIDDEN = frozenset("\\:")

# What stands in a catalog for the name of the host, and for the address of what is well known.
HOST, PLACE = "{host}", "{place}"
SKILL_ZIP = "application/agent-skills+zip"

# events_of_project
LAST_EVENT = "SELECT coalesce(max(position), 0) FROM events WHERE project_id = %s"

# Bytes of an index, in either shape, as far as names, descriptions and paths count: neither shape has pages, and installers
# read it whole. That is 15,000 skills of ten files. What comes behind it by name is not listed, and the log says so.
MAX_INDEX = 16 * 2**20
READ_BATCH = 500  # skills, when they are small
# What an entry has beside its description and paths: name, address, digest.
ENTRY = 300

# artifacts_by_name, versions_pkey, contents_pkey; labels_now for those of a label. A version that has no package yet gets one by the replay that follows
# a migration; until then it cannot be named by its digest.
FOUND = f"""
SELECT artifacts.name, versions.number, versions.id, versions.created_at, details.bytes AS details,
       manifest.bytes AS manifest, package.bytes AS package, {size_of("details.bytes", "manifest.bytes", "package.bytes")} AS size
FROM artifacts
JOIN versions ON versions.stream_id = artifacts.stream_id AND versions.number = {{number}} AND {KEPT_NOW}
JOIN contents AS details ON details.digest = versions.details
JOIN contents AS package ON package.digest = versions.package
LEFT JOIN contents AS manifest ON manifest.digest = versions.manifest
WHERE artifacts.project_id = %(project)s AND artifacts.kind = 'skill' AND artifacts.archived_position IS NULL
  AND artifacts.name > %(after)s
ORDER BY artifacts.name LIMIT %(limit)s
"""
ENTRIES = f"SELECT name, number, id, created_at, details, manifest, package FROM ({fitting(FOUND, 'name')}) AS part ORDER BY name"
ENTRIES_LATEST = ENTRIES.format(number="artifacts.latest_version")
ENTRIES_LABELED = ENTRIES.format(number=LABELED.format(label="%(label)s"))

# labels_pkey. What a share of a label made at a position has ever shown, and shows as long as the skill has the label.
HAD_LABEL = """
SELECT true FROM labels
WHERE stream_id = %s AND name = %s AND number = %s AND (until_position IS NULL OR until_position > %s) LIMIT 1
"""

# archive_digests_pkey
SELECT_ARCHIVES = "SELECT tree, digest FROM archive_digests WHERE tree = ANY(%s) AND format = %s"
INSERT_ARCHIVES = """
INSERT INTO archive_digests (tree, format, digest)
SELECT tree, %s, digest FROM unnest(%s::bytea[], %s::bytea[]) AS new (tree, digest)
ON CONFLICT DO NOTHING
"""


class IndexEntry(msgspec.Struct, frozen=True):
    """The version of an active skill that is shown. ``tree`` is its digest over all files, ``paths`` are SKILL.md and its files."""

    name: str
    number: int
    version_id: UUID
    created_at: datetime
    description: str
    skill_md: str
    tree: bytes
    paths: tuple[str, ...]

    @property
    def packed(self) -> bool:
        """Whether its artifact is an archive: a skill of SKILL.md alone is that file."""
        return len(self.paths) > 1

    @property
    def size(self) -> int:
        """About how many bytes it takes in an index."""
        return (
            ENTRY + len(cut(self.description).encode()) + sum(len(path.encode()) + 3 for path in self.paths)
        )


class Skill(msgspec.Struct):
    """A skill and its artifact: SKILL.md itself, or an archive with SKILL.md at its root."""

    name: str
    type: str
    description: str
    url: str
    digest: str
    files: list[str] | UnsetType = UNSET


class Index(msgspec.Struct, rename={"schema": "$schema"}):
    """All active skills of a project, by name. `url` is relative to this address, `digest` is that of the bytes there.

    `files` are for installers that fetch files one by one: addresses below the skill's name, beside this index. It is
    absent where an address cannot hold a path as it is.
    """

    schema: str
    skills: list[Skill]


class FileSkill(msgspec.Struct):
    """A skill and its files, at addresses below its name, beside this index."""

    name: str
    description: str
    files: list[str]


class FileIndex(msgspec.Struct):
    """The same for installers of version 0.1.0, without the skills that they cannot fetch."""

    skills: list[FileSkill]


class NameIndex(msgspec.Struct):
    """The names of all skills whose every file has an address; each has an index of its own below its name."""

    skills: list[str]


class PathIndex(msgspec.Struct):
    """All files of a skill, SKILL.md among them, and the names of those that lie right in the folders of the specification."""

    files: list[str]
    scripts: list[str]
    references: list[str]
    assets: list[str]


class CatalogHost(msgspec.Struct, rename="camel"):
    """Who keeps a catalog."""

    display_name: str
    identifier: str


class CatalogEntry(msgspec.Struct, rename="camel"):
    """A skill; a zip with SKILL.md at its root is at `url`, which needs no key."""

    identifier: str
    display_name: str
    type: str
    url: str
    version: str
    updated_at: str


class Catalog(msgspec.Struct, rename="camel"):
    """All active skills, by name."""

    spec_version: str
    host: CatalogHost
    entries: list[CatalogEntry]


async def last_event(conn: Connection, project_id: int) -> int:
    """The position of the last event of a project: while it stays, so does the index."""
    row = await (await conn.execute(LAST_EVENT, (project_id,))).fetchone()
    return row[0] if row else 0


async def entries(conn: Connection, project_id: int, label: str | None = None) -> list[IndexEntry]:
    """The skills of a project, or those with a label, by name, as many as ``MAX_INDEX`` holds."""
    found: list[IndexEntry] = []
    room = MAX_INDEX
    params = {"project": project_id, "after": "", "limit": READ_BATCH, "max_bytes": sizes.MAX_ANSWER}
    if label is not None:
        params["label"] = label
    sql = ENTRIES_LATEST if label is None else ENTRIES_LABELED
    while rows := await (await conn.execute(sql, params, binary=True)).fetchall():
        for entry in (_entry(*row) for row in rows):
            room -= entry.size
            if room < 0:
                logger.warning(
                    "the index of project %d ends before skill '%s': it is full", project_id, entry.name
                )
                return found
            found.append(entry)
        params["after"] = found[-1].name
    return found


async def had_label(conn: Connection, stream_id: UUID, label: str, number: int, since: int) -> bool:
    """Whether the label pointed to the version at any time from position ``since`` on."""
    row = await (await conn.execute(HAD_LABEL, (stream_id, label, number, since))).fetchone()
    return row is not None


def _entry(
    name: str,
    number: int,
    version_id: UUID,
    created_at: datetime,
    details: bytes,
    manifest: bytes | None,
    package: bytes,
) -> IndexEntry:
    summary, _ = read_package(package)
    return IndexEntry(
        name=name,
        number=number,
        version_id=version_id,
        created_at=created_at,
        description=msgspec.json.decode(details, type=Details).description,
        skill_md=summary.skill_md.sha256,
        tree=bytes.fromhex(summary.digest.removeprefix("sha256:")),
        paths=(SKILL_MD, *sorted(read_manifest(manifest or b"[]"))),
    )


async def archive_digests(conn: Connection, trees: Collection[bytes]) -> dict[bytes, bytes]:
    """The SHA-256 of archives by the tree that is in them, as far as it is known."""
    rows = await (await conn.execute(SELECT_ARCHIVES, (list(trees), FORMAT), binary=True)).fetchall()
    return {bytes(tree): bytes(digest) for tree, digest in rows}


async def keep_archive_digests(conn: Connection, digests: Mapping[bytes, bytes]) -> None:
    """Remember them: the archive of a tree never changes."""
    await conn.execute(INSERT_ARCHIVES, (FORMAT, list(digests), list(digests.values())))


def index(found: Sequence[IndexEntry], archives: Mapping[bytes, bytes]) -> bytes:
    """The index of 0.2.0. An archived skill whose archive's digest is not given is left out."""
    listed = [_skill(one, archives) for one in found if not one.packed or one.tree in archives]
    return msgspec.json.encode(Index(SCHEMA, listed))


def file_index(found: Sequence[IndexEntry]) -> bytes:
    """The index of 0.1.0: a skill with a file that cannot be fetched is left out, so that none is installed in part."""
    listed = [
        FileSkill(one.name, one.description, list(one.paths))
        for one in found
        if all(map(is_plain, one.paths))
    ]
    return msgspec.json.encode(FileIndex(listed))


def name_index(found: Sequence[IndexEntry]) -> bytes:
    """For clients of plain files. A skill with a file that their addresses cannot have is left out, so that none comes in part."""
    listed = [one.name for one in found if not any(map(is_hidden, one.paths))]
    return msgspec.json.encode(NameIndex(listed))


def catalog(found: Sequence[IndexEntry], project_id: int) -> bytes:
    """For any address: ``located`` puts that in."""
    entries = [
        CatalogEntry(
            identifier=f"urn:air:{HOST}:skald-{project_id}:skill:{one.name}",
            display_name=one.name,
            type=SKILL_ZIP,
            url=f"{PLACE}/agent-skills/{one.name}.zip?version_id={one.version_id}",
            version=semantic(one.number),
            updated_at=timestamp(one.created_at),
        )
        for one in found
    ]
    return msgspec.json.encode(Catalog("1.0", CatalogHost("Skald", HOST), entries))


def located(catalog: bytes, host: str, place: str) -> bytes:
    """A catalog at an address; nothing in it comes from users, so the marks stand for nothing else."""
    put = {mark: msgspec.json.encode(text)[1:-1] for mark, text in ((HOST, host), (PLACE, place))}
    return catalog.replace(HOST.encode(), put[HOST]).replace(PLACE.encode(), put[PLACE])


def path_index(paths: Sequence[str]) -> bytes:
    """The files of one skill, for the same clients."""

    def within(folder: str) -> list[str]:
        parts = (path.split("/") for path in paths)
        return sorted(rest[0] for start, *rest in parts if start == folder and len(rest) == 1)

    return msgspec.json.encode(
        PathIndex(sorted(paths), within("scripts"), within("references"), within("assets"))
    )


def is_hidden(path: str) -> bool:
    """Whether a client of plain files refuses the path, or its index takes the place of the file."""
    return path == INDEX or not HIDDEN.isdisjoint(path)


def _skill(one: IndexEntry, archives: Mapping[bytes, bytes]) -> Skill:
    # A version is named by its id: another one that is published between two requests does not fit the digest.
    picked = f"?version_id={one.version_id}"
    return Skill(
        name=one.name,
        type="archive" if one.packed else "skill-md",
        description=cut(one.description),
        url=f"{one.name}.zip{picked}" if one.packed else f"{one.name}/{SKILL_MD}{picked}",
        digest=f"sha256:{archives[one.tree].hex() if one.packed else one.skill_md}",
        files=list(one.paths) if all(map(is_plain, one.paths)) else UNSET,
    )


def is_plain(path: str) -> bool:
    """Whether an address can hold the path as it is."""
    return PLAIN_PATH.fullmatch(path) is not None and not SPECIAL & set(path)


def cut(description: str) -> str:
    """As much of it as installers take: they leave a skill out whose description is longer."""
    units = description.encode("utf-16-le")
    if len(units) <= 2 * MAX_DESCRIPTION:
        return description
    return units[: 2 * MAX_DESCRIPTION].decode("utf-16-le", "ignore")
