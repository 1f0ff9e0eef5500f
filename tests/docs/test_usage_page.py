"""The lines of docs/usage.md do what the page says when they are pasted one after the other."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.docs.test_command_pages import BLOCK, paste, put_command
from tests.support.servers import ROOT
from tests.support.service import MakeService

PAGE = ROOT / "docs" / "usage.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines call curl")
def test_the_lines_work_when_pasted(make_service: MakeService, tmp_path: Path) -> None:
    # One process: it adds what it has counted before it answers.
    service = make_service(workers=1)
    key = service.make_key(("llm_prompt:write", "usage:read"), [service.project_id])
    (tmp_path / ".skald").mkdir()
    (tmp_path / ".skald" / "first-key").write_text(f"{key}\n")
    put_command(tmp_path)
    script = "\n".join(BLOCK.findall(PAGE.read_text()))
    script = script.replace("http://127.0.0.1:8000", service.base_url)
    script = script.replace("/api/projects/1", f"/api/projects/{service.project_id}")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")}

    done = paste(script, {**env, "SKALD_PROJECT": str(service.project_id)}, tmp_path)

    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    made, one, used, unused, behind, readers, past = answers
    assert "\n304\n" in done.stdout
    assert (made["version"], one["total"]) == (1, 1)
    assert [(row["version"], row["reads"], row["revalidated"]) for row in one["rows"]] == [(1, 1, 1)]
    assert [(row["name"], row["readers"]) for row in used["results"]] == [("greeter", 1)]
    assert unused["results"] == behind["results"] == past["results"] == []
    assert [(row["version"], row["reads"]) for row in readers["results"]] == [(1, 1)]
    printed = done.stdout.rpartition("}")[2]
    assert re.search(r"^prompt +greeter +1 +1 +1 +20", printed, re.MULTILINE), printed
    assert re.search(rf"^key {readers['results'][0]['key_id']} +1 +1", printed, re.MULTILINE), printed
    assert "nothing is unused" in done.stderr
    assert "nothing was read in that hour" in done.stderr
