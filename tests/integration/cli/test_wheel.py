"""Skald as a wheel in a clean environment, beside packages that have the names of its own."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli.process.child import Child
from tests.support.servers import ROOT, eventually, free_port

SOURCES = ("domain", "store", "projections", "api", "console", "workers", "cli", "skald")
FILES = ("pyproject.toml", "setup.py", "README.md")
# What another package, or a folder of the user's, may be called.
TAKEN = ("api", "cli", "domain", "store")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, its dependencies, and packages of another maker."""
    folder = tmp_path_factory.mktemp("wheel")
    source, venv = folder / "source", folder / "venv"
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    local = ["--no-deps", "--no-index"]
    run(*pip, "wheel", *local, "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    run(sys.executable, "-m", "venv", "--without-pip", str(venv))
    [wheel] = folder.glob("*.whl")
    run(*pip, "--python", str(venv / "bin" / "python"), "install", *local, str(wheel))
    packages = next(venv.glob("lib/*/site-packages"))
    for name in TAKEN:
        (packages / name).mkdir()
        (packages / name / "__init__.py").write_text("WHOSE = 'theirs'\n")
    # As a path alone, which brings nothing of the editable install.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv / "bin"


@pytest.fixture
def pythonpath(tmp_path: Path) -> str:
    """A folder of the user's with a package of each name."""
    for name in TAKEN:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('a folder of PYTHONPATH')\n")
    return str(tmp_path)


def run(*command: str, cwd: Path | None = None, **env: str) -> str:
    shown = {name: text for name, text in os.environ.items() if not name.startswith(("SKALD_", "PYTHON"))}
    done = subprocess.run(
        command, env={**shown, **env}, cwd=cwd, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_lays_nothing_beside_its_own_package(environment: Path) -> None:
    script = "import importlib.metadata as m; print(*{f.parts[0] for f in m.files('skald') if '..' not in f.parts})"
    names = run(str(environment / "python"), "-c", script, cwd=environment).split()
    assert sorted(name.partition("-")[0] for name in names) == ["skald", "skald"]
    for name in TAKEN:
        script = f"import {name}; print({name}.WHOSE)"
        assert run(str(environment / "python"), "-c", script, cwd=environment) == "theirs\n"


def test_it_holds_what_the_console_shows_pages_with(environment: Path) -> None:
    for folder in ("templates", "static"):
        kept = {file.name for file in (ROOT / "console" / folder).iterdir()}
        [installed] = environment.parent.glob(f"lib/*/site-packages/skald/rooms/console/{folder}")
        assert {file.name for file in installed.iterdir()} == kept


def test_commands_run_beside_packages_and_folders_of_the_same_names(
    environment: Path, pythonpath: str, fresh_database_url: str
) -> None:
    skald, python = str(environment / "skald"), str(environment / "python")
    assert run(skald, "--version", PYTHONPATH=pythonpath).startswith("skald ")
    assert run(python, "-m", "skald", "--version", cwd=environment, PYTHONPATH=pythonpath).startswith(
        "skald "
    )
    told = run(skald, "migrate", SKALD_DATABASE_URL=fresh_database_url, PYTHONPATH=pythonpath)
    assert told == "the database is up to date\n"
    program = "import skald; from domain.artifacts.skills import SkillCreated; print(SkillCreated.TOPIC)"
    assert run(python, "-c", program, cwd=environment) == "skill.created\n"


@pytest.fixture
def served(
    environment: Path, pythonpath: str, fresh_database_url: str, redis_url: str, tmp_path: Path
) -> Iterator[tuple[str, Path]]:
    shown = {name: text for name, text in os.environ.items() if not name.startswith(("SKALD_", "PYTHON"))}
    settings = {
        "SKALD_DATABASE_URL": fresh_database_url,
        "SKALD_REDIS_URL": redis_url,
        "SKALD_DATA_DIR": str(tmp_path / "data"),
        "SKALD_PORT": str(free_port()),
        "SKALD_WORKERS": "1",
        "PYTHONPATH": pythonpath,
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        child = Child("serve", [environment / "skald", "serve"], env={**shown, **settings}, output=output)
    yield f"http://127.0.0.1:{settings['SKALD_PORT']}", log
    child.stop(timeout=40)


def test_it_serves_beside_them_with_its_followers(served: tuple[str, Path]) -> None:
    address, log = served

    def is_well() -> bool:
        if "Skald is ready at" not in log.read_text():
            return False
        readiness = httpx.get(f"{address}/readyz").json()
        return readiness["status"] == "ok" and "cache" in readiness["followers"]

    eventually(is_well, "the service with its followers", timeout=90)
    assert "a folder of PYTHONPATH" not in log.read_text()
