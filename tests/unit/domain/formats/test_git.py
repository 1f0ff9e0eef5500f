"""Objects, deltas and paths as git has them; git itself says what is right."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.formats import git
from domain.formats.git import BLOB, TREE, Leaf


def run(folder: Path, *command: str, given: bytes = b"") -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *command], cwd=folder, env=env, input=given, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def test_ids_and_trees_are_those_of_git(tmp_path: Path) -> None:
    files = {
        "SKILL.md": b"---\n",
        "a/b.txt": b"",
        "a-b.txt": b"x",
        "a.txt": b"\0",
        "a/c/d.sh": b"#!/bin/sh\n",
        "ü/z": b"x",
    }
    run(tmp_path, "init", "-q")
    for path, content in files.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o755 if git.is_executable(content) else 0o644)
        assert run(tmp_path, "hash-object", path) == git.oid_of(BLOB, content).hex()
    run(tmp_path, "add", ".")
    trees = git.folders(
        {path: Leaf(git.oid_of(BLOB, data), git.is_executable(data)) for path, data in files.items()}
    )
    root, data = list(trees.items())[-1]
    assert run(tmp_path, "write-tree") == root.hex()
    assert git.encode_tree(git.decode_tree(data)) == data
    assert all(git.oid_of(TREE, data) == oid for oid, data in trees.items())


def test_the_root_is_the_last_tree_even_when_a_folder_is_its_equal() -> None:
    leaf = Leaf(git.oid_of(BLOB, b""), False)
    trees = git.folders({"a/a": leaf, "b/a": leaf})
    assert [entry.name for entry in git.decode_tree(list(trees.values())[-1])] == [b"a", b"b"]
    assert len(trees) == 2


@given(st.binary(max_size=400), st.binary(max_size=400), st.binary(max_size=300), st.binary(max_size=300))
def test_a_delta_leads_from_the_old_to_the_new(start: bytes, end: bytes, old: bytes, new: bytes) -> None:
    before, after = start + old + end, start + new + end
    assert git.patch(before, git.delta(before, after, len(start), len(end))) == after


def test_a_delta_copies_what_is_longer_than_one_instruction() -> None:
    old = os.urandom(200_000)
    new = old[:150_000] + b"new" + old[150_100:]
    instructions = git.delta(old, new, 150_000, len(old) - 150_100)
    assert len(instructions) < 50
    assert git.patch(old, instructions) == new


@pytest.mark.parametrize(
    "path",
    [".git", "a/.git/config", ".GIT", ".git ", ".git. .", ".git::$INDEX_ALLOCATION", "git~1", ".g\u200cit", ".gitmodules",
     "a/gitmod~1", "a" * 256, "ü" * 128, "SKILL.md/x", "skill.md/x", ".gitattributes", "a/.GitAttributes ", "gitatt~1", "b/.gitattributes/x"],
)  # fmt: skip
def test_what_no_checkout_can_have(path: str) -> None:
    assert not git.holds(path)


@pytest.mark.parametrize(
    "path",
    [
        ".gitignore",
        ".github/x.yml",
        "git",
        "a.git",
        ".git2",
        "git~x",
        "a" * 255,
        "gitattributes",
        ".gitattributes2/x",
    ],
)
def test_what_is_near_to_it_is_held(path: str) -> None:
    assert git.holds(path)
