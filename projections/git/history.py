"""The commits of a project: one for each event that changes what can be installed, made at the first request for them.

A function of the log alone, so that the same log has the same commits everywhere: dropped, they come back with the same ids.
The tables ``git_repositories``, ``git_commits`` and ``git_objects`` are only ever extended.
"""

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from domain.artifacts.skills import FileRef
from domain.formats import git, marketplace
from domain.formats.git import BLOB, COMMIT, FILE, FOLDER, TREE, Leaf, TreeEntry
from projections.read import contents
from projections.read.packages import SKILL_MD
from projections.read.renames import NAMED_AT, PACKAGE_AT
from projections.read.skills import read_package
from projections.read.yanks import YANKED_AT
from store.postgres.connection import Connection
from store.postgres.pool import Pool

ARCHIVED = "skill.archived"
RENAMED = "skill.renamed"
YANKED = "skill.version_yanked"
UNYANKED = "skill.version_unyanked"
TOPICS = [
    "skill.created",
    "skill.published",
    "skill.file_added",
    "skill.file_renamed",
    "skill.file_removed",
    ARCHIVED,
    "skill.restored",
    RENAMED,
    YANKED,
    UNYANKED,
]

BATCH = 200  # events of one transaction
READ_BATCH = 16 * 2**20  # bytes of contents in memory at a time
MAX_LISTED = 5  # paths in one line of the log
MAX_DEPTH = 50  # deltas to apply for one tree, as git itself has it

# With the project in the lower bits; the classes of the other locks are small numbers.
LOCK = "SELECT pg_advisory_xact_lock(%s)"
LOCK_CLASS = 0x6769 << 48

# Seconds that a request waits for commits to be made: clients of git wait without a word, and proxies give up after 30 and more.
WAIT = 10.0
# Each commit has a list of all skills, 60 bytes each, that is hashed and stored as its difference, whole every 50 commits:
# at so many, 2 ms and 60 KB a commit, and a repository of ten versions of each is 30 GB.
MAX_SKILLS = 50_000

# events_of_project
SELECT_FIRST = "SELECT coalesce(min(position), 0) FROM events WHERE project_id = %s"

# artifact_counts_pkey
SELECT_SKILLS = "SELECT active FROM artifact_counts WHERE project_id = %s AND kind = 'skill'"

# git_repositories_pkey, git_commits_pkey, events_of_project
SELECT_STATE = """
SELECT git_repositories.position, git_repositories.sequence, git_commits.oid, git_commits.skills,
       coalesce((SELECT max(position) FROM events WHERE project_id = asked.id), 0)
FROM (SELECT %s::bigint AS id) AS asked
LEFT JOIN git_repositories ON project_id = asked.id
LEFT JOIN git_commits ON git_commits.project_id = asked.id AND git_commits.sequence = git_repositories.sequence
"""

# events_of_project, name_spans_pkey, versions_by_position, yanks_pkey, contents_pkey, earlier_packages_pkey
SELECT_CHANGES = f"""
SELECT event.position, topic, recorded_at, actor_id, named.name, renamed.name, version.number, package.bytes, version.body,
       octet_length(body.bytes), manifest.bytes, manifest_before.bytes
FROM (
    SELECT * FROM events
    WHERE project_id = %s AND position > %s AND position <= %s AND topic = ANY(%s)
      -- Of yanks, those by which another version is the latest.
      AND CASE WHEN topic IN ('{YANKED}', '{UNYANKED}') THEN convert_from(state, 'UTF8')::jsonb -> 'latest' IS NOT NULL ELSE true END
    ORDER BY position LIMIT {BATCH}
) AS event
CROSS JOIN LATERAL ({NAMED_AT.format(stream="event.stream_id", position="event.position")}) AS named
LEFT JOIN LATERAL ({NAMED_AT.format(stream="event.stream_id", position="event.position - 1")}) AS renamed
    ON topic = '{RENAMED}'
LEFT JOIN LATERAL (
    SELECT versions.*, {PACKAGE_AT.format(position="event.position")} AS package_then FROM versions
    WHERE stream_id = event.stream_id AND versions.position <= event.position
      AND NOT {YANKED_AT.format(position="event.position")}
    ORDER BY versions.position DESC LIMIT 1
) AS version ON topic <> '{ARCHIVED}'
LEFT JOIN LATERAL (
    SELECT manifest FROM versions
    WHERE stream_id = event.stream_id AND versions.position < event.position
      AND NOT {YANKED_AT.format(position="event.position - 1")}
    ORDER BY versions.position DESC LIMIT 1
) AS before ON topic <> '{ARCHIVED}'
LEFT JOIN contents AS package ON package.digest = version.package_then
LEFT JOIN contents AS body ON body.digest = version.body
LEFT JOIN contents AS manifest ON manifest.digest = version.manifest
LEFT JOIN contents AS manifest_before ON manifest_before.digest = before.manifest
ORDER BY event.position
"""

