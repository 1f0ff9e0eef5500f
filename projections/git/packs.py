"""What a fetch gets: which commits it lacks, which objects those need, and the pack of them, a part at a time.

History is one line, so commits are compared by their place on it. A client has the commits from the lowest that it knows
(its shallow boundary, or the first) to the highest that both sides have; it is sent those from the boundary that it asks
for to the newest that it wants.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from hashlib import sha1
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from domain.formats import git
from domain.formats.git import FOLDER, OID, REF_DELTA, TreeEntry
from projections.git.history import COMMITS, read_tree
from projections.read import contents
from projections.read.yanks import YANKED_AT
from store.postgres.connection import Connection
from store.postgres.pool import Pool

ROW_BATCH = 1000
BATCH_BYTES = 2 * 2**20  # of contents, before compression

# Of ``git_commits`` or ``git_shared_commits``, which have the same indexes. git_commits_oid
SELECT_PLACES = "SELECT oid, sequence FROM {commits} AS one WHERE project_id = %s AND oid = ANY(%s)"
# git_commits_pkey
BEFORE = """
AND NOT EXISTS (
    SELECT FROM {commits} AS next
    WHERE next.project_id = one.project_id AND next.sequence = one.sequence + 1 AND next.position <= %s
)
"""

# git_commits_pkey
SELECT_COMMITS = (
    "SELECT sequence, oid, tree, skills FROM {commits} WHERE project_id = %s AND sequence = ANY(%s)"
)
SELECT_NEW = (
    "SELECT objects FROM {commits} WHERE project_id = %s AND sequence BETWEEN %s AND %s ORDER BY sequence"
)

# git_commits_pkey; as many rows are passed over as the boundary is deep
SELECT_SINCE = "SELECT min(sequence) FROM {commits} WHERE project_id = %s AND seconds >= %s"

# git_objects_pkey
SELECT_TREES = "SELECT oid, packed, base FROM git_objects WHERE project_id = %s AND oid = ANY(%s)"
SELECT_OBJECTS = """
SELECT oid, kind, size, packed, base, start, content FROM git_objects WHERE project_id = %s AND oid = ANY(%s)
"""


# git_commits_pkey, git_labels_pkey; artifacts_by_name and artifacts_archived, labels_pkey, versions_by_position, yanks_pkey. What a commit shows: each
# skill that was active at its position, in its latest version or, in the repository of a label, the one that this points to.
SELECT_SHOWN = """
SELECT version.id FROM {commits} AS one
LEFT JOIN git_labels ON git_labels.id = one.project_id
JOIN artifacts ON artifacts.project_id = coalesce(git_labels.project_id, one.project_id) AND kind = 'skill'
              AND created_position <= one.position
              AND (archived_position IS NULL OR archived_position > one.position)
CROSS JOIN LATERAL (
    SELECT id FROM versions
    WHERE stream_id = artifacts.stream_id AND versions.position <= one.position
      AND NOT {yanked}
      AND (label IS NULL OR number = (
          SELECT labels.number FROM labels
          WHERE labels.stream_id = artifacts.stream_id AND labels.name = label
            AND since_position <= one.position AND (until_position IS NULL OR until_position > one.position)))
    ORDER BY versions.position DESC LIMIT 1
) AS version
WHERE one.project_id = %s AND one.sequence = %s
"""


class Repository(NamedTuple):
    """The commits of a project, or those that its shares show.

    With ``since``, a position of the log, nothing older than what was the present there can be had, and of what is newer no more
    than the present and what came after the commit that a client has: what was archived before stays unseen.
    """

    project_id: int
    commits: str = COMMITS
    since: int | None = None


class FetchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A fetch: ids of commits as bytes, and how deep the history shall be (None, None: as deep as it is)."""

    wants: tuple[bytes, ...]
    haves: tuple[bytes, ...] = ()
    shallows: tuple[bytes, ...] = ()
    depth: int | None = None
    relative: bool = False  # ``depth`` counts from the client's boundary
    since: int | None = None  # seconds since the epoch
    thin: bool = False  # the pack may name bases that the client has

    @property
    def deepens(self) -> bool:
        return self.depth is not None or self.since is not None


class Unknown(Exception):
    """A wanted id is no commit of this repository."""

    def __init__(self, oid: bytes) -> None:
        super().__init__(oid.hex())
        self.oid = oid


class NothingSelected(Exception):
    """No commit is as new as the requested boundary."""


class Places(msgspec.Struct, frozen=True):
    """Where on the line everything is that the client named, and which of its own it has in common with us."""

    wants: tuple[int, ...]
    common: dict[bytes, int]
    shallows: dict[int, bytes]


class Interval(NamedTuple):
    """Commits from ``low`` to ``high``, both included; none when ``high`` is lower."""

    low: int
    high: int


