"""Files that come one by one are a skill by the rules of an archive."""

import pytest

from domain.formats import incoming
from domain.formats.archives import Limits, zip_of

SKILL_MD = b"---\nname: forms\ndescription: Fill in forms.\n---\nRead.\n"
FILES = [("forms/SKILL.md", SKILL_MD), ("forms/a.bin", b"\x00\xff\r\n"), ("forms/.DS_Store", b"x")]


def test_given_the_files_of_a_zip_when_read_one_by_one_then_the_skill_is_the_same() -> None:
    assert incoming.read_files(FILES) == incoming.read(zip_of(FILES))
    assert incoming.read_files(FILES).folder == "forms"


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ([*FILES, ("forms/../x", b"")], "unsafe_path"),
        ([*FILES, ("/x", b"")], "unsafe_path"),
        ([*FILES, ("other/x", b"")], "outside_folder"),
        ([*FILES, FILES[1]], "duplicate_path"),
        ([*FILES, ("forms/x", b"x" * 101)], "archive_too_big"),
        ([*FILES, *((f"forms/{number}", b"") for number in range(20))], "too_many_entries"),
        ([], "skill_md_missing"),
    ],
)
def test_given_hostile_files_when_read_then_they_are_refused(
    files: list[tuple[str, bytes]], code: str
) -> None:
    read = incoming.read_files(files, Limits(total_bytes=len(SKILL_MD) + 100, entries=20))
    assert read.document is None
    assert code in [problem.code for problem in read.errors]
