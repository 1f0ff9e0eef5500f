"""Examples are data files, one a package: each belongs to a struct, and all of them are in the wheel."""

import importlib
import tomllib
from pathlib import Path

import pytest

from api.openapi.examples import examples_of

ROOT = Path(__file__).parents[4]
PACKAGES = ("api", "cli", "domain", "projections", "store", "workers")
FILES = sorted((ROOT / "api").glob("*/examples.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_each_is_shown_by_the_struct_that_it_is_named_after(file: Path) -> None:
    package = f"api.{file.parent.name}"
    modules = [importlib.import_module(f"{package}.{path.stem}") for path in file.parent.glob("*schemas.py")]
    shown = {
        name: vars(value)["EXAMPLES"]
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and "EXAMPLES" in vars(value) and value.__module__ == module.__name__
    }
    assert shown == examples_of(package)


def test_what_is_no_python_is_in_the_wheel() -> None:
    """The siblings: migrations and static files, too."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {
        path
        for package in {
            str(path.parent.relative_to(ROOT)) for room in PACKAGES for path in (ROOT / room).rglob("*")
        }
        for pattern in (*data["*"], *data.get(package.replace("/", "."), ()))
        for path in (ROOT / package).glob(pattern)
    }
    others = {
        path
        for room in PACKAGES
        for path in (ROOT / room).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert len(others) > len(FILES) > 4
    assert others == packed & others
