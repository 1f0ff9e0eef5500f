"""The lines about `npx skills` and shares in docs/install-skills.md work when they are pasted one after the other."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import cloning, packages
from tests.clients.test_cloning_installers import SCRIPTS
from tests.clients.test_skills_installer import Installer
from tests.support.servers import ROOT
from tests.support.service import Service

__all__ = ["cloning", "packages"]

PAGE = ROOT / "docs" / "install-skills.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_the_lines_work_when_pasted(
    running_service: Service, tmp_path: Path, packages: Path, cloning: Path
) -> None:
    installer = Installer(packages, tmp_path)
    section = PAGE.read_text().partition("## npx skills\n")[2].partition("\n## ")[0]
    project_id = running_service.make_project().id
    key = running_service.make_key(project_ids=[project_id])
    with running_service.client(key, project_id) as client:
        body = {"name": "pdf-forms", "description": "Fill in PDF forms.", "body": "# PDF\n"}
        client.post("llm_skills/", json=body).raise_for_status()
    programs = installer.project / ".venv/bin"
    programs.mkdir(parents=True)
    skald = f"env PYTHONPATH={ROOT} {sys.executable} -m cli.main"
    # `npx` would fetch the newest releases; here they are those of the lock.
    known = {"skills": " ".join(installer.command)} | {
        name: f"node {cloning}/node_modules/{SCRIPTS[script]}"
        for name, script in (("openskills", "openskills"), ("agent-skills-cli", "agent-skills"))
    }
    cases = "\n".join(f'{name}) shift; exec {command} "$@";;' for name, command in known.items())
    for name, command in (("skald", f"exec {skald}"), ("npx", f'case "$1" in\n{cases}\nesac; false')):
        (programs / name).write_text(f'#!/bin/sh\n{command} "$@"\n')
        (programs / name).chmod(0o755)
    lines = "\n".join(BLOCK.findall(section)).replace("--project 1", f"--project {project_id}")
    done = subprocess.run(
        ["/bin/sh", "-ec", lines],
        cwd=installer.project,
        env={
            **installer.env,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "SKALD_KEY": key,
            "SKALD_URL": running_service.base_url,
            "SKALD_DATABASE_URL": running_service.database_url,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "revoked" in done.stdout
    assert "workshop" in done.stdout
    with running_service.client(key, project_id) as client:
        expected = client.get("llm_skills/name/pdf-forms/skill-md/").content
        shares = client.get("llm_skills/shares/").json()["results"]
    assert installer.installed()["pdf-forms"]["SKILL.md"] == expected
    cloned = installer.project / "from-a-share/skills/pdf-forms/SKILL.md"
    assert cloned.read_bytes() == expected
    assert [(share["label"], share["revoked_at"] is not None) for share in shares] == [
        ("live", True),
        ("workshop", False),
        ("design team", False),
    ]
