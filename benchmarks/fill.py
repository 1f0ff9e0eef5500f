"""Projects of any size, made fast: the product's own aggregates, fold and append, many artifacts to a transaction.

What it leaves is what as many requests would have left, so `skald verify` holds; only HTTP and waiting are saved.
"""

from collections.abc import Iterator
from uuid import uuid4

from benchmarks import document
from domain.artifacts.skills import Changes, Skill, SkillFields
from projections.read.kinds import KINDS
from projections.write.artifacts import AppliedEvent, fold
from store.log.log import Commit, append
from store.log.mapper import to_stored
from store.postgres.connection import Connection
from store.tables import identity

EMAIL = "bench@example.com"
SCOPES = ("llm_skill:write", "llm_prompt:write", "event:read")
EVENTS = 1_000  # in one transaction

# Of 64 topics one is in each description, so that a search for it finds a 64th of the project, and the number finds one.
TOPICS = tuple(
    f"{first}{second}"
    for first in ("sales", "legal", "audit", "trade", "cargo", "field", "staff", "press")
    for second in ("forms", "notes", "plans", "terms", "lists", "rules", "steps", "dates")
)


def name_of(number: int) -> str:
    return f"skill-{number:06d}"


def description_of(number: int) -> str:
    return f"Reads and fills in {TOPICS[number % len(TOPICS)]}, by the way number {number:06d}."


async def project(conn: Connection, name: str, *, key: bool = True) -> tuple[int, str]:
    """A new project, and a key of its own that may write and follow (empty without ``key``)."""
    made = await identity.create_project(conn, name)
    if not key:
        return made.id, ""
    _, secret = await identity.create_key(conn, email=EMAIL, scopes=list(SCOPES), project_ids=[made.id])
    return made.id, secret


async def skills(conn: Connection, project_id: int, count: int, *, versions: int = 1, first: int = 0) -> None:
    """``count`` skills of ``versions`` versions each; every body is ``document.body(1)``, the descriptions differ."""
    for commits in _batches(_commits(project_id, count, versions, first)):
        await append(conn, commits)


def _commits(project_id: int, count: int, versions: int, first: int) -> Iterator[Commit]:
    text = document.body(1)
    for number in range(first, first + count):
        skill, contents = Skill.create(
            id=uuid4(),
            version_id=uuid4(),
            name=name_of(number),
            fields=SkillFields(description_of(number)),
            body=text,
        )
        texts = {content.digest: content.data for content in contents}
        steps = [AppliedEvent(skill.fork(), skill.pending[-1], project_id, 1, texts)]
        for version in range(2, versions + 1):
            # A field that no search looks at, as most changes are.
            changes = Changes(fields={"license": f"Terms {version}"})
            contents += skill.publish(changes, version_id=uuid4(), base_version=skill.number, texts=texts)
            steps.append(AppliedEvent(skill.fork(), skill.pending[-1], project_id, 1, texts))
        pending = skill.collect_events()
        for begin in range(0, len(pending), EVENTS):
            rows = fold(steps[begin : begin + EVENTS], KINDS)
            yield Commit(
                events=tuple(map(to_stored, pending[begin : begin + EVENTS])),
                command_id=uuid4(),
                project_id=project_id,
                actor_id=1,
                key_id=uuid4(),
                correlation_id=uuid4().hex,
                contents=(*contents, *rows.parts),
                writes=rows.writes,
            )


def _batches(commits: Iterator[Commit]) -> Iterator[list[Commit]]:
    batch: list[Commit] = []
    events = 0
    for commit in commits:
        # Two parts of one skill go one after the other, as its versions do.
        if batch and (events + len(commit.events) > EVENTS or _same(batch[-1], commit)):
            yield batch
            batch, events = [], 0
        batch.append(commit)
        events += len(commit.events)
    if batch:
        yield batch


def _same(one: Commit, other: Commit) -> bool:
    return one.events[0].originator_id == other.events[0].originator_id
