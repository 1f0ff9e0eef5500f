"""The lines of docs/govern.md do what the page says when they are pasted one after the other."""

import json
import os
from pathlib import Path

import pytest

from domain.keys import SCOPES
from tests.docs.test_command_pages import BLOCK, paste, put_command
from tests.support.servers import ROOT, StartService

PAGE = (ROOT / "docs" / "govern.md").read_text()


@pytest.mark.parametrize("scope", SCOPES)
def test_each_scope_is_in_the_table(scope: str) -> None:
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert any(f"`{scope}`" in row for row in rows)


def test_the_lines_work_when_pasted(start_service: StartService, tmp_path: Path) -> None:
    service = start_service()
    put_command(tmp_path)
    (tmp_path / ".skald").symlink_to(service.data_dir)
    script = "\n".join(BLOCK.findall(PAGE)).replace("http://127.0.0.1:8000", service.address)
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")}

    done = paste(script, env, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "production: by keys that may promote" in done.stdout
    assert "label_policy.set" in done.stdout
    prompts = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    seen = [one["prompt"] for one in prompts if one.get("label") == "production"]
    assert seen == ["Greet them.", "Greet them by name."]
    history, readers, then, listed = prompts[-4:]
    assert [entry["version"] for entry in history["results"]] == [1, 2, 1]
    assert all(entry["promotion_id"] for entry in history["results"])
    assert [readers["results"], then["results"], listed["results"]] == [[], [], []]
