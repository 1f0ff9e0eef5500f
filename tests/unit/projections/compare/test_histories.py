"""Summaries and differences of random histories: what they tell turns the one state into the other."""

from uuid import UUID

import msgspec
import pytest

from domain.artifacts.prompts import Prompt
from domain.artifacts.skills import FileRef, Skill
from domain.artifacts.versioned import Versioned
from domain.events import Event
from projections.compare.blame import Trail
from projections.compare.diff import compare, moves
from projections.events.changes import Changes, changes
from projections.read.sides import BODY, Side
from store.log.mapper import decode
from tests.support.histories import History

Steps = list[tuple[Event, Versioned, Versioned]]


def histories(seed: int, commits: int = 400) -> list[Steps]:
    """The steps of every stream of a random history."""
    history = History(seed, projects=(1,))
    streams: dict[UUID, Steps] = {}
    for _ in range(commits):
        for stored in history.next().events:
            event = decode(stored.topic, stored.state)
            cls = Skill if stored.topic.startswith("skill.") else Prompt
            steps = streams.setdefault(event.originator_id, [])
            before = steps[-1][2] if steps else cls(id=event.originator_id)
            after = before.fork()
            after.evolve(event)
            steps.append((event, before, after))
    return list(streams.values())


def applied(files: dict[str, FileRef], told: Changes) -> dict[str, FileRef]:
    """The files after what a summary tells."""
    after = dict(files)
    for gone in told.files.removed:
        assert after.pop(gone.path) == gone
    for moved in told.files.renamed:
        file = after.pop(moved.old_path)
        assert (file.size, file.sha256) == (moved.size, moved.sha256)
        after[moved.path] = msgspec.structs.replace(file, path=moved.path)
    for edited in told.files.edited:
        assert after[edited.path] == edited.before
        after[edited.path] = edited.after
    for new in told.files.added:
        assert new.path not in after
        after[new.path] = new
    return after


@pytest.mark.parametrize("seed", range(4))
def test_a_summary_turns_the_state_before_into_the_one_after(seed: int) -> None:
    for steps in histories(seed):
        for event, before, after in steps:
            told = changes(before, event, after)
            for field in after.COMPARED:
                assert (field in told.fields) == (before.compared(field) != after.compared(field))
            labels = dict(before.labels)
            for label in told.labels:
                assert labels.pop(label.name, None) == label.before
                if label.after is not None:
                    labels[label.name] = label.after
            assert labels == after.labels
            if isinstance(before, Skill) and isinstance(after, Skill):
                assert applied(before.files, told) == after.files


def side(skill: Skill) -> Side:
    return Side(
        fields={"description": skill.fields.description},
        metadata=skill.fields.metadata,
        text=FileRef(BODY, "text/markdown", skill.body.size, skill.body.sha256),
        files=skill.files,
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_difference_turns_one_version_into_any_other(seed: int) -> None:
    for steps in histories(seed):
        if not isinstance(steps[0][2], Skill):
            continue
        for first in range(0, len(steps), 2):
            old = steps[first][2]
            for last in range(first, len(steps), 3):
                new = steps[last][2]
                assert isinstance(old, Skill)
                assert isinstance(new, Skill)
                moved = moves(old.files, [event for event, _, _ in steps[first + 1 : last + 1]])
                back = {path: origin for origin, path in moved.items()}
                for before, after, pairs in ((old, new, moved), (new, old, back)):
                    files = dict(before.files)
                    for document in compare(side(before), side(after), pairs).files:
                        if document.before is not None:
                            assert files.pop(document.before.path) == document.before
                    for document in compare(side(before), side(after), pairs).files:
                        if document.after is not None:
                            files[document.after.path] = document.after
                    assert files == after.files


@pytest.mark.parametrize("seed", range(4))
def test_a_trail_ends_at_what_stands_there(seed: int) -> None:
    for steps in histories(seed):
        trail = Trail()
        for event, _, after in steps:
            trail.follow(event, after)
            body = after.body if isinstance(after, Skill) else getattr(after, "prompt", None)
            assert trail.of(None)[-1].ref == body
            for path, file in after.files.items() if isinstance(after, Skill) else ():
                assert trail.of(path)[-1].ref == file.ref
                assert trail.of(path)[-1].number <= after.number
