"""The lines of docs/search.md do what the page says when they are pasted one after the other."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.service import MakeService

PAGE = Path(__file__).parents[2] / "docs" / "search.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines call curl")
def test_the_lines_work_when_pasted(make_service: MakeService, tmp_path: Path) -> None:
    service = make_service(followers=True)
    project_id = service.make_project().id
    env = {
        "PATH": os.environ["PATH"],
        "SKALD_KEY": service.make_key(["*"], [project_id]),
        "BASE": f"{service.base_url}/api/projects/{project_id}",
    }
    printed = [
        subprocess.run(
            ["/bin/sh", "-c", line],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        ).stdout
        for line in re.findall(r"^curl .+$", PAGE.read_text(), re.MULTILINE)
    ]
    created, symbol, ever, skills = (json.loads(line) for line in printed)
    assert created["version"] == 1
    [hit] = symbol["results"]
    assert hit["matches"] == [
        {
            "matched_field": "body",
            "path": "SKILL.md",
            "line": 3,
            "excerpt": "Start `chromium --no-sandbox`.",
        }
    ]
    assert [(one["name"], one["first_version"], one["last_version"]) for one in ever["results"]] == [
        ("browser-tests", 1, 1)
    ]
    assert [one["name"] for one in skills["results"]] == ["browser-tests"]
    assert skills["count"] == 1
