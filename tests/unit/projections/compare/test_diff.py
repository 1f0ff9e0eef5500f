"""Two versions side by side: which files are the same ones, and what is too large to show."""

import shutil
import subprocess
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from domain.artifacts.skills import (
    FileRef,
    SkillFileAdded,
    SkillFileRemoved,
    SkillFileRenamed,
    SkillPublished,
)
from domain.content import Content
from domain.events import Event
from projections.compare import diff
from projections.compare.diff import Hunks, compare, moves, unified
from projections.read.sides import BODY, NOTHING, Side

ID = {"originator_id": UUID(int=1), "originator_version": 2, "version_id": UUID(int=2)}


def file(path: str, text: str = "x") -> FileRef:
    ref = Content.of(text).ref
    return FileRef(path, "text/plain", ref.size, ref.sha256)


def side(files: dict[str, str], body: str = "body\n", **fields: object) -> Side:
    return Side(
        fields=dict(fields),
        text=file(BODY, body),
        files={path: file(path, text) for path, text in files.items()},
    )


def renamed(old: str, new: str) -> Event:
    return SkillFileRenamed(**ID, old_path=old, new_path=new)  # type: ignore[arg-type]


def removed(path: str) -> Event:
    return SkillFileRemoved(**ID, path=path)  # type: ignore[arg-type]


def added(path: str) -> Event:
    return SkillFileAdded(**ID, file=file(path))  # type: ignore[arg-type]


def listed(*paths: str) -> Event:
    return SkillPublished(**ID, files=tuple(map(file, paths)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], {"a": "a", "b": "b"}),
        ([renamed("a", "c")], {"a": "c", "b": "b"}),
        ([renamed("a", "c"), renamed("c", "d")], {"a": "d", "b": "b"}),
        ([renamed("a", "c"), renamed("b", "a"), renamed("c", "b")], {"a": "b", "b": "a"}),
        ([renamed("a", "c"), removed("c")], {"b": "b"}),
        ([removed("a"), added("a")], {"b": "b"}),
        ([renamed("a", "c"), listed("c")], {"a": "c"}),
        ([listed("b"), listed("a", "b")], {"b": "b"}),
        ([added("n"), renamed("n", "m")], {"a": "a", "b": "b"}),
    ],
)
def test_files_are_followed_through_their_renames(events: list[Event], expected: dict[str, str]) -> None:
    assert moves(["a", "b"], events) == expected


def statuses(found: diff.Comparison) -> list[tuple[str, str, str]]:
    return [(one.status, *one.paths) for one in found.files]


def test_each_file_has_one_status() -> None:
    before = side({"a": "1", "b": "2", "c": "3", "d": "4"})
    after = side({"a": "one", "b": "2", "e": "3", "f": "5"})
    assert statuses(compare(before, after, {"a": "a", "b": "b", "c": "e"})) == [
        ("modified", "a", "a"),
        ("removed", "d", "d"),
        ("renamed", "c", "e"),
        ("added", "f", "f"),
    ]
    # Without what the events say, a rename is a removal and an addition.
    assert ("removed", "c", "c") in statuses(compare(before, after))


def test_a_file_that_was_replaced_by_another_at_its_path_is_modified() -> None:
    before, after = side({"a": "1"}), side({"a": "2"})
    assert statuses(compare(before, after, {})) == [("modified", "a", "a")]
    assert statuses(compare(before, before, {})) == []


def test_from_nothing_everything_is_added() -> None:
    found = compare(NOTHING, side({"a": "1"}, description="d"))
    assert statuses(found) == [("added", "a", "a")]
    assert found.text is not None
    assert found.text.status == "added"
    assert [(one.field, one.before, one.after) for one in found.fields] == [("description", None, "d")]


