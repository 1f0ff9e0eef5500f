"""The skill's decisions: given events, when a command, then events or a refusal. No database, no clock."""

from typing import Any
from uuid import UUID

import pytest
from msgspec import UNSET

from domain.artifacts.skills import (
    Changes,
    File,
    FileEdits,
    FileRef,
    Skill,
    SkillArchived,
    SkillCreated,
    SkillFields,
    SkillFileAdded,
    SkillFileRemoved,
    SkillFileRenamed,
    SkillPublished,
    SkillRenamed,
)
from domain.content import MAX_FILES, Content, Edit
from domain.errors import FileExists, Invalid, NotFound, Refused, TooBig, VersionConflict
from domain.events import Event
from tests.support.histories import changes_of

ID, OTHER = UUID(int=1), UUID(int=2)
BODY = "# One\ntwo"


def given(*files: tuple[str, str], **fields: Any) -> Skill:
    """A skill as loaded from its first event."""
    created, _ = Skill.create(
        id=ID,
        version_id=UUID(int=11),
        name="pdf",
        fields=SkillFields("D", **fields),
        body=BODY,
        files=[File(path, text.encode(), "text/x") for path, text in files],
    )
    return loaded(created.collect_events())


def loaded(events: tuple[Event, ...]) -> Skill:
    skill = Skill(id=ID)
    for event in events:
        skill.evolve(event)
    return skill


def texts(*values: str) -> dict[bytes, bytes]:
    return {Content.of(value).digest: value.encode() for value in values}


def publish(skill: Skill, base: int = 1, *, read: tuple[str, ...] = (), **changes: Any) -> list[Content]:
    return skill.publish(
        changes_of(**changes), version_id=UUID(int=12), base_version=base, texts=texts(*read)
    )


def refused(kind: type[Refused], call: Any) -> Refused:
    with pytest.raises(kind) as error:
        call()
    return error.value


def test_create() -> None:
    skill, contents = Skill.create(
        id=ID,
        version_id=OTHER,
        name="pdf",
        fields=SkillFields("D"),
        body=BODY,
        files=[File("b", b"x"), File("a", b"y")],
    )

    [event] = skill.collect_events()
    assert isinstance(event, SkillCreated)
    assert (event.originator_id, event.originator_version, event.number, event.version_id) == (
        ID,
        1,
        1,
        OTHER,
    )
    assert event.body == Content.of(BODY).ref
    assert {content.data for content in contents} == {
        BODY.encode(),
        b'[{"level":1,"text":"One"}]',
        b"x",
        b"y",
    }
    assert list(skill.files) == ["a", "b"]
    assert skill.collect_events() == ()


def test_create_refuses_files_that_fit_in_no_tree_and_a_body_too_large() -> None:
    fields: dict[str, Any] = {"id": ID, "version_id": OTHER, "name": "pdf", "fields": SkillFields("D")}

    clash = [File("a", b""), File("a/b", b"")]
    assert refused(Invalid, lambda: Skill.create(**fields, body="x", files=clash)).attr == "files__1__path"
    assert refused(TooBig, lambda: Skill.create(**fields, body="x" * 1_000_001)).attr == "body"


def test_publish_of_nothing_is_a_version_and_everything_carries_forward() -> None:
    skill = given(("a", "x"), license="MIT", metadata={"k": 1})
    before = skill.fork()

    assert publish(skill) == []

    [event] = skill.collect_events()
    assert isinstance(event, SkillPublished)
    assert (event.originator_version, event.number, event.version_id) == (2, 2, UUID(int=12))
    assert (event.body, event.files, event.description, event.edited) == (UNSET, UNSET, UNSET, ())
    assert (skill.body, skill.files) == (before.body, before.files)
    assert skill.fields is before.fields


def test_publish_replaces_what_is_sent() -> None:
    skill = given(("a", "x"), license="MIT", metadata={"k": 1}, allowed_tools=("Read",))

    contents = publish(
        skill, license="", metadata={}, allowed_tools=(), files=(), body="new", description="E"
    )

    assert skill.fields == SkillFields("E")
    assert (skill.body, skill.files) == (Content.of("new").ref, {})
    assert {content.data for content in contents} == {b"new", b"[]"}


def test_publish_edits_body_and_files_in_one_version() -> None:
    skill = given(("a", "x"), ("b", "y"))
    changes: dict[str, Any] = {
        "edits": (Edit("two", "2"),),
        "file_edits": (FileEdits("a", (Edit("x", "z"),)),),
    }
    assert skill.texts_for(Changes(**changes)) == [skill.body, skill.files["a"].ref]

    publish(skill, read=(BODY, "x"), **changes)

    [event] = skill.collect_events()
    assert isinstance(event, SkillPublished)
    assert [(file.path, file.content_type, file.size) for file in event.edited] == [("a", "text/x", 1)]
    assert skill.body == Content.of("# One\n2").ref
    assert skill.files["a"].ref == Content.of("z").ref
    assert skill.files["b"].ref == Content.of("y").ref
    assert skill.number == 2


