"""Queries over artifacts and versions, and the JSON that answers them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

import msgspec

from projections import sizes
from projections.encoding import (
    AUTHOR,
    JOIN_AUTHOR,
    NOT_YANKED,
    OWNERS,
    YANKED,
    author,
    owners,
    timestamp,
    yanked,
)
from projections.read import search
from projections.sizes import fitting, size_of
from store.postgres.connection import Connection
from store.postgres.pipeline import select

encode = msgspec.json.encode

# A number that no version has: larger ones do not fit the column and mean the same.
MAX_VERSION = 2**31 - 1


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
    package: bytes | None
    labels: list[str]
    owners: bytes
    tags: list[str]
    yanked: bytes = NOT_YANKED
    hidden: int = 0
    deleted: bool = False

    @property
    def version_count(self) -> int:
        """Of all versions: those above the latest one, ``hidden``, are yanked."""
        return self.latest_version + self.hidden


class Row(msgspec.Struct, frozen=True):
    """One version as a list shows it; ``body`` only when the page needs it. ``labels`` (all of them) and ``owners`` are JSON."""

    author: bytes
    name: str
    latest_version: int
    first_at: datetime
    number: int
    id: UUID
    created_at: datetime
    details: bytes
    outline: bytes | None
    package: bytes | None
    body: bytes | None
    labels: bytes | None
    owners: bytes
    tags: list[str]
    hidden: int = 0

    # Lists pass over those that are.
    yanked: ClassVar[bytes] = NOT_YANKED

    @property
    def version_count(self) -> int:
        """As that of a ``Version``."""
        return self.latest_version + self.hidden

    @property
    def size(self) -> int:
        """Bytes of its texts."""
        texts = (self.details, self.outline, self.package, self.body, self.labels, self.owners)
        return sum(len(text) for text in texts if text is not None)


# A version by number, by label, or None for the latest.
Pick = int | str | None


class Lookup(NamedTuple):
    """The parameters of a read by name."""

    project_id: int
    kind: str
    name: str
    pick: Pick = None


# The stream that holds the name and the picked version of it, if there is one; None for a name that nothing holds.
Found = tuple[UUID, Version | None] | None


class PageQuery(msgspec.Struct, frozen=True):
    """The parameters of a list: conditions (None: any), order, page, and which columns it needs."""

    search: str | None
    author_id: int | None
    order: str
    limit: int
    offset: int
    label: str | None = None
    with_body: bool = False
    texts_only: bool = False
    owner_id: int | None = None
    tags: tuple[str, ...] = ()
    # Of the present alone: not read since then, and with problems of its package.
    unused_since: datetime | None = None
    with_problems: bool = False


class VersionLine(msgspec.Struct, frozen=True):
    """One version as a history of versions shows it."""

    number: int
    id: UUID
    created_at: datetime
    author: bytes


HEAD = "(SELECT coalesce(max(position), 0) FROM events)"

# When a row of labels, owners or tags holds: at present, or at a position.
NOW = "until_position IS NULL"
THEN = "since_position <= %(at)s AND (until_position IS NULL OR until_position > %(at)s)"

# tags_pkey
TAGS = "ARRAY(SELECT tags.name FROM tags WHERE tags.stream_id = {stream} AND {held} ORDER BY tags.name)"

# labels_of_version
LABELS = """ARRAY(
    SELECT labels.name FROM labels
    WHERE labels.stream_id = versions.stream_id AND labels.number = versions.number AND {held}
    ORDER BY labels.name)"""

# yanks_pkey. Versions above the latest one, all of which are yanked.
HIDDEN = """(
    SELECT count(*)::int FROM yanks
    WHERE yanks.stream_id = {stream} AND yanks.number > {latest} AND {held})"""

# yanks_pkey. Of a row of versions.
IS_YANKED = """EXISTS (
    SELECT FROM yanks
    WHERE yanks.stream_id = versions.stream_id AND yanks.number = versions.number AND {held})"""
KEPT_NOW = f"NOT {IS_YANKED.format(held=NOW)}"

# Sub-queries, because the plan of a query with five joins more takes PostgreSQL longer to begin than the reads do.
CONTENT = "(SELECT bytes FROM contents WHERE contents.digest = {digest})"
STAYING = [CONTENT.format(digest=f"versions.{part}") for part in ("body", "details", "outline", "manifest")]
PARTS = ", ".join((*STAYING, CONTENT.format(digest="versions.package")))


def marks(held: str, latest: str) -> str:
    """What does not belong to the version alone: its labels, the owners and tags of its artifact, what is yanked."""
    return ", ".join(
        (
            LABELS.format(held=held),
            OWNERS.format(stream="artifacts.stream_id", held=held),
            TAGS.format(stream="artifacts.stream_id", held=held),
            YANKED.format(held=held),
            HIDDEN.format(stream="artifacts.stream_id", latest=latest, held=held),
        )
    )


VERSION = """
artifacts.stream_id, artifacts.name, artifacts.latest_version, artifacts.created_at, {head},
versions.number, versions.id, versions.stream_version, versions.position, versions.created_at,
{parts}, {marks}, {author}
"""
VERSION_NOW = VERSION.format(
    head=HEAD, parts=PARTS, marks=marks(NOW, "artifacts.latest_version"), author=AUTHOR
)

# The version that a name holds now. active_names_pkey, artifacts_pkey, contents_pkey; see below for the index on versions.
HELD = """
SELECT {version}
FROM active_names
JOIN artifacts ON artifacts.stream_id = active_names.stream_id
{picked}
{join_author} versions.created_by
WHERE active_names.project_id = {project_id} AND active_names.kind = {kind} AND active_names.name = {name}
"""

# versions_id, which has nothing to weigh up against versions_pkey and so needs no guard.
LATEST = "LEFT JOIN versions ON versions.id = artifacts.latest_id"

# versions_pkey. The limit, with its order, is true and keeps the planner from walking through all versions of a stream by
# another index.
NUMBERED = """
CROSS JOIN LATERAL (SELECT {number} AS number) AS picked
LEFT JOIN LATERAL (
    SELECT * FROM versions
    WHERE versions.stream_id = artifacts.stream_id AND versions.number >= picked.number
    ORDER BY versions.number LIMIT 1
) AS versions ON versions.number = picked.number
"""

# labels_now
LABELED = """(
    SELECT number FROM labels
    WHERE labels.stream_id = artifacts.stream_id AND labels.name = {label} AND until_position IS NULL
)"""


def _held(picked: str, project_id: str, kind: str, name: str) -> str:
    return HELD.format(
        version=VERSION_NOW,
        picked=picked,
        join_author=JOIN_AUTHOR,
        project_id=project_id,
        kind=kind,
        name=name,
    )


# One name, a statement for each way to pick: what the way does not need would take PostgreSQL longer to begin than to read.
ASKED = ("%s::bigint", "%s::text", "%s::text")
FIND_LATEST = _held(LATEST, *ASKED)
FIND_NUMBERED = _held(NUMBERED.format(number="%s::int"), *ASKED)
FIND_LABELED = _held(NUMBERED.format(number=LABELED.format(label="%s::text")), *ASKED)

# Any number of names. The limits are true, too, and keep the planner from something: the outer one lets it expect one name, so
# that the plan for any number of names costs no more than one for these, and is kept; the next keeps it to a walk by keys.
FIND_ALL = """
SELECT wanted.place, found.*
FROM (
    SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::int[], %s::text[]) WITH ORDINALITY
    LIMIT %s::bigint
) AS wanted (project_id, kind, name, number, label, place)
CROSS JOIN LATERAL ({held} LIMIT 1) AS found
""".format(
    held=_held(
        NUMBERED.format(
            number=f"""CASE WHEN wanted.label IS NULL THEN coalesce(wanted.number, artifacts.latest_version)
            ELSE {LABELED.format(label="wanted.label")} END"""
        ),
        "wanted.project_id",
        "wanted.kind",
        "wanted.name",
    )
)

# versions_id
NAME_OF_ID = """
SELECT artifacts.name FROM versions JOIN artifacts ON artifacts.stream_id = versions.stream_id
WHERE versions.id = %s AND artifacts.project_id = %s AND artifacts.kind = %s AND artifacts.archived_position IS NULL
"""

# versions_id
NUMBER_OF_ID = "SELECT number FROM versions WHERE id = %s AND stream_id = %s"

# versions_pkey
NEWEST_NUMBERS = (
    f"SELECT number FROM versions WHERE stream_id = %s AND {KEPT_NOW} ORDER BY number DESC LIMIT 20"
)

# versions_pkey
LINES = f"""
SELECT number, versions.id, versions.created_at, {AUTHOR}
FROM versions {JOIN_AUTHOR} versions.created_by
WHERE stream_id = %s AND number < %s AND {KEPT_NOW} ORDER BY number DESC LIMIT %s OFFSET %s
"""


def row_marks(stream: str, held: str, latest: str) -> str:
    """A row of what does not belong to a version: the owners and tags of its artifact, how many versions are hidden."""
    owners, tags = OWNERS.format(stream=stream, held=held), TAGS.format(stream=stream, held=held)
    hidden = HIDDEN.format(stream=stream, latest=latest, held=held)
    # Without the offset it is looked up again wherever a column of it is used.
    return f"SELECT {owners} AS owners, {tags} AS tags, {hidden} AS hidden OFFSET 0"


MARKS_SIZED = ("marks.owners", "array_to_string(marks.tags, ',')")

# One statement, so that the count and the page are of one snapshot. The rest is joined to the rows of the page only; where it
# has none, the count still comes, in a row of its own. The page ends where its texts would be more than an answer holds.
LIST = """
{found}
SELECT counted.matching, page.name, page.latest_version, page.first_at, page.number, page.id, page.created_at,
       page.details_bytes, page.outline_bytes, page.package_bytes, page.body_bytes,
       convert_to(coalesce((
           SELECT json_agg(json_build_object('name', labels.name, 'version', labels.number) ORDER BY labels.name)
           FROM labels WHERE labels.stream_id = page.stream_id AND until_position IS NULL
       ), '[]')::text, 'UTF8'),
       page.owners, page.tags, page.hidden, {author}
