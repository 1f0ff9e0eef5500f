"""Installers of plugins, unmodified and without a login: npm @anthropic-ai/claude-code and npm @openai/codex.

They call the real ``git``, whose credential helper has the key from the environment. What they would tell or ask their makers
is switched off where there is a switch; without internet they work all the same.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.gitting import Git, git
from tests.support.space import file, skill

__all__ = ["git"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WITHIN = 100.0  # seconds; they are large programs, and tests run side by side
SCRIPT = "#!/bin/sh\necho hello\n"

Run = Callable[..., str]


def runner(git: Git, packages: Path, script: str) -> Run:
    """``run("add", …)`` calls ``… plugin add …`` and gives what it printed; ``fails=True``: it must fail."""

    def run(*arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            ["node", str(packages / "node_modules" / script), "plugin", *arguments],
            env={**git.env, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
            cwd=git.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{arguments}\n{done.stdout}{done.stderr}"
        return done.stdout + (done.stderr if fails else "")

    return run


@pytest.fixture
def claude(git: Git, packages: Path) -> Run:
    return runner(git, packages, "@anthropic-ai/claude-code/cli-wrapper.cjs")


@pytest.fixture
def codex(git: Git, packages: Path) -> Run:
    return runner(git, packages, "@openai/codex/bin/codex.js")


def publish_first(git: Git) -> str:
    """Two skills; the name that the plugin and its marketplace have."""
    with git.service.client(git.key, git.project_id) as http:
        files = [file("scripts/run.sh", SCRIPT), file("reference/a b.md", "# ü\r\n")]
        http.post("llm_skills/", json=skill("pdf-forms", files=files)).raise_for_status()
        http.post("llm_skills/", json=skill("other")).raise_for_status()
    return f"skald-{git.project_id}"


def publish_second(git: Git) -> None:
    with git.service.client(git.key, git.project_id) as http:
        change = {"base_version": 1, "body": "# Changed\n"}
        http.patch("llm_skills/name/pdf-forms", json=change).raise_for_status()
        http.post("llm_skills/name/other/archive").raise_for_status()


def skills_in(plugin: Path) -> dict[str, bytes]:
    folder = plugin / "skills"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".in_use")
    }


def listed_of(claude: Run, plugin: str) -> dict[str, Any]:
    """The plugin as it is listed, beside those that come with the program."""
    [listed] = [one for one in msgspec.json.decode(claude("list", "--json")) if one["id"] == plugin]
    found: dict[str, Any] = listed
    return found


def check_no_key(git: Git) -> None:
    """What a user's credential helper tells git stays there."""
    secret = git.key.encode()
    assert not [path for path in git.home.rglob("*") if path.is_file() and secret in path.read_bytes()]


def test_claude_code(git: Git, claude: Run) -> None:
    name = publish_first(git)
    plugin = f"{name}@{name}"
    claude("marketplace", "add", git.url)
    claude("install", plugin)
    listed = listed_of(claude, plugin)
    assert (listed["id"], listed["version"], listed["enabled"]) == (plugin, "1.0.2", True)
    installed = Path(listed["installPath"])
    assert skills_in(installed) == git.files(git.clone("first"))
    assert (installed / "skills/pdf-forms/scripts/run.sh").stat().st_mode & 0o100
    assert "Skills (2)  other, pdf-forms" in claude("details", plugin)
    claude("validate", str(git.home / "first"))

    publish_second(git)
    claude("marketplace", "update", name)
    assert "1.0.4" in claude("update", plugin)
    listed = listed_of(claude, plugin)
    assert listed["version"] == "1.0.4"
    assert skills_in(Path(listed["installPath"])) == git.files(git.clone("second"))
    check_no_key(git)


def test_codex(git: Git, codex: Run) -> None:
    name = publish_first(git)
    plugin = f"{name}@{name}"
    codex("marketplace", "add", git.url)
    codex("add", plugin)
    cache = git.home / ".codex/plugins/cache" / name / name
    assert skills_in(cache / "1.0.2") == git.files(git.clone("first"))
    assert (cache / "1.0.2/skills/pdf-forms/scripts/run.sh").stat().st_mode & 0o100

    publish_second(git)
    # One command: it fetches, and what is installed follows.
    codex("marketplace", "upgrade", name)
    [listed] = msgspec.json.decode(codex("list", "--json"))["installed"]
    assert (listed["pluginId"], listed["version"], listed["enabled"]) == (plugin, "1.0.4", True)
    assert skills_in(cache / "1.0.4") == git.files(git.clone("second"))
    check_no_key(git)


def test_an_empty_project_can_be_added_before_its_first_skill(git: Git, claude: Run, codex: Run) -> None:
    name = f"skald-{git.project_id}"
    claude("marketplace", "add", git.url)
    claude("install", f"{name}@{name}")
    codex("marketplace", "add", git.url)
    codex("add", f"{name}@{name}")
    publish_first(git)
    claude("marketplace", "update", name)
    assert "1.0.2" in claude("update", f"{name}@{name}")


def test_a_wrong_key_is_told(git: Git, claude: Run, codex: Run) -> None:
    git.env["SKALD_KEY"] = "sk_wrong"
    assert "uthentication" in claude("marketplace", "add", git.url, fails=True)
    assert "uthentication" in codex("marketplace", "add", git.url, fails=True)
