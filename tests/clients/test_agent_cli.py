"""Tools of npm @posthog/cli, unmodified, for every endpoint that we have.

Each call starts Node and its catalogue of tools, some three seconds of CPU, so every tool is called once.
"""

import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.clients.conftest import Cli, Home, run_node

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


# The tools of the pinned release that touch what Skald has, by their names.
OURS = re.compile(
    r"(llma-)?skill-|llma-prompt-|user-(?!interview)|users?-get|projects?-|organizations?-|org-member"
)
# Called below.
WORKS = {
    "llma-prompt-create",
    "llma-prompt-duplicate",
    "llma-prompt-get",
    "llma-prompt-label-delete",
    "llma-prompt-label-set",
    "llma-prompt-list",
    "llma-prompt-update",
    "org-members-list",
    "organization-get",
    "organizations-get",
    "organizations-list",
    "project-get",
    "projects-get",
    "skill-archive",
    "skill-create",
    "skill-duplicate",
    "skill-file-create",
    "skill-file-delete",
    "skill-file-get",
    "skill-file-rename",
    "skill-get",
    "skill-list",
    "skill-rename",
    "skill-store-install-command",
    "skill-update",
    "user-get",
    "user-home-settings-get",
    "user-home-settings-update",
    "user-settings-update",
}
NOT_SERVED = {
    "org-member-get-github-login": "no accounts of GitHub are kept",
    "organization-enforce-2fa-execute": "there is no login, so no second factor",
    "organization-enforce-2fa-prepare": "there is no login, so no second factor",
    "project-settings-update": "settings of an analytics project",
}
# Earlier names of the same tools.
ALIASES = {f"llma-{tool}" for tool in WORKS if tool.startswith("skill-")} - {
    "llma-skill-rename",
    "llma-skill-store-install-command",
}


def test_every_tool_of_the_release_is_known(packages: Path) -> None:
    """A release with a tool that is in no table here fails: serve it, or say why not."""
    script = packages / "node_modules/@posthog/cli/lib/posthog-api-cli.mjs"
    done = run_node([str(script), "api", "tools"], {})
    if done.returncode != 0:
        done = run_node([str(script), "tools"], {})
    assert done.returncode == 0, done.stderr.decode()
    found = {tool for tool in msgspec.json.decode(done.stdout, type=list[str]) if OURS.match(tool)}
    assert found == WORKS | NOT_SERVED.keys() | ALIASES
    source = Path(__file__).read_text()
    uncalled = [tool for tool in WORKS if not re.search(rf'cli\.call\(\s*"{tool}"', source)]
    assert not uncalled, f"tables name them, and nothing calls them: {uncalled}"


def test_where_a_key_may_go(cli: Cli, home: Home) -> None:
    user = cli.call("user-get", {})
    [organization] = cli.call("organizations-list", {})["results"]
    assert cli.call("organizations-get")[0]["id"] == organization["id"]
    shown = cli.call("organization-get", {})
    assert [project["id"] for project in shown["projects"]] == [home.project_id]
    assert [project["id"] for project in cli.call("projects-get")] == [home.project_id]
    assert cli.call("project-get", {})["id"] == home.project_id
    members = cli.call("org-members-list", {"search": user["email"]})["results"]
    assert [member["user"]["uuid"] for member in members] == [user["uuid"]]


def test_what_a_user_keeps(cli: Cli, home: Home) -> None:
    key = home.other_key("user:write")
    changed = cli.call("user-settings-update", {"uuid": "@me", "first_name": "Grace"}, key=key)
    assert changed["first_name"] == "Grace"
    tabs = [{"pathname": "/project/1/skills", "title": "Skills"}]
    page = cli.call("user-home-settings-update", {"uuid": "@me", "tabs": tabs, "homepage": None}, key=key)
    assert page == {"tabs": tabs, "homepage": None}
    assert cli.call("user-home-settings-get", {"uuid": changed["uuid"]}, key=key) == page


def test_the_install_command_opens_the_repository(cli: Cli, home: Home) -> None:
    with home.http() as http:
        body = {"name": "pdf-forms", "description": "Fill in forms.", "body": "# Forms"}
        http.post("llm_skills/", json=body).raise_for_status()
    made = cli.call("skill-store-install-command", {})
    assert made["status"] == "created"
    [address] = re.findall(r"marketplace add (\S+)", made["command"])
    assert [address] == re.findall(r"marketplace add (\S+)", made["codex_command"])
    listed = subprocess.run(
        ["git", "ls-remote", address], capture_output=True, text=True, timeout=60, check=True
    )
    assert "HEAD" in listed.stdout


