"""The official conformance suite of MCP against the endpoint, by the requirements of each revision, and its checks of the skills extension.

What does not apply stands in ``mcp_expected``, each check by name and with the reason; one that fails anew, or no longer,
fails the test.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import home_on, packaged_node
from tests.clients.mcp_expected import EXPECTED
from tests.support.reverse_proxy import proxying
from tests.support.servers import free_port
from tests.support.service import Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WITHIN = 120.0  # seconds; fifty scenarios, some of which wait for seconds for what does not come
# The folder of what a scenario found.
RUN = re.compile(r"server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z")
PROGRAM = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
# Prompts that the suite asks for and that can be had here.
PROMPTS = {
    "test_simple_prompt": "This is a simple prompt for testing.",
    "test_prompt_with_arguments": "Prompt with arguments: arg1='{{arg1}}', arg2='{{arg2}}'",
}
SKILL = {
    "name": "pdf-forms",
    "description": "Fill in forms. Use for forms.",
    "body": "# Forms\n",
    "files": [
        {"path": "scripts/fill.py", "content": "print('filled')\n"},
        {"path": "templates/a b/eu.md", "content": "x\r\n"},
        {"path": "logo.bin", "content": "AAH/", "encoding": "base64"},
    ],
}


@pytest.fixture(scope="module")
def endpoint(running_service: Service) -> Iterator[str]:
    """The address of the endpoint of a project with something in it; the suite has no key, so a proxy adds it."""
    home = home_on(running_service)
    with home.http() as http:
        http.post("llm_skills/", json=SKILL).raise_for_status()
    for name, text in PROMPTS.items():
        home.prompt(name, text)
    key = {"Authorization": f"Bearer {home.key}"}
    with proxying(home.host, free_port(), "", forwarded=False, added=key) as base:
        yield f"{base}/mcp"


def failed(packages: Path, endpoint: str, folder: Path, *chosen: str) -> set[str]:
    """``scenario check`` of all checks that did not go well."""
    command = [
        packaged_node(packages),
        str(packages / PROGRAM),
        "server",
        "--url",
        endpoint,
        "-o",
        str(folder),
    ]
    done = subprocess.run(
        [*command, *chosen], capture_output=True, text=True, timeout=WITHIN, check=False, cwd=folder
    )
    found, seen = set(), 0
    for file in folder.glob("*/checks.json"):
        run = RUN.fullmatch(file.parent.name)
        assert run is not None
        for check in json.loads(file.read_text()):
            seen += 1
            if check["status"] in ("FAILURE", "WARNING"):
                found.add(f"{run[1]} {check['id']}")
    assert seen, done.stdout + done.stderr
    return found


@pytest.mark.parametrize("revision", EXPECTED)
def test_what_a_revision_requires(packages: Path, endpoint: str, tmp_path: Path, revision: str) -> None:
    found = failed(packages, endpoint, tmp_path, "--requirements", revision)
    anew, no_longer = sorted(found - EXPECTED[revision]), sorted(EXPECTED[revision] - found)
    assert (anew, no_longer) == ([], [])


@pytest.mark.parametrize(
    "scenario", ["sep-2640-skills-enumeration", "sep-2640-skills-directory", "sep-2640-skills-manifest"]
)
def test_the_skills_extension(packages: Path, endpoint: str, tmp_path: Path, scenario: str) -> None:
    assert failed(packages, endpoint, tmp_path, "--scenario", scenario, "--force") == set()