# git_objects_of_content
SELECT_KNOWN = """
SELECT content, oid, executable FROM git_objects WHERE project_id = %s AND start = '' AND content = ANY(%s)
"""

# git_objects_pkey
SELECT_CHAIN = """
WITH RECURSIVE chain AS (
    SELECT oid, base, packed FROM git_objects WHERE project_id = %(project)s AND oid = %(oid)s
    UNION ALL
    SELECT older.oid, older.base, older.packed FROM chain
    JOIN git_objects AS older ON older.project_id = %(project)s AND older.oid = chain.base
)
SELECT packed FROM chain
"""

# git_objects_pkey
SELECT_DEPTHS = "SELECT oid, depth FROM git_objects WHERE project_id = %s AND oid = ANY(%s)"

INSERT_OBJECTS = """
INSERT INTO git_objects (project_id, oid, kind, size, packed, base, depth, start, content, executable)
SELECT %s, * FROM unnest(%s::bytea[], %s::smallint[], %s::int[], %s::bytea[], %s::bytea[], %s::smallint[], %s::bytea[],
                         %s::bytea[], %s::bool[])
ON CONFLICT DO NOTHING
"""

INSERT_COMMITS = """
INSERT INTO {table} (project_id, sequence, position, seconds, oid, tree, skills, objects)
SELECT %s, * FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::bytea[], %s::bytea[], %s::bytea[], %s::bytea[])
"""

UPSERT_STATE = """
INSERT INTO git_repositories (project_id, position, sequence) VALUES (%s, %s, %s)
ON CONFLICT (project_id) DO UPDATE SET position = excluded.position, sequence = excluded.sequence
"""

# Of an older release, commits before this position stay without the file of attributes, so that they keep their ids. The
# table is no part of what FORGET drops.
SELECT_SINCE = "SELECT since FROM git_attributes"

FORGET = "TRUNCATE git_repositories, git_commits, git_shared_commits, git_objects"

COMMITS = "git_commits"

logger = logging.getLogger(__name__)

manifest_decoder = msgspec.json.Decoder(tuple[FileRef, ...])


class NotRendered(Exception):
    """A version has no SKILL.md yet: it was written before those were stored; replay the read models."""


class NotServed(Exception):
    """The answer to a client of git in place of a repository."""


class BeingMade(NotServed):
    """The commits are not all made within the time that a request waits; the making goes on."""

    def __init__(self, share: float) -> None:
        super().__init__(
            f"the git repository of this project is being made, {share:.0%} so far; try again in a minute"
        )


class TooManySkills(NotServed):
    """A tree of so many skills is not written anew for each change."""

    def __init__(self, skills: int, limit: int) -> None:
        super().__init__(
            f"this project has {skills} skills, and a git repository is made of at most {limit}; get single skills as ZIP archives"
        )


class Change(msgspec.Struct, frozen=True):
    """One event as a commit needs it. ``old_name`` is there for a rename alone. ``number`` and what follows are None for an archive; digests are raw bytes."""

    position: int
    topic: str
    recorded_at: datetime
    actor_id: int | None
    name: str
    old_name: str | None
    number: int | None
    head: bytes
    body: bytes
    body_size: int
    files: tuple[FileRef, ...]
    files_before: tuple[FileRef, ...]


