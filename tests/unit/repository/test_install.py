"""`make install` says what it does and how far it is; pip itself stays quiet."""

import base64
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import install
from tests.support.servers import ROOT

BACKEND = """
import shutil
def build_editable(folder, *_):
    return shutil.copy("wheels/own-1.0-py3-none-any.whl", folder).rpartition("/")[2]
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def wheel(folder: Path, name: str) -> str:
    """The digest of a new wheel with nothing but its name."""
    files = {
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}\n"
        for path, text in files.items()
    )
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, text in {**files, f"{name}-1.0.dist-info/RECORD": record}.items():
            archive.writestr(path, text)
    (folder / f"{name}-1.0-py3-none-any.whl").write_bytes(data.getvalue())
    return hashlib.sha256(data.getvalue()).hexdigest()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Two pinned packages beside one of its own."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    digests = {name: wheel(wheels, name) for name in ("one", "two", "own")}
    (tmp_path / "constraints.txt").write_text(
        "".join(f"{name}==1.0 --hash=sha256:{digests[name]}\n" for name in ("one", "two"))
    )
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    return tmp_path


def run(checkout: Path) -> "subprocess.CompletedProcess[str]":
    # The Python that `make install` takes: the one that our environment was made with.
    python = Path(sys.base_prefix) / "bin" / "python3"
    return subprocess.run(
        [str(python), str(ROOT / "install.py")],
        cwd=checkout,
        env={**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(checkout / "wheels")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_log_gets_the_steps_and_their_measure(checkout: Path) -> None:
    done = run(checkout)

    assert done.returncode == 0, done.stderr
    first, environment, *packages, command, last = done.stdout.splitlines()
    assert first == "Skald goes into .venv: 2 packages, pinned and checked by constraints.txt"
    assert environment.startswith("1/3 .venv made with Python 3.")
    assert packages[-1].startswith("2/3 2 of 2 packages installed, 0 MB, ")
    assert command == "3/3 the command skald"
    assert last.startswith("Installed in ")
    assert last.endswith(" s. Start it: make run")


def test_what_pip_refuses_ends_it_with_the_reason(checkout: Path) -> None:
    (checkout / "constraints.txt").write_text(f"one==1.0 --hash=sha256:{'0' * 64}\n")

    done = run(checkout)

    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert "what is above says why" in done.stderr


def test_a_terminal_gets_one_line_that_moves() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    progress = install.Progress(3, out)
    for line in (
        "Collecting click==8.3.0 (from -r constraints.txt (line 1))\n",
        "  Downloading click-8.3.0-py3-none-any.whl (107 kB)\n",
        "Collecting uvloop==0.21 (from -r constraints.txt (line 9))\n",
        "  Using cached uvloop-0.21-cp311.whl (4.0 MB)\n",
    ):
        progress.take(line)
        progress.show()
    progress.show(last=True)

    lines = [line.partition(" MB")[0] for line in out.getvalue().split("\r\x1b[K")[1:]]
    assert lines[0] == "2/3 1 of 3 packages fetched, 0"
    assert lines[-1] == "2/3 2 of 3 packages fetched, 4"
    assert out.getvalue().count("\n") == 1
