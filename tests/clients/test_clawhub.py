"""npm clawhub, unmodified, with this service as its registry: the lines of docs/install-skills.md, and what it does beside them."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import CALL_WITHIN, HERE, Home, home_on, packaged_node
from tests.clients.test_skills_installer import fill, served
from tests.support.servers import ROOT, eventually
from tests.support.service import MakeService

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECTION = (ROOT / "docs/install-skills.md").read_text().partition("\n## ClawHub\n")[2].partition("\n## ")[0]


class ClawHub:
    """The program in a home and a folder of its own; it may reach this machine only."""

    def __init__(self, packages: Path, folder: Path, home: Home) -> None:
        self.project = folder / "project"
        self.project.mkdir()
        script = packages / "node_modules/clawhub/bin/clawdhub.js"
        npx = folder / "bin/npx"
        npx.parent.mkdir()
        npx.write_text(
            f'#!/bin/sh\n[ "$1" = clawhub ] && shift && exec {packaged_node(packages)} {script} "$@"\n'
        )
        npx.chmod(0o755)
        self._refused = folder / "refused"
        self.env = {
            "PATH": f"{npx.parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "NODE_OPTIONS": f"--require={HERE / 'loopback.cjs'}",
            "LOOPBACK_REFUSED": str(self._refused),
            "SKALD_URL": home.host,
            "SKALD_KEY": home.key,
            "CLAWHUB_REGISTRY": home.host,
        }

    def run(self, lines: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            ["/bin/sh", "-ec", lines],
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CALL_WITHIN,
            check=False,
        )
        assert not self._refused.exists(), self._refused.read_text()
        return done

    def call(self, lines: str) -> str:
        """What they printed of lines that must go well."""
        done = self.run(lines)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def installed(self, name: str) -> dict[str, bytes]:
        """The files of a skill, without what the program notes beside them."""
        folder = self.project / "skills" / name
        return {
            str(file.relative_to(folder)): file.read_bytes()
            for file in folder.rglob("*")
            if file.is_file() and ".clawhub" not in file.parts
        }


def found(home: Home) -> list[str]:
    with home.http() as http:
        answer = http.get("llm_skills/search/", params={"query": "pdf-forms"}).raise_for_status().json()
    return [hit["name"] for hit in answer["results"]]


def installs(home: Home) -> list[int]:
    with home.http() as http:
        used = http.get("llm_skills/name/pdf-forms/usage/", params={"by": "door"}).raise_for_status().json()
    return [row["reads"] for row in used["rows"] if row["door"] == "clawhub"]


def test_the_lines_of_the_page_install_update_and_publish(
    packages: Path, tmp_path: Path, make_service: MakeService
) -> None:
    # A search needs a follower; a file may reach another process than its ticket came from.
    home = home_on(make_service(workers=2, followers=True))
    fill(home)
    home = home._replace(key=home.other_key("llm_skill:write", "usage:read"))
    client = ClawHub(packages, tmp_path, home)
    first, later = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)
    # A publish is found within 2 seconds.
    eventually(lambda: "pdf-forms" in found(home), "the skills are found", timeout=60)

    printed = client.call(first)
    assert "pdf-forms v1.0.1" in printed
    assert client.installed("pdf-forms") == served(home)["pdf-forms"]
    # What another process than the one that answers has counted shows within 10 seconds.
    eventually(lambda: installs(home) == [1], "the install is counted", timeout=30)

    with home.http() as http:
        change = {"base_version": 1, "body": "# New\n"}
        http.patch("llm_skills/name/pdf-forms", json=change).raise_for_status()
    printed = client.call(later)
    assert "Updated pdf-forms -> v1.0.2" in printed
    assert client.installed("pdf-forms") == served(home)["pdf-forms"]
    assert "up to date" in client.call("npx clawhub update pdf-forms")
    with home.http() as http:
        made = http.get("llm_skills/name/greeting/").raise_for_status().json()
    assert (made["version"], made["version_description"]) == (1, "First words")

    # A folder that is a version already is not published; one that was changed is.
    assert "already published" in client.call("npx clawhub publish skills/pdf-forms")
    (client.project / "skills/pdf-forms/scripts/run.sh").write_bytes(b"#!/bin/sh\n\x00\xff")
    client.call("npx clawhub publish skills/pdf-forms --changelog 'Another script'")
    with home.http() as http:
        now = http.get("llm_skills/name/pdf-forms/").raise_for_status().json()
        file = http.get("llm_skills/name/pdf-forms/files/scripts/run.sh").raise_for_status().json()
    assert (now["version"], now["version_description"]) == (3, "Another script")
    assert file["encoding"] == "base64"
    # The number in SKILL.md is the registry's.
    assert "Updated pdf-forms -> v1.0.3" in client.call("npx clawhub update pdf-forms --force")
    assert client.installed("pdf-forms") == served(home)["pdf-forms"]
    client.call("npx clawhub install pdf-forms --version 1.0.1 --force")
    assert "# pdf-forms" in client.installed("pdf-forms")["SKILL.md"].decode()
    printed = client.call(
        "npx clawhub inspect pdf-forms --versions --files --file assets/logo.bin --json; npx clawhub explore"
    )
    assert all(text in printed for text in ("1.0.1", "1.0.2", "1.0.3", "Another script", "AP/+Cg=="))
    assert "greeting  v1.0.1" in printed

    # What is deleted is archived or yanked, and comes back.
    with home.http() as http:
        http.put("llm_skills/name/pdf-forms/labels/live/", json={"version": 2}).raise_for_status()
    printed = client.call("npx clawhub inspect pdf-forms --tag live --file SKILL.md")
    assert "# New" in printed
    assert "Deleted pdf-forms version 1.0.2" in client.call(
        "npx clawhub delete pdf-forms --version 1.0.2 --yes"
    )
    assert "live" not in client.call("npx clawhub inspect pdf-forms; npx clawhub explore")
    refused = client.run("npx clawhub inspect pdf-forms --tag live")
    assert 'Unknown tag "live"' in refused.stdout + refused.stderr
    client.call("npx clawhub undelete pdf-forms --version 1.0.2 --yes")
    client.call("npx clawhub inspect pdf-forms --tag live")
    assert "Deleted greeting" in client.call("npx clawhub delete greeting --reason old --yes")
    assert "greeting" not in client.call("npx clawhub explore")
    client.call("npx clawhub undelete greeting --yes")
    assert "greeting  v1.0.1" in client.call("npx clawhub explore")
    for word in ("star", "unstar"):
        refused = client.run(f"npx clawhub {word} greeting --yes")
        assert refused.returncode != 0
        assert "keeps no stars" in refused.stdout + refused.stderr


def test_what_it_may_not_and_what_is_not_there(packages: Path, tmp_path: Path, home: Home) -> None:
    fill(home)
    client = ClawHub(packages, tmp_path, home._replace(key=home.other_key("llm_skill:read")))
    client.call('npx clawhub login --token "$SKALD_KEY"')
    refused = client.run("npx clawhub install absent")
    assert refused.returncode != 0
    assert "Skill not found" in refused.stdout + refused.stderr
    client.call("npx clawhub install plain")
    (client.project / "skills/plain/more.txt").write_text("more")
    refused = client.run("npx clawhub publish skills/plain")
    assert refused.returncode != 0
    assert "llm_skill:write" in refused.stdout + refused.stderr
    refused = client.run("npx clawhub login --token sk_wrong && npx clawhub install plain --force")
    assert refused.returncode != 0