class Object(msgspec.Struct, frozen=True):
    """A row of ``git_objects``."""

    oid: bytes
    kind: int
    size: int
    packed: bytes | None = None
    base: bytes | None = None
    depth: int = 0
    start: bytes | None = None
    content: bytes | None = None
    executable: bool = False


class GitCommit(msgspec.Struct, frozen=True):
    """A row of ``git_commits``."""

    sequence: int
    position: int
    seconds: int
    oid: bytes
    tree: bytes
    skills: bytes | None
    objects: bytes


class State(msgspec.Struct, frozen=True):
    """How far the commits go (``sequence`` -1: there is none), and how far the log of the project does.

    Commits of positions from ``since`` on have git's attributes at the root, and no others.
    """

    position: int
    sequence: int
    head: bytes | None
    skills: bytes | None
    until: int
    since: int = 0

    @property
    def complete(self) -> bool:
        return self.head is not None and self.position >= self.until


class Histories:
    """The repositories of all projects. One process works on a project, in one task of this process.

    A request waits for that task for a while; it goes on behind the request, and the next one finds what it has made.
    """

    def __init__(
        self,
        pool: Pool,
        left_out: Callable[[int], None] = lambda count: None,
        *,
        wait: float = WAIT,
        max_skills: int = MAX_SKILLS,
    ) -> None:
        """``left_out`` takes how many files new commits lack, because git cannot hold them."""
        self._pool = pool
        self.left_out = left_out
        self._wait = wait
        self._max_skills = max_skills
        self._makings: dict[tuple[str, int], asyncio.Task[Any]] = {}

    async def head(self, project_id: int) -> bytes:
        """The id of the last commit, when there is one for everything that is in the log now. Raises NotServed."""
        deadline = self.deadline()
        while True:
            async with self._pool.connection() as conn:
                state = await read_state(conn, project_id)
                if state.head is not None and state.complete:
                    return state.head
                await self._check_size(conn, project_id)
            making = partial(bring_forward, self._pool, project_id, self.left_out)
            if not await self.make((COMMITS, project_id), making, deadline):
                raise BeingMade(await self._share_made(project_id))

    def deadline(self) -> float:
        """Until when a request that comes now may wait, by the clock of the loop."""
        return asyncio.get_running_loop().time() + self._wait

    async def make(
        self, key: tuple[str, int], making: Callable[[], Coroutine[Any, Any, Any]], deadline: float
    ) -> bool:
        """Wait for a ``making`` of this key, started unless it is under way; False when it is not done by ``deadline``."""
        task = self._makings.get(key)
        if task is None:
            task = self._makings[key] = asyncio.create_task(making())
            task.add_done_callback(partial(self._ended, key))
        done, _ = await asyncio.wait([task], timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        if not done:
            return False
        task.result()
        return True

    async def close(self) -> None:
        """End all makings; what is made of them stays."""
        makings = list(self._makings.values())
        for task in makings:
            task.cancel()
        await asyncio.gather(*makings, return_exceptions=True)

    def _ended(self, key: tuple[str, int], task: asyncio.Task[Any]) -> None:
        del self._makings[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("the git repository of project %d is not made: %s", key[1], error)

    async def _check_size(self, conn: Connection, project_id: int) -> None:
        row = await (await conn.execute(SELECT_SKILLS, (project_id,))).fetchone()
        if row is not None and row[0] > self._max_skills:
            raise TooManySkills(row[0], self._max_skills)

    async def _share_made(self, project_id: int) -> float:
        """How much of the project's log has its commits, from 0 to 1."""
        async with self._pool.connection() as conn:
            state = await read_state(conn, project_id)
            row = await (await conn.execute(SELECT_FIRST, (project_id,))).fetchone()
        first = row[0] if row is not None else 0
        return max(0, state.position - first) / max(1, state.until - first)


async def bring_forward(
    pool: Pool, project_id: int, left_out: Callable[[int], None] = lambda count: None
) -> bytes:
    """Make the commits that are missing, a transaction a batch; return the id of the last one."""
    while True:
        async with pool.connection() as conn, conn.transaction():
            await lock_repository(conn, project_id)
            # Behind the lock, so with all that others have done.
            state = await read_state(conn, project_id)
            if state.head is not None and state.complete:
                return state.head
            changes = await changes_after(conn, project_id, state.position, state.until)
            left_out(await extend(conn, project_id, project_id, state, changes))


async def lock_repository(conn: Connection, project_id: int) -> None:
    """Until the transaction ends; what is read after it has all that others have done."""
    await conn.execute(LOCK, (LOCK_CLASS | project_id,))


async def insert_commits(
    conn: Connection, project_id: int, table: str, commits: Sequence["GitCommit"], objects: Sequence["Object"]
) -> None:
    """``table`` is ``git_commits`` or one of its shape."""
    await _insert(conn, INSERT_OBJECTS, project_id, [msgspec.structs.astuple(one) for one in objects])
    rows = [msgspec.structs.astuple(one) for one in commits]
    await _insert(conn, INSERT_COMMITS.format(table=table), project_id, rows)


async def count(conn: Connection) -> int:
    """How many repositories there are, of projects and of labels that shares serve."""
    row = await (await conn.execute("SELECT count(*) FROM git_repositories")).fetchone()
    return int(row[0]) if row else 0


async def forget(conn: Connection) -> None:
    """Drop the repositories of all projects; they are made again at the next request, with the same ids."""
    await conn.execute(FORGET)


async def read_state(conn: Connection, project_id: int) -> State:
    row = await (await conn.execute(SELECT_STATE, (project_id,), binary=True)).fetchone()
    assert row is not None
    position, sequence, head, skills, until = row
    if head is None:
        return State(0, -1, None, None, until)
    return State(position, sequence, head, skills, until)


async def attributes_since(conn: Connection) -> int:
    row = await (await conn.execute(SELECT_SINCE)).fetchone()
    assert row is not None
    return int(row[0])


async def read_tree(conn: Connection, project_id: int, oid: bytes) -> tuple[bytes, int]:
    """The bytes of a tree, and by how many deltas they are stored."""
    params = {"project": project_id, "oid": oid}
    rows = await (await conn.execute(SELECT_CHAIN, params, binary=True)).fetchall()
    *deltas, whole = (git.decompress(row[0]) for row in rows)
    for instructions in reversed(deltas):
        whole = git.patch(whole, instructions)
    return whole, len(deltas)


async def extend(
    conn: Connection,
    repository: int,
    project_id: int,
    state: State,
    changes: Sequence[Change],
    *,
    extension: bool = False,
) -> int:
    """Make the commits of the next changes; how many files they lack. ``repository`` is its number, that of the project or another."""
    blobs = await blobs_of(conn, changes, await _known_of(conn, repository, changes))
    trees = (await read_tree(conn, repository, state.skills)) if state.skills else (b"", 0)
    state = msgspec.structs.replace(state, since=await attributes_since(conn))
    commit = partial(_commit_all, project_id, state, trees, changes, blobs, extension=extension)
    line = await asyncio.to_thread(commit, {})
    if line.left_out:
        paths = ", ".join(line.left_out[:MAX_LISTED])
        logger.warning(
            "%d files are left out of the git repository of project %d: %s",
            len(line.left_out), project_id, paths,
        )  # fmt: skip
    again = await _depths_of(conn, repository, {commit.skills for commit in line.commits} - {None})
    if again:
        # Some trees were there before, as after a restore: what builds on them counts from their real depth.
        line = await asyncio.to_thread(commit, again)
    await insert_commits(conn, repository, COMMITS, line.commits, line.objects)
    position = changes[-1].position if len(changes) == BATCH else state.until
    await conn.execute(UPSERT_STATE, (repository, position, line.sequence))
    return len(line.left_out)


async def _depths_of(conn: Connection, project_id: int, oids: Collection[bytes | None]) -> dict[bytes, int]:
    """By how many deltas those are stored that are stored already."""
    rows = await (await conn.execute(SELECT_DEPTHS, (project_id, list(oids)), binary=True)).fetchall()
    return dict(rows)


async def _insert(conn: Connection, sql: str, project_id: int, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        await conn.execute(sql, (project_id, *map(list, zip(*rows, strict=True))))


async def changes_after(conn: Connection, project_id: int, after: int, until: int) -> list[Change]:
    """The next ``BATCH`` changes, up to position ``until``. Raises NotRendered."""
    cursor = await conn.execute(SELECT_CHANGES, (project_id, after, until, TOPICS), binary=True)
    return [change_of(row) for row in await cursor.fetchall()]


def change_of(row: tuple[Any, ...]) -> Change:
    (
        position,
        topic,
        recorded_at,
        actor_id,
        name,
        old_name,
        number,
        package,
        body,
        body_size,
        files,
        before,
    ) = row
    if number is None:
        return Change(position, topic, recorded_at, actor_id, name, None, None, b"", b"", 0, (), ())
    if package is None:
        raise NotRendered(f"version {number} of the skill {name}")
    _, head = read_package(package)
    manifests = (manifest_decoder.decode(part) if part else () for part in (files, before))
    return Change(
        position, topic, recorded_at, actor_id, name, old_name, number, head, body, body_size, *manifests
    )


class Blobs(msgspec.Struct, frozen=True):
    """Blobs by the SHA-256 of a file's content, and of each SKILL.md by the position of its event."""

    files: dict[bytes, Leaf]
    skills: dict[int, bytes]
    new: list[Object]


async def _known_of(conn: Connection, project_id: int, changes: Sequence[Change]) -> Blobs:
    """The blobs of files that are stored already."""
    cursor = await conn.execute(SELECT_KNOWN, (project_id, list(_files_of(changes))), binary=True)
    return Blobs({row[0]: Leaf(row[1], row[2]) for row in await cursor.fetchall()}, {}, [])


def _files_of(changes: Sequence[Change]) -> dict[bytes, int]:
    """Digests and sizes."""
    return {ref.ref.digest: ref.size for change in changes for ref in (*change.files, *change.files_before)}


async def blobs_of(conn: Connection, changes: Sequence[Change], blobs: Blobs) -> Blobs:
    """Add to ``blobs`` what is not known yet, read a part at a time; nothing of it is kept but ids."""
    refs = _files_of(changes)
    missing = {digest: size for digest, size in refs.items() if digest not in blobs.files}
    for part in parts(missing.items()):
        data = await contents.read(conn, part)
        blobs.new.extend(await asyncio.to_thread(_file_blobs, data))
    for one in blobs.new:
        assert one.content is not None
        blobs.files[one.content] = Leaf(one.oid, one.executable)
    rendered = [change for change in changes if change.number is not None]
    bodies = {change.body: change.body_size for change in rendered}
    for part in parts(bodies.items()):
        data = await contents.read(conn, part)
        these = [change for change in rendered if change.body in data]
        made = await asyncio.to_thread(_skill_blobs, these, data)
        blobs.new.extend(made)
        blobs.skills.update((change.position, one.oid) for change, one in zip(these, made, strict=True))
    return blobs


def parts(sizes: Iterable[tuple[bytes, int]], limit: int = READ_BATCH) -> Iterable[list[bytes]]:
    """Keys in groups that come to no more than ``limit`` bytes together; a larger one stands alone."""
    part: list[bytes] = []
    total = 0
    for key, size in sizes:
        if part and total + size > limit:
            yield part
            part, total = [], 0
        part.append(key)
        total += size
    if part:
        yield part


def _file_blobs(data: Mapping[bytes, bytes]) -> list[Object]:
    return [
        Object(
            git.oid_of(BLOB, content),
            BLOB,
            len(content),
            start=b"",
            content=digest,
            executable=git.is_executable(content),
        )
        for digest, content in data.items()
    ]


def _skill_blobs(changes: Sequence[Change], data: Mapping[bytes, bytes]) -> list[Object]:
    return [
        Object(
            git.oid_of(BLOB, change.head, data[change.body]),
            BLOB,
            len(change.head) + len(data[change.body]),
            start=change.head,
            content=change.body,
        )
        for change in changes
    ]


def _commit_all(
    project_id: int,
    state: State,
    trees: tuple[bytes, int],
    changes: Sequence[Change],
    blobs: Blobs,
    depths: Mapping[bytes, int],
    *,
    extension: bool,
) -> "Line":
    line = Line(project_id, state, *trees, depths, extension=extension)
    line.objects.extend(blobs.new)
    if state.head is None:
        line.begin()
    for change in changes:
        line.commit(change, blobs)
    return line


# Which place in the tree of all skills changes, its new entry, and the one that it had.
Splice = tuple[int, bytes, bytes]


class Line:
    """The commits of one project, one after the other; ``objects`` and ``commits`` are the rows that they bring.

    ``depths`` tells of trees of all skills that are stored already by how many deltas they are. With ``extension`` each commit has
    the file at the root by which Gemini knows it (see ``projections.git.shared``).
    """

    def __init__(
        self,
        project_id: int,
        state: State,
        tree: bytes,
        depth: int,
        depths: Mapping[bytes, int],
        *,
        extension: bool = False,
    ) -> None:
        self._project_id = project_id
        self._extension = extension
        self.sequence = state.sequence
        self._head = state.head
        self._since = state.since
        # Paths with the names of their skills, as far as commits of this line lack them.
        self.left_out: list[str] = []
        self.objects: list[Object] = []
        self.commits: list[GitCommit] = []
        # The tree of all skills: its entries by their order, its id, its bytes, and by how many deltas it is stored.
        self._entries = {entry.order: entry for entry in git.decode_tree(tree)}
        self._order = sorted(self._entries)
        self._skills = state.skills
        self._tree = tree
        self._depth = depth
        self._depths = dict(depths)
        self._marketplace = self._whole(BLOB, marketplace.marketplace(project_id))
        self._attributes = self._whole(BLOB, marketplace.ATTRIBUTES)

    def begin(self) -> None:
        """The first commit, with a marketplace and no skill."""
        self._append([self._marketplace], 0, 0, marketplace.who(None), marketplace.first_message())

    def commit(self, change: Change, blobs: Blobs) -> None:
        """What the event did to the tree."""
        new: list[Object] = []
        others: list[bytes] = []
        left_out: list[str] = []
        if change.number is None:
            self._remove(change.name)
        else:
            holds = self._rule(change)
            held = {file.path: file for file in change.files if holds(file.path)}
            left_out = [file.path for file in change.files if file.path not in held]
            self.left_out += [f"{change.name}/{path}" for path in left_out]
            leaves = {path: blobs.files[file.ref.digest] for path, file in held.items()}
            oid = blobs.skills[change.position]
            folders = git.folders({SKILL_MD: Leaf(oid, False), **leaves})
            before = self._objects_before(change, blobs)
            new = [self._whole(TREE, data) for tree, data in folders.items() if tree not in before]
            others = [oid, *(leaf.oid for leaf in leaves.values() if leaf.oid not in before)]
            self._put(change.name, list(folders)[-1], change.old_name)
        message = marketplace.message(
            change.topic,
            change.name,
            change.old_name,
            change.number,
            self.sequence + 1,
            change.position,
            left_out,
        )
        # Whole seconds, and never below those of a commit before.
        seconds = int(change.recorded_at.timestamp())
        who = marketplace.who(change.actor_id)
        self._append(new, change.position, seconds, who, message, others)

    def forget(self) -> None:
        """Go on without the rows so far."""
        self.objects, self.commits, self._depths = [], [], {}

    def _rule(self, change: Change) -> Callable[[str], bool]:
        return git.holds if change.position >= self._since else git.held_before

    def _objects_before(self, change: Change, blobs: Blobs) -> set[bytes]:
        """What the version before had in its folders: no reader of the commit before needs it again."""
        if change.topic in ("skill.created", "skill.restored", RENAMED, YANKED, UNYANKED):
            return set()
        holds = self._rule(change)
        if any(holds(file.path) != git.held_before(file.path) for file in change.files_before):
            # It may be from before the rule, and have had more; to list again what is there is no harm.
            return set()
        leaves = {file.path: blobs.files[file.ref.digest] for file in change.files_before if holds(file.path)}
        return {*git.folders(leaves), *(leaf.oid for leaf in leaves.values())}

    def _put(self, name: str, tree: bytes, old_name: str | None = None) -> None:
        """The folder of a skill; with ``old_name`` in place of the one that it had."""
        splices = [] if old_name is None else [self._taken_out(old_name)]
        entry = TreeEntry(FOLDER, name.encode(), tree)
        at = bisect_left(self._order, entry.order)
        old = self._entries.get(entry.order)
        if old is None:
            self._order.insert(at, entry.order)
        self._entries[entry.order] = entry
        self._change([*splices, (at, entry.encoded, old.encoded if old else b"")])

    def _remove(self, name: str) -> None:
        self._change([self._taken_out(name)])

    def _taken_out(self, name: str) -> Splice:
        order = TreeEntry(FOLDER, name.encode(), b"").order
        at = bisect_left(self._order, order)
        del self._order[at]
        return at, b"", self._entries.pop(order).encoded

    def _change(self, splices: Sequence[Splice]) -> None:
        """The tree of all skills with entries changed one after the other, stored as its difference from the one before."""
        tree, before, after = self._tree, len(self._tree), len(self._tree)
        for at, new, old in splices:
            start = self._offset(tree, at, old)
            before, after = min(before, start), min(after, len(tree) - start - len(old))
            tree = tree[:start] + new + tree[start + len(old) :]
        if not tree:
            self._skills, self._tree, self._depth = None, b"", 0
            return
        oid = git.oid_of(TREE, tree)
        if oid in self._depths:
            self._depth = self._depths[oid]
        elif self._skills is None or self._depth >= MAX_DEPTH:
            self.objects.append(self._whole(TREE, tree))
            self._depth = 0
        else:
            instructions = git.delta(self._tree, tree, before, after)
            self._depth += 1
            self.objects.append(
                Object(
                    oid,
                    TREE,
                    len(instructions),
                    git.compress(instructions, git.KEPT),
                    self._skills,
                    self._depth,
                )
            )
        self._skills, self._tree = oid, tree
        self._depths[oid] = self._depth

    def _offset(self, tree: bytes, at: int, old: bytes) -> int:
        """Where in a tree the entry of this place is, or goes, which is before the one that follows.

        No name has a space, so that an entry, with its id, is found nowhere but where it stands.
        """
        if not old and at + 1 < len(self._order):
            old = self._entries[self._order[at + 1]].encoded
        return tree.index(old) if old else len(tree)

    def _append(
        self,
        new: list[Object],
        position: int,
        seconds: int,
        who: str,
        message: str,
        others: Sequence[bytes] = (),
    ) -> None:
        self.sequence += 1
        plugin = self._whole(BLOB, marketplace.plugin(self._project_id, self.sequence))
        files = [
            TreeEntry(FILE, marketplace.MARKETPLACE.encode(), self._marketplace.oid),
            TreeEntry(FILE, marketplace.PLUGIN.encode(), plugin.oid),
        ]
        folder = self._whole(TREE, git.encode_tree(files))
        top = [TreeEntry(FOLDER, marketplace.FOLDER.encode(), folder.oid)]
        if self._skills is not None:
            top.append(TreeEntry(FOLDER, marketplace.SKILLS.encode(), self._skills))
        attributes = [self._attributes] if position >= self._since else []
        top += [TreeEntry(FILE, marketplace.ATTRIBUTES_FILE.encode(), one.oid) for one in attributes]
        extension = []
        if self._extension:
            extension = [self._whole(BLOB, marketplace.extension(self._project_id, self.sequence))]
            top.append(TreeEntry(FILE, marketplace.EXTENSION.encode(), extension[0].oid))
        root = self._whole(TREE, git.encode_tree(top))
        commit = self._whole(COMMIT, git.encode_commit(root.oid, self._head, who, seconds, message))
        own = [commit, root, folder, plugin, *attributes, *extension]
        self.objects += [*own, *new]
        self._head = commit.oid
        skills = [self._skills] if self._skills is not None else []
        ids = [*(one.oid for one in own), *skills, *(one.oid for one in new), *others]
        self.commits.append(
            GitCommit(
                self.sequence,
                position,
                seconds,
                commit.oid,
                root.oid,
                self._skills,
                b"".join(dict.fromkeys(ids)),
            )
        )

    @staticmethod
    def _whole(kind: int, data: bytes) -> Object:
        return Object(git.oid_of(kind, data), kind, len(data), git.compress(data, git.KEPT))
