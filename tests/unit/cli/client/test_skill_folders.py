"""Which folders are skills, and what belongs to one."""

import os
from pathlib import Path

import pytest

from cli.client.skill_folders import LocalSkill, find, read
from cli.errors import Failure


def write(
    folder: Path, name: str = "pdf", body: str = "# Text\n", files: dict[str, bytes] | None = None
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SKILL.md").write_text(f"---\nname: {name}\ndescription: Does it.\n---\n{body}")
    for path, data in (files or {}).items():
        (folder / path).write_bytes(data)
    return folder


def codes(skill: LocalSkill) -> list[str]:
    return [problem.code for problem in skill.errors]


def names(root: Path, *, exclude: tuple[str, ...] = ()) -> list[str]:
    return sorted(folder.relative_to(root).as_posix() for folder, _ in find([root], exclude=exclude).folders)


def test_a_folder_is_a_skill_or_holds_skills_at_any_depth(tmp_path: Path) -> None:
    for path in ("a", "b/c/d", ".claude/skills/e", "node_modules/f", ".git/g"):
        write(tmp_path / path)
    write(tmp_path / "a" / "examples" / "inner")  # a file of `a`

    assert names(tmp_path) == [".claude/skills/e", "a", "b/c/d"]
    assert names(tmp_path / "a") == ["."]
    assert names(tmp_path, exclude=("b",)) == [".claude/skills/e", "a"]
    assert names(tmp_path, exclude=("*/c",)) == [".claude/skills/e", "a"]


def test_folders_that_overlap_are_found_once(tmp_path: Path) -> None:
    write(tmp_path / "a")
    assert len(find([tmp_path, tmp_path / "a", tmp_path]).folders) == 1


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="does not exist"):
        find([tmp_path / "nowhere"])


def test_links_to_skills_are_followed_inside_what_was_named(tmp_path: Path) -> None:
    write(tmp_path / "shared" / "pdf")
    write(tmp_path / "elsewhere" / "secret")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "pdf").symlink_to(tmp_path / "shared" / "pdf")
    (tmp_path / "mine" / "secret").symlink_to(tmp_path / "elsewhere" / "secret")
    (tmp_path / "mine" / "round").symlink_to(tmp_path / "mine")

    inside = find([tmp_path])
    assert len(inside.folders) == 2  # each once, whichever way it was found
    outside = find([tmp_path / "mine"])
    assert (outside.folders, len(outside.outside)) == ([], 2)


def test_files_of_any_bytes_and_names_belong_to_it(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "pdf",
        files={"logo.png": b"\x89PNG\0\xff", "crlf.txt": b"a\r\nb", "empty": b"", "übersicht 文.md": b"x"},
    )
    (folder / "scripts").mkdir()
    (folder / "scripts" / ".hidden").write_bytes(b"y")
    skill = read(folder, folder)
    assert (skill.name, skill.problems, skill.left_out) == ("pdf", [], {})
    assert sorted(skill.files) == ["crlf.txt", "empty", "logo.png", "scripts/.hidden", "übersicht 文.md"]
    assert skill.files["crlf.txt"] == b"a\r\nb"


def test_what_tools_leave_behind_does_not_and_secrets_only_when_asked_for(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "pdf", files={".DS_Store": b"", ".env": b"KEY=1", ".env.example": b"", "a.pyc": b""}
    )
    for junk in (".git", "__pycache__"):
        (folder / junk).mkdir()
        (folder / junk / "x").write_bytes(b"")
    skill = read(folder, folder)
    assert (sorted(skill.files), skill.left_out) == ([".env.example"], {".env": "may hold secrets"})
    assert ".env" in read(folder, folder, include=(".env",)).files
    assert ".env" in read(folder, folder, keep=[".env"]).files
    assert sorted(read(folder, folder, exclude=("*.example",), include=(".env",)).files) == [".env"]


def test_links_to_files_are_followed_inside_and_refused_outside(tmp_path: Path) -> None:
    folder = write(tmp_path / "skills" / "pdf", files={"real.txt": b"x"})
    (tmp_path / "skills" / "common.md").write_bytes(b"shared")
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "link.txt").symlink_to("real.txt")
    (folder / "common.md").symlink_to("../common.md")
    assert read(folder, tmp_path / "skills").files == {
        "real.txt": b"x",
        "link.txt": b"x",
        "common.md": b"shared",
    }
    alone = read(folder, folder)
    assert (codes(alone), alone.document) == (["link_outside"], None)
    assert "push the folder that holds both" in alone.errors[0].message

    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "dead").symlink_to("nothing")
    (folder / "round").symlink_to(folder)
    found = read(folder, tmp_path / "skills")
    assert sorted(codes(found)) == ["dead_link", "link_loop", "link_outside"]
    assert b"secret" not in found.files.values()


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    folder = write(tmp_path / "pdf", name="PDF Tools", files={"big.bin": b"x" * 1_000_001})
    os.mkfifo(folder / "pipe")
    (folder / "bad\x07name").write_bytes(b"")
    assert sorted(codes(read(folder, folder))) == ["invalid_name", "invalid_path", "max_size", "not_a_file"]


def test_a_name_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "pdf")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.txt")).write_bytes(b"")
    assert codes(read(folder, folder)) == ["invalid_path"]


def test_skill_md_in_another_case_counts_and_two_of_them_clash(tmp_path: Path) -> None:
    folder = write(tmp_path / "pdf")
    (folder / "SKILL.md").rename(folder / "skill.md")
    assert names(tmp_path) == ["pdf"]
    assert read(folder, folder).name == "pdf"
    (folder / "Skill.md").write_text("x")
    assert "skill_md_clash" in codes(read(folder, folder))


def test_a_missing_frontmatter_is_proposed_and_filled_in_when_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "survival-analysis"
    folder.mkdir()
    (folder / "SKILL.md").write_text("# Survival\n\nTime to event:\nfor trials.\n\n## Use\n")
    refused = read(folder, folder)
    assert codes(refused) == ["no_frontmatter"]
    assert "name: survival-analysis" in refused.errors[0].message
    assert 'description: "Time to event: for trials."' in refused.errors[0].message
    filled = read(folder, folder, fill_in=True)
    assert filled.document is not None
    assert (filled.document.description, filled.name) == ("Time to event: for trials.", "survival-analysis")
    assert filled.document.body == "# Survival\n\nTime to event:\nfor trials.\n\n## Use\n"
    # Without a paragraph, or with a folder that cannot be a name, there is nothing to propose.
    (folder / "SKILL.md").write_text("# Survival\n")
    assert codes(read(folder, folder, fill_in=True)) == ["no_frontmatter"]


def test_the_digest_is_that_of_the_rendered_skill(tmp_path: Path) -> None:
    folder = write(tmp_path / "pdf", files={"a.txt": b"a"})
    one, other = read(folder, folder), read(write(tmp_path / "other", files={"a.txt": b"a"}), tmp_path)
    assert one.digest(3) == other.digest(3) != one.digest(4)
    assert [problem.code for problem in other.problems] == ["folder_name"]
