"""The lines of docs/history.md do what the page says when they are pasted one after the other."""

import csv
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import Service

PAGE = Path(__file__).parents[2] / "docs" / "history.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines call curl")
def test_the_lines_work_when_pasted(running_service: Service) -> None:
    project_id = running_service.make_project().id
    env = {
        "PATH": os.environ["PATH"],
        "SKALD_KEY": running_service.make_key(["*"], [project_id]),
        "BASE": f"{running_service.base_url}/api/projects/{project_id}",
    }
    printed = [
        subprocess.run(
            ["/bin/sh", "-c", line], env=env, capture_output=True, text=True, timeout=30, check=True
        ).stdout
        for line in re.findall(r"^curl .+$", PAGE.read_text(), re.MULTILINE)
    ]
    lines = iter(printed)

    def answer() -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(next(lines))
        return decoded

    created, _, renamed, past, history, diff = (answer() for _ in range(6))
    patch = next(lines)
    blame, reverted = answer(), answer()
    yanked, before, unyanked = (answer() for _ in range(3))
    moved, document, back = answer(), next(lines), answer()
    assert next(lines) == ""
    archived, restored, audit = (answer() for _ in range(3))
    table = next(lines)
    activity = answer()
    assert next(lines, None) is None

    assert created["version"] == 1
    assert renamed["version"] == 3
    assert past["count"] == 0
    assert [row["version_after"] for row in history["results"]] == [3, 2, 1]
    assert [one["status"] for one in diff["files"]] == ["renamed"]
    assert diff["body"]["hunks"]
    assert "rename to references/style.md\n" in patch
    assert [line["version"] for line in blame["lines"]] == [1, 1, 2]
    assert reverted["body"] == created["body"]
    assert (yanked["version"], yanked["yanked"]["reason"]) == (4, "Lists what did not change")
    assert (before["version"], before["yanked"]) == (3, None)
    assert unyanked == reverted
    assert (moved["name"], moved["id"]) == ("release-notes", reverted["id"])
    assert document.startswith("---\nname: release-notes\n")
    assert back == reverted
    assert [row["name"] for row in archived["results"]] == ["changelog"]
    assert restored["id"] == reverted["id"]
    assert [entry["type"].split(".")[2] for entry in audit["results"]] == [
        "created",
        "published",
        "file_renamed",
        "published",
        "version_yanked",
        "version_unyanked",
        "renamed",
        "archived",
        "restored",
    ]
    rows = list(csv.DictReader(table.splitlines()))
    assert [int(row["position"]) for row in rows][-1] == audit["results"][-1]["position"]
    # No follower runs beside the service of this test, so nothing need be counted yet.
    assert list(activity) == ["total", "rows", "truncated", "position"]
