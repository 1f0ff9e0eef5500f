"""The lines about zips in docs/install-skills.md work when they are pasted, and may be pasted again."""

import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.support.service import Service

PAGE = Path(__file__).parents[2] / "docs" / "install-skills.md"
PROGRAMS = ("curl", "tar", "unzip")


@pytest.mark.skipif(
    any(shutil.which(program) is None for program in PROGRAMS), reason="the lines call these programs"
)
def test_the_lines_work_when_pasted(running_service: Service, tmp_path: Path) -> None:
    section = PAGE.read_text().partition("## Zip\n")[2].partition("\n## ")[0]
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL))
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "SKALD_KEY": running_service.make_key(project_ids=[running_service.make_project().id]),
        "SKALD_URL": running_service.base_url,
    }

    outcomes = []
    for _ in range(2):
        done = subprocess.run(
            ["/bin/sh", "-ec", script],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stderr == ""
        outcomes.append(json.loads(done.stdout)["outcome"])

    assert outcomes == ["created", "unchanged"]
    with zipfile.ZipFile(tmp_path / "stubs.zip") as stubs:
        assert stubs.namelist() == ["pdf-forms/SKILL.md"]
    installed = (tmp_path / ".claude/skills/pdf-forms/SKILL.md").read_text()
    assert installed.startswith("---\nname: pdf-forms\ndescription: Fill in PDF forms.\nmetadata:\n")
    assert installed.endswith("\n---\n# PDF forms\n\nRead the form first.\n")
