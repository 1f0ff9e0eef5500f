"""Commits as the API makes them, for tests that write to the log directly, and random histories of them."""

import random
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec

from domain.artifacts.prompts import Prompt, PromptChanges
from domain.artifacts.skills import FIELDS, Changes, File, FileEdits, Skill, SkillFields
from domain.artifacts.versioned import Versioned
from domain.content import Content, Edit
from domain.events import Event
from projections.read.kinds import KINDS
from projections.write import artifacts
from projections.write.artifacts import AppliedEvent
from store.log.log import Commit, Idempotency, append
from store.log.mapper import to_stored
from store.postgres.pool import connect


def commit_of(
    artifact: Versioned,
    contents: Sequence[Content] = (),
    *,
    project_id: int = 1,
    actor_id: int | None = None,
    idempotency_key: str | None = None,
    key_id: UUID | None = None,
    correlation_id: str | None = None,
    known: Mapping[bytes, bytes] | None = None,
) -> Commit:
    """The pending events of ``artifact`` with their read-model rows. ``known`` has contents stored earlier, by digest."""
    events = artifact.collect_events()
    data: dict[bytes, bytes] = {**(known or {}), **{content.digest: content.data for content in contents}}
    steps = [
        AppliedEvent(state, event, project_id, actor_id, data)
        for state, event in states_after(artifact, events)
    ]
    folded = artifacts.fold(steps, KINDS)
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


def states_after(artifact: Versioned, events: Sequence[Event]) -> list[tuple[Versioned, Event]]:
    """Each event with the state that it led to; ``artifact`` is the one after the last. Several must be all that it has."""
    if len(events) == 1:
        return [(artifact, events[0])]
    state, found = type(artifact)(id=artifact.id), []
    for event in events:
        state = state.fork()
        state.evolve(event)
        found.append((state, event))
    return found


def new_skill(name: str, *, body: str = "# Body\n", **fields: Any) -> tuple[Skill, list[Content]]:
    fields.setdefault("description", f"What {name} does")
    files = fields.pop("files", ())
    return Skill.create(
        id=uuid4(), version_id=uuid4(), name=name, body=body, files=files, fields=SkillFields(**fields)
    )


def changes_of(**given: Any) -> Changes:
    """Changes to parts of a version and to its fields, each by its name."""
    fields = {name: given.pop(name) for name in FIELDS if name in given}
    return Changes(**given, fields=fields)


