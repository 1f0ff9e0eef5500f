"""Are the commits of all projects what the log gives? Each is made once more and compared with what is stored.

A batch of events is in memory at a time. Reads only: what is stored after the check began is not looked at.
"""

import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg

from domain.formats import git
from projections.git.history import (
    BATCH,
    COMMITS,
    Blobs,
    Change,
    GitCommit,
    Line,
    Object,
    State,
    attributes_since,
    blobs_of,
    changes_after,
    read_tree,
)
from projections.git.labeled import LabeledRepository, moves_after
from projections.git.shared import COMMITS as SHARED_COMMITS
from projections.git.shared import originals_after, shared_of
from projections.read import contents
from store.postgres.connection import Connection

SELECT_REPOSITORIES = """
SELECT git_repositories.project_id, position, sequence, git_labels.project_id, label FROM git_repositories
LEFT JOIN git_labels ON git_labels.id = git_repositories.project_id
ORDER BY git_repositories.project_id
"""

# git_repositories_pkey
SELECT_SEQUENCE = "SELECT sequence FROM git_repositories WHERE project_id = %s"

# git_shared_commits_pkey
SELECT_LAST_SHARED = "SELECT coalesce(max(sequence), -1) FROM git_shared_commits WHERE project_id = %s"

# git_commits_pkey, git_shared_commits_pkey
SELECT_COMMITS = """
SELECT sequence, position, seconds, oid, tree, skills, objects FROM {table}
WHERE project_id = %s AND sequence BETWEEN %s AND %s
"""

# git_objects_pkey
SELECT_OBJECTS = """
SELECT oid, kind, size, packed, base, start, content, executable FROM git_objects
WHERE project_id = %s AND oid = ANY(%s)
"""


async def differences(conn: Connection, limit: int) -> tuple[str, ...]:
    """Up to ``limit`` sentences on what differs."""
    found: list[str] = []
    rows = await (await conn.execute(SELECT_REPOSITORIES)).fetchall()
    for number, position, sequence, owner, label in rows:
        its: list[str] = []
        labeled = None if label is None else LabeledRepository(number, owner, label)
        what = f"project {number}" if labeled is None else f"project {owner}, label {label}"
        try:
            async for difference in _of_repository(conn, number, position, sequence, labeled):
                its.append(f"{what}: {difference}")
                if len(found) + len(its) >= limit:
                    break
        except psycopg.OperationalError:
            raise
        except Exception as error:
            # Of what a damaged log or content gives, anything may come.
            its.append(f"{what}: not checked: {error!r}")
        # A replay that found the read models wrong drops the repositories meanwhile: they are made anew.
        if its and await _still_has(conn, number, sequence):
            found += its
    return tuple(found[:limit])


async def _still_has(conn: Connection, project_id: int, sequence: int) -> bool:
    row = await (await conn.execute(SELECT_SEQUENCE, (project_id,))).fetchone()
    return row is not None and row[0] >= sequence


async def _of_repository(
    conn: Connection, number: int, until: int, sequence: int, labeled: LabeledRepository | None
) -> AsyncIterator[str]:
    """``number`` is that of a project unless it is of a label."""
    state = State(0, -1, None, None, until, await attributes_since(conn))
    owner = number if labeled is None else labeled.project_id
    line = Line(owner, state, b"", 0, {}, extension=labeled is not None)
    line.begin()
    after, more = 0, True
    while more:
        if labeled is None:
            changes: Sequence[Change] = await changes_after(conn, number, after, until)
        else:
            changes = await moves_after(conn, labeled, after, until)
        # Not by the blobs that are stored: those are looked at, too.
        blobs = await blobs_of(conn, changes, Blobs({}, {}, []))
        for change in changes:
            line.commit(change, blobs)
        async for difference in _of_batch(conn, number, COMMITS, line.commits, [*line.objects, *blobs.new]):
            yield difference
        line.forget()
        more = len(changes) == BATCH
        after = changes[-1].position if changes else until
    if line.sequence != sequence:
        yield f"its last commit is {sequence}, and the log gives {line.sequence}"
    async for difference in _of_shares(conn, number):
        yield f"as its shares show it: {difference}"


async def _of_shares(conn: Connection, project_id: int) -> AsyncIterator[str]:
    """By the commits of the project, which are right by then, or are reported."""
    row = await (await conn.execute(SELECT_LAST_SHARED, (project_id,))).fetchone()
    last, sequence, head = row[0] if row else -1, -1, None
    while sequence < last:
        found = await originals_after(conn, project_id, sequence)
        originals = [one for one in found if one.sequence <= last]
        if not originals:
            yield f"its last commit is {last}, and the project's is {sequence}"
            return
        commits, objects = shared_of(project_id, originals, head)
        async for difference in _of_batch(conn, project_id, SHARED_COMMITS, commits, objects):
            yield difference
        sequence, head = commits[-1].sequence, commits[-1].oid


async def _of_batch(
    conn: Connection, project_id: int, table: str, commits: Sequence[GitCommit], made: Sequence[Object]
) -> AsyncIterator[str]:
    asked = (project_id, commits[0].sequence, commits[-1].sequence) if commits else None
    if asked is not None:
        sql = SELECT_COMMITS.format(table=table)
        rows = await (await conn.execute(sql, asked, binary=True)).fetchall()
        stored = {row[0]: row for row in rows}
        for one in commits:
            if stored.get(one.sequence) != (
                one.sequence, one.position, one.seconds, one.oid, one.tree, one.skills, one.objects
            ):  # fmt: skip
                yield f"commit {one.sequence} is not {one.oid.hex()} of position {one.position}"
    objects = {one.oid: one for one in made}
    kept = await (await conn.execute(SELECT_OBJECTS, (project_id, list(objects)), binary=True)).fetchall()
    for row in kept:
        if not await _is_right(conn, project_id, objects.pop(row[0]), row):
            yield f"object {row[0].hex()} has other bytes"
    for oid in objects:
        yield f"object {oid.hex()} lacks"


async def _is_right(conn: Connection, project_id: int, one: Object, row: tuple[Any, ...]) -> bool:
    _, kind, size, packed, base, start, content, executable = row
    if kind != one.kind:
        return False
    if packed is None:
        if (start, content) == (one.start, one.content):
            return bool(size == one.size and executable == one.executable)
        # The same bytes may come from elsewhere: a file may be a copy of a SKILL.md.
        data = (await contents.read(conn, [content])).get(content)
        return data is not None and git.oid_of(kind, start, data) == one.oid
    try:
        own = git.decompress(packed)
        whole = own if base is None else (await read_tree(conn, project_id, one.oid))[0]
    except (zlib.error, ValueError, IndexError):
        return False
    return len(own) == size and git.oid_of(kind, whole) == one.oid
