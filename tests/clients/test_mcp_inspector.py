"""The MCP Inspector on its command line, unmodified: it looks for the skills extension by the handshake, and verifies every skill."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import CALL_WITHIN, HERE, Home, home_on, packaged_node
from tests.clients.test_mcp_conformance import PROMPTS, SKILL
from tests.support.service import Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PROGRAM = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"


class Inspector:
    """`mcp-inspector --cli`, which may reach this machine only."""

    def __init__(self, packages: Path, folder: Path, home: Home) -> None:
        self.home, self._folder = home, folder
        self._command = [packaged_node(packages), str(packages / PROGRAM), "--cli", f"{home.host}/mcp"]

    def run(self, *arguments: str, key: str | None = None) -> "subprocess.CompletedProcess[str]":
        refused = self._folder / "refused"
        header = f"Authorization: Bearer {key or self.home.key}"
        done = subprocess.run(
            [*self._command, "--transport", "http", "--header", header, "--method", *arguments],
            cwd=self._folder,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(self._folder),
                "NODE_OPTIONS": f"--require={HERE / 'loopback.cjs'}",
                "LOOPBACK_REFUSED": str(refused),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CALL_WITHIN,
            check=False,
        )
        assert not refused.exists(), refused.read_text()
        return done

    def ask(self, *arguments: str) -> Any:
        """The JSON of a call that must go well."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def inspector(packages: Path, tmp_path: Path, running_service: Service) -> Inspector:
    home = home_on(running_service)
    with home.http() as http:
        http.post("llm_skills/", json=SKILL).raise_for_status()
    for name, text in PROMPTS.items():
        home.prompt(name, text)
    return Inspector(packages, tmp_path, home)


def test_it_finds_the_extension_and_verifies_the_skills(inspector: Inspector) -> None:
    # 7 if a check fails, 8 if one could not be made, 9 without digests.
    verified = inspector.run("skills/list", "--verify", "--require-digests")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    listed = inspector.ask("resources/directory/read", "--uri", "skill://pdf-forms")["resources"]
    assert [one["uri"].removeprefix("skill://pdf-forms/") for one in listed] == [
        "SKILL.md",
        "logo.bin",
        "scripts",
        "templates",
    ]


def test_it_calls_tools_and_gets_prompts(inspector: Inspector) -> None:
    tools = inspector.run("tools/list", "--strict")
    assert tools.returncode == 0, tools.stderr
    assert "get_skill" in {tool["name"] for tool in json.loads(tools.stdout)["tools"]}
    answer = inspector.ask("tools/call", "--tool-name", "get_skill", "--tool-arg", "name=pdf-forms")
    assert answer["structuredContent"] == json.loads(answer["content"][0]["text"])
    prompt = inspector.ask(
        "prompts/get", "--prompt-name", "test_prompt_with_arguments", "--prompt-args", "arg1=x", "arg2=y"
    )
    assert prompt["messages"][0]["content"]["text"] == "Prompt with arguments: arg1='x', arg2='y'"


def test_it_says_that_a_key_is_wrong(inspector: Inspector) -> None:
    done = inspector.run("tools/list", key="sk_wrong")
    assert done.returncode != 0
    # It would have the user log in; the key was refused.
    assert json.loads(done.stderr)["error"]["code"] == "auth_required"