def test_fields_and_metadata_keys_are_compared_as_json() -> None:
    before = Side(
        fields={"config": msgspec.Raw(b'{"t":1}'), "same": "x"}, metadata={"a": 1, "b": [1], "c": 1, "e": {}}
    )
    after = Side(
        fields={"config": msgspec.Raw(b'{"t":1.0}'), "same": "x"},
        metadata={"a": 1, "b": [2], "c": True, "d": 4},
    )
    found = compare(before, after)
    assert [one.field for one in found.fields] == ["config"]
    assert found.metadata.added == {"d": 4}
    assert found.metadata.removed == {"e": {}}
    assert sorted(found.metadata.changed) == ["b", "c"]


def test_what_is_too_large_has_no_hunks_and_says_so() -> None:
    big = "x\n" * 110_000
    before, after = (
        side({"big": big, "long": "\n" * 20_000, "a": "1"}),
        side({"big": "y", "long": "", "a": "2"}),
    )
    found = compare(before, after)
    documents = diff.readable(found)
    texts = {Content.of(text).ref.sha256: text for text in ("1", "2", "y", "", "\n" * 20_000)}
    hunks = Hunks(documents, texts)
    shown = {one.path: (bool(one.hunks), one.truncated) for one in map(hunks.file, found.files)}
    assert shown == {"a": (True, False), "big": (False, True), "long": (False, True)}
    assert "# truncated" in unified(found, hunks)


def test_all_texts_of_a_diff_together_are_bounded() -> None:
    names = [f"f{number:03}" for number in range(40)]
    before = side({name: name + "x" * 150_000 for name in names})
    after = side({name: name for name in names})
    found = compare(before, after)
    assert 0 < len(diff.readable(found)) < 20


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_refuses_a_patch_that_is_not_complete(tmp_path: Path) -> None:
    before, after = side({"big": "x" * 200_001, "small": "1\n"}), side({"big": "y", "small": "2\n"})
    found = compare(before, after)
    texts = {Content.of(text).ref.sha256: text for text in ("1\n", "2\n")}
    patch = unified(found, Hunks(diff.readable(found), texts))
    for path, text in {"big": "x" * 200_001, "small": "1\n"}.items():
        (tmp_path / path).write_text(text)
    done = subprocess.run(
        ["git", "apply", "-"],
        input=patch,
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=20,
        env={"GIT_DIR": "none"},
    )
    assert done.returncode != 0
    assert "'big'" in done.stderr
    assert (tmp_path / "small").read_text() == "1\n"


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_applies_the_unified_form(tmp_path: Path) -> None:
    old = {
        "plain.txt": "one\ntwo\nthree\n",
        "no end": "last line has no end",
        "gone/deep.txt": "bye\n",
        "früh\t.txt": "ä\nö\n",
        'quo"te\\.txt': "1\n",
        "moved.txt": "a\nb\nc\nd\n",
        "kept.txt": "kept\r\n",
    }
    new = {
        "plain.txt": "one\n2\nthree\n",
        "no end": "last line has no end\n",
        "früh\t.txt": "ä\nö\nü\n",
        'quo"te\\.txt': "2\n",
        "to/there.txt": "a\nb\nc\nD\n",
        "kept.txt": "kept\r\n",
        "fresh.txt": "hello",
    }
    paths = {path: path for path in old if path in new} | {"moved.txt": "to/there.txt"}
    before, after = side(old, "# Old\n", description="a\nb"), side(new, "# New\n", description="-- c")
    found = compare(before, after, paths)
    texts = {
        Content.of(text).ref.sha256: text for text in (*old.values(), *new.values(), "# Old\n", "# New\n")
    }
    patch = unified(found, Hunks(diff.readable(found), texts))
    for path, text in {**old, BODY: "# Old\n"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, newline="")
    (tmp_path / "x.patch").write_text(patch, newline="")
    subprocess.run(["git", "apply", "x.patch"], cwd=tmp_path, check=True, timeout=20, env={"GIT_DIR": "none"})
    (tmp_path / "x.patch").unlink()
    made = {
        str(path.relative_to(tmp_path)): path.read_bytes().decode()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert made == {**new, BODY: "# New\n"}