FROM ({count}) AS counted (matching)
LEFT JOIN ({page}) AS page ON true
{join_author} page.created_by
ORDER BY page.nth
"""

TEXTS = f"""
SELECT page.*, details.bytes AS details_bytes, outline.bytes AS outline_bytes, package.bytes AS package_bytes,
       body.bytes AS body_bytes, owners, tags, hidden,
       {size_of("details.bytes", "outline.bytes", "package.bytes", "body.bytes", *MARKS_SIZED)} AS size
FROM ({{page}}) AS page
CROSS JOIN LATERAL ({row_marks("page.stream_id", NOW, "page.latest_version")}) AS marks
LEFT JOIN contents AS body ON body.digest = page.body AND %(body)s
LEFT JOIN contents AS details ON details.digest = page.details
LEFT JOIN contents AS outline ON outline.digest = page.outline
LEFT JOIN contents AS package ON package.digest = page.package
"""

# The index of the order, where there is one and the rows are not few and known.
PAGE = "(SELECT {columns} FROM {tables} WHERE {where} ORDER BY {order}, id DESC LIMIT %(limit)s OFFSET %(offset)s)"

# Rows of the latest versions, and rows of the versions that a label points to.
LATEST_COLUMNS = """artifacts.stream_id, artifacts.name, latest_version, artifacts.created_at AS first_at,
    latest_version AS number, latest_id AS id, latest_at AS created_at, latest_by AS created_by, body, details, outline,
    package"""
LABELED_COLUMNS = """artifacts.stream_id, artifacts.name, latest_version, artifacts.created_at AS first_at,
    versions.number, versions.id, versions.created_at, versions.created_by, versions.body, versions.details,
    versions.outline, versions.package"""
LATEST_TABLES = "artifacts"
LABELED_TABLES = f"""artifacts
    JOIN labels ON labels.stream_id = artifacts.stream_id AND labels.name = %(label)s AND until_position IS NULL
    JOIN versions ON versions.stream_id = artifacts.stream_id AND versions.number = labels.number AND {KEPT_NOW}"""

COUNT_ALL = """SELECT coalesce(
    (SELECT active FROM artifact_counts WHERE project_id = %(project)s AND kind = %(kind)s), 0)"""
COUNT_FOUND = "SELECT count(*) FROM found"
COUNT = "SELECT count(*) FROM {tables} WHERE {where}"
COUNT_REST = f"SELECT ({COUNT_ALL}) - ({COUNT})"

ACTIVE = (
    "artifacts.project_id = %(project)s AND artifacts.kind = %(kind)s AND artifacts.archived_position IS NULL"
)
AUTHORED = "artifacts.latest_by = %(author)s"
LABELED_AUTHORED = "versions.created_by = %(author)s"
# owners_of_user
OWNED = """artifacts.stream_id IN (
    SELECT stream_id FROM owners
    WHERE owners.project_id = %(project)s AND owners.kind = %(kind)s AND user_id = %(owner)s AND until_position IS NULL)"""
# tags_by_name
TAGGED = """artifacts.stream_id IN (
    SELECT stream_id FROM tags
    WHERE tags.project_id = %(project)s AND tags.kind = %(kind)s AND tags.name = ANY(%(tags)s::text[]) AND until_position IS NULL
    GROUP BY stream_id HAVING count(*) = cardinality(%(tags)s::text[]))"""
# usage_of_artifact. A client that was answered 304 has the version, and uses it. As a value it is looked up for each row until the
# page is full; as a join, for all of the project.
UNUSED = """(
    SELECT true FROM usage WHERE usage.stream_id = artifacts.stream_id AND usage.hour >= %(unused_since)s LIMIT 1) IS NULL"""
# usage_pkey, artifacts_pkey. What was used is counted, because most of a large project is not.
USED = """artifacts.stream_id IN (
    SELECT stream_id FROM usage WHERE usage.project_id = %(project)s AND usage.hour >= %(unused_since)s)"""
# artifacts_with_problems
HAS_PROBLEMS = "{table}.has_problems"
# The body is JSON and a text, by its first byte. contents_pkey; no more than that byte is unpacked.
IS_TEXT = (
    "(SELECT substring(bytes FROM 1 FOR 1) FROM contents WHERE contents.digest = {table}.body) = '\\x22'"
)

# What a search finds is looked up once and first, whatever the planner expects it to be. When it is little, its rows are read
# and sorted; when it is more than a tenth of the project, the rows are read in their order until the page is full.
SEARCHED = f"""WITH found AS MATERIALIZED ({search.FOUND}), density AS MATERIALIZED (
    SELECT (SELECT count(*) FROM found) > 100 + ({COUNT_ALL}) / 10 AS dense
)"""
# They are active, and of the project. To say so would let the planner begin with all that are.
FOUND = "artifacts.stream_id IN (SELECT stream_id FROM found)"
FOUND_FEW = f"{FOUND} AND NOT (SELECT dense FROM density)"
FOUND_MANY = f"{ACTIVE} AND {search.MATCHES} AND (SELECT dense FROM density)"

# Aliases of the page, which PostgreSQL takes for the columns behind them.
COLUMNS = {
    "name": "name",
    "created_at": "created_at",
    "updated_at": "created_at",
    "version": "number",
    "latest_version": "latest_version",
    "version_count": "latest_version + hidden",
}
# Of what no table has, what it is made of there: counted for each row that there is, as no index knows it.
HIDDEN_NOW = HIDDEN.format(stream="artifacts.stream_id", latest="latest_version", held=NOW)
ORDERS = {
    sign + field: f"{column} {direction}"
    for field, column in COLUMNS.items()
    for sign, direction in (("", "ASC"), ("-", "DESC"))
}
DEFAULT_ORDER = "-created_at"


class Filter(msgspec.Struct, frozen=True):
    """Which conditions a list has."""

    authored: bool
    found: bool
    labeled: bool
    texts_only: bool = False
    owned: bool = False
    tagged: bool = False
    unused: bool = False
    with_problems: bool = False

    @property
    def tables(self) -> str:
        return LABELED_TABLES if self.labeled else LATEST_TABLES

    @property
    def is_narrowed(self) -> bool:
        """Whether there is more to look at than a search, of which the number of rows is known."""
        return (
            self.authored
            or self.labeled
            or self.texts_only
            or self.owned
            or self.tagged
            or self.unused
            or self.with_problems
        )

    @property
    def count(self) -> str:
        if self == UNUSED_ALONE:
            return COUNT_REST.format(tables=self.tables, where=f"{ACTIVE} AND {USED}")
        if self.is_narrowed:
            return COUNT.format(tables=self.tables, where=self.narrowed(FOUND if self.found else ACTIVE))
        return COUNT_FOUND if self.found else COUNT_ALL

    @property
    def ways(self) -> list[str]:
        """The conditions of the page; of two, only one finds anything."""
        if not self.found:
            return [ACTIVE]
        # Labeled versions have no index of their order.
        return [FOUND] if self.labeled else [FOUND_FEW, FOUND_MANY]

    def page(self, order: str) -> str:
        order = order.replace("hidden", HIDDEN_NOW)
        columns = LABELED_COLUMNS if self.labeled else LATEST_COLUMNS
        return " UNION ALL ".join(
            PAGE.format(columns=columns, tables=self.tables, where=self.narrowed(way), order=order)
            for way in self.ways
        )

    def narrowed(self, where: str) -> str:
        """A condition, and those on the rest as far as there are any."""
        if self.authored:
            where += f" AND {LABELED_AUTHORED if self.labeled else AUTHORED}"
        if self.texts_only:
            where += f" AND {IS_TEXT.format(table='versions' if self.labeled else 'artifacts')}"
        if self.owned:
            where += f" AND {OWNED}"
        if self.tagged:
            where += f" AND {TAGGED}"
        if self.unused:
            where += f" AND {UNUSED}"
        if self.with_problems:
            where += f" AND {HAS_PROBLEMS.format(table='versions' if self.labeled else 'artifacts')}"
        return where

    def sql(self, order: str) -> str:
        return LIST.format(
            found=SEARCHED if self.found else "",
            count=self.count,
            page=fitting(TEXTS.format(page=self.page(order)), f"{order}, id DESC"),
            author=AUTHOR,
            join_author=JOIN_AUTHOR,
        )


UNUSED_ALONE = Filter(authored=False, found=False, labeled=False, unused=True)


@cache
def list_sql(key: Filter, order: str) -> str:
    """The statement of a list; ``order`` is one of ORDERS."""
    return key.sql(ORDERS[order])


def version_of(row: tuple[Any, ...]) -> Version:
    columns: tuple[Any, ...] = (*row[:16], owners(row[16]), row[17], yanked(row[18]), row[19])
    return Version(author(row[20:]), *columns)


def line_of(row: tuple[Any, ...]) -> VersionLine:
    return VersionLine(row[0], row[1], row[2], author(row[3:]))


def row_of(row: tuple[Any, ...]) -> Row:
    columns: tuple[Any, ...] = (*row[:11], owners(row[11]), row[12], row[13])
    return Row(author(row[14:]), *columns)


async def find(conn: Connection, asked: Lookup) -> Found:
    """What a name holds now; in an open transaction, in its snapshot."""
    if not _may_exist(asked):
        return None
    row = await (await conn.execute(*_alone(asked), binary=True)).fetchone()
    return _found(row) if row else None


# RESULTS.md: "a cold read that is alone"
async def find_all(conn: Connection, asked: Sequence[Lookup]) -> list[Found]:
    """The same for many in one statement, so in one snapshot. ``conn`` is idle and in autocommit."""
    found: list[Found] = [None] * len(asked)
    places = [place for place, one in enumerate(asked) if _may_exist(one)]
    if len(places) == 1:
        for row in await select(conn, *_alone(asked[places[0]])):
            found[places[0]] = _found(row)
    elif places:
        for row in await select(conn, FIND_ALL, _columns([asked[place] for place in places])):
            found[places[row[0] - 1]] = _found(row[1:])
    return found


def _may_exist(asked: Lookup) -> bool:
    """PostgreSQL has no NUL in its texts."""
    return "\0" not in asked.name and not (isinstance(asked.pick, str) and "\0" in asked.pick)


def _alone(asked: Lookup) -> tuple[str, tuple[Any, ...]]:
    """The statement for one name, and its values."""
    project_id, kind, name, pick = asked
    if pick is None:
        return FIND_LATEST, (project_id, kind, name)
    if isinstance(pick, int):
        return FIND_NUMBERED, (min(pick, MAX_VERSION), project_id, kind, name)
    return FIND_LABELED, (pick, project_id, kind, name)


def _columns(asked: Sequence[Lookup]) -> tuple[Any, ...]:
    """The values of FIND_ALL."""
    return (
        [one.project_id for one in asked],
        [one.kind for one in asked],
        [one.name for one in asked],
        [min(one.pick, MAX_VERSION) if isinstance(one.pick, int) else None for one in asked],
        [one.pick if isinstance(one.pick, str) else None for one in asked],
        len(asked),
    )


def _found(row: tuple[Any, ...]) -> Found:
    return row[0], None if row[5] is None else version_of(row)


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
) -> tuple[list[VersionLine], bool]:
    """Versions newest first, and whether there are more after them."""
    below = MAX_VERSION if before is None else min(before, MAX_VERSION)
    cursor = await conn.execute(LINES, (stream_id, below, limit + 1, offset), binary=True)
    rows = await cursor.fetchall()
    return [line_of(row) for row in rows[:limit]], len(rows) > limit


@asynccontextmanager
async def snapshot(conn: Connection) -> AsyncIterator[None]:
    """Everything read inside is of one snapshot."""
    async with conn.transaction():
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


async def page(
    conn: Connection,
    project_id: int,
    kind: str,
    wanted: PageQuery,
) -> tuple[int, list[Row]]:
    """How many active artifacts match, and one page of their latest versions, or of those that ``label`` points to.

    The page has fewer rows than ``limit`` where they would not fit into an answer.
    """
    params: dict[str, Any] = {
        "project": project_id,
        "kind": kind,
        "author": wanted.author_id,
        "owner": wanted.owner_id,
        "tags": list(wanted.tags),
        "limit": wanted.limit,
        "offset": wanted.offset,
        "label": wanted.label,
        "body": wanted.with_body,
        "max_bytes": sizes.MAX_ANSWER,
        "unused_since": wanted.unused_since,
    }
    key = Filter(
        wanted.author_id is not None,
        wanted.search is not None,
        wanted.label is not None,
        wanted.texts_only,
        wanted.owner_id is not None,
        bool(wanted.tags),
        wanted.unused_since is not None,
        wanted.with_problems,
    )
    if wanted.search is not None:
        params |= await search.sought(conn, project_id, kind, wanted.search)
    rows = await (await conn.execute(list_sql(key, wanted.order), params, binary=True)).fetchall()
    return rows[0][0], [row_of(row[1:]) for row in rows if row[1] is not None]


def standing(item: Version | Row, *, with_author: bool = True, deleted: bool = False) -> tuple[bytes, bytes]:
    """The fields that every representation shares, as members of a JSON object: those before the parts, those after."""
    number, latest_version = item.number, item.latest_version
    at = timestamp(item.created_at)
    before = f'"id":"{item.id}","name":'.encode() + encode(item.name)
    by = b',"created_by":' + item.author if with_author else b""
    after = (
        f'"version":{number}'.encode()
        + by
        + (
            f',"created_at":"{at}","updated_at":"{at}","deleted":{"true" if deleted else "false"},'
            f'"is_latest":{"true" if number == latest_version else "false"},"latest_version":{latest_version},'
            f'"version_count":{item.version_count},"first_version_created_at":"{timestamp(item.first_at)}","owners":'
        ).encode()
        + item.owners
        + b',"tags":'
        + (encode(item.tags) if item.tags else b"[]")
        + b',"yanked":'
        + item.yanked
    )
    return before, after


def named_by(label: str | None) -> bytes:
    """The last member of what was read by a label, and of nothing else."""
    return b',"label":' + encode(label) if label is not None else b""


def read_by(body: bytes, pick: Pick) -> bytes:
    """A representation, which is a JSON object, as a read by label shows it if ``pick`` is one."""
    return body[:-1] + named_by(pick) + b"}" if isinstance(pick, str) else body


def line_json(line: VersionLine, latest_version: int) -> bytes:
    """One entry of ``versions`` in a resolve answer."""
    return (
        f'{{"id":"{line.id}","version":{line.number},"created_by":'.encode()
        + line.author
        + f',"created_at":"{timestamp(line.created_at)}",'
        f'"is_latest":{"true" if line.number == latest_version else "false"}}}'.encode()
    )
