"""The lines of the README do what it says when they are pasted one after the other, against a real service."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.service import Service

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines call curl")
def test_the_lines_work_when_pasted(running_service: Service) -> None:
    lines = re.findall(r"^curl .+$", README.read_text(), re.MULTILINE)
    project_id = running_service.make_project().id
    env = {
        "PATH": os.environ["PATH"],
        "SKALD_KEY": running_service.make_key(project_ids=[project_id]),
        "BASE": f"{running_service.base_url}/api/projects/{project_id}",
    }

    printed = []
    for line in lines:
        done = subprocess.run(
            ["/bin/sh", "-c", line], env=env, capture_output=True, text=True, timeout=30, check=True
        )
        printed.append([json.loads(text) for text in done.stdout.splitlines()])

    [created], [found], [published], [page], [resolved, file] = printed[:5]
    assert (created["version"], [entry["path"] for entry in created["files"]]) == (1, ["references/style.md"])
    assert found == created
    assert (published["version"], published["body"].splitlines()[-1]) == (
        2,
        "List what changed for the user.",
    )
    assert [row["name"] for row in page["results"]] == ["release-notes"]
    assert resolved["skill"] == published
    assert [entry["version"] for entry in resolved["versions"]] == [2, 1]
    assert file["content"] == "Short sentences.\n"

    [prompt], [edited], [label], [labeled] = printed[5:]
    assert (prompt["version"], edited["version"], label["version"]) == (1, 2, 2)
    assert edited["prompt"] == "You help the customers of {{shop}}."
    assert (labeled["label"], labeled["prompt"]) == ("production", edited["prompt"])
