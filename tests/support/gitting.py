"""The real ``git``, with settings and credentials of its own, for tests of the door that it comes in by."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.service import Service

# As a user would set it: the key comes from the environment and stands in no file.
HELPER = '!f() { echo username=skald; echo "password=$SKALD_KEY"; }; f'
WITHIN = 60.0  # seconds


class Git:
    """``git(...)`` runs it and gives what it printed; the repository of a project is at ``url``."""

    def __init__(self, service: Service, home: Path, project_id: int | None = None, key: str = "") -> None:
        self.service = service
        self.home = home
        self.project_id = project_id or service.make_project().id
        self.key = key or service.make_key(project_ids=[self.project_id])
        self.url = service.url("llm_skills/marketplace.git", self.project_id)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "SKALD_KEY": self.key,
        }
        home.mkdir(exist_ok=True)
        (home / ".gitconfig").unlink(missing_ok=True)
        self("config", "--global", f"credential.{service.base_url}.helper", HELPER)
        self("config", "--global", "user.name", "Test")
        self("config", "--global", "user.email", "test@example.com")

    def run(
        self, *arguments: str, cwd: Path | None = None, version: int | None = None
    ) -> "subprocess.CompletedProcess[str]":
        chosen = [] if version is None else ["-c", f"protocol.version={version}"]
        return subprocess.run(
            ["git", *chosen, *arguments],
            cwd=cwd or self.home,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )

    def __call__(self, *arguments: str, cwd: Path | None = None, version: int | None = None) -> str:
        done = self.run(*arguments, cwd=cwd, version=version)
        assert done.returncode == 0, f"git {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def fail(self, *arguments: str, cwd: Path | None = None, version: int | None = None) -> str:
        """What it says about a call that must fail."""
        done = self.run(*arguments, cwd=cwd, version=version)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def clone(self, name: str, *options: str, version: int | None = None) -> Path:
        """A checkout whose every object is as git wants it."""
        folder = self.home / name
        self("clone", "--quiet", *options, self.url, str(folder), version=version)
        self.check(folder)
        return folder

    def check(self, folder: Path) -> None:
        assert self("fsck", "--strict", "--full", "--no-dangling", cwd=folder) == ""

    def log(self, folder: Path, what: str = "HEAD") -> list[str]:
        """The subjects of commits, newest first."""
        return self("log", "--format=%s", what, cwd=folder).splitlines()

    def files(self, folder: Path) -> dict[str, bytes]:
        """What is checked out below ``skills/``."""
        skills = folder / "skills"
        return {
            str(path.relative_to(skills)): path.read_bytes()
            for path in sorted(skills.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def git(running_service: Service, tmp_path: Path) -> Git:
    """For an empty project of its own on the running service."""
    return Git(running_service, tmp_path / "home")
