"""`skald push` publishes the source as it lies there, and refuses what is no UTF-8 for that reason."""

from pathlib import Path

import pytest

from cli.client.skill_folders import read
from domain.formats import skill_md
from tests.support.people import Person, outcomes
from tests.support.service import Service

HEAD = b"---\nname: notes\ndescription: Writes notes\n---\n"


def made(tmp_path: Path, source: bytes, name: str = "notes") -> Path:
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    (folder / "SKILL.md").write_bytes(source)
    return folder


@pytest.mark.parametrize(
    ("source", "code", "says"),
    [
        (b"# Caf\xe9\n\nWrites notes.\n", "not_utf8", "Line 1"),
        (b"# Notes\n\nCaf\xe9\n", "not_utf8", "Line 3"),
        (HEAD + b"Caf\xe9\n", "not_utf8", "Line 5"),
        ((HEAD + b"Text\n").decode().encode("utf-16"), "not_utf8", "UTF-16"),
        ((HEAD + b"Text\n").decode().encode("utf-16-be"), "not_utf8", "UTF-16"),
        ("# Text\n".encode("utf-16"), "not_utf8", "UTF-16"),
        (HEAD.replace(b"\n", b"\r") + b"Text\r", "line_ends", "carriage return"),
    ],
)
@pytest.mark.parametrize("fill_in", [False, True])
def test_what_is_no_utf8_is_refused_for_that(
    tmp_path: Path, source: bytes, code: str, says: str, fill_in: bool
) -> None:
    skill = read(made(tmp_path, source), tmp_path, fill_in=fill_in)
    assert skill.document is None
    [problem] = skill.errors
    assert (problem.code, says in problem.message) == (code, True)


@pytest.mark.parametrize(
    ("frontmatter", "lines"),
    [
        ("name: a\ndescription: Writes C # and more\n", ["Line 3"]),
        ("name: a\ndescription: d\nlicense: MIT # or not\nmetadata:\n  team: a #b\n", ["Line 4", "Line 6"]),
        ("name: a\ndescription: Writes\n  on two lines # more\n", ["Line 4"]),
        ('name: a\ndescription: "Writes C # and more"\n', []),
        ("name: a\ndescription: Writes C# code\nother: kept # with its comment\n", []),
        ("# a comment\nname: a\ndescription: |\n  text # with a sign\n", []),
    ],
)
def test_a_comment_in_a_value_is_told_with_its_line(frontmatter: str, lines: list[str]) -> None:
    parsed = skill_md.parse(f"---\n{frontmatter}---\nText\n".encode())
    assert parsed.document
    found = [problem.message.split(":")[0] for problem in parsed.problems if problem.code == "comment"]
    assert found == lines


def test_a_missing_name_is_that_of_the_folder(tmp_path: Path) -> None:
    folder = made(tmp_path, b"---\ndescription: d\n---\nText\n")
    [problem] = read(folder, tmp_path).errors
    assert "'name: notes'" in problem.message
    filled = read(folder, tmp_path, fill_in=True)
    assert filled.document
    assert (filled.name, filled.sent) == ("notes", b"---\nname: notes\ndescription: d\n---\nText\n")
    unfit = read(made(tmp_path, b"---\ndescription: d\n---\nText\n", "Not a name"), tmp_path, fill_in=True)
    assert unfit.document is None


def test_nested_metadata_is_stored_as_an_object(running_service: Service, tmp_path: Path) -> None:
    ada = Person(running_service, tmp_path)
    folder = ada.write_skill("notes")
    text = (
        "---\nname: notes\ndescription: d\nmetadata:\n  deep:\n    list: [1, two]\n    on: true\n---\nText\n"
    )
    (folder / "SKILL.md").write_text(text)
    assert outcomes(ada.json("push", "skills")) == {"notes": "created"}
    assert ada.get("name/notes")["metadata"] == {"deep": {"list": [1, "two"], "on": True}}
    assert ada.json("push", "skills")["summary"] == {"unchanged": 1}
