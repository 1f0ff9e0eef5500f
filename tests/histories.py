"""Commits as the API makes them, for tests that write to the log directly, and random histories of them."""

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from domain.content import Content, Edit
from domain.skills import Changes, File, FileEdits, Skill
from domain.versioned import Versioned
from projections import artifacts
from projections.artifacts import Kind, Step
from projections.skills import SkillKind
from store.log import Commit, Idempotency
from store.mapper import to_stored

KINDS: dict[str, Kind] = {Skill.KIND: SkillKind()}


def commit_of(
    artifact: Versioned,
    contents: Sequence[Content] = (),
    *,
    project_id: int = 1,
    actor_id: int | None = None,
    idempotency_key: str | None = None,
    key_id: UUID | None = None,
    correlation_id: str | None = None,
) -> Commit:
    """The pending events of ``artifact`` with their read-model rows."""
    events = artifact.collect_events()
    data = {content.ref.sha256: content.data for content in contents}
    folded = artifacts.fold([Step(artifact, event, project_id, actor_id, data) for event in events], KINDS)
    claims: list[Any] = [(project_id, artifact.KIND, artifact.name)]
    if idempotency_key is not None:
        claims.append((key_id, idempotency_key))
    return Commit(
        events=tuple(to_stored(event) for event in events),
        command_id=uuid4(),
        project_id=project_id,
        actor_id=actor_id,
        key_id=key_id,
        correlation_id=correlation_id,
        contents=(*contents, *folded.parts),
        writes=folded.writes,
        idempotency=Idempotency(idempotency_key, b"f" * 32, 201) if idempotency_key else None,
        claims=tuple(claims),
    )


def new_skill(name: str, *, body: str = "# Body\n", **fields: Any) -> tuple[Skill, list[Content]]:
    fields.setdefault("description", f"What {name} does")
    return Skill.create(id=uuid4(), version_id=uuid4(), name=name, body=body, **fields)


def created(name: str, *, body: str = "# Body\n", **envelope: Any) -> tuple[Skill, Commit]:
    """A new skill and the commit that creates it."""
    skill, contents = new_skill(name, body=body)
    return skill, commit_of(skill, contents, **envelope)


def published(skill: Skill, body: str = "# More\n", **envelope: Any) -> tuple[Skill, Commit]:
    """The skill after one more version, and the commit that brings it; the given one stays as it is."""
    fork = skill.fork()
    contents = fork.publish(Changes(body=body), version_id=uuid4(), base_version=fork.number, texts={})
    return fork, commit_of(fork, contents, **envelope)


class History:
    """Random commands on a few names of a few projects; every commit fits the ones before it."""

    def __init__(self, seed: int, *, names: int = 6, projects: Sequence[int] = (1, 2)) -> None:
        self._random = random.Random(seed)
        self._names = [f"skill-{number}" for number in range(names)]
        self._projects = projects
        self._skills: dict[tuple[int, str], Skill] = {}
        self._texts: dict[str, str] = {}

    def next(self) -> Commit:
        """One more commit; append it before the next one is asked for."""
        rng = self._random
        key = rng.choice(self._projects), rng.choice(self._names)
        actor = rng.choice((None, 7, 8))
        skill = self._skills.get(key)
        if skill is None:
            sources = [known for (project, _), known in self._skills.items() if project == key[0]]
            if sources and rng.random() < 0.3:
                skill = rng.choice(sources).duplicate(id=uuid4(), version_id=uuid4(), name=key[1])
                contents: list[Content] = []
            else:
                files = [File(f"f{n}.txt", self._text()) for n in range(rng.randrange(3))]
                skill, contents = new_skill(key[1], body=self._text(), description=self._text(), files=files)
        else:
            skill = skill.fork()
            contents = self._change(skill)
        for content in contents:
            self._texts[content.ref.sha256] = content.data.decode()
        if skill.archived:
            del self._skills[key]
        else:
            self._skills[key] = skill
        return commit_of(skill, contents, project_id=key[0], actor_id=actor)

    def _change(self, skill: Skill) -> list[Content]:
        rng = self._random
        version_id, paths = uuid4(), sorted(skill.files)
        chosen = rng.choice(("publish", "publish", "edit", "add", "rename", "remove", "archive"))
        if chosen == "archive":
            skill.archive()
            return []
        if chosen == "add" or (chosen in ("rename", "remove") and not paths):
            file = File(f"added-{version_id}", self._text(), rng.choice(("text/plain", "text/x-python")))
            return skill.add_file(file, version_id=version_id, base_version=None)
        if chosen == "rename":
            skill.rename_file(
                rng.choice(paths), f"moved/{version_id}", version_id=version_id, base_version=None
            )
            return []
        if chosen == "remove":
            skill.remove_file(rng.choice(paths), version_id=version_id, base_version=None)
            return []
        changes = Changes(body=self._text(), metadata={"n": rng.random()}, description=self._text())
        if chosen == "edit":
            body = self._texts[skill.body.sha256]
            changes = Changes(edits=(Edit(body, body + self._text()),))
            if paths and (old := self._texts[skill.files[paths[0]].sha256]):
                changes = Changes(file_edits=(FileEdits(paths[0], (Edit(old, self._text()),)),))
        return skill.publish(changes, version_id=version_id, base_version=skill.number, texts=self._texts)

    def _text(self) -> str:
        return f"# Title {self._random.randrange(50)}\n\nStraße {self._random.randrange(10**6)}\n"
