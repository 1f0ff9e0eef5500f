"""Labels of every kind: given versions, when a label is set, moved or removed, then its event or a refusal."""

from typing import Any
from uuid import UUID

import pytest

from domain.artifacts.kinds import KINDS
from domain.artifacts.labels import MAX_LABELS
from domain.artifacts.prompts import Prompt, PromptChanges
from domain.artifacts.skills import Changes, Skill, SkillFields
from domain.artifacts.versioned import Versioned
from domain.errors import Invalid, NotFound, VersionNotFound

ID = UUID(int=1)


def given(kind: str, versions: int = 2) -> Versioned:
    """An artifact with so many versions, and nothing pending."""
    artifact: Skill | Prompt
    if kind == Skill.KIND:
        artifact, _ = Skill.create(
            id=ID, version_id=UUID(int=1), name="one", fields=SkillFields("d"), body="# 1\n", files=[]
        )
    else:
        artifact, _ = Prompt.create(id=ID, version_id=UUID(int=1), name="one", prompt=b'"1"')
    for number in range(2, versions + 1):
        new: Any = {"version_id": UUID(int=number), "base_version": number - 1, "texts": {}}
        if isinstance(artifact, Skill):
            artifact.publish(Changes(body=f"# {number}\n"), **new)
        else:
            artifact.publish(PromptChanges(prompt=b"2"), **new)
    artifact.collect_events()
    return artifact


pytestmark = pytest.mark.parametrize("kind", KINDS)


def test_a_label_is_set_moved_and_removed(kind: str) -> None:
    artifact = given(kind)

    assert artifact.set_label("live", 1) is False
    assert artifact.set_label("live", 2) is True
    assert artifact.labels == {"live": 2}
    artifact.remove_label("live")
    assert artifact.labels == {}

    events = artifact.collect_events()
    assert [type(event) for event in events] == [
        artifact.LABEL_SET,
        artifact.LABEL_SET,
        artifact.LABEL_REMOVED,
    ]
    assert [event.originator_version for event in events] == [3, 4, 5]


def test_a_label_that_is_there_already_is_no_event(kind: str) -> None:
    artifact = given(kind)
    artifact.set_label("live", 2)
    artifact.collect_events()

    assert artifact.set_label("live", 2) is True

    assert artifact.collect_events() == ()


def test_what_is_not_there_is_refused(kind: str) -> None:
    artifact = given(kind)

    with pytest.raises(NotFound):
        artifact.remove_label("live")
    for number in (0, 3, -1):
        with pytest.raises(VersionNotFound) as caught:
            artifact.set_label("live", number)
        assert caught.value.extra == {"available_versions": [2, 1]}
    assert artifact.collect_events() == ()


def test_there_are_no_more_labels_than_an_answer_shows(kind: str) -> None:
    artifact = given(kind)
    for number in range(MAX_LABELS):
        artifact.set_label(f"l{number}", 1)

    with pytest.raises(Invalid) as caught:
        artifact.set_label("more", 1)

    assert (caught.value.code, caught.value.attr) == ("max_length", "label_name")
    assert artifact.set_label("l0", 2) is True


def test_a_publish_leaves_them_where_they_are(kind: str) -> None:
    artifact = given(kind, versions=1)
    artifact.set_label("live", 1)
    if isinstance(artifact, Skill):
        artifact.publish(Changes(body="# 2\n"), version_id=UUID(int=2), base_version=1, texts={})
    elif isinstance(artifact, Prompt):
        artifact.publish(PromptChanges(prompt=b"2"), version_id=UUID(int=2), base_version=1, texts={})

    assert (artifact.number, artifact.labels) == (2, {"live": 1})


def test_they_end_with_the_archive_and_stay_ended(kind: str) -> None:
    artifact = given(kind)
    artifact.set_label("live", 1)

    artifact.archive()
    assert artifact.labels == {}
    artifact.restore()
    assert artifact.labels == {}


def test_a_copy_has_none(kind: str) -> None:
    artifact = given(kind)
    artifact.set_label("live", 1)

    assert artifact.duplicate(id=UUID(int=9), version_id=UUID(int=9), name="copy").labels == {}
