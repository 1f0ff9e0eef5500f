"""What the docs write into a checkout is never committed by `git add .`."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What a line of shell makes in the folder where it runs.
WRITES = re.compile(
    r"(?:>>? |-o |--dir |skald backup |skald export |mkdir -p |marketplace\.git\" )([\w.-][\w./-]*)"
)
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def written() -> set[str]:
    return {
        path
        for page in PAGES
        for block in SHELL.findall(page.read_text())
        for path in WRITES.findall(block)
        if not path.startswith("/dev")
    }


def test_the_docs_write_something() -> None:
    assert {".env", "skald.dump", "skills/greeting/SKILL.md"} <= written()


@pytest.mark.parametrize("path", sorted({*written(), "log.tar.gz"}))
def test_it_is_ignored(path: str) -> None:
    found = subprocess.run(
        [
            "git",
            "check-ignore",
            "--quiet",
            "--no-index",
            f"{path.removesuffix('/')}/x" if "." not in path else path,
        ],
        cwd=ROOT,
        check=False,
    )
    assert found.returncode == 0, path
