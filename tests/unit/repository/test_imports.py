"""Imports point one way; the contracts stand in pyproject.toml."""

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_import_contracts_hold() -> None:
    program = Path(sysconfig.get_path("scripts")) / "lint-imports"
    run = subprocess.run(
        [sys.executable, str(program), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout


def test_the_domain_does_no_input_or_output() -> None:
    script = "import sys, domain.artifacts.skills; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    rooms = {"store", "projections", "api", "console", "workers", "cli", "psycopg", "redis", "litestar"}
    assert not rooms & set(run.stdout.split())
