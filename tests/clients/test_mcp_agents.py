"""Agents, unmodified and without a login, add the MCP endpoint by the lines of docs/mcp.md and connect to it."""

import json
import os
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.clients.conftest import Home, home_on
from tests.support.mcp_client import call
from tests.support.service import Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WITHIN = 100.0  # seconds; they are large programs, and tests run side by side
PAGE = Path(__file__).parents[2] / "docs" / "mcp.md"
SCRIPTS = {"claude": "@anthropic-ai/claude-code/cli-wrapper.cjs", "codex": "@openai/codex/bin/codex.js"}


class Machine:
    """A user's machine with the agents on its path, and the key in its environment."""

    def __init__(self, folder: Path, packages: Path, home: Home) -> None:
        self.folder = folder
        self.home = home
        programs = folder / "bin"
        programs.mkdir()
        for name, script in SCRIPTS.items():
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec node "{packages / "node_modules" / script}" "$@"\n')
            program.chmod(0o755)
        self.env = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "SKALD_KEY": home.key,
            "SKALD_URL": home.host,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }

    def run(self, script: str, **env: str) -> str:
        """What a script of the shell prints; it must go well."""
        done = subprocess.run(
            ["/bin/sh", "-ec", script],
            cwd=self.folder,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def machine(tmp_path: Path, packages: Path, running_service: Service) -> Machine:
    return Machine(tmp_path, packages, home_on(running_service))


def line_of(start: str) -> str:
    """The line of the page that begins so."""
    found: list[str] = re.findall(rf"^{re.escape(start)}.*$", PAGE.read_text(), re.MULTILINE)
    assert len(found) == 1
    return found[0]


def test_claude_code_connects(machine: Machine) -> None:
    machine.run(line_of("claude mcp add"))
    assert re.search(r"skald: .*/mcp \(HTTP\) - . Connected", machine.run("claude mcp list"))
    machine.run("claude mcp remove skald")
    machine.run(line_of("claude mcp add"), SKALD_KEY="sk_wrong")
    assert "Connected" not in machine.run("claude mcp list")


def test_codex_connects(machine: Machine) -> None:
    machine.run(line_of("codex mcp add"))
    assert re.search(r"^skald +\S+/mcp +SKALD_KEY +enabled", machine.run("codex mcp list"), re.MULTILINE)
    [status] = _asked(machine, "mcpServerStatus/list")["data"]
    assert (status["name"], status["serverInfo"]["title"]) == ("skald", "Skald")
    assert {"list_skills", "edit_skill", "get_prompt"} <= status["tools"].keys()
    assert {one["uriTemplate"] for one in status["resourceTemplates"]} == {
        "skill://{skill_name}/SKILL.md",
        "skill://{skill_name}/{+file_path}",
    }


def _asked(machine: Machine, method: str) -> Any:
    """What Codex answers to a question of its own protocol, for which it connects to its MCP servers."""
    with subprocess.Popen(
        ["codex", "app-server"],
        cwd=machine.folder,
        env=machine.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(WITHIN, process.kill)
        timer.start()
        try:
            about = {"clientInfo": {"name": "tests", "title": "Tests", "version": "1"}}
            messages = (
                {"id": 0, "method": "initialize", "params": about},
                {"method": "initialized"},
                {"id": 1, "method": method, "params": {}},
            )
            for message in messages:
                process.stdin.write(msgspec.json.encode(message) + b"\n")
            process.stdin.flush()
            for line in process.stdout:
                answer = json.loads(line)
                if answer.get("id") == 1:
                    return answer["result"]
            pytest.fail(f"Codex did not answer {method}")
        finally:
            timer.cancel()
            process.kill()


def test_the_line_for_curl_works(machine: Machine) -> None:
    created = call(
        machine.home.service, machine.home.key, "create_skill", name="pdf-forms", description="d", body="b"
    )
    assert created.json()["result"]["isError"] is False
    answer = json.loads(machine.run(line_of("curl")))
    assert [row["name"] for row in answer["result"]["structuredContent"]["results"]] == ["pdf-forms"]
