"""To name close paths for a missing one, 200 paths of two letters held an API process for more than a second."""

import difflib

import pytest

from domain.artifacts import skills
from domain.artifacts.skills import FileRef, find_file
from domain.content import Ref
from domain.errors import NotFound


def missing(path: str, *paths: str) -> list[str]:
    files = {one: FileRef(one, "text/plain", 0, Ref("", 0).sha256) for one in paths}
    with pytest.raises(NotFound) as refused:
        find_file(files, path, "pdf-forms")
    found: list[str] = refused.value.extra["suggestions"]
    return found


def test_few_paths_are_compared_and_by_their_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    real = difflib.get_close_matches

    def spy(word: str, words: list[str], n: int, cutoff: float) -> list[str]:
        compared.extend([word, *words])
        return real(word, words, n=n, cutoff=cutoff)

    monkeypatch.setattr(difflib, "get_close_matches", spy)

    close = missing("ab" * 99, *("ba" * 98 + str(number) for number in range(200)))

    assert len(close) == 3
    assert len(compared) == 1 + skills.MAX_COMPARED
    assert max(map(len, compared)) == skills.COMPARED_LENGTH


def test_the_closest_paths_are_named_first() -> None:
    assert missing("docs/b.mb", "z", "docs/a.txt", "docs/b.md", "README") == ["docs/b.md", "docs/a.txt"]
    deep = "a/" * 200
    assert missing(f"{deep}fill.pi", f"{deep}fill.py", "x" * 400) == [f"{deep}fill.py"]


def test_nothing_is_close_to_another_word() -> None:
    assert missing("zzz", "docs/a.txt") == []
