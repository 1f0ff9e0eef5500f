"""The fold of the projection ``search``: changes of artifacts in; entries, parts and words out."""

from typing import Any
from uuid import UUID, uuid4

from domain.artifacts.skills import Changes, File, Skill, SkillFields
from projections.read.kinds import KINDS
from projections.write.changes import Change
from projections.write.search import (
    BEGUN,
    EARLIER,
    ENDED,
    LATEST,
    STORED,
    WORDS_ADDED,
    Field,
    difference,
    fold,
    short,
)

ID = uuid4()


class Story:
    """A skill and what happened to it."""

    def __init__(self) -> None:
        self.contents: dict[bytes, bytes] = {}
        self.changes: list[Change] = []
        self.skill = Skill(id=ID)

    def created(self, body: str = "One.\n", **files: str) -> "Story":
        self.skill, contents = Skill.create(
            id=ID,
            version_id=uuid4(),
            name="it",
            fields=SkillFields("Does it."),
            body=body,
            files=[File(path, text.encode()) for path, text in files.items()],
        )
        self._took(None, contents)
        return self

    def published(self, **fields: Any) -> "Story":
        before = self.skill.fork()
        changes = Changes(**fields)
        contents = self.skill.publish(
            changes, version_id=uuid4(), base_version=before.number, texts=self.contents
        )
        self._took(before, contents)
        return self

    def archived(self) -> "Story":
        before = self.skill.fork()
        self.skill.archive()
        self._took(before, [])
        return self

    def _took(self, before: Skill | None, contents: list[Any]) -> None:
        self.skill.collect_events()
        self.contents |= {content.digest: content.data for content in contents}
        self.changes.append(Change(before, self.skill.fork(), 7))

    def rows(self, *, known: bool = False) -> dict[str, list[Any]]:
        """By statement; ``known``: the project has all contents already."""
        writes = fold(self.changes, {} if known else self.contents, KINDS)
        return {statement.name: [*rows] for statement, rows in writes.items()}

    def entries(self) -> set[tuple[Any, ...]]:
        """Field, path, since and until."""
        return {row[1:5] for row in self.rows()[BEGUN.name]}


def test_given_a_new_skill_then_each_text_has_an_entry_and_its_parts() -> None:
    story = Story().created(**{"a.txt": "File."})
    assert story.entries() == {
        (Field.NAME, "", 1, None),
        (Field.DESCRIPTION, "", 1, None),
        (Field.BODY, "", 1, None),
        (Field.FILE_PATH, "a.txt", 1, None),
        (Field.FILE_CONTENT, "a.txt", 1, None),
    }
    rows = story.rows()
    assert {row[4] for row in rows[STORED.name]} == {"it", "does it.", "one. ", "a.txt", "file."}
    assert {row[1] for row in rows[WORDS_ADDED.name]} == {"does", "one", "txt", "file"}
    assert ENDED.name not in rows
    assert EARLIER.name not in rows


def test_given_a_binary_file_then_only_its_path_is_sought() -> None:
    story = Story().created(**{"a.bin": "\0"})
    assert {entry[0] for entry in story.entries()} == {
        Field.NAME,
        Field.DESCRIPTION,
        Field.BODY,
        Field.FILE_PATH,
    }


def test_given_a_publish_then_what_it_changed_ends_and_begins_and_all_else_stays() -> None:
    story = Story().created().published(body="Two.\n")
    [change] = story.changes[1:]
    assert set(difference(change).begun) == set(difference(change).ended) == {(Field.BODY, "")}
    assert (Field.BODY, "", 1, 2) in story.entries(), "both in one batch: the first has its end"
    assert (Field.BODY, "", 2, None) in story.entries()

    story.changes = story.changes[1:]
    rows = story.rows()
    assert rows[ENDED.name] == [(ID, Field.BODY, "", 2)]
    assert [row[1:5] for row in rows[BEGUN.name]] == [(Field.BODY, "", 2, None)]
    assert len(rows[EARLIER.name]) == 1


def test_given_a_text_that_comes_back_then_it_has_two_entries() -> None:
    story = (
        Story()
        .created("A.\n")
        .published(body="B.\n")
        .published(body="A.\n")
        .published(fields={"license": "x"})
    )
    bodies = {entry[2:] for entry in story.entries() if entry[0] == Field.BODY}
    assert bodies == {(1, 2), (2, 3), (3, None)}


def test_given_a_text_that_the_project_has_then_it_is_not_read_again() -> None:
    story = Story().created()
    rows = story.rows(known=True)
    assert [key for _, key in rows[LATEST.name]] == [story.skill.body.digest]
    assert {row[4] for row in rows[STORED.name]} == {"it", "does it."}


def test_given_an_archive_then_nothing_is_written() -> None:
    story = Story().created().archived()
    story.changes = story.changes[1:]
    assert story.rows() == {}


def test_the_same_words_in_two_fields_are_two_texts() -> None:
    assert short(Field.NAME, "pdf").digest != short(Field.DESCRIPTION, "pdf").digest
    assert isinstance(ID, UUID)
