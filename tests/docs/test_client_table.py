"""The table of clients in docs/install-skills.md names every client that the suite runs, at the version that it pins."""

import json
import re
from collections.abc import Iterator

from tests.support.servers import ROOT

CLIENTS = ROOT / "tests/clients"
TABLE = (ROOT / "docs/install-skills.md").read_text().partition("\n## Which client does what?\n")[2]
ROW = re.compile(r"^\| (npm|PyPI) `([^`]+)`(?: \(`([^`]+)`\))? \| (\S+) \| (.+) \| (.+) \|$", re.MULTILINE)
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s\\;]+)", re.MULTILINE)


def of_npm() -> Iterator[tuple[str, str]]:
    """The clients, each by the name that it has in the suite."""
    for file in (CLIENTS / "package.json", CLIENTS / "cloning/package.json"):
        for name, version in json.loads(file.read_text())["dependencies"].items():
            yield name, version.rpartition("@")[2] if version.startswith("npm:") else version


def of_pypi() -> Iterator[tuple[str, str]]:
    """Everything that is pinned, clients among it."""
    for file in (ROOT / "constraints.txt", CLIENTS / "agentskills.txt", CLIENTS / "apm.txt"):
        yield from PINNED.findall(file.read_text())


def test_each_row_has_the_version_that_is_run() -> None:
    pins = {"npm": dict(of_npm()), "PyPI": dict(of_pypi())}
    rows = ROW.findall(TABLE)
    assert len(rows) == TABLE.count("\n| ") - 1, "every row but the head has this form"
    for registry, name, known_as, version, *_ in rows:
        assert pins[registry].get(known_as or name) == version, (name, version)


def test_each_client_has_a_row() -> None:
    listed = {(registry, known_as or name) for registry, name, known_as, *_ in ROW.findall(TABLE)}
    assert {("npm", name) for name, _ in of_npm()} == {row for row in listed if row[0] == "npm"}
    assert {"agentskills-http", "apm-cli", "anthropic", "openai", "posthog", "mcp"} <= {
        name for registry, name in listed if registry == "PyPI"
    }
