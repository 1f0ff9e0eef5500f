"""The repository that shares show: commit by commit the project's, with a file at the root by which Gemini knows it.

A function of the project's commits, and so of the log alone. ``git_shared_commits`` has the shape of ``git_commits``, and its
objects lie with the others in ``git_objects``.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

import msgspec

from domain.formats import git, marketplace
from domain.formats.git import BLOB, COMMIT, FILE, OID, TREE, TreeEntry
from projections.git.history import BeingMade, GitCommit, Histories, Object, insert_commits, lock_repository
from store.postgres.connection import Connection
from store.postgres.pool import Pool

BATCH = 500  # commits of one transaction, some 2 KB each
COMMITS = "git_shared_commits"

# git_shared_commits_pkey, git_repositories_pkey
SELECT_STATE = """
SELECT last.sequence, last.oid, git_repositories.sequence
FROM git_repositories
LEFT JOIN LATERAL (
    SELECT sequence, oid FROM git_shared_commits AS shared WHERE shared.project_id = git_repositories.project_id
    ORDER BY sequence DESC LIMIT 1
) AS last ON true
WHERE git_repositories.project_id = %s
"""

# git_commits_pkey, git_objects_pkey. Commits and roots are stored whole.
SELECT_COMMITS = """
SELECT sequence, position, seconds, skills, objects, own.packed, root.packed
FROM git_commits
JOIN git_objects AS own ON own.project_id = git_commits.project_id AND own.oid = git_commits.oid
JOIN git_objects AS root ON root.project_id = git_commits.project_id AND root.oid = git_commits.tree
WHERE git_commits.project_id = %s AND sequence > %s ORDER BY sequence LIMIT %s
"""


class Original(msgspec.Struct, frozen=True):
    """A commit of the project; its own object and its root as they are stored."""

    sequence: int
    position: int
    seconds: int
    skills: bytes | None
    objects: bytes
    packed: bytes
    root: bytes


class State(msgspec.Struct, frozen=True):
    """The last commit here (``sequence`` -1: there is none), and the last of the project."""

    sequence: int
    head: bytes | None
    until: int


async def shared_head(pool: Pool, histories: Histories, project_id: int) -> bytes:
    """The id of the last commit, when there is one for everything that is in the log now. Raises NotServed."""
    deadline = histories.deadline()
    await histories.head(project_id)
    while True:
        async with pool.connection() as conn:
            state = await _state(conn, project_id)
        if state.head is not None and state.sequence >= state.until:
            return state.head
        if not await histories.make(
            (COMMITS, project_id), partial(_bring_forward, pool, project_id), deadline
        ):
            raise BeingMade(max(0, state.sequence) / state.until)


async def _bring_forward(pool: Pool, project_id: int) -> None:
    """Make the commits that are missing, a transaction a batch."""
    while True:
        async with pool.connection() as conn, conn.transaction():
            await lock_repository(conn, project_id)
            state = await _extend(conn, project_id, await _state(conn, project_id))
        if state.head is not None and state.sequence >= state.until:
            return


async def _state(conn: Connection, project_id: int) -> State:
    row = await (await conn.execute(SELECT_STATE, (project_id,), binary=True)).fetchone()
    if row is None:
        raise LookupError(f"project {project_id} has no repository")
    return State(-1 if row[0] is None else row[0], row[1], row[2])


async def _extend(conn: Connection, project_id: int, state: State) -> State:
    originals = await originals_after(conn, project_id, state.sequence)
    if not originals:
        return state
    commits, objects = await asyncio.to_thread(shared_of, project_id, originals, state.head)
    await insert_commits(conn, project_id, COMMITS, commits, objects)
    return State(commits[-1].sequence, commits[-1].oid, state.until)


async def originals_after(conn: Connection, project_id: int, sequence: int) -> list[Original]:
    cursor = await conn.execute(SELECT_COMMITS, (project_id, sequence, BATCH), binary=True)
    return [Original(*row) for row in await cursor.fetchall()]


def shared_of(
    project_id: int, originals: Sequence[Original], head: bytes | None
) -> tuple[list[GitCommit], list[Object]]:
    """The commits that follow ``head``, and the objects that they have beside the project's."""
    commits, objects = [], []
    for one in originals:
        extension = _object(BLOB, marketplace.extension(project_id, one.sequence))
        entry = TreeEntry(FILE, marketplace.EXTENSION.encode(), extension.oid)
        root = _object(TREE, git.encode_tree([*git.decode_tree(git.decompress(one.root)), entry]))
        commit = _object(COMMIT, git.with_parent(git.decompress(one.packed), root.oid, head))
        head = commit.oid
        own = [commit, root, extension]
        objects += own
        # Its commit and its root come first, and are not sent here.
        ids = b"".join(part.oid for part in own) + one.objects[2 * OID :]
        commits.append(GitCommit(one.sequence, one.position, one.seconds, head, root.oid, one.skills, ids))
    return commits, objects


def _object(kind: int, data: bytes) -> Object:
    return Object(git.oid_of(kind, data), kind, len(data), git.compress(data, git.KEPT))
