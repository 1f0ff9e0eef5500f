"""Windows and macOS could not check such skills out, and nothing said so."""

import pytest

from domain.formats import spec
from domain.formats.skill_md import Document

PLAIN = [
    "README.md",
    "a/b.txt",
    "console/x",
    "com/x",
    "com10.txt",
    "null.txt",
    "a/lpt.md",
    "x" * 255,
    "ä" * 127,
]


def codes(paths: list[str], name: str = "pdf") -> list[tuple[str, str]]:
    document = Document(name=name, description="x", body="")
    return [(problem.code, problem.path) for problem in spec.problems(name, document, b"", paths)]


@pytest.mark.parametrize(
    "path", ["CON", "nul.txt", "a/COM1", "aux/x", "a/Prn.tar.gz", "lpt9 .md", "com\u00b9", "conin$"]
)
def test_devices(path: str) -> None:
    assert codes([path]) == [("device_name", path)]


@pytest.mark.parametrize("name", ["con", "nul", "com1", "lpt9", "aux"])
def test_a_skill_that_is_named_as_a_device(name: str) -> None:
    assert codes([], name) == [("device_name", "SKILL.md")]


@pytest.mark.parametrize(
    ("one", "other"),
    [("a.md", "A.md"), ("\u00e9", "e\u0301"), ("\u00c9/x", "e\u0301/X"), ("stra\u00dfe", "STRASSE"), ("a", "A/b"),
     ("x/\u00e9", "X/e\u0301/c")],
)  # fmt: skip
def test_equal_where_case_and_composition_do_not_count(one: str, other: str) -> None:
    for paths in ([one, other], [other, one]):
        assert [code for code, _ in codes(paths)] == ["case_clash"]


@pytest.mark.parametrize("path", ["x" * 256, "a/" + "\u00fc" * 128, "\U0001f600" * 64])
def test_what_is_longer_than_a_name_may_be(path: str) -> None:
    assert codes([path]) == [("long_segment", path)]


def test_plain_names_get_none() -> None:
    assert codes(PLAIN) == []
    assert codes([], "console") == codes([], "com10") == []
