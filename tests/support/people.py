"""The commands for people as a person runs them: `skald` as a process, with a home and a service of its own."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support import commands
from tests.support.servers import ROOT, SKALD
from tests.support.service import Service

Run = subprocess.CompletedProcess[str]


class Person:
    """Somebody with a key of a project of their own, a home folder, and a folder to work in."""

    def __init__(
        self, service: Service, home: Path, *, project_id: int | None = None, scopes: Any = None
    ) -> None:
        self.service = service
        self.project_id = project_id or service.make_project().id
        self.key = service.make_key(scopes or ("llm_skill:write", "llm_prompt:write"), [self.project_id])
        self.home = home
        self.work = home / "work"
        self.work.mkdir(parents=True)
        shown = {name: text for name, text in os.environ.items() if not name.startswith(("SKALD_", "XDG_"))}
        self.env: dict[str, str] = {
            **shown,
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "SKALD_URL": service.base_url,
            "SKALD_KEY": self.key,
            "SKALD_PROJECT": str(self.project_id),
        }

    def command(self, *arguments: str) -> list[str]:
        return [*SKALD, *arguments]

    def skald(self, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Run:
        """Run a command to its end. No key is ever shown."""
        done = commands.run(*arguments, env={**self.env, **(env or {})}, cwd=self.work, stdin=stdin)
        assert self.key not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def json(self, *arguments: str, code: int = 0) -> Any:
        """The one object that a command prints with ``--json``."""
        return self.json_by(self.env.get("SKALD_URL", ""), *arguments, code=code)

    def json_by(self, url: str, *arguments: str, code: int = 0) -> Any:
        """The same with the service at another address."""
        done = self.skald(*arguments, "--json", env={"SKALD_URL": url} if "SKALD_URL" in self.env else None)
        assert done.returncode == code, done.stdout + done.stderr
        [line] = done.stdout.splitlines()
        return json.loads(line)

    def raw(self, *arguments: str) -> bytes:
        """What a command prints, byte for byte."""
        done = commands.run_raw(*arguments, env=self.env, cwd=self.work)
        done.check_returncode()
        return done.stdout

    def write_skill(
        self,
        name: str,
        body: str = "# Text\n\nDo it.\n",
        files: Mapping[str, bytes] | None = None,
        *,
        folder: str = "",
    ) -> Path:
        """A folder with a skill, in the work folder."""
        place = self.work / (folder or f"skills/{name}")
        place.mkdir(parents=True, exist_ok=True)
        text = f"---\nname: {name}\ndescription: Does {name}.\n---\n{body}"
        (place / "SKILL.md").write_bytes(text.encode())
        for path, data in (files or {}).items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(data)
        return place

    def get(self, path: str) -> Any:
        """What the service answers by HTTP, below ``llm_skills/``."""
        with self.service.client(self.key, self.project_id) as http:
            answer = http.get(f"llm_skills/{path}")
            answer.raise_for_status()
            return answer.json()


def outcomes(answer: Any) -> dict[str, str]:
    """What became of each skill."""
    return {skill["name"]: skill["outcome"] for skill in answer["skills"]}
