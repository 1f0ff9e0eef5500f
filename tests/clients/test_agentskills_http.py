"""``agentskills_http`` of PyPI, unmodified, by the program of docs/install-skills.md."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import CALL_WITHIN, Home
from tests.clients.test_skills_installer import fill, served, shared
from tests.support.servers import ROOT

pytestmark = pytest.mark.slow

SECTION = (ROOT / "docs/install-skills.md").read_text().partition("### As plain files\n")[2]


def test_the_program_reads_every_file_of_every_skill(agentskills: Path, home: Home) -> None:
    fill(home)
    [program] = re.findall(r"```python\n(.*?)```", SECTION.partition("\n## ")[0], re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(agentskills), "ADDRESS": shared(home)["url"]},
        capture_output=True,
        text=True,
        timeout=CALL_WITHIN,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == sorted(
        f"{name} {path} {len(data)}" for name, files in served(home).items() for path, data in files.items()
    )
