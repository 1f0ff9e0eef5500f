"""Examples are data files, one a package: each belongs to a struct, and all of them are in the wheel."""

import importlib
import tomllib
from pathlib import Path

import pytest

from api.http.errors import ErrorBody
from api.openapi.document import ERRORS
from api.openapi.examples import examples_of

ROOT = Path(__file__).parents[4]
PACKAGES = ("api", "cli", "domain", "projections", "store", "workers")
FILES = sorted((ROOT / "api").glob("*/examples.json"))
OF_STRUCTS = [file for file in FILES if file.parent.name != "openapi"]


@pytest.mark.parametrize("file", OF_STRUCTS, ids=lambda file: file.parent.name)
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


def test_each_error_has_examples_in_its_shape() -> None:
    shown = examples_of("api.openapi")

    assert list(shown) == [name for name, _, _ in ERRORS.values()]
    for name, kinds, extra in ERRORS.values():
        for example in shown[name].values():
            assert example["type"] in kinds
            assert example.keys() <= {*ErrorBody.__struct_fields__, *extra}
            assert {"type", "code", "detail", "attr"} <= example.keys()


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
