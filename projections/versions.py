"""Queries over artifacts and versions, and the JSON that answers them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from projections.artifacts import search_fold

Connection = AsyncConnection[Any]
encode = msgspec.json.encode

# A number that no version has: larger ones do not fit the column and mean the same.
MAX_VERSION = 2**31 - 1


class Author(msgspec.Struct, frozen=True):
    """Who published a version, as the API page shows a user."""

    id: int
    uuid: UUID
    distinct_id: str
    first_name: str
    last_name: str
    email: str
    is_email_verified: bool
    hedgehog_config: None
    role_at_organization: str


class Version(msgspec.Struct, frozen=True):
    """One version as read, its parts encoded. ``as_of`` is the log position of the snapshot it was read in."""

    author: bytes
    stream_id: UUID
    name: str
    latest_version: int
    first_at: datetime
    as_of: int
    number: int
    id: UUID
    stream_version: int
    position: int
    created_at: datetime
    body: bytes
    details: bytes
    outline: bytes | None
    manifest: bytes | None


class Row(msgspec.Struct, frozen=True):
    """One version as a list shows it."""

    author: bytes
    name: str
    latest_version: int
    first_at: datetime
    id: UUID
    created_at: datetime
    details: bytes
    outline: bytes | None


class Line(msgspec.Struct, frozen=True):
    """One version as a history of versions shows it."""

    number: int
    id: UUID
    created_at: datetime
    author: bytes


AUTHOR = """users.id, users.uuid, users.distinct_id, users.first_name, users.last_name, users.email,
            users.is_email_verified, users.role_at_organization"""

# An erased user is nobody.
JOIN_AUTHOR = "LEFT JOIN users ON users.erased_at IS NULL AND users.id ="

HEAD = "(SELECT coalesce(max(position), 0) FROM events)"

VERSION = f"""
artifacts.stream_id, artifacts.name, artifacts.latest_version, artifacts.created_at, {HEAD},
versions.number, versions.id, versions.stream_version, versions.position, versions.created_at,
body.bytes, details.bytes, outline.bytes, manifest.bytes, {AUTHOR}
"""

JOIN_PARTS = f"""
LEFT JOIN contents AS body ON body.digest = versions.body
LEFT JOIN contents AS details ON details.digest = versions.details
LEFT JOIN contents AS outline ON outline.digest = versions.outline
LEFT JOIN contents AS manifest ON manifest.digest = versions.manifest
{JOIN_AUTHOR} versions.created_by
"""

# active_names_pkey, artifacts_pkey, versions_pkey, contents_pkey
BY_NAME = f"""
SELECT {VERSION}
FROM active_names
JOIN artifacts ON artifacts.stream_id = active_names.stream_id
LEFT JOIN versions ON versions.stream_id = artifacts.stream_id
                  AND versions.number = coalesce(%s, artifacts.latest_version)
{JOIN_PARTS}
WHERE active_names.project_id = %s AND active_names.kind = %s AND active_names.name = %s
"""

# versions_by_event; archived lives too, for the answer to a repeated request
BY_EVENT = f"""
SELECT {VERSION}
FROM versions JOIN artifacts ON artifacts.stream_id = versions.stream_id
{JOIN_PARTS}
WHERE versions.stream_id = %s AND versions.stream_version = %s
"""

# versions_id
NAME_OF_ID = """
SELECT artifacts.name FROM versions JOIN artifacts ON artifacts.stream_id = versions.stream_id
WHERE versions.id = %s AND artifacts.project_id = %s AND artifacts.kind = %s AND artifacts.archived_position IS NULL
"""

# versions_id
NUMBER_OF_ID = "SELECT number FROM versions WHERE id = %s AND stream_id = %s"

# versions_pkey
NEWEST_NUMBERS = "SELECT number FROM versions WHERE stream_id = %s ORDER BY number DESC LIMIT 20"

# versions_pkey
LINES = f"""
SELECT number, versions.id, versions.created_at, {AUTHOR}
FROM versions {JOIN_AUTHOR} versions.created_by
WHERE stream_id = %s AND number < %s ORDER BY number DESC LIMIT %s OFFSET %s
"""

# search_texts_trigrams for the text, the order's own index for the page; the rest is joined to the rows of the page only.
LIST = """
SELECT page.name, page.latest_version, page.created_at, page.latest_id, page.latest_at,
       details.bytes, outline.bytes, {author}