def test_prompt_tools(cli: Cli, home: Home) -> None:
    given = {"name": "Agent_1", "prompt": "Grüße\n", "config": {"t": 1.5}, "version_description": "first"}
    created = cli.call("llma-prompt-create", given)
    assert {key: created[key] for key in given} == given

    base: dict[str, Any] = {"prompt_name": "Agent_1"}
    change = {
        "edits": [{"old": "Grüße", "new": "Hello"}],
        "config": None,
        "base_version": 1,
        "version_description": "second",
    }
    second = cli.call("llma-prompt-update", {**base, **change})
    assert (second["version"], second["prompt"], second["config"]) == (2, "Hello\n", None)
    assert second["version_description"] == "second"

    label = cli.call("llma-prompt-label-set", {**base, "label_name": "live", "version": 1})
    assert (label["name"], label["version"]) == ("live", 1)
    found = cli.call("llma-prompt-get", {**base, "label": "live", "content": "full"})
    assert (found["prompt"], found["label"]) == ("Grüße\n", "live")

    copy = cli.call("llma-prompt-duplicate", {**base, "new_name": "Copy"})
    assert (copy["name"], copy["version"], copy["prompt"]) == ("Copy", 1, "Hello\n")
    # Without a project in the environment it asks which one the key opens.
    listed = cli.call("llma-prompt-list", {"search": "agent"}, with_project=False)
    assert [row["name"] for row in listed["results"]] == ["Agent_1"]

    cli.call("llma-prompt-label-delete", {**base, "label_name": "live"})
    with home.http() as http:
        assert http.get("llm_prompts/name/Agent_1?label=live").status_code == 404


def test_skill_tools(cli: Cli, home: Home) -> None:
    spaced = "a b/ü c.txt"
    given = {
        "name": "pdf-forms",
        "description": "Fill in forms.",
        "body": "# Forms\n\nRead.\n",
        "license": "MIT",
        "compatibility": "any",
        "allowed_tools": ["Bash(git log:*)"],
        "metadata": {"team": "docs"},
        "files": [{"path": spaced, "content": "spaced"}],
        "owners": [],
    }
    created = cli.call("skill-create", given)
    assert (created["files"][0]["path"], created["owners"]) == (spaced, [])

    skill: dict[str, Any] = {"skill_name": "pdf-forms"}
    changes = {
        "edits": [{"old": "Read.", "new": "Read it."}],
        "file_edits": [{"path": spaced, "edits": [{"old": "spaced", "new": "edited"}]}],
        "base_version": 1,
    }
    updated = cli.call("skill-update", {**skill, **changes})
    assert (updated["version"], updated["body"]) == (2, "# Forms\n\nRead it.\n")
    shown = cli.call("skill-get", {**skill, "body_offset": 2, "body_length": 5})
    assert (shown["body"], shown["version"]) == ("Forms", 2)
    moved = cli.call("skill-rename", {**skill, "new_name": "pdf-fields"})
    assert (moved["name"], moved["version"], moved["id"]) == ("pdf-fields", 2, updated["id"])
    # By the name of before.
    assert cli.call("skill-get", skill)["name"] == "pdf-fields"
    skill = {"skill_name": "pdf-fields"}
    assert cli.call("skill-duplicate", {**skill, "new_name": "copy"})["name"] == "copy"
    assert [row["name"] for row in cli.call("skill-list", {"search": "FORMS"})["results"]] == [
        "copy",
        "pdf-fields",
    ]
    user = home.service.make_user()
    home.service.make_key(project_ids=[home.project_id], email=user.email)
    owned = cli.call("skill-update", {**skill, "owners": [str(user.uuid)]})
    assert ([one["id"] for one in owned["owners"]], owned["version"]) == ([user.id], 2)
    listed = cli.call("skill-list", {"owner_id": user.id})["results"]
    assert [row["name"] for row in listed] == ["pdf-fields"]
    assert cli.call("skill-list", {"category": "docs"})["results"] == []
    described = cli.call("skill-update", {**skill, "base_version": 2, "version_description": "Shorter"})
    assert described["version_description"] == "Shorter"
    cli.call("skill-archive", skill)
    with home.http() as http:
        assert http.get("llm_skills/name/pdf-fields").status_code == 404


def test_skill_file_tools(cli: Cli, home: Home) -> None:
    with home.http() as http:
        body = {"name": "pdf-forms", "description": "Fill in forms.", "body": "# Forms"}
        http.post("llm_skills/", json=body).raise_for_status()

    skill: dict[str, Any] = {"skill_name": "pdf-forms"}
    path = "scripts/deep/my file #1 50%.py"
    file = {"path": path, "content": "print()\n", "content_type": "text/x-python"}
    assert cli.call("skill-file-create", {**skill, **file})["version"] == 2
    assert cli.call("skill-file-get", {**skill, "file_path": path, "version": 2}) == file
    paths = {"old_path": path, "new_path": "scripts/plain name.py"}
    assert cli.call("skill-file-rename", {**skill, **paths})["files"][0]["path"] == "scripts/plain name.py"
    removed = cli.call(
        "skill-file-delete", {**skill, "file_path": "scripts/plain name.py", "base_version": 3}
    )
    assert (removed["version"], removed["files"]) == (4, [])


def test_refusals_reach_the_user(cli: Cli, home: Home) -> None:
    home.prompt("agent", "one")

    assert "There is no prompt named 'agnt'" in cli.fail("llma-prompt-get", {"prompt_name": "agnt"})
    given = {"prompt_name": "agent", "prompt": "x", "base_version": 5}
    denied = cli.fail("llma-prompt-update", given, key=home.other_key("llm_prompt:read"))
    assert "llm_prompt:write" in denied
