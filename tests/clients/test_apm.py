"""APM (``apm-cli`` of PyPI), unmodified: the lines of docs/install-skills.md, updates, a lock, and what a revoked share refuses."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clients.conftest import CALL_WITHIN, Home
from tests.clients.test_skills_installer import fill, served
from tests.support.servers import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECTION = (ROOT / "docs/install-skills.md").read_text().partition("\n## APM\n")[2].partition("\n## ")[0]
MANIFEST = "apm.yml"


class Apm:
    """The program in a home and a project of its own."""

    def __init__(self, installed: Path, folder: Path, home: Home) -> None:
        self.project = folder / "project"
        self.project.mkdir()
        command = folder / "bin/apm"
        command.parent.mkdir()
        command.write_text(f"#!{sys.executable}\nfrom apm_cli.entrypoint import main\n\nmain()\n")
        command.chmod(0o755)
        self.env = {
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PYTHONPATH": str(installed),
            "NO_COLOR": "1",
            "COLUMNS": "200",
            # It may reach this machine only.
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "SKALD_URL": home.host,
            "SKALD_KEY": home.key,
        }

    def run(self, lines: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-ec", lines],
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CALL_WITHIN,
            check=False,
        )

    def call(self, lines: str) -> str:
        """What they printed of lines that must go well."""
        done = self.run(lines)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def installed(self, name: str) -> dict[str, bytes]:
        """The files of a skill that Claude Code finds, without the manifest."""
        folder = self.project / ".claude/skills" / name
        found = {
            str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()
        }
        del found[MANIFEST]
        return found

    def locked(self, name: str) -> dict[str, Any]:
        lock = yaml.safe_load((self.project / "apm.lock.yaml").read_text())
        [found] = [one for one in lock["dependencies"] if one["repo_url"] == f"skald/{name}"]
        return dict(found)


def test_the_lines_of_the_page_install_lock_and_update(apm: Path, tmp_path: Path, home: Home) -> None:
    fill(home)
    client = Apm(apm, tmp_path, home)
    first, later = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)

    client.call(first)
    assert client.installed("pdf-forms") == served(home)["pdf-forms"]
    locked = client.locked("pdf-forms")
    assert locked["version"] == "1.0.1"
    # A name that YAML takes for a number.
    client.call("apm install skald/123#1.0.1")
    assert client.installed("123") == served(home)["123"]

    with home.http() as http:
        change = {"base_version": 1, "body": "# New\n"}
        http.patch("llm_skills/name/pdf-forms", json=change).raise_for_status()
    assert "1.0.2" in client.call("apm outdated")
    client.call("apm install --frozen")
    assert client.locked("pdf-forms") == locked
    client.call(later)
    assert client.locked("pdf-forms")["version"] == "1.0.2"
    assert client.installed("pdf-forms") == served(home)["pdf-forms"]

    with home.http() as http:
        [share] = http.get("llm_skills/shares/").raise_for_status().json()["results"]
        http.delete(f"llm_skills/shares/{share['id']}").raise_for_status()
    refused = client.run("rm -rf apm_modules && apm install skald/plain#^1.0.0")
    assert refused.returncode != 0
