"""Digests, edits, paths and trees."""

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.content import Content, Edit, apply_edits, check_path, check_tree, clashes, parent_folders
from domain.errors import EditFailed, Invalid, TooBig


def test_a_content_is_named_by_its_bytes() -> None:
    content = Content.of("é\r\n")

    assert content.data == b"\xc3\xa9\r\n"
    assert content.ref.sha256 == hashlib.sha256(b"\xc3\xa9\r\n").hexdigest()
    assert content.ref.size == 4
    assert content.ref.digest == hashlib.sha256(b"\xc3\xa9\r\n").digest()
    assert Content.of(b"\xc3\xa9\r\n") == content


def test_edits_apply_in_order() -> None:
    edits = [Edit("a", "bb"), Edit("bb", ""), Edit("c", "\\1$&")]

    assert apply_edits("a c", edits, attr="edits") == " \\1$&"


@pytest.mark.parametrize(
    ("text", "old", "count"),
    [("", "a", 0), ("b", "a", 0), ("aa", "a", 2), ("aaaa", "aa", 2), ("\r\n\r\n", "\n", 2), ("A", "a", 0)],
)
def test_an_edit_must_fit_exactly_once(text: str, old: str, count: int) -> None:
    with pytest.raises(EditFailed) as refused:
        apply_edits(text, [Edit(old, "x")], attr="edits", file_path="p")

    error = refused.value
    assert error.code == ("edit_ambiguous" if count else "edit_not_found")
    assert f"{count} times" in error.detail
    assert (error.attr, error.extra) == ("edits__0__old", {"edit_index": 0, "file_path": "p"})


def test_overlapping_occurrences_count_once() -> None:
    assert apply_edits("aaa", [Edit("aa", "b")], attr="edits") == "ba"


def test_the_second_edit_is_blamed_by_its_place() -> None:
    with pytest.raises(EditFailed) as refused:
        apply_edits("ab", [Edit("a", "b"), Edit("b", "c")], attr="file_edits__3__edits")

    assert (refused.value.attr, refused.value.extra["edit_index"]) == ("file_edits__3__edits__1__old", 1)


@pytest.mark.parametrize(("text", "fits"), [("éé", True), ("ééx", False), ("xxxx", True), ("xxxxx", False)])
def test_the_result_has_a_limit_in_bytes(text: str, fits: bool) -> None:
    def edit() -> str:
        return apply_edits("-", [Edit("-", "+"), Edit("+", text)], attr="edits", max_bytes=4)

    if fits:
        assert edit() == text
    else:
        with pytest.raises(TooBig) as refused:
            edit()
        assert (refused.value.code, refused.value.extra) == ("max_size", {"edit_index": 1})


@given(st.text(), st.text(), st.text(min_size=1), st.text())
def test_an_edit_changes_nothing_around_it(before: str, after: str, old: str, new: str) -> None:
    text = before + old + after
    try:
        edited = apply_edits(text, [Edit(old, new)], attr="edits")
    except EditFailed:
        assert text.count(old) > 1
    else:
        assert edited == before + new + after or text.find(old) != len(before)


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("a", "a"),
        ("a\\b/c", "a/b/c"),
        ("a b", "a b"),
        (" a", " a"),
        ("...", "..."),
        (".env", ".env"),
        ("é/😀", "é/😀"),
        ("a/SKILL.md", "a/SKILL.md"),
        ("skill.md.txt", "skill.md.txt"),
        ("x" * 500, "x" * 500),
    ],
)
def test_paths_have_one_normal_form(path: str, normal: str) -> None:
    assert check_path(path) == normal
    assert check_path(normal) == normal


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("", "blank"),
        ("x" * 501, "max_length"),
        ("SKILL.md", "reserved_path"),
        ("sKiLl.Md", "reserved_path"),
        *(
            (path, "invalid_path")
            for path in ("/", "/a", "a/", "a//b", ".", "..", "./a", "a/..", "a/../b", "\\\\a")
        ),
        *(
            (path, "invalid_path")
            for path in ("a\nb", "\x7f", "\x9f", "a\0", "C:\\\\x", "a\\..\\b", "..\\SKILL.md")
        ),
    ],
)
def test_what_is_no_path(path: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_path(path)

    assert refused.value.code == code


@pytest.mark.parametrize("paths", [[], ["a"], ["a/b", "a/c", "ab"], ["a", "a.b", "a-b/c"], ["A/b", "a"]])
def test_trees(paths: list[str]) -> None:
    check_tree(paths)


@pytest.mark.parametrize(
    ("paths", "code", "blamed"),
    [
        (["a", "a"], "duplicate_path", 1),
        (["a", "b", "a/c"], "path_conflict", 2),
        (["a/b/c", "b", "a"], "path_conflict", 2),
        (["a/b/c", "a/b", "a"], "path_conflict", 1),
    ],
)
def test_the_first_path_that_does_not_fit_is_blamed(paths: list[str], code: str, blamed: int) -> None:
    for attr, where in (("files", f"files__{blamed}__path"), ("", f"{blamed}__path")):
        with pytest.raises(Invalid) as refused:
            check_tree(paths, attr=attr)
        assert (refused.value.code, refused.value.attr) == (code, where)


def test_folders_and_clashes() -> None:
    assert parent_folders("a/b/c") == ["a", "a/b"]
    assert parent_folders("a") == []
    assert clashes("a", ["a/b"])
    assert clashes("a/b/c", ["x", "a/b"])
    assert not clashes("a", ["ab", "b/a"])


@given(st.lists(st.sampled_from(["a", "b", "a/a", "a/b", "a/a/a", "b/a"]), max_size=4))
def test_a_tree_is_what_can_be_added_one_by_one(paths: list[str]) -> None:
    def refuses(call: Callable[[], None]) -> bool:
        try:
            call()
        except Invalid:
            return True
        return False

    one_by_one = any(
        path in paths[:place] or clashes(path, paths[:place]) for place, path in enumerate(paths)
    )
    assert refuses(lambda: check_tree(paths)) == one_by_one