class Plan(msgspec.Struct, frozen=True):
    """What is sent, and how the client's shallow boundary changes. ``bases`` it has, deltas may build on them."""

    oids: list[bytes]
    bases: frozenset[bytes]
    shallow: list[bytes]
    unshallow: list[bytes]


async def locate(conn: Connection, repository: Repository, asked: FetchRequest) -> Places:
    """Raises Unknown."""
    named = list({*asked.wants, *asked.haves, *asked.shallows})
    sql = SELECT_PLACES
    params: list[Any] = [repository.project_id, named]
    if repository.since is not None:
        sql += BEFORE
        params.append(repository.since)
    cursor = await conn.execute(sql.format(commits=repository.commits), params, binary=True)
    rows = await cursor.fetchall()
    places: dict[bytes, int] = dict(rows)
    for oid in asked.wants:
        if oid not in places:
            raise Unknown(oid)
    return Places(
        tuple(places[oid] for oid in asked.wants),
        {oid: places[oid] for oid in asked.haves if oid in places},
        {places[oid]: oid for oid in asked.shallows if oid in places},
    )


async def shown(conn: Connection, repository: Repository, places: Places) -> list[UUID]:
    """The versions of the skills that the newest wanted commit shows."""
    sql = SELECT_SHOWN.format(commits=repository.commits, yanked=YANKED_AT.format(position="one.position"))
    rows = await (await conn.execute(sql, (repository.project_id, max(places.wants)), binary=True)).fetchall()
    return [row[0] for row in rows]


async def plan(conn: Connection, repository: Repository, asked: FetchRequest, places: Places) -> Plan:
    """Raises NothingSelected."""
    top = max(places.wants)
    low = await _lowest(conn, repository, asked, places)
    had = _had(places)
    bounded = repository.since is not None
    if bounded:
        low = max(low, top if had is None else had.low)
    commits = await _commits(conn, repository, {low, *(had or ())})
    shallow, unshallow = [], []
    if asked.deepens or (bounded and had is None):
        if low > 0 and low not in places.shallows:
            shallow.append(commits[low].oid)
        unshallow = [oid for place, oid in places.shallows.items() if low < place <= top or place == low == 0]
    oids, bases = await _objects(conn, repository, Interval(low, top), had, commits)
    return Plan(oids, bases if asked.thin else frozenset(), shallow, unshallow)


async def _lowest(conn: Connection, repository: Repository, asked: FetchRequest, places: Places) -> int:
    """The lowest commit that the client shall have in the end."""
    top = max(places.wants)
    boundaries = [place for place in places.shallows if place <= top]
    if asked.since is not None:
        sql = SELECT_SINCE.format(commits=repository.commits)
        row = await (await conn.execute(sql, (repository.project_id, asked.since))).fetchone()
        if row is None or row[0] is None or row[0] > top:
            raise NothingSelected
        return int(row[0])
    if asked.depth is not None:
        if asked.relative:
            return max(0, max(boundaries) - asked.depth) if boundaries else 0
        return max(0, min(places.wants) - asked.depth + 1)
    return max(boundaries, default=0)


def _had(places: Places) -> Interval | None:
    """What the client has for certain."""
    if not places.common:
        return None
    high = max(places.common.values())
    return Interval(max((place for place in places.shallows if place <= high), default=0), high)


class _Place(msgspec.Struct, frozen=True):
    oid: bytes
    tree: bytes
    skills: bytes | None


async def _commits(conn: Connection, repository: Repository, places: Collection[int]) -> dict[int, _Place]:
    sql, params = SELECT_COMMITS.format(commits=repository.commits), (repository.project_id, list(places))
    rows = await (await conn.execute(sql, params, binary=True)).fetchall()
    return {row[0]: _Place(*row[1:]) for row in rows}


async def _objects(
    conn: Connection,
    repository: Repository,
    wanted: Interval,
    had: Interval | None,
    commits: dict[int, _Place],
) -> tuple[list[bytes], frozenset[bytes]]:
    """What the wanted commits hold and those that the client has do not, and the bases of deltas that it has."""

    async def all_of(interval: Interval) -> list[bytes]:
        """All that these commits hold, as if nothing were there before."""
        low, high = interval
        if low > high:
            return []
        if low == 0:
            return await _new(conn, repository, interval)
        whole = await _closure(conn, repository.project_id, commits[low])
        return [*whole, *await _new(conn, repository, Interval(low + 1, high))]

    if had is None:
        return list(dict.fromkeys(await all_of(wanted))), frozenset()
    skills = commits[had.high].skills
    bases = frozenset([skills]) if skills else frozenset()
    if wanted.low > had.high + 1:
        there = set(await _closure(conn, repository.project_id, commits[had.high]))
        found = await all_of(wanted)
    else:
        found = await _new(conn, repository, Interval(had.high + 1, wanted.high))
        there = set()
        if wanted.low < had.low:
            there = set(await _closure(conn, repository.project_id, commits[had.low]))
            found += await all_of(Interval(wanted.low, min(had.low - 1, wanted.high)))
    return [oid for oid in dict.fromkeys(found) if oid not in there], bases


