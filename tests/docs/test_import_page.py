"""The lines of docs/import.md do what the page says when they are pasted."""

import os
from pathlib import Path

from tests.docs.test_command_pages import BLOCK, paste, put_command
from tests.support.servers import ROOT
from tests.support.service import Service

PAGE = ROOT / "docs" / "import.md"


def test_the_lines_work_when_pasted(running_service: Service, tmp_path: Path) -> None:
    project_id = running_service.make_project().id
    key = running_service.make_key(project_ids=[project_id])
    (tmp_path / ".skald").mkdir()
    (tmp_path / ".skald" / "first-key").write_text(f"{key}\n")
    put_command(tmp_path)
    script = "\n".join(BLOCK.findall(PAGE.read_text())).replace(
        "http://127.0.0.1:8000", running_service.base_url
    )

    done = paste(script, {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")}, tmp_path)

    assert done.returncode == 0, done.stderr
    dry, first, *shown, last = done.stdout.splitlines()
    assert dry == "dry run, nothing was written: 1 version would be brought, 0 already there"
    assert (first, last) == ("1 version brought, 0 already there", "0 versions brought, 1 already there")
    assert "# Greeting" in shown