@pytest.mark.parametrize("base", [0, 2, 99])
def test_every_command_with_a_base_refuses_another_version(base: int) -> None:
    commands = [
        lambda skill: publish(skill, base),
        lambda skill: skill.add_file(File("b", b""), version_id=OTHER, base_version=base),
        lambda skill: skill.rename_file("nowhere", "b", version_id=OTHER, base_version=base),
        lambda skill: skill.remove_file("nowhere", version_id=OTHER, base_version=base),
    ]

    for command in commands:
        skill = given(("a", "x"))
        conflict = refused(VersionConflict, lambda command=command, skill=skill: command(skill))
        assert (conflict.attr, conflict.extra) == ("base_version", {"current_version": 1})
        assert skill.collect_events() == ()


def test_publish_refuses_edits_in_the_order_of_the_fields() -> None:
    bad, absent = (Edit("nowhere", ""),), FileEdits("b", (Edit("x", ""),))

    def publishing(**changes: Any) -> Refused:
        return refused(Invalid, lambda: publish(given(("a", "x")), read=(BODY, "x"), **changes))

    assert publishing(edits=bad, file_edits=(absent,)).attr == "edits__0__old"
    assert publishing(file_edits=(FileEdits("a", bad), absent)).attr == "file_edits__0__edits__0__old"
    missing = publishing(file_edits=(absent,))
    assert (missing.code, missing.attr, missing.extra) == (
        "file_not_found",
        "file_edits__0__path",
        {"file_path": "b"},
    )
    blank = publishing(edits=(Edit(BODY, " \n"),))
    assert (blank.code, blank.extra) == ("blank", {"edit_index": 0})
    big = publishing(file_edits=(FileEdits("a", (Edit("x", "y" * 1_000_001),)),))
    assert (big.code, big.extra) == ("max_size", {"edit_index": 0, "file_path": "a"})


def test_add_file() -> None:
    skill = given(("b", "x"))

    [content] = skill.add_file(File("a", b"y"), version_id=OTHER, base_version=None)

    [event] = skill.collect_events()
    assert isinstance(event, SkillFileAdded)
    assert (event.number, event.file.path, event.file.sha256) == (2, "a", content.ref.sha256)
    assert list(skill.files) == ["a", "b"]


def test_add_file_refuses_what_does_not_fit() -> None:
    def adding(skill: Skill, path: str) -> Any:
        return lambda: skill.add_file(File(path, b""), version_id=OTHER, base_version=1)

    assert refused(FileExists, adding(given(("a", "x")), "a")).attr == "path"
    assert refused(Invalid, adding(given(("a/b", "x")), "a")).code == "path_conflict"
    assert refused(Invalid, adding(given(("a", "x")), "a/b")).code == "path_conflict"
    full = given(*((str(number), "") for number in range(MAX_FILES)))
    assert refused(Invalid, adding(full, "one-more")).code == "max_length"


def test_rename_file() -> None:
    skill = given(("b", "x"), ("c", "y"))
    before = skill.files["b"]

    skill.rename_file("b", "z/b", version_id=OTHER, base_version=1)

    [event] = skill.collect_events()
    assert isinstance(event, SkillFileRenamed)
    assert (event.number, event.old_path, event.new_path) == (2, "b", "z/b")
    assert list(skill.files) == ["c", "z/b"]
    assert (skill.files["z/b"].ref, skill.files["z/b"].content_type) == (before.ref, before.content_type)


def test_rename_file_refuses_what_does_not_fit() -> None:
    def renaming(old: str, new: str) -> Any:
        skill = given(("a", "x"), ("b/c", "y"))
        return lambda: skill.rename_file(old, new, version_id=OTHER, base_version=None)

    assert refused(NotFound, renaming("aa", "z")).extra == {"suggestions": ["a"]}
    assert refused(FileExists, renaming("a", "b/c")).attr == "new_path"
    assert refused(FileExists, renaming("a", "a")).attr == "new_path"
    assert refused(Invalid, renaming("a", "b")).attr == "new_path"
    assert refused(Invalid, renaming("a", "b/c/d")).code == "path_conflict"
    renaming("b/c", "b")()
    renaming("a", "a/b")()


def test_remove_file() -> None:
    skill = given(("a", "x"), ("b", "y"))

    skill.remove_file("a", version_id=OTHER, base_version=1)

    [event] = skill.collect_events()
    assert isinstance(event, SkillFileRemoved)
    assert (event.number, event.path, list(skill.files)) == (2, "a", ["b"])
    refused(NotFound, lambda: skill.remove_file("a", version_id=OTHER, base_version=None))


