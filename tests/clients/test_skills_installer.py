"""npm skills, unmodified: install from a share and from the origin, list, update; and an old release that knows files only.

The newest release wants a newer Node than some systems have, so one comes with the packages.
"""

import base64
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import CALL_WITHIN, HERE, Home, home_on, packaged_node
from tests.support.service import MakeService, Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SCRIPT = "#!/bin/sh\necho 'Grüße'\n"


class Installer:
    """`npx skills` in a folder of its own, as an agent's user calls it; it may reach this machine only."""

    def __init__(self, packages: Path, folder: Path, *, old: bool = False) -> None:
        modules = packages / "node_modules"
        self.command = [
            packaged_node(packages),
            str(modules / ("skills-old" if old else "skills") / "bin/cli.mjs"),
        ]
        self.home, self.project = folder / "home", folder / "project"
        # What tells the installer that Claude Code is used here; without any agent, updates leave files as they were.
        (self.home / ".claude").mkdir(parents=True)
        self.project.mkdir()
        self._refused = folder / "refused"
        self.env = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.home),
            "DISABLE_TELEMETRY": "1",
            "DO_NOT_TRACK": "1",
            "NODE_OPTIONS": f"--require={HERE / 'loopback.cjs'}",
            "LOOPBACK_REFUSED": str(self._refused),
        }

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CALL_WITHIN,
            check=False,
        )
        assert not self._refused.exists(), self._refused.read_text()
        return done

    def call(self, *arguments: str) -> str:
        """What it printed of a call that must go well."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def installed(self, *, everywhere: bool = False) -> dict[str, dict[str, bytes]]:
        """The files of each skill that Claude Code finds in the project, or in the home of the user."""
        folder = (self.home if everywhere else self.project) / ".claude/skills"
        return {
            skill.name: {
                str(file.relative_to(skill)): file.read_bytes() for file in skill.rglob("*") if file.is_file()
            }
            for skill in (folder.iterdir() if folder.exists() else ())
        }


@pytest.fixture
def installer(packages: Path, tmp_path: Path) -> Installer:
    return Installer(packages, tmp_path)


def fill(home: Home) -> None:
    """Skills of SKILL.md alone, with text, and with bytes that are no text."""
    with home.http() as http:
        for name, files in (
            ("plain", []),
            ("123", [{"path": "deep/er/a b.txt", "content": ""}]),
            (
                "pdf-forms",
                [
                    {"path": "scripts/run.sh", "content": SCRIPT},
                    {"path": "assets/logo.bin", "content": "AP/+Cg==", "encoding": "base64"},
                ],
            ),
        ):
            body = {
                "name": name,
                "description": f"Use when: {name} is 'meant', #1",
                "body": f"# {name}\r\n\nGrüße 😀\n",
                "metadata": {"team": "docs: all"},
                "files": files,
            }
            http.post("llm_skills/", json=body).raise_for_status()


def shared(home: Home) -> dict[str, str]:
    with home.http() as http:
        made: dict[str, str] = http.post("llm_skills/shares/", json={}).raise_for_status().json()
    return made


def served(home: Home) -> dict[str, dict[str, bytes]]:
    """What the API says each skill is made of."""
    found: dict[str, dict[str, bytes]] = {}
    with home.http() as http:
        for row in http.get("llm_skills/").raise_for_status().json()["results"]:
            name = row["name"]
            files = {"SKILL.md": http.get(f"llm_skills/name/{name}/skill-md/").raise_for_status().content}
            for file in http.get(f"llm_skills/name/{name}/").json()["files"]:
                files[file["path"]] = content_of(
                    http.get(f"llm_skills/name/{name}/files/{file['path']}").json()
                )
            found[name] = files
    return found


def content_of(file: dict[str, Any]) -> bytes:
    if file.get("encoding") == "base64":
        return base64.b64decode(file["content"])
    return str(file["content"]).encode()


def test_a_share_installs_lists_and_updates(installer: Installer, home: Home) -> None:
    fill(home)
    share = shared(home)
    assert share["url"] == f"{home.host}/s/{share['token']}"
    listed = installer.call("add", share["url"], "--list")
    assert "pdf-forms" in listed
    installer.call("add", share["url"], "--agent", "claude-code", "--skill", "*", "--yes")
    assert installer.installed() == served(home)
    assert "pdf-forms" in installer.call("list")

    # Nothing is fetched while nothing has changed; then only what has.
    assert "Updated" not in installer.call("update", "--yes")
    with home.http() as http:
        change = {
            "base_version": 1,
            "edits": [{"old": "# pdf-forms", "new": "# PDF"}],
            "file_edits": [{"path": "scripts/run.sh", "edits": [{"old": "Grüße", "new": "Hi"}]}],
        }
        http.patch("llm_skills/name/pdf-forms", json=change).raise_for_status()
        http.patch("llm_skills/name/plain", json={"base_version": 1, "body": "# New\n"}).raise_for_status()
    printed = installer.call("update", "--yes")
    assert "Updated pdf-forms" in printed
    assert "Updated plain" in printed
    assert "Updated 123" not in printed
    assert installer.installed() == served(home)
    assert b"# PDF" in installer.installed()["pdf-forms"]["SKILL.md"]

    with home.http() as http:
        http.delete(f"llm_skills/shares/{share['id']}").raise_for_status()
    refused = installer.run("add", share["url"], "--agent", "claude-code", "--skill", "*", "--yes")
    assert refused.returncode != 0


def test_the_origin_installs_the_public_project_for_a_user(
    installer: Installer, running_service: Service, make_service: MakeService
) -> None:
    public = running_service.make_project()
    service = make_service(settings={"SKALD_PUBLIC_PROJECT": str(public.id)})
    home = home_on(service)._replace(project_id=public.id, key=service.make_key(project_ids=[public.id]))
    fill(home)
    arguments = ("--agent", "claude-code", "--global", "--yes")
    installer.call("add", home.host, "--skill", "pdf-forms", "plain", *arguments)
    expected = served(home)
    del expected["123"]
    assert installer.installed(everywhere=True) == expected
    with home.http() as http:
        change = {"base_version": 1, "body": "# New\n"}
        http.patch("llm_skills/name/plain", json=change).raise_for_status()
    installer.call("update", "--global", "--yes")
    expected["plain"] = served(home)["plain"]
    assert installer.installed(everywhere=True) == expected


def test_an_old_release_fetches_the_files_one_by_one(packages: Path, tmp_path: Path, home: Home) -> None:
    installer = Installer(packages, tmp_path, old=True)
    fill(home)
    url = shared(home)["url"]
    installer.call("add", url, "--agent", "claude-code", "--skill", "pdf-forms", "plain", "123", "--yes")
    installed, expected = installer.installed(), served(home)
    # It reads every file as text.
    assert expected["pdf-forms"].pop("assets/logo.bin") != installed["pdf-forms"].pop("assets/logo.bin")
    assert installed == expected
