"""Installers that clone a repository and can hold no key, unmodified, from the repository of a share.

Each installs, and updates if it can, in a home of its own; what they would tell their makers does not leave this machine.
"""

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.conftest import CALL_WITHIN, HERE, Home
from tests.clients.test_skills_installer import fill, served, shared

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SCRIPTS = {
    "openskills": "openskills/dist/cli.js",
    "agent-skills": "agent-skills-cli/dist/cli/index.js",
    "playbooks": "playbooks/dist/index.js",
    "gemini": "@google/gemini-cli/bundle/gemini.js",
    "copilot": "@github/copilot/npm-loader.js",
}


class Installers:
    """Programs of npm in a home of their own, with Claude Code in it; each may reach this machine only."""

    def __init__(self, packages: Path, folder: Path) -> None:
        self.packages = packages
        self.home, self.project = folder / "home", folder / "project"
        (self.home / ".claude").mkdir(parents=True)
        self.project.mkdir()
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TERM": "xterm",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
            "NODE_OPTIONS": f"--require={HERE / 'loopback.cjs'}",
            "DISABLE_TELEMETRY": "1",
            "LOOPBACK_REFUSED": str(folder / "refused"),
        }

    def command(self, program: str, *arguments: str) -> list[str]:
        return ["node", str(self.packages / "node_modules" / SCRIPTS[program]), *arguments]

    def call(self, program: str, *arguments: str, given: str = "", fails: bool = False) -> str:
        done = subprocess.run(
            self.command(program, *arguments),
            cwd=self.project,
            env=self.env,
            input=given,
            capture_output=True,
            text=True,
            timeout=CALL_WITHIN,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, printed
        return printed

    def on_a_terminal(self, until: str, program: str, *arguments: str) -> str:
        """What it printed, of a program that works on a terminal alone and stays until it is left."""
        process, terminal = pty.fork()
        if process == 0:
            os.chdir(self.project)
            command = self.command(program, *arguments)
            os.execvpe(command[0], command, self.env)
        try:
            printed = ""
            end = time.monotonic() + CALL_WITHIN
            while until not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed):
                ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
                assert ready, printed
                try:
                    printed += os.read(terminal, 65536).decode(errors="replace")
                except OSError:
                    pytest.fail(printed)
            return printed
        finally:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            os.close(terminal)


@pytest.fixture
def installers(cloning: Path, tmp_path: Path) -> Installers:
    return Installers(cloning, tmp_path)


def skills_in(folder: Path) -> dict[str, dict[str, bytes]]:
    """The files of each skill, without what an installer notes beside them."""
    return {
        skill.name: {
            str(file.relative_to(skill)): file.read_bytes()
            for file in skill.rglob("*")
            if file.is_file() and file.name not in (".openskills.json", ".skill-source.json")
        }
        for skill in folder.iterdir()
        if (skill / "SKILL.md").exists()
    }


Steps = Callable[[str], None]


def installs_and_updates(
    home: Home, install: Steps, update: Steps | None, found: Callable[[], dict[str, dict[str, bytes]]]
) -> None:
    """What arrives are the bytes that the API gives, before and after a publish; from a revoked share comes nothing."""
    fill(home)
    share = shared(home)
    url = f"{share['url']}.git"
    install(url)
    assert found() == served(home)
    if update is not None:
        with home.http() as http:
            change = {"base_version": 1, "body": "# New\n"}
            http.patch("llm_skills/name/plain", json=change).raise_for_status()
        update(url)
        assert found() == served(home)


def test_openskills(installers: Installers, home: Home) -> None:
    installs_and_updates(
        home,
        lambda url: _(installers.call("openskills", "install", url, "--yes")),
        lambda url: _(installers.call("openskills", "update")),
        lambda: skills_in(installers.project / ".claude/skills"),
    )


def test_agent_skills_cli(installers: Installers, home: Home) -> None:
    def install(url: str) -> None:
        installers.call("agent-skills", "install", url, "--agent", "claude", "--yes")

    installs_and_updates(home, install, install, lambda: skills_in(installers.project / ".claude/skills"))


def test_playbooks(installers: Installers, home: Home) -> None:
    names = ("plain", "123", "pdf-forms")

    def install(url: str) -> None:
        choice = ("--skill", *names, "--yes", "--agent", "claude-code")
        installers.on_a_terminal(f"Installed {len(names)} skills", "playbooks", "add", "skill", url, *choice)

    installs_and_updates(home, install, None, lambda: skills_in(installers.project / ".agents/skills"))


def test_gemini_extension(installers: Installers, home: Home) -> None:
    name = f"skald-{home.project_id}"

    def update(_: str) -> None:
        assert "1.0.4" in installers.call("gemini", "extensions", "update", name, given="y\n")

    installs_and_updates(
        home,
        lambda url: _(installers.call("gemini", "extensions", "install", url, "--consent")),
        update,
        lambda: skills_in(installers.home / ".gemini/extensions" / name / "skills"),
    )
    assert "Use when: plain" in installers.call("gemini", "extensions", "list")


def test_gemini_skills(installers: Installers, home: Home) -> None:
    installs_and_updates(
        home,
        lambda url: _(installers.call("gemini", "skills", "install", url, "--path", "skills", "--consent")),
        None,
        lambda: skills_in(installers.home / ".gemini/skills"),
    )


def test_copilot(installers: Installers, home: Home) -> None:
    name = f"skald-{home.project_id}"

    def install(url: str) -> None:
        installers.call("copilot", "plugin", "marketplace", "add", url)
        installers.call("copilot", "plugin", "install", f"{name}@{name}")

    def update(_: str) -> None:
        installers.call("copilot", "plugin", "marketplace", "update", name)
        installers.call("copilot", "plugin", "update", f"{name}@{name}")

    installs_and_updates(
        home,
        install,
        update,
        lambda: skills_in(installers.home / ".copilot/installed-plugins" / name / name / "skills"),
    )


def test_a_revoked_share_installs_nothing(installers: Installers, home: Home) -> None:
    fill(home)
    share = shared(home)
    with home.http() as http:
        http.delete(f"llm_skills/shares/{share['id']}").raise_for_status()
    assert "not found" in installers.call("openskills", "install", f"{share['url']}.git", "--yes", fails=True)


def _(printed: str) -> None:
    """What it printed is not looked at."""