def test_archive() -> None:
    skill = given()

    skill.archive()

    [event] = skill.collect_events()
    assert isinstance(event, SkillArchived)
    assert (event.originator_version, skill.archived, skill.number) == (2, True, 1)


def test_rename() -> None:
    skill = given(("a", "x"))
    before = skill.fork()

    skill.rename("other")

    [event] = skill.collect_events()
    assert isinstance(event, SkillRenamed)
    assert (event.originator_version, event.name, event.old_name) == (2, "other", before.name)
    assert (skill.name, skill.number, skill.version_id) == ("other", 1, before.version_id)
    assert (skill.fields, skill.body, skill.files) == (before.fields, before.body, before.files)


def test_a_rename_to_the_same_name_is_none() -> None:
    skill = given()

    skill.rename(skill.name)

    assert skill.collect_events() == ()


def test_what_was_renamed_is_copied_archived_and_restored_under_its_name() -> None:
    skill = given()
    skill.rename("other")

    copy = skill.duplicate(id=OTHER, version_id=UUID(int=13), name="copy")
    skill.archive()
    skill.restore()
    skill.rename("third")

    assert (copy.name, skill.name, skill.version) == ("copy", "third", 5)


def test_duplicate() -> None:
    skill = given(("a", "x"), license="MIT", metadata={"k": [1]}, allowed_tools=("Read",))
    publish(skill, body="two")

    copy = skill.duplicate(id=OTHER, version_id=UUID(int=13), name="copy")

    [event] = copy.collect_events()
    assert isinstance(event, SkillCreated)
    assert event.source is not None
    assert (event.source.stream_id, event.source.number) == (ID, 2)
    assert (copy.id, copy.name, copy.number, copy.version) == (OTHER, "copy", 1, 1)
    assert (copy.body, copy.outline, copy.files) == (skill.body, skill.outline, skill.files)
    assert copy.fields == SkillFields("D", license="MIT", metadata={"k": [1]}, allowed_tools=("Read",))


def test_a_fork_leaves_the_original_alone() -> None:
    skill = given(("a", "x"))
    fork = skill.fork()

    fork.remove_file("a", version_id=OTHER, base_version=1)

    assert (skill.number, list(skill.files), skill.pending) == (1, ["a"], ())


def test_events_are_folded_in_their_order_only() -> None:
    skill = given(("a", "x"))
    fork = skill.fork()
    fork.add_file(File("b", b""), version_id=OTHER, base_version=1)
    fork.rename_file("b", "c", version_id=OTHER, base_version=2)
    second, third = fork.collect_events()

    with pytest.raises(ValueError, match="does not follow"):
        skill.evolve(third)
    skill.evolve(second)
    skill.evolve(third)
    assert (skill.number, skill.files) == (3, fork.files)
    with pytest.raises(ValueError, match="does not follow"):
        Skill(id=OTHER).evolve(second)


def test_an_edit_of_words_carries_the_outline_forward() -> None:
    skill = given()
    before = skill.outline
    contents = publish(skill, edits=(Edit("two", "three"),), read=(BODY,))
    assert [content.data for content in contents] == [b"# One\nthree"]
    assert skill.outline == before
    _, headings = publish(skill, 2, edits=(Edit("One", "Two"),), read=("# One\nthree",))
    assert headings.data == b'[{"level":1,"text":"Two"}]'
    assert skill.outline == headings.ref


def test_the_description_of_a_version_is_not_carried_forward() -> None:
    skill = given(("a", "x"))
    publish(skill, version_description="Why")
    assert skill.version_description == "Why"
    publish(skill, 2, license="MIT")
    assert skill.version_description == ""
    for change in (
        lambda: skill.add_file(File("b", b""), version_id=OTHER, base_version=None),
        lambda: skill.rename_file("b", "c", version_id=OTHER, base_version=None),
        lambda: skill.remove_file("c", version_id=OTHER, base_version=None),
    ):
        publish(skill, skill.number, version_description="Why")
        change()
        assert skill.version_description == ""


def test_a_file_knows_its_lines_and_characters() -> None:
    skill = given(("a", "é\nb"), ("b", ""))
    assert [(file.line_count, file.char_count) for file in skill.files.values()] == [(2, 3), (0, 0)]
    skill.add_file(File("c", b"\xff"), version_id=OTHER, base_version=None)
    assert (skill.files["c"].line_count, skill.files["c"].char_count) == (None, None)


def test_a_file_is_the_same_whether_it_is_counted_or_not() -> None:
    counted = given(("a", "x")).files["a"]
    old = FileRef(counted.path, counted.content_type, counted.size, counted.sha256)
    assert old != counted
    assert old.same(counted)
    assert not old.same(given(("a", "y")).files["a"])
