"""What an event changed, told from the states around it."""

from typing import Any
from uuid import UUID, uuid4

from domain.artifacts.prompts import Prompt, PromptChanges
from domain.artifacts.skills import Changes, File, FileEdits, Skill, SkillFields
from domain.artifacts.versioned import Versioned
from domain.content import Content, Edit
from projections.events.changes import Changes as Told
from projections.events.changes import changes
from tests.support.histories import new_skill


def told(artifact: Versioned, before: Versioned, names: dict[UUID, str] | None = None) -> Told:
    """The summary of the one event that ``artifact`` has pending."""
    (event,) = artifact.pending
    artifact.pending = ()
    return changes(before, event, artifact, names)


def skill(**fields: Any) -> Skill:
    made, _ = new_skill("pdf", **{"description": "d", "body": "b\n", **fields})
    made.pending = ()
    return made


def test_a_creation_sets_all_fields_that_have_a_value() -> None:
    made, _ = Skill.create(
        id=uuid4(),
        version_id=uuid4(),
        name="pdf",
        fields=SkillFields("d", license="MIT"),
        body="b\n",
        files=[File("a.txt", b"x")],
    )
    summary = told(made, Skill(id=made.id))
    assert summary.fields == ["name", "description", "body", "license"]
    assert summary.content is not None
    assert summary.content.before is None
    assert summary.content.after == Content.of("b\n").ref
    assert [(file.path, file.size) for file in summary.files.added] == [("a.txt", 1)]
    assert summary.source is None


def test_a_publish_tells_fields_and_files_that_differ() -> None:
    old = skill(files=[File("a", b"1"), File("b", b"2"), File("c", b"3")], metadata={"k": 1})
    new = old.fork()
    new.publish(
        Changes(
            fields={"description": "other", "metadata": {"k": 1}},
            files=(File("a", b"1"), File("b", b"two"), File("d", b"4")),
        ),
        version_id=uuid4(),
        base_version=1,
        texts={},
    )
    summary = told(new, old)
    assert summary.fields == ["description"]
    assert summary.content is None
    assert [file.path for file in summary.files.added] == ["d"]
    assert [file.path for file in summary.files.removed] == ["c"]
    assert [(file.path, file.before.size, file.after.size) for file in summary.files.edited] == [("b", 1, 3)]
    assert summary.files.edited[0].after.sha256 == Content.of("two").ref.sha256
    assert summary.files.renamed == []


def test_edits_of_a_file_tell_that_file_alone() -> None:
    old = skill(files=[File("a", b"1"), File("b", b"2")])
    new = old.fork()
    texts = {Content.of("1").digest: b"1"}
    new.publish(
        Changes(file_edits=(FileEdits("a", (Edit("1", "one"),)),)),
        version_id=uuid4(),
        base_version=1,
        texts=texts,
    )
    summary = told(new, old)
    assert [file.path for file in summary.files.edited] == ["a"]
    assert summary.fields == []


def test_a_rename_is_no_removal_and_no_addition() -> None:
    old = skill(files=[File("a", b"1"), File("b", b"2")])
    new = old.fork()
    new.rename_file("a", "z", version_id=uuid4(), base_version=None)
    files = told(new, old).files
    assert [(file.old_path, file.path, file.size) for file in files.renamed] == [("a", "z", 1)]
    assert (files.added, files.removed, files.edited) == ([], [], [])


def test_a_revert_names_its_version_and_a_duplicate_its_source() -> None:
    old = skill()
    second = old.fork()
    second.publish(Changes(body="c\n"), version_id=uuid4(), base_version=1, texts={})
    second.pending = ()
    third = second.fork()
    third.revert(old, version_id=uuid4(), base_version=2)
    summary = told(third, second)
    assert summary.reverted_to == 1
    assert summary.fields == ["body"]

    copy = second.duplicate(id=uuid4(), version_id=uuid4(), name="copy")
    source = told(copy, Skill(id=copy.id), {second.id: "pdf"}).source
    assert source is not None
    assert (source.name, source.version, source.stream_id) == ("pdf", 2, second.id)


def test_labels_tell_where_they_pointed_and_point() -> None:
    prompt, _ = Prompt.create(id=uuid4(), version_id=uuid4(), name="p", prompt=b'"one"')
    prompt.pending = ()
    second = prompt.fork()
    second.publish(PromptChanges(config='{"t":1}'), version_id=uuid4(), base_version=1, texts={})
    assert told(second, prompt).fields == ["config"]
    labeled = second.fork()
    labeled.set_label("production", 1)
    (label,) = told(labeled, second).labels
    assert (label.name, label.before, label.after) == ("production", None, 1)
    moved = labeled.fork()
    moved.set_label("production", 2)
    (label,) = told(moved, labeled).labels
    assert (label.before, label.after) == (1, 2)
    archived = moved.fork()
    archived.archive()
    (label,) = told(archived, moved).labels
    assert (label.before, label.after) == (2, None)
