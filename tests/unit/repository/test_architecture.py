"""docs/architecture.md fits on two screens, and its walks name functions that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
SCREENS = 100  # lines
ROW = re.compile(r"^\| \[([a-z_/]+\.py)\]\(\.\./\1\) \| `([A-Za-z_.]+)` \|", re.MULTILINE)


def names(path: str) -> set[str]:
    """Functions and methods of a module, these as ``Class.method``."""
    found: set[str] = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{member.name}"
                for member in node.body
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return found


def test_the_walks_name_functions_that_exist() -> None:
    rows = ROW.findall(PAGE)
    assert len(rows) == len(re.findall(r"^\| \[[^|]*\.py\]", PAGE, re.MULTILINE)) > 20
    for path, function in rows:
        assert function in names(path), f"{path}: {function}"


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target


def test_it_is_two_screens_long() -> None:
    assert len(PAGE.splitlines()) <= SCREENS