async def _new(conn: Connection, repository: Repository, interval: Interval) -> list[bytes]:
    """What each of these commits has and the one before it has not."""
    if interval.low > interval.high:
        return []
    sql, params = SELECT_NEW.format(commits=repository.commits), (repository.project_id, *interval)
    rows = await (await conn.execute(sql, params, binary=True)).fetchall()
    joined = b"".join(row[0] for row in rows)
    return [joined[at : at + OID] for at in range(0, len(joined), OID)]


async def _closure(conn: Connection, project_id: int, commit: _Place) -> list[bytes]:
    """A commit and all that its tree holds; one query for each level of folders."""
    found: dict[bytes, None] = {commit.oid: None, commit.tree: None}
    level = [commit.tree]
    while level:
        trees = await _trees(conn, project_id, level)
        level = []
        for entry in await asyncio.to_thread(_entries, trees):
            if entry.oid not in found:
                found[entry.oid] = None
                if entry.mode == FOLDER:
                    level.append(entry.oid)
    return list(found)


def _entries(trees: Sequence[bytes]) -> list[TreeEntry]:
    return [entry for tree in trees for entry in git.decode_tree(tree)]


async def _trees(conn: Connection, project_id: int, oids: Sequence[bytes]) -> list[bytes]:
    rows = await (await conn.execute(SELECT_TREES, (project_id, list(oids)), binary=True)).fetchall()
    trees = []
    for oid, packed, base in rows:
        if base is None:
            trees.append(git.decompress(packed))
        else:
            trees.append((await read_tree(conn, project_id, oid))[0])
    return trees


# The pack --------------------------------------------------------------------------------------------------------


async def pack(pool: Pool, project_id: int, plan: Plan) -> AsyncIterator[bytes]:
    """The bytes of a pack. No connection is held while a part is on its way, and no more than a part is in memory."""
    digest = sha1(usedforsecurity=False)
    places = {oid: place for place, oid in enumerate(plan.oids)} | dict.fromkeys(plan.bases, -1)

    def counted(part: bytes) -> bytes:
        digest.update(part)
        return part

    yield counted(git.pack_header(len(plan.oids)))
    for at in range(0, len(plan.oids), ROW_BATCH):
        oids = plan.oids[at : at + ROW_BATCH]
        # A reader that leaves cancels what it waits for, and a query that is cancelled costs its connection.
        rows = await asyncio.shield(asyncio.ensure_future(_read(pool, project_id, oids, places)))
        for group in _groups(rows):
            digests = {row[6] for row in group if row[6] is not None}
            data = await asyncio.shield(asyncio.ensure_future(_contents(pool, digests))) if digests else {}
            yield counted(await asyncio.to_thread(_encode, group, data))
    yield digest.digest()


Row = tuple[Any, ...]


async def _read(pool: Pool, project_id: int, oids: Sequence[bytes], places: Mapping[bytes, int]) -> list[Row]:
    """Rows of objects in the order of ``oids``. A tree is whole unless the client has its base by then: some clients read
    a pack once, from its start, and ``places`` tells where in it everything is."""
    async with pool.connection() as conn:
        cursor = await conn.execute(SELECT_OBJECTS, (project_id, list(oids)), binary=True)
        rows = await cursor.fetchall()
        if len(rows) != len(oids):
            raise LookupError(f"{len(oids) - len(rows)} objects of the repository of {project_id} are gone")
        rows.sort(key=lambda row: places[row[0]])
        for place, (oid, kind, _, _, base, *_) in enumerate(rows):
            if base is not None and places.get(base, len(places)) > places[oid]:
                tree, _ = await read_tree(conn, project_id, oid)
                rows[place] = (oid, kind, len(tree), git.compress(tree), None, None, None)
        return rows


async def _contents(pool: Pool, digests: Collection[bytes]) -> dict[bytes, bytes]:
    async with pool.connection() as conn:
        return dict(await contents.read(conn, digests))


def _groups(rows: Sequence[Row]) -> Iterable[list[Row]]:
    """Rows whose contents come to no more than a part."""
    group: list[Row] = []
    total = 0
    for row in rows:
        size = row[2] if row[6] is not None else 0
        if group and total + size > BATCH_BYTES:
            yield group
            group, total = [], 0
        group.append(row)
        total += size
    if group:
        yield group


def _encode(rows: Sequence[Row], data: dict[bytes, bytes]) -> bytes:
    entries: list[bytes] = []
    for _, kind, size, packed, base, start, content in rows:
        if content is not None:
            entries += (git.entry_header(kind, size), git.compress(start + data[content]))
        elif base is not None:
            entries += (git.entry_header(REF_DELTA, size, base), packed)
        else:
            entries += (git.entry_header(kind, size), packed)
    return b"".join(entries)
