"""`apm.lock.yaml` comes with a repository. Its YAML could end `skald check` by a traceback, by the stack, or not at all."""

import json
from pathlib import Path

import pytest

from cli.client.lock import read_any, read_lock
from cli.errors import Failure

DEPENDENCY = "dependencies:\n- repo_url: skald/one\n  version: "
GROWING = "".join(f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 4) if n else 'x'}]\n" for n in range(25))


def read(folder: Path, text: str) -> Failure:
    file = folder / "apm.lock.yaml"
    file.write_text(text)
    with pytest.raises(Failure) as failed:
        read_any(file, "skald.test")
    assert failed.value.code == "bad_lock"
    return failed.value


@pytest.mark.parametrize(
    "version",
    ["0x" + "f" * 20_000, "!!int ''", "!!float ''", "!!bool x", "!!timestamp x", "[1.0.1]", "", "{a: b}"],
    ids=lambda text: text[:12],
)
def test_a_version_is_a_text_whatever_its_tag_says(tmp_path: Path, version: str) -> None:
    assert "the version of skald/one is not 1.0.N" in str(read(tmp_path, f"{DEPENDENCY}{version}\n"))


def test_a_tag_elsewhere_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "apm.lock.yaml"
    file.write_text(f"when: !!timestamp x\n{DEPENDENCY}1.0.3\n  size: !!int ''\n")
    [pinned], elsewhere = read_any(file, "skald.test")
    assert (pinned.name, pinned.version, elsewhere) == ("one", 3, 0)


def test_what_stands_for_a_large_tree_is_refused(tmp_path: Path) -> None:
    assert "alias" in str(read(tmp_path, f"{GROWING}{DEPENDENCY}*b24\n"))


@pytest.mark.parametrize("text", ["dependencies: " + "[" * 1_000_000, "dependencies: " + "{a: " * 5000])
def test_what_is_nested_deeply_is_refused(tmp_path: Path, text: str) -> None:
    assert "nested deeper" in str(read(tmp_path, text))


def test_a_digest_has_no_line_end(tmp_path: Path) -> None:
    entry = {"version": 1, "digest": f"sha256:{'0' * 64}\n", "position": 1, "source": "x"}
    (tmp_path / "skald.lock").write_text(json.dumps({"format": 1, "skills": {"one": entry}}))
    with pytest.raises(Failure, match="length"):
        read_lock(tmp_path)
