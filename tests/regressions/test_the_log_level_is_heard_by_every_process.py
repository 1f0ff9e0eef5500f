"""SKALD_LOG_LEVEL was read and shown, and changed nothing; the followers did not set up their log at all."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

API = "import logging, cli.server.asgi; cli.server.asgi.app(); logging.getLogger('x').info('quiet'); logging.getLogger('x').error('loud')"
WORKER = "from cli.main import main; main()"


def messages(code: str, tmp_path: Path, *arguments: str, level: str) -> list[str]:
    """What a process of its own writes to its log. The database that it is given does not answer."""
    shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
    env = {
        **shown,
        "SKALD_LOG_LEVEL": level,
        "SKALD_DATABASE_URL": f"host={tmp_path} dbname=none",
        "SKALD_RUN_DIR": str(tmp_path / "run"),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=env,
        stderr=subprocess.PIPE,
        # What a buffer would hold beyond the first line, ``communicate`` would not see.
        bufsize=0,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
    finally:
        if arguments:  # the worker goes on until it is told
            process.terminate()
        rest = process.communicate(timeout=20)[1]
    return [msgspec.json.decode(text)["message"] for text in (line + rest).splitlines()]


@pytest.mark.parametrize(("level", "heard"), [("info", ["quiet", "loud"]), ("error", ["loud"])])
def test_of_the_api(tmp_path: Path, level: str, heard: list[str]) -> None:
    assert messages(API, tmp_path, level=level) == heard


def test_of_the_followers(tmp_path: Path) -> None:
    assert any(
        text.startswith("the database is away") for text in messages(WORKER, tmp_path, "worker", level="info")
    )
