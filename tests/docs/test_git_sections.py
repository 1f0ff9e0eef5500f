"""The lines about programs that clone, and about Git itself, in docs/install-skills.md work when they are pasted one after the other."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import cloning, packages
from tests.clients.test_cloning_installers import SCRIPTS
from tests.support.gitting import Git, git
from tests.support.servers import ROOT
from tests.support.space import skill

__all__ = ["cloning", "git", "packages"]

PAGE = ROOT / "docs" / "install-skills.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAMS = {
    "claude": "@anthropic-ai/claude-code/cli-wrapper.cjs",
    "codex": "@openai/codex/bin/codex.js",
}


@pytest.mark.slow
@pytest.mark.timeout(700)
@pytest.mark.parametrize("section", ["Claude Code", "Codex", "Copilot", "Gemini", "Git"])
def test_the_lines_work_when_pasted(
    git: Git, tmp_path: Path, packages: Path, cloning: Path, section: str
) -> None:
    text = PAGE.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = "\n".join(BLOCK.findall(text))
    lines = re.sub(r"(projects/|skald-)1\b", rf"\g<1>{git.project_id}", lines)
    with git.service.client(git.key, git.project_id) as http:
        http.post("llm_skills/", json=skill("pdf-forms")).raise_for_status()
    programs = tmp_path / "bin"
    programs.mkdir()
    scripts = {name: packages / "node_modules" / script for name, script in PROGRAMS.items()}
    scripts |= {name: cloning / "node_modules" / SCRIPTS[name] for name in ("copilot", "gemini")}
    for name, script in scripts.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec node "{script}" "$@"\n')
        program.chmod(0o755)
    (git.home / ".gitconfig").unlink()
    done = subprocess.run(
        ["/bin/sh", "-exc", lines],
        cwd=git.home,
        env={
            **git.env,
            "PATH": f"{programs}:{git.env['PATH']}",
            "SKALD_URL": git.service.base_url,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    installed = [path.read_text() for path in git.home.rglob("pdf-forms/SKILL.md")]
    assert installed
    assert all(one.startswith("---\nname: pdf-forms\n") for one in installed)