async def seed(database_url: str, project_id: int, events: int) -> None:
    """That many events in a project, five hundred of a skill, faster than by requests."""
    async with await connect(database_url) as conn:
        for _ in range(events // 500):
            skill, contents = new_skill(f"seed-{uuid4()}")
            for number in range(499):
                contents += skill.publish(
                    Changes(body=f"# {number}\n"), version_id=uuid4(), base_version=skill.number, texts={}
                )
            await append(conn, [commit_of(skill, contents, project_id=project_id, correlation_id="x" * 100)])


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
        self._random, self._marks = random.Random(seed), random.Random(seed)
        self._names = [f"name-{number}" for number in range(names)]
        self._projects = projects
        self._active: dict[tuple[int, str, str], Skill | Prompt] = {}
        self._archived: dict[tuple[int, str, str], Skill | Prompt] = {}
        self._data: dict[bytes, bytes] = {}

    def next(self) -> Commit:
        """One more commit; append it before the next one is asked for."""
        while True:
            rng = self._random
            kind = rng.choice((Skill.KIND, Skill.KIND, Prompt.KIND))
            key = rng.choice(self._projects), kind, rng.choice(self._names)
            known = self._active.get(key)
            artifact: Skill | Prompt
            contents: list[Content]
            if known is not None and rng.random() < 0.1:
                artifact, contents = known.fork(), []
                artifact.rename(
                    rng.choice(
                        [name for name in self._names if (*key[:2], name) not in self._active] or [key[2]]
                    )
                )
            elif known is None:
                artifact, contents = self._new(key)
            else:
                artifact = known.fork()
                if self._marks.random() < 0.15:
                    contents = self._mark(artifact)
                elif isinstance(artifact, Skill):
                    contents = self._change_skill(artifact)
                else:
                    contents = self._change_prompt(artifact)
            if artifact.pending:
                break
        self._data.update((content.digest, content.data) for content in contents)
        self._active.pop(key, None)
        key = (*key[:2], artifact.name)
        if artifact.archived:
            self._archived[key] = artifact
        else:
            self._active[key] = artifact
        return commit_of(
            artifact, contents, project_id=key[0], actor_id=rng.choice((None, 7, 8)), known=self._data
        )

    def _new(self, key: tuple[int, str, str]) -> tuple[Skill | Prompt, list[Content]]:
        rng, (project, kind, name) = self._random, key
        ids: dict[str, Any] = {"id": uuid4(), "version_id": uuid4(), "name": name}
        sources = [known for place, known in self._active.items() if place[:2] == (project, kind)]
        old = self._archived.get(key)
        chosen = rng.random()
        if old is not None and chosen < 0.4:
            old = self._archived.pop(key).fork()
            old.restore()
            return old, []
        if sources and chosen < 0.6:
            return rng.choice(sources).duplicate(**ids), []
        if kind == Prompt.KIND:
            return Prompt.create(**ids, prompt=self._value(), config=rng.choice((None, '{"t":1}')))
        files = [File(f"f{n}.txt", self._text().encode()) for n in range(rng.randrange(3))]
        return Skill.create(**ids, body=self._text(), fields=SkillFields(self._text()), files=files)

    def _mark(self, artifact: Skill | Prompt) -> list[Content]:
        rng = self._marks
        if rng.random() < 0.5:
            artifact.set_owners(rng.sample((7, 8, 9), rng.randrange(4)))
        else:
            artifact.set_tags(tuple(sorted(rng.sample(("api", "docs", "ä"), rng.randrange(4)))))
        return []

    def _change_prompt(self, prompt: Prompt) -> list[Content]:
        rng = self._random
        chosen = rng.choice(("publish", "publish", "config", "label", "label", "unlabel", "archive"))
        if chosen == "archive":
            prompt.archive()
        elif chosen in ("label", "unlabel"):
            self._label(prompt, chosen)
        else:
            changes = (
                PromptChanges(config="null") if chosen == "config" else PromptChanges(prompt=self._value())
            )
            return prompt.publish(changes, version_id=uuid4(), base_version=prompt.number, texts=self._data)
        return []

    def _label(self, artifact: Versioned, chosen: str) -> None:
        rng = self._random
        if chosen == "label":
            artifact.set_label(rng.choice(("production", "staging")), rng.randint(1, artifact.number))
        elif artifact.labels:
            artifact.remove_label(rng.choice(sorted(artifact.labels)))

    def _change_skill(self, skill: Skill) -> list[Content]:
        rng = self._random
        version_id, paths = uuid4(), sorted(skill.files)
        chosen = rng.choice(
            ("publish", "publish", "edit", "add", "rename", "remove", "label", "unlabel", "archive")
        )
        if chosen == "archive":
            skill.archive()
            return []
        if chosen in ("label", "unlabel"):
            self._label(skill, chosen)
            return []
        if chosen == "add" or (chosen in ("rename", "remove") and not paths):
            file = File(
                f"added-{version_id}", self._text().encode(), rng.choice(("text/plain", "text/x-python"))
            )
            return skill.add_file(file, version_id=version_id, base_version=None)
        if chosen == "rename":
            skill.rename_file(
                rng.choice(paths), f"moved/{version_id}", version_id=version_id, base_version=None
            )
            return []
        if chosen == "remove":
            skill.remove_file(rng.choice(paths), version_id=version_id, base_version=None)
            return []
        changes = changes_of(body=self._text(), metadata={"n": rng.random()}, description=self._text())
        if chosen == "edit":
            body = self._data[skill.body.digest].decode()
            changes = Changes(edits=(Edit(body, body[:200] + self._text()),))
            if paths and (old := self._data[skill.files[paths[0]].ref.digest].decode()):
                changes = Changes(file_edits=(FileEdits(paths[0], (Edit(old, self._text()),)),))
        return skill.publish(changes, version_id=version_id, base_version=skill.number, texts=self._data)

    def _text(self) -> str:
        return f"# Title {self._random.randrange(50)}\n\nStraße {self._random.randrange(10**6)}\n"

    def _value(self) -> bytes:
        """A prompt: a text or a chat, as compact JSON."""
        text = self._text()
        return msgspec.json.encode(
            text if self._random.random() < 0.5 else [{"role": "user", "content": text}]
        )
