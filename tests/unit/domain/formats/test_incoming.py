"""What comes in as an archive: everything wrong with it at once, and only what it changes."""

from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET

from domain.artifacts.skills import File, Skill, SkillFields
from domain.formats import skill_md
from domain.formats.archives import zip_of
from domain.formats.incoming import Incoming, changes_of, content_type_of, files_of, metadata_of, read

BODY = "# PDF\n\nSee [how](how.md).\n"
ID = UUID(int=1)


def md(**fields: Any) -> bytes:
    lines = [f"{key.replace('_', '-')}: {value}" for key, value in fields.items()]
    return ("---\n" + "\n".join(lines) + "\n---\n" + BODY).encode()


def archive(skill: bytes, *files: tuple[str, bytes], folder: str = "pdf") -> bytes:
    return zip_of([("SKILL.md", skill), ("how.md", b"How.\n"), *files], folder)


def stored(**fields: Any) -> Skill:
    files = fields.pop("files", (File("how.md", b"How.\n", "text/markdown"),))
    skill, _ = Skill.create(
        id=ID, version_id=ID, name="pdf", fields=SkillFields("d", **fields), body=BODY, files=files
    )
    skill.collect_events()
    return skill


def exported(skill: Skill, *files: tuple[str, bytes]) -> Incoming:
    head = skill_md.numbered(skill_md.frame(skill.name, skill.fields), skill.number)
    return read(archive((head + BODY).encode(), *files))


def codes(incoming: Incoming) -> list[tuple[str, str, str]]:
    return [(problem.code, problem.path, problem.severity) for problem in incoming.problems]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    incoming = read(archive(md(name="PDF Forms"), ("../evil", b""), ("big", bytes(1_000_001))))

    assert incoming.document is None
    assert incoming.name == "PDF Forms"
    assert codes(incoming) == [
        ("unsafe_path", "pdf/../evil", "error"),
        ("max_size", "pdf/big", "error"),
        ("required", "pdf/SKILL.md", "error"),
        ("invalid_name", "pdf/SKILL.md", "error"),
        ("folder_name", "pdf/SKILL.md", "warning"),
    ]


def test_what_a_skill_should_do_better_keeps_it_from_nothing() -> None:
    incoming = read(archive(md(name="pdf-forms", description="d", model="opus"), folder="pdf"))

    assert incoming.document is not None
    assert incoming.document.frontmatter == "model: opus\n"
    assert codes(incoming) == [
        ("unknown_key", "pdf/SKILL.md", "warning"),
        ("folder_name", "pdf/SKILL.md", "warning"),
    ]
    assert codes(read(archive(md(name="pdf", description="d"), folder=""))) == []


def test_bytes_tell_whether_they_are_text() -> None:
    incoming = read(archive(md(name="pdf", description="d"), ("a.png", b"\x89PNG\xff"), ("nul", b"a\0b")))
    known = {file.path: file for file in stored().files.values()}

    assert {file.path: file.content_type for file in files_of(incoming, known)} == {
        "a.png": "application/octet-stream",
        "how.md": "text/markdown",
        "nul": "application/octet-stream",
    }
    assert content_type_of("ä".encode()) == "text/plain"


def test_what_was_exported_changes_nothing() -> None:
    skill = stored(
        license="MIT",
        compatibility="Needs: Python",
        allowed_tools=("Read", "Bash(git log:*)"),
        metadata={"author": "me", "version": "3", "tags": ["a", 1], "n": 5, "none": None},
        frontmatter="model: opus\n",
    )

    assert changes_of(exported(skill), skill, BODY.encode()) is None


def test_only_what_differs_is_published() -> None:
    skill = stored(metadata={"version": "7", "tags": ["a", 1], "author": "me"})
    incoming = read(
        archive(md(name="pdf", description="new", metadata="\n  author: you\n  tags: '[\"a\",1]'"))
    )

    changes = changes_of(incoming, skill, BODY.encode())

    assert changes is not None
    assert (changes.body, changes.files) == (UNSET, UNSET)
    assert changes.fields == {
        "description": "new",
        # A text that stands for the same JSON keeps it, and so does the number that is the registry's to write.
        "metadata": {"author": "you", "tags": ["a", 1], "version": "7"},
    }


def test_files_are_compared_by_content() -> None:
    skill = stored()

    more = changes_of(exported(skill, ("new.sh", b"#!/bin/sh\n")), skill, BODY.encode())
    assert more is not None
    assert more.body is UNSET
    assert more.files is not UNSET
    assert [(file.path, file.content_type) for file in more.files] == [
        ("how.md", "text/markdown"),
        ("new.sh", "text/plain"),
    ]
    fewer = stored(files=(File("how.md", b"How.\n"), File("old", b"")))
    less = changes_of(exported(fewer), fewer, BODY.encode())
    assert less is not None
    assert less.files is not UNSET
    assert [file.path for file in less.files] == ["how.md"]


def test_a_body_in_other_bytes_is_another_body() -> None:
    skill = stored()
    incoming = exported(skill)
    assert incoming.document is not None
    windows = msgspec.structs.replace(
        incoming, document=msgspec.structs.replace(incoming.document, body=BODY.replace("\n", "\r\n"))
    )

    changes = changes_of(windows, skill, BODY.encode())

    assert changes is not None
    assert changes.body == BODY.replace("\n", "\r\n")
    assert changes.files is UNSET


def test_metadata_in_another_order_is_other_text() -> None:
    old = {"a": 1, "b": 2, "version": "9"}

    assert metadata_of({"a": "1", "b": "2"}, old) is old
    assert list(metadata_of({"b": "2", "a": "1"}, old).items()) == [("b", 2), ("a", 1), ("version", "9")]
    assert metadata_of({"a": "1", "b": "2", "version": "1.2.0"}, old) == {"a": 1, "b": 2, "version": "1.2.0"}
    assert metadata_of({}, {"version": "beta"}) == {}
