"""Skills and their versions by id, as ``/v1/skills`` has them: in the order in which they were created, page after page.

A skill is known by the id of its stream, which a rename leaves as it is; so is its place in the log, by which pages go on.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from domain.artifacts.skills import Details, Skill
from domain.formats import skill_md
from projections import sizes
from projections.read.skills import read_package
from projections.read.versions import KEPT_NOW, MAX_VERSION
from projections.sizes import fitting, size_of
from store.postgres.connection import Connection

# What a SDK calls the version that is used where none is named.
DEFAULT = "default"

KIND = Skill.KIND
MAX_POSITION = 2**63 - 1

T = TypeVar("T")


class FoundVersion(NamedTuple):
    """A version of a skill that is not yanked; ``name`` is that of its folder."""

    number: int
    id: UUID
    created_at: datetime
    name: str
    description: str


class FoundSkill(NamedTuple):
    """An active skill; ``default`` is the number that the label points to, else that of the latest version. No version is yanked."""

    id: UUID
    name: str
    display_name: str
    description: str
    position: int
    created_at: datetime
    default: int
    latest: int
    latest_id: UUID
    latest_at: datetime


class _Created(msgspec.Struct):
    display_name: str = ""


_created = msgspec.json.Decoder(_Created)
_details = msgspec.json.Decoder(Details)

# labels_now, yanks_pkey
DEFAULTED = f"""(
    SELECT number FROM labels
    WHERE labels.stream_id = artifacts.stream_id AND labels.name = '{DEFAULT}' AND labels.until_position IS NULL
      AND NOT EXISTS (
          SELECT FROM yanks
          WHERE yanks.stream_id = labels.stream_id AND yanks.number = labels.number AND yanks.until_position IS NULL)
)"""

# artifacts_pkey, events_stream, contents_pkey. The name to show never changes, so it stands in the first event alone.
SKILL = f"""
SELECT artifacts.stream_id, artifacts.name, created_position, artifacts.created_at, {DEFAULTED} AS labelled,
       latest_version, latest_id, latest_at, details.bytes AS details, created.state,
       {size_of("details.bytes", "created.state")} AS size
FROM {{rows}}
JOIN events AS created ON created.stream_id = artifacts.stream_id AND created.stream_version = 1
JOIN contents AS details ON details.digest = artifacts.details
WHERE artifacts.archived_position IS NULL AND {{where}}
"""
COLUMNS = "stream_id, name, created_position, created_at, labelled, latest_version, latest_id, latest_at, details, state"

ONE = SKILL.format(
    rows="artifacts",
    where=f"artifacts.stream_id = %s AND artifacts.project_id = %s AND artifacts.kind = '{KIND}'",
)

# name_spans_of_project, artifacts_pkey: the span of the first name of each skill begins with the skill. The inner limit is true and
# keeps the planner to a walk along the spans, which ends with the page.
CREATED = f"""(
    SELECT artifacts.* FROM name_spans AS begun
    CROSS JOIN LATERAL (
        SELECT * FROM artifacts
        WHERE artifacts.stream_id = begun.stream_id AND artifacts.created_position = begun.since_position
          AND artifacts.archived_position IS NULL
        LIMIT 1
    ) AS artifacts
    WHERE begun.project_id = %(project)s AND begun.kind = '{KIND}' AND begun.since_position {{behind}} %(after)s
    ORDER BY begun.since_position {{order}} LIMIT %(limit)s + 1
) AS artifacts"""


def _paged(rows: str, columns: str, key: str) -> dict[bool, str]:
    """The statements of a page, upwards and downwards."""
    return {
        rising: f"SELECT listed, {columns} FROM ({fitting(rows.format(behind=behind, order=order), f'{key} {order}')}) AS page ORDER BY nth"
        for rising, behind, order in ((True, ">", "ASC"), (False, "<", "DESC"))
    }


SKILLS = _paged(SKILL.format(rows=CREATED, where="true"), COLUMNS, "created_position")

# artifacts_pkey; an archived one, too: it may be the last of the page before.
POSITION = (
    f"SELECT created_position FROM artifacts WHERE stream_id = %s AND project_id = %s AND kind = '{KIND}'"
)

# versions_pkey, contents_pkey
VERSION = f"""
SELECT number, versions.id, versions.created_at, details.bytes AS details, package.bytes AS package,
       {size_of("details.bytes", "package.bytes")} AS size