FROM (
    SELECT * FROM artifacts WHERE {where} ORDER BY {order} LIMIT %(limit)s OFFSET %(offset)s
) AS page
JOIN contents AS details ON details.digest = page.details
LEFT JOIN contents AS outline ON outline.digest = page.outline
{join_author} page.latest_by
ORDER BY {order}
"""

ACTIVE = (
    "artifacts.project_id = %(project)s AND artifacts.kind = %(kind)s AND artifacts.archived_position IS NULL"
)
AUTHORED = "artifacts.latest_by = %(author)s"
FOUND = """artifacts.stream_id IN (
    SELECT stream_id FROM search_texts WHERE project_id = %(project)s AND kind = %(kind)s
       AND (search_texts.name LIKE %(like)s OR search_texts.text LIKE %(like)s))"""

COLUMNS = {
    "name": "name",
    "created_at": "latest_at",
    "updated_at": "latest_at",
    "version": "latest_version",
    "latest_version": "latest_version",
    "version_count": "latest_version",
}
ORDERS = {
    sign + field: f"{column} {direction}, latest_id DESC"
    for field, column in COLUMNS.items()
    for sign, direction in (("", "ASC"), ("-", "DESC"))
}
DEFAULT_ORDER = "-created_at"

COUNT_ALL = "SELECT active FROM artifact_counts WHERE project_id = %(project)s AND kind = %(kind)s"
COUNT = "SELECT count(*) FROM artifacts WHERE {where}"

FILTERS = {
    (authored, found): " AND ".join([ACTIVE, *([AUTHORED] if authored else []), *([FOUND] if found else [])])
    for authored in (False, True)
    for found in (False, True)
}
LISTS = {
    (authored, found, order): LIST.format(where=where, order=by, author=AUTHOR, join_author=JOIN_AUTHOR)
    for (authored, found), where in FILTERS.items()
    for order, by in ORDERS.items()
}
COUNTS = {key: COUNT.format(where=where) if any(key) else COUNT_ALL for key, where in FILTERS.items()}


def author(columns: Sequence[Any]) -> bytes:
    """The ``created_by`` of a row that ends in the AUTHOR columns, encoded; ``null`` for an erased user."""
    id, uuid, distinct_id, first_name, last_name, email, verified, role = columns
    if id is None:
        return b"null"
    return encode(Author(id, uuid, distinct_id, first_name, last_name, email, verified, None, role))


def _version(row: tuple[Any, ...]) -> Version:
    return Version(author(row[14:]), *row[:14])


def _row(row: tuple[Any, ...]) -> Row:
    return Row(author(row[7:]), *row[:7])


async def by_name(
    conn: Connection, project_id: int, kind: str, name: str, number: int | None = None
) -> tuple[UUID, Version | None] | None:
    """The stream that holds the name and the asked version of it (None: latest); None for an unknown name."""
    if "\0" in name:
        return None
    if number is not None and number > MAX_VERSION:
        number = MAX_VERSION
    cursor = await conn.execute(BY_NAME, (number, project_id, kind, name), binary=True)
    row = await cursor.fetchone()
    if row is None:
        return None
    return row[0], None if row[5] is None else _version(row)


async def by_event(conn: Connection, stream_id: UUID, stream_version: int) -> Version | None:
    """The version that an event brought, of archived lives too."""
    row = await (await conn.execute(BY_EVENT, (stream_id, stream_version), binary=True)).fetchone()
    return _version(row) if row else None


async def name_of_id(conn: Connection, project_id: int, kind: str, version_id: UUID) -> str | None:
    """The active name that a version belongs to."""
    row = await (await conn.execute(NAME_OF_ID, (version_id, project_id, kind))).fetchone()
    return row[0] if row else None


async def number_of_id(conn: Connection, stream_id: UUID, version_id: UUID) -> int | None:
    row = await (await conn.execute(NUMBER_OF_ID, (version_id, stream_id))).fetchone()
    return row[0] if row else None


async def newest_numbers(conn: Connection, stream_id: UUID) -> list[int]:
    """The newest 20 version numbers, newest first."""
    rows = await (await conn.execute(NEWEST_NUMBERS, (stream_id,))).fetchall()
    return [row[0] for row in rows]


async def lines(
    conn: Connection, stream_id: UUID, *, before: int | None, limit: int, offset: int
) -> tuple[list[Line], bool]:
    """Versions newest first, and whether there are more after them."""
    below = MAX_VERSION if before is None else min(before, MAX_VERSION)
    cursor = await conn.execute(LINES, (stream_id, below, limit + 1, offset), binary=True)
    rows = await cursor.fetchall()
    return [Line(row[0], row[1], row[2], author(row[3:])) for row in rows[:limit]], len(rows) > limit


async def page(
    conn: Connection,
    project_id: int,
    kind: str,
    *,
    search: str | None,
    author_id: int | None,
    order: str,
    limit: int,
    offset: int,
) -> tuple[int, list[Row]]:
    """How many active artifacts match, and one page of their latest versions."""
    params = {
        "project": project_id,
        "kind": kind,
        "author": author_id,
        "like": like(search_fold(search)) if search else None,
        "limit": limit,
        "offset": offset,
    }
    key = (author_id is not None, bool(search))
    async with conn.transaction():
        # One snapshot for both, so that count and rows agree.
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        counted = await (await conn.execute(COUNTS[key], params)).fetchone()
        rows = await (await conn.execute(LISTS[(*key, order)], params, binary=True)).fetchall()
    return counted[0] if counted else 0, [_row(row) for row in rows]


def like(text: str) -> str:
    """A LIKE pattern that finds ``text`` anywhere, ``%`` and ``_`` taken literally."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


ETAG_BYTES = 16  # 128 bits: two representations never share one by chance


def etag_of(body: bytes) -> bytes:
    """The strong entity tag of a representation, quotes included."""
    return b'"%b"' % blake2b(body, digest_size=ETAG_BYTES).hexdigest().encode()


def timestamp(at: datetime) -> str:
    """ISO 8601 in UTC with microseconds and ``Z``."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def standing(
    *, id: UUID, number: int, author: bytes, created_at: datetime, latest_version: int, first_at: datetime
) -> tuple[bytes, bytes]:
    """The fields that every representation shares, as members of a JSON object: those before the parts, those after."""
    at = timestamp(created_at)
    before = f'"id":"{id}","name":'.encode()
    after = (
        f'"version":{number},"created_by":'.encode()
        + author
        + (
            f',"created_at":"{at}","updated_at":"{at}","deleted":false,'
            f'"is_latest":{"true" if number == latest_version else "false"},"latest_version":{latest_version},'
            f'"version_count":{latest_version},"first_version_created_at":"{timestamp(first_at)}"'
        ).encode()
    )
    return before, after


def line_json(line: Line, latest_version: int) -> bytes:
    """One entry of ``versions`` in a resolve answer."""
    return (
        f'{{"id":"{line.id}","version":{line.number},"created_by":'.encode()
        + line.author
        + f',"created_at":"{timestamp(line.created_at)}",'
        f'"is_latest":{"true" if line.number == latest_version else "false"}}}'.encode()
    )
