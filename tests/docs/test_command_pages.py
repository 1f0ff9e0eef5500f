"""The lines about `skald push` and `skald pull` do what the pages say when they are pasted one after the other."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.operator.demo import TRY
from tests.support.servers import ROOT, StartService
from tests.support.service import Service

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def section(page: str, title: str | None) -> str:
    """The text below a heading, up to the next one of its rank; the whole page without one."""
    text = (ROOT / page).read_text()
    if title is None:
        return text
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def put_command(folder: Path) -> None:
    """What `make install` leaves in its folder, and an empty home."""
    command = folder / ".venv" / "bin" / "skald"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec env PYTHONPATH={ROOT} {sys.executable} -m cli.main "$@"\n')
    command.chmod(0o755)
    (folder / "home").mkdir()


def paste(script: str, env: dict[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/sh", "-e", "-x", "-c", script],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.mark.parametrize(
    ("page", "title", "made"),
    [
        ("README.md", "From folders, and into agents", ["home/.claude/skills/greeting/SKILL.md"]),
        ("docs/install-skills.md", "The skald command", ["home/.claude/skills/greeting/SKILL.md"]),
        ("docs/cli.md", None, ["mine/greeting/SKILL.md", "old/greeting/SKILL.md"]),
    ],
)
def test_the_lines_work_when_pasted(
    running_service: Service, tmp_path: Path, page: str, title: str | None, made: list[str]
) -> None:
    project_id = running_service.make_project().id
    key = running_service.make_key(project_ids=[project_id])
    # What `make run` leaves in its folder.
    (tmp_path / ".skald").mkdir()
    (tmp_path / ".skald" / "first-key").write_text(f"{key}\n")
    put_command(tmp_path)
    script = "\n".join(BLOCK.findall(section(page, title))).replace(
        "http://127.0.0.1:8000", running_service.base_url
    )
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "SKALD_URL": running_service.base_url}
    if "skald login" not in script:
        env["SKALD_KEY"] = key  # from the lines above on the page

    done = paste(script, env, tmp_path)

    assert done.returncode == 0, done.stderr
    assert key not in done.stdout + done.stderr
    assert "greeting: created as version 1" in done.stdout
    for path in made:
        assert (tmp_path / path).read_text().startswith("---\nname: greeting\n")


def test_the_first_look_works_when_pasted(start_service: StartService, tmp_path: Path) -> None:
    service = start_service()
    put_command(tmp_path)
    (tmp_path / ".skald").symlink_to(service.data_dir)
    script = "\n".join(BLOCK.findall(section("README.md", "Look around")))
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "SKALD_PORT": service.address.rpartition(":")[2],
    }

    done = paste(script.replace("http://127.0.0.1:8000", service.address), env, tmp_path)

    assert done.returncode == 0, done.stderr
    assert "skill code-review: made" in done.stdout
    tried = paste("export PATH=$PWD/.venv/bin:$PATH\n" + "\n".join(TRY), env, tmp_path)
    assert (tried.returncode, "production  2" in tried.stdout) == (0, True), tried.stderr
    assert "+3. List what was added" in done.stdout