FROM versions
JOIN contents AS details ON details.digest = versions.details
LEFT JOIN contents AS package ON package.digest = versions.package
WHERE versions.stream_id = %(stream)s AND {KEPT_NOW} AND {{where}}
"""
VERSION_COLUMNS = "number, id, created_at, details, package"
NUMBERED = VERSION.format(where="number = %(number)s")
# versions_id
WITH_ID = VERSION.format(where="versions.id = %(id)s")
VERSIONS = _paged(
    VERSION.format(where="number {behind} %(after)s ORDER BY number {order} LIMIT %(limit)s + 1"),
    VERSION_COLUMNS,
    "number",
)
# events_stream
NAMED = "SELECT state FROM events WHERE stream_id = %s AND stream_version = 1"
# versions_id; a withdrawn one, too
NUMBER = "SELECT number FROM versions WHERE id = %s AND stream_id = %s"


async def skill(conn: Connection, project_id: int, stream_id: UUID) -> FoundSkill | None:
    """An active skill of the project."""
    row = await (await conn.execute(ONE, (stream_id, project_id), binary=True)).fetchone()
    return None if row is None else _skill(row)


async def display_name(conn: Connection, stream_id: UUID) -> str:
    """Of a skill that there is, or was; empty where it is the name."""
    row = await (await conn.execute(NAMED, (stream_id,), binary=True)).fetchone()
    return "" if row is None else _created.decode(row[0]).display_name


async def number(conn: Connection, stream_id: UUID, ref: int | UUID) -> int:
    """That of a version that there is, or was."""
    if isinstance(ref, int):
        return ref
    [found] = await (await conn.execute(NUMBER, (ref, stream_id))).fetchone() or [0]
    return int(found)


async def skills(
    conn: Connection, project_id: int, after: UUID | None, *, rising: bool, limit: int
) -> tuple[list[FoundSkill], bool] | None:
    """A page of the active skills by their creation, and whether there are more; it ends early where they would not fit into an answer.

    None when ``after`` was never a skill of the project.
    """
    place = 0 if rising else MAX_POSITION
    if after is not None:
        found = await (await conn.execute(POSITION, (after, project_id))).fetchone()
        if found is None:
            return None
        [place] = found
    values = {"project": project_id, "after": place, "limit": limit, "max_bytes": sizes.MAX_ANSWER}
    rows = await (await conn.execute(SKILLS[rising], values, binary=True)).fetchall()
    return _page([_skill(row[1:]) for row in rows], rows, limit)


async def version(
    conn: Connection, of: FoundSkill, *, number: int | None = None, id: UUID | None = None
) -> FoundVersion | None:
    """A version of a skill by its number or id."""
    values = {"stream": of.id, "number": None if number is None else min(number, MAX_VERSION), "id": id}
    row = await (await conn.execute(NUMBERED if id is None else WITH_ID, values, binary=True)).fetchone()
    return None if row is None else _version(of.name, row)


async def versions(
    conn: Connection, of: FoundSkill, after: UUID | int | None, *, rising: bool, limit: int
) -> tuple[list[FoundVersion], bool] | None:
    """A page of its versions by number, and whether there are more. None when ``after`` was never a version of it."""
    if isinstance(after, UUID):
        found = await (await conn.execute(NUMBER, (after, of.id))).fetchone()
        if found is None:
            return None
        [after] = found
    place = after if after is not None else 0 if rising else MAX_VERSION
    values = {"stream": of.id, "after": place, "limit": limit, "max_bytes": sizes.MAX_ANSWER}
    rows = await (await conn.execute(VERSIONS[rising], values, binary=True)).fetchall()
    return _page([_version(of.name, row[1:]) for row in rows], rows, limit)


def _page(found: list[T], rows: Sequence[tuple[Any, ...]], limit: int) -> tuple[list[T], bool]:
    return found[:limit], bool(rows) and rows[0][0] > min(len(found), limit)


def _skill(row: tuple[Any, ...]) -> FoundSkill:
    id, name, position, created_at, labelled, latest, latest_id, latest_at, details, created = row[:10]
    shown = _created.decode(created).display_name or name
    description = description_of(details)
    default = latest if labelled is None else labelled
    return FoundSkill(
        id, name, shown, description, position, created_at, default, latest, latest_id, latest_at
    )


def _version(name: str, row: tuple[Any, ...]) -> FoundVersion:
    number, id, created_at, details, package = row[:5]
    if package is not None:
        name = skill_md.name_of(read_package(package)[1])
    return FoundVersion(number, id, created_at, name, description_of(details))


def description_of(details: bytes) -> str:
    """What a version says of itself, out of its stored details."""
    return _details.decode(details).description
