"""A draft and a newer version put together: what only one has changed is taken, what both have changed is said."""

import copy
from typing import Any

from console.editing.drafts import Draft, DraftFile
from console.editing.kind import Field
from console.editing.rebasing import needed, rebased, trios
from domain.artifacts.skills import FileRef
from domain.content import Content

FIELDS = (Field("line", "Line", "line"), Field("config", "Config", "json"))
CONTENTS: dict[bytes, bytes] = {}


def stored(number: int, path: str, data: bytes) -> DraftFile:
    content = Content.of(data)
    CONTENTS[content.digest] = data
    return DraftFile(number, path, "text/plain", kept=FileRef.of(path, "text/plain", content), origin=path)


def version(number: int, *files: tuple[str, bytes], **fields: str) -> Draft:
    return Draft(
        "one",
        number,
        "a\nb\nc\n",
        {"line": "", "config": "", **fields},
        files=[stored(place, *file) for place, file in enumerate(files, 1)],
        next_file=len(files) + 1,
    )


def put_together(base: Draft, mine: Draft, theirs: Draft, moved: dict[str, str] | None = None) -> Draft:
    files = trios(base, mine, theirs, moved)
    assert {ref.digest for ref in needed(files)} <= CONTENTS.keys()
    return rebased(base, mine, theirs, FIELDS, files, CONTENTS)


def files_of(draft: Draft) -> dict[str, bytes]:
    return {
        file.path: CONTENTS[file.kept.ref.digest] if file.kept else file.data or b""
        for file in draft.standing
    }


def test_a_change_of_one_alone_is_taken() -> None:
    base = version(1, ("a", b"1"), ("b", b"2"), ("c", b"3"), ("d", b"4"), line="old", config='{"x": 1}')
    mine = copy.deepcopy(base)
    mine.files[0].write(b"mine")
    mine.files[1].path = "b2"
    mine.files[2].is_removed = True
    mine.add("new", "text/plain", b"n")
    mine.fields["line"] = "mine"
    theirs = version(2, ("a3", b"1"), ("b", b"22"), ("c", b"3"), ("e", b"5"), line="old", config='{"x": 2}')
    found = put_together(base, mine, theirs, {"a": "a3", "b": "b", "c": "c"})
    assert files_of(found) == {"a3": b"mine", "b2": b"22", "e": b"5", "new": b"n"}
    assert (found.fields, found.base) == ({"line": "mine", "config": '{"x": 2}'}, 2)
    assert (found.remarks, found.is_marked) == ([], False)
    assert len({file.id for file in found.files}) == len(found.files) == found.next_file - 1


def test_what_both_have_changed_is_said_and_mine_stands() -> None:
    base = version(1, ("a", b"1"), ("b", b"2"), ("c", b"\0"), ("d", b"4"), line="old", config='{"x": 1}')
    mine = copy.deepcopy(base)
    mine.files[0].is_removed = True
    mine.files[1].write(b"mine")
    mine.files[2].write(b"\0mine")
    mine.files[3].path = "d-mine"
    mine.add("new", "text/plain", b"mine\n")
    mine.fields = {"line": "mine", "config": '{"x": 9, "mine": 1}'}
    mine.text = "a\nmine\nc\n"
    theirs = version(
        2,
        ("a", b"11"),
        ("c", b"\0theirs"),
        ("d-theirs", b"4"),
        ("new", b"theirs\n"),
        line="theirs",
        config='{"x": 8, "theirs": 1}',
    )
    theirs.text = "a\ntheirs\nc\n"
    found = put_together(base, mine, theirs, {"a": "a", "c": "c", "d": "d-theirs"})
    shown = files_of(found)
    assert {path: shown[path] for path in ("a", "b", "c", "d-mine")} == {
        "a": b"11",
        "b": b"mine",
        "c": b"\0mine",
        "d-mine": b"4",
    }
    assert shown["new"] == b"<<<<<<< yours\nmine\n=======\ntheirs\n>>>>>>> version 2\n"
    assert found.fields["line"] == "mine"
    assert [word in found.fields["config"] for word in ('"x": 9', '"mine"', '"theirs"')] == [True] * 3
    assert found.is_marked
    said = " ".join(found.remarks)
    for words in (
        "You have removed 'a'",
        "has no 'b' any more",
        "'c', and they are no text",
        "renamed 'd'",
        "'new' has both versions in 1 place",
        "version 2 has: theirs",
        "both have changed 'x'",
        "The text has both versions",
    ):
        assert words in said, words


def test_texts_of_two_kinds_are_not_mixed() -> None:
    base, theirs = version(1), version(2)
    mine: Any = copy.deepcopy(base)
    theirs.is_json, theirs.text = True, "[]"
    found = put_together(base, mine, theirs)
    assert (found.is_json, found.text, found.remarks) == (True, "[]", [])
    mine.text = "mine"
    found = put_together(base, mine, theirs)
    assert (found.is_json, found.text) == (False, "mine")
    assert "another kind of text" in found.remarks[0]
