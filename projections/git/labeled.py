"""The repository that shares of a label show: the skills that have it, a commit for each move of it.

It stands in the tables of the projects' repositories, under a number of its own from ``git_labels``, and has at its root what the one
of all shares has (see ``projections.git.shared``). A function of the log alone, like those.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from projections.git.history import (
    BATCH,
    RENAMED,
    UNYANKED,
    YANKED,
    BeingMade,
    Change,
    Histories,
    State,
    change_of,
    extend,
    lock_repository,
)
from projections.read.renames import NAMED_AT, PACKAGE_AT
from projections.read.yanks import YANKED_AT
from store.postgres.connection import Connection
from store.postgres.pool import Pool

TOPICS = ["skill.label_set", "skill.label_removed", "skill.archived", RENAMED, YANKED, UNYANKED]
KEY = "git_labels"

# git_labels_of_project
SELECT_NUMBER = "SELECT id FROM git_labels WHERE project_id = %s AND label = %s"
INSERT_NUMBER = "INSERT INTO git_labels (project_id, label) VALUES (%s, %s) ON CONFLICT DO NOTHING"

# git_repositories_pkey, git_commits_pkey, events_of_project
SELECT_STATE = """
SELECT git_repositories.position, git_repositories.sequence, git_commits.oid, git_commits.skills,
       coalesce((SELECT max(position) FROM events WHERE project_id = asked.project_id), 0)
FROM (SELECT %s::bigint AS id, %s::bigint AS project_id) AS asked
LEFT JOIN git_repositories ON git_repositories.project_id = asked.id
LEFT JOIN git_commits ON git_commits.project_id = asked.id AND git_commits.sequence = git_repositories.sequence
"""

# labels_pkey, versions_pkey, yanks_pkey. Nothing for a version that is yanked there.
POINTED = f"""(
    SELECT versions.number FROM labels
    JOIN versions ON versions.stream_id = labels.stream_id AND versions.number = labels.number
    WHERE labels.stream_id = events.stream_id AND labels.name = %(label)s
      AND since_position <= {{position}} AND (until_position IS NULL OR until_position > {{position}})
      AND NOT {YANKED_AT}
)"""

# events_of_project, name_spans_pkey, versions_pkey, yanks_pkey, contents_pkey, earlier_packages_pkey
SELECT_CHANGES = f"""
SELECT event.position, topic, recorded_at, actor_id, named.name, renamed.name, version.number, package.bytes, version.body,
       octet_length(body.bytes), manifest.bytes, manifest_before.bytes
FROM (
    SELECT * FROM (
        SELECT events.*, {POINTED.format(position="events.position")} AS points,
               {POINTED.format(position="events.position - 1")} AS pointed
        FROM events
        WHERE project_id = %(project)s AND position > %(after)s AND position <= %(until)s AND topic = ANY(%(topics)s)
    ) AS moves
    WHERE points IS DISTINCT FROM pointed OR (topic = '{RENAMED}' AND points IS NOT NULL)
    ORDER BY position LIMIT {BATCH}
) AS event
CROSS JOIN LATERAL ({NAMED_AT.format(stream="event.stream_id", position="event.position")}) AS named
LEFT JOIN LATERAL ({NAMED_AT.format(stream="event.stream_id", position="event.position - 1")}) AS renamed
    ON topic = '{RENAMED}'
LEFT JOIN LATERAL (
    SELECT versions.*, {PACKAGE_AT.format(position="event.position")} AS package_then FROM versions
    WHERE versions.stream_id = event.stream_id AND versions.number = event.points
) AS version ON true
LEFT JOIN versions AS before ON before.stream_id = event.stream_id AND before.number = event.pointed
LEFT JOIN contents AS package ON package.digest = version.package_then
LEFT JOIN contents AS body ON body.digest = version.body
LEFT JOIN contents AS manifest ON manifest.digest = version.manifest
LEFT JOIN contents AS manifest_before ON manifest_before.digest = before.manifest
ORDER BY event.position
"""


class LabeledRepository(NamedTuple):
    """``id`` is its number in the tables."""

    id: int
    project_id: int
    label: str


async def labeled_repository(pool: Pool, project_id: int, label: str) -> LabeledRepository:
    """The repository of a label, which gets its number when it is first asked for."""
    async with pool.connection() as conn:
        row = await (await conn.execute(SELECT_NUMBER, (project_id, label))).fetchone()
        if row is None:
            await conn.execute(INSERT_NUMBER, (project_id, label))
            row = await (await conn.execute(SELECT_NUMBER, (project_id, label))).fetchone()
    assert row is not None
    return LabeledRepository(row[0], project_id, label)


async def labeled_head(pool: Pool, histories: Histories, repository: LabeledRepository) -> bytes:
    """The id of the last commit, when there is one for everything that is in the log now. Raises NotServed."""
    deadline = histories.deadline()
    while True:
        async with pool.connection() as conn:
            state = await _state(conn, repository)
        if state.head is not None and state.complete:
            return state.head
        making = partial(_bring_forward, pool, histories, repository)
        if not await histories.make((KEY, repository.id), making, deadline):
            raise BeingMade(state.position / max(1, state.until))


async def _bring_forward(pool: Pool, histories: Histories, repository: LabeledRepository) -> None:
    """Make the commits that are missing, a transaction a batch."""
    number, project_id, _ = repository
    while True:
        async with pool.connection() as conn, conn.transaction():
            await lock_repository(conn, number)
            state = await _state(conn, repository)
            if state.head is not None and state.complete:
                return
            changes = await moves_after(conn, repository, state.position, state.until)
            histories.left_out(await extend(conn, number, project_id, state, changes, extension=True))


async def _state(conn: Connection, repository: LabeledRepository) -> State:
    asked = (repository.id, repository.project_id)
    row = await (await conn.execute(SELECT_STATE, asked, binary=True)).fetchone()
    assert row is not None
    position, sequence, head, skills, until = row
    return State(0, -1, None, None, until) if head is None else State(position, sequence, head, skills, until)


async def moves_after(
    conn: Connection, repository: LabeledRepository, after: int, until: int
) -> Sequence[Change]:
    """The next ``BATCH`` changes of what has the label, up to position ``until``. Raises NotRendered."""
    params = {
        "project": repository.project_id,
        "label": repository.label,
        "after": after,
        "until": until,
        "topics": TOPICS,
    }
    cursor = await conn.execute(SELECT_CHANGES, params, binary=True)
    return [change_of(row) for row in await cursor.fetchall()]
