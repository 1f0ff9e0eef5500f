"""How new versions come into a folder without harm to what others have there."""

import os
from pathlib import Path

import pytest

from cli.client.checkout import Checkout
from cli.client.profile import Target
from cli.client.skill_folders import digest_of
from cli.errors import Failure

TARGET = Target(url="http://a.example", key="sk_x", project="1")
ONE = {"SKILL.md": b"one", "a.txt": b"a", "lib/b.txt": b"b"}
TWO = {"SKILL.md": b"two", "lib/b.txt": b"b", "lib/run.sh": b"#!/bin/sh\n"}


def put(checkout: Checkout, tree: dict[str, bytes], version: int, *, name: str = "pdf") -> list[str]:
    """Write a version when nothing would be lost; what would be, else."""
    with checkout.held():
        plan = checkout.plan(name, tree)
        if not plan.changed:
            checkout.carry_out(name, plan, tree, version=version, digest=digest_of(tree))
            checkout.save()
        return plan.changed


def found(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "skills", TARGET)


def test_a_new_version_replaces_what_the_old_one_wrote_and_nothing_else(checkout: Checkout) -> None:
    folder = checkout.path / "pdf"
    put(checkout, ONE, 1)
    (folder / "mine.txt").write_bytes(b"mine")
    assert put(checkout, TWO, 2) == []
    assert found(folder) == {**TWO, "mine.txt": b"mine"}
    assert os.access(folder / "lib" / "run.sh", os.X_OK)
    assert Checkout(checkout.path, TARGET).state.skills["pdf"].version == 2
    assert sorted(path.name for path in checkout.path.iterdir()) == [".skald.json", "pdf"]


def test_what_was_changed_here_is_told_and_stays(checkout: Checkout) -> None:
    put(checkout, ONE, 1)
    folder = checkout.path / "pdf"
    (folder / "SKILL.md").write_bytes(b"edited")
    (folder / "a.txt").write_bytes(b"edited, and gone there")
    (folder / "lib" / "b.txt").unlink()
    assert put(checkout, TWO, 2) == ["SKILL.md", "lib/b.txt", "a.txt"]
    assert (folder / "SKILL.md").read_bytes() == b"edited"
    assert checkout.changes("pdf") == ["SKILL.md", "a.txt", "lib/b.txt"]


def test_without_memory_every_file_is_somebody_elses(checkout: Checkout) -> None:
    folder = checkout.path / "pdf"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_bytes(b"mine")
    assert put(checkout, ONE, 1) == ["SKILL.md"]
    # But what is the same already is no reason to stop.
    (folder / "SKILL.md").write_bytes(ONE["SKILL.md"])
    assert put(checkout, ONE, 1) == []


def test_a_pull_that_was_cut_off_in_the_middle_goes_on(checkout: Checkout) -> None:
    put(checkout, ONE, 1)
    folder = checkout.path / "pdf"
    # As it is after some of the files have been put in their place, and the rest not.
    (folder / "SKILL.md").write_bytes(TWO["SKILL.md"])
    (folder / "a.txt").unlink()
    (checkout.path / ".skald-stage-dead").mkdir()
    assert put(checkout, TWO, 2) == []
    assert found(folder) == TWO
    assert not (checkout.path / ".skald-stage-dead").exists()


def test_a_file_becomes_a_folder_and_a_folder_a_file(checkout: Checkout) -> None:
    put(checkout, {"SKILL.md": b"1", "x": b"file", "y/z": b"in"}, 1)
    turned = {"SKILL.md": b"1", "x/inner": b"file", "y": b"in"}
    assert put(checkout, turned, 2) == []
    assert found(checkout.path / "pdf") == turned


def test_files_of_ones_own_are_not_removed_for_a_folder(checkout: Checkout) -> None:
    put(checkout, {"SKILL.md": b"1", "y/z": b"in"}, 1)
    (checkout.path / "pdf" / "y" / "mine").write_bytes(b"mine")
    with pytest.raises(Failure, match="move it away"):
        put(checkout, {"SKILL.md": b"1", "y": b"file"}, 2)
    (checkout.path / "pdf" / "new").write_bytes(b"mine")
    with pytest.raises(Failure, match="move it away"):
        put(checkout, {"SKILL.md": b"1", "y/z": b"in", "new/a": b"x"}, 2)


@pytest.mark.parametrize("path", ["../out", "/etc/x", "a/../../out", "a\\..\\..\\out", "a//b", "./a", ""])
def test_nothing_is_written_outside(checkout: Checkout, path: str) -> None:
    with pytest.raises(Failure, match="unsafe path"):
        put(checkout, {"SKILL.md": b"1", path: b"x"}, 1)
    assert not (checkout.path / "pdf").exists()


@pytest.mark.parametrize("name", ["..", "../up", "a/b", ".git", "", "PDF"])
def test_a_name_that_is_no_skills_is_no_folder(checkout: Checkout, name: str) -> None:
    with pytest.raises(Failure):
        put(checkout, ONE, 1, name=name)


def test_nothing_is_written_through_links(checkout: Checkout, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (checkout.path).mkdir()
    (checkout.path / "linked").symlink_to(outside)
    with pytest.raises(Failure, match="is a link"):
        put(checkout, ONE, 1, name="linked")
    put(checkout, {"SKILL.md": b"1"}, 1)
    (checkout.path / "pdf" / "lib").symlink_to(outside)
    with pytest.raises(Failure, match="is a link"):
        put(checkout, ONE, 2)
    (checkout.path / "pdf" / "lib").unlink()
    (checkout.path / "pdf" / "a.txt").symlink_to(outside / "made")
    with pytest.raises(Failure, match="is a link"):
        put(checkout, ONE, 2)
    assert list(outside.iterdir()) == []


def test_the_folder_of_another_project_is_not_ours(checkout: Checkout) -> None:
    put(checkout, ONE, 1)
    other = Checkout(checkout.path, Target(url="http://a.example", key="sk_x", project="2"))
    assert other.state.skills == {}
    assert other.foreign is not None
    assert other.foreign.project == "1"


def test_a_memory_that_cannot_be_read_is_named(checkout: Checkout) -> None:
    put(checkout, ONE, 1)
    (checkout.path / ".skald.json").write_text("{")
    with pytest.raises(Failure, match="remove it"):
        Checkout(checkout.path, TARGET)
