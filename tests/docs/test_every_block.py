"""Every block of shell, Python and SQL on a page is pasted by a test, or stands in ``CANNOT`` with the reason.

What has no test of its own elsewhere in ``tests/docs`` is pasted here.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.docs.test_command_pages import paste, put_command
from tests.support.servers import ROOT, StartService
from tests.support.service import Service

PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
)
RUN = {"sh", "python", "sql"}
# What nothing runs: pictures, settings of other programs, and what is sent or written by hand.
SHOWN = {"", "mermaid", "nginx", "haproxy", "ini", "yaml", "json"}

HERE = "tests/docs/test_every_block.py"
COMMANDS = "tests/docs/test_command_pages.py"
GIT = "tests/docs/test_git_sections.py"
SHARES = "tests/docs/test_share_section.py"
SUBSCRIBE = "tests/docs/test_subscribe_examples.py"
LIBRARY = "tests/docs/test_library_section.py"

# How a block begins, and the test that pastes it.
PASTED = {
    ("README.md", 'export PATH="$PWD/.venv/bin:$PATH"\nskald demo'): COMMANDS,
    ("README.md", "export SKALD_KEY="): HERE,
    ("README.md", "curl "): "tests/docs/test_readme.py",
    ("README.md", "export SKALD_URL="): COMMANDS,
    ("docs/api.md", "curl "): HERE,
    ("docs/cli.md", ""): COMMANDS,
    ("docs/configure.md", "SKALD_PUBLIC_URL="): HERE,
    ("docs/console.md", "export SKALD_OIDC_ISSUER="): HERE,
    ("docs/generate-client.md", ""): "tests/clients/generators/test_generators.py",
    ("docs/govern.md", ""): "tests/docs/test_govern_page.py",
    ("docs/history.md", "export SKALD_KEY="): HERE,
    ("docs/import.md", 'export PATH="$PWD/.venv/bin:$PATH"'): "tests/docs/test_import_page.py",
    ("docs/history.md", "curl "): "tests/docs/test_history_page.py",
    ("docs/install-skills.md", "export SKALD_KEY="): HERE,
    ("docs/install-skills.md", "git config --global"): GIT,
    ("docs/install-skills.md", "claude plugin"): GIT,
    ("docs/install-skills.md", "codex plugin"): GIT,
    ("docs/install-skills.md", "copilot plugin"): GIT,
    ("docs/install-skills.md", 'ADDRESS="$(curl'): SHARES,
    ("docs/install-skills.md", "echo y | gemini"): GIT,
    ("docs/install-skills.md", 'export PATH="$PWD/.venv/bin:$PATH"\nskald share'): SHARES,
    ("docs/install-skills.md", "npx openskills"): SHARES,
    ("docs/install-skills.md", '"""Lists the shared skills'): "tests/clients/test_agentskills_http.py",
    ("docs/install-skills.md", "export CLAWHUB_REGISTRY="): "tests/clients/test_clawhub.py",
    ("docs/install-skills.md", "npx clawhub"): "tests/clients/test_clawhub.py",
    ("docs/install-skills.md", "apm "): "tests/clients/test_apm.py",
    ("docs/install-skills.md", "claude mcp add"): HERE,
    ("docs/install-skills.md", '"""Creates a skill with the SDK'): "tests/clients/test_sdk_skills.py",
    ("docs/install-skills.md", '"""The same with the SDK of OpenAI'): "tests/clients/test_sdk_skills.py",
    ("docs/install-skills.md", "mkdir -p pdf-forms"): "tests/docs/test_zip_section.py",
    ("docs/install-skills.md", "curl "): "tests/docs/test_zip_section.py",
    ("docs/install-skills.md", 'export PATH="$PWD/.venv/bin:$PATH"\nmkdir'): COMMANDS,
    ("docs/mcp.md", "export SKALD_KEY="): HERE,
    ("docs/mcp.md", "claude mcp add"): "tests/clients/test_mcp_agents.py",
    ("docs/mcp.md", "codex mcp add"): "tests/clients/test_mcp_agents.py",
    ("docs/mcp.md", "curl "): "tests/clients/test_mcp_agents.py",
    ("docs/operate.md", "GRANT "): HERE,
    ("docs/operate.md", "export OTEL_"): HERE,
    ("docs/operate.md", "skald project create"): HERE,
    ("docs/operate.md", ".venv/bin/skald backup"): HERE,
    ("docs/prompts.md", '"""Reads a prompt'): HERE,
    ("docs/prompts.md", "curl "): HERE,
    ("docs/search.md", "export SKALD_KEY="): HERE,
    ("docs/search.md", "curl "): "tests/docs/test_search_page.py",
    ("docs/prompts.md", "send() {"): HERE,
    ("docs/usage.md", ""): "tests/docs/test_usage_page.py",
    ("docs/several-hosts.md", "export SKALD_DATABASE_URL='postgresql://skald:secret@proxy"): HERE,
    ("docs/several-hosts.md", "export SKALD_DATABASE_URL='postgresql://skald:secret@10."): HERE,
    ("docs/several-hosts.md", "SELECT pg_promote()"): "tests/cluster/test_by_hand.py",
    ("docs/several-hosts.md", "pg_rewind "): "tests/cluster/test_by_hand.py",
    ("docs/subscribe.md", "export BASE="): HERE,
    ("docs/subscribe.md", '"""poll.py"""'): SUBSCRIBE,
    ("docs/subscribe.md", '"""sse.py"""'): SUBSCRIBE,
    ("docs/subscribe.md", '"""redis_group.py"""'): SUBSCRIBE,
    ("docs/subscribe.md", '"""receiver.py"""'): SUBSCRIBE,
    ("docs/subscribe.md", "curl "): HERE,
    ("docs/subscribe.md", "CREATE ROLE follower"): LIBRARY,
    ("docs/subscribe.md", "export PERSISTENCE_MODULE="): LIBRARY,
    ("docs/subscribe.md", '"""counts.py"""'): LIBRARY,
}  # fmt: skip

# How a block begins that no test pastes, and why.
CANNOT = {
    ("docs/several-hosts.md", "pgbackrest"): "it needs pgBackRest and a database of three hosts",
    ("docs/several-hosts.md", "skald verify"): "it follows the lines before; tests of `skald verify` run it on many logs",
    ("docs/several-hosts.md", "kubectl"): "it needs Kubernetes; tests/unit/repository reads the manifests",
    ("README.md", "make run"): "it installs and then stays; `.ci/run` makes the install, and tests start `skald serve`",
    ("docs/operate.md", 'echo "SKALD_POSTGRES_PASSWORD'): "it needs Docker; tests/unit/repository/test_compose.py reads the file",
}  # fmt: skip


class Block(NamedTuple):
    """A fenced block of a page; ``kind`` is what stands behind its fence."""

    page: str
    kind: str
    text: str


def blocks(page: str) -> list[Block]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    return [Block(page, kind, text) for kind, text in found]


def block(page: str, start: str) -> str:
    """The one block of the page that begins so."""
    [found] = [one.text for one in blocks(page) if one.kind in RUN and one.text.startswith(start)]
    return found


def entries(one: Block) -> list[tuple[str, str]]:
    return [key for key in (*PASTED, *CANNOT) if key[0] == one.page and one.text.startswith(key[1])]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_has_its_test_or_a_reason(page: str) -> None:
    for one in blocks(page):
        assert one.kind in RUN | SHOWN, one
        assert len(entries(one)) == (one.kind in RUN), f"{one.text[:80]!r}: {entries(one)}"
        if one.kind == "json":
            json.loads(one.text)


def test_no_entry_is_left_over() -> None:
    used = {key for page in PAGES for one in blocks(page) if one.kind in RUN for key in entries(one)}
    assert used == PASTED.keys() | CANNOT.keys()
    for (page, _), test in PASTED.items():
        assert Path(page).name in (ROOT / test).read_text(), (page, test)


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/history.md",
        "docs/install-skills.md",
        "docs/mcp.md",
        "docs/search.md",
        "docs/subscribe.md",
    ],
)
def test_what_is_exported_is_there(tmp_path: Path, page: str) -> None:
    (tmp_path / ".skald").mkdir()
    (tmp_path / ".skald/first-key").write_text("sk_first\n")
    script = block(page, "export BASE=" if page == "docs/subscribe.md" else "export SKALD_KEY=") + "env\n"
    done = paste(script, {"PATH": os.environ["PATH"]}, tmp_path)
    assert done.returncode == 0, done.stderr
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert found["SKALD_KEY"] in ("sk_first", "sk_...")
    assert found.get("BASE", "http://127.0.0.1:8000/api/projects/1") == "http://127.0.0.1:8000/api/projects/1"
    assert found.get("SKALD_URL", "http://127.0.0.1:8000") == "http://127.0.0.1:8000"


def test_the_public_address_is_a_setting(tmp_path: Path) -> None:
    put_command(tmp_path)
    script = f"set -a\n{block('docs/configure.md', 'SKALD_PUBLIC_URL=')}\n.venv/bin/skald config"
    done = paste(script, {"PATH": os.environ["PATH"]}, tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"SKALD_PUBLIC_URL +https://host/skald", done.stdout)


@pytest.mark.parametrize("host", ["id.example.com", "accounts.google.com", "login.microsoftonline.com"])
def test_the_settings_of_issuers_are_taken(tmp_path: Path, host: str) -> None:
    put_command(tmp_path)
    settings = block("docs/console.md", f"export SKALD_OIDC_ISSUER=https://{host}")
    done = paste(f"{settings}.venv/bin/skald config", {"PATH": os.environ["PATH"]}, tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"SKALD_OIDC_ISSUER +https://{re.escape(host)}", done.stdout)
    assert re.search(r"SKALD_OIDC_CLIENT_SECRET +\*+", done.stdout)


@pytest.mark.parametrize("host", ["proxy", "10."])
def test_the_settings_of_several_hosts_are_taken(tmp_path: Path, host: str) -> None:
    put_command(tmp_path)
    settings = block("docs/several-hosts.md", f"export SKALD_DATABASE_URL='postgresql://skald:secret@{host}")
    done = paste(f"{settings}.venv/bin/skald config", {"PATH": os.environ["PATH"]}, tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"SKALD_DATABASE_URL +postgresql://skald:\*+@{re.escape(host)}", done.stdout)


def test_where_traces_go_is_exported(tmp_path: Path) -> None:
    done = paste(f"{block('docs/operate.md', 'export OTEL_')}env", {"PATH": os.environ["PATH"]}, tmp_path)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector.example:4318\n" in done.stdout


def test_agents_are_told_of_mcp_by_the_lines_of_its_page() -> None:
    for line in block("docs/install-skills.md", "claude mcp add").splitlines():
        assert block("docs/mcp.md", line[:10]) == f"{line}\n"


def test_the_prompts_of_the_readme_are_labeled_and_read(running_service: Service, tmp_path: Path) -> None:
    project = running_service.make_project()
    key = running_service.make_key(project_ids=[project.id])
    env = {
        "PATH": os.environ["PATH"],
        "SKALD_URL": running_service.base_url,
        "BASE": f"{running_service.base_url}/api/projects/{project.id}",
        "SKALD_KEY": key,
        "PROJECT_TOKEN": project.api_token,
    }
    first = next(one.text for one in blocks("README.md") if "llm_prompts/" in one.text)
    done = paste(first + block("docs/prompts.md", "curl "), env, tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"label":"production"' in done.stdout
    program = block("docs/prompts.md", '"""Reads a prompt')
    read = subprocess.run(
        [sys.executable, "-c", program],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert read.stdout == "1 You help customers of Ada's.\nsupport-agent\n"
    done = paste(first + block("docs/prompts.md", "send() {"), env, tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"prompt":"Greet. Be kind and brief."' in done.stdout


def test_tags_are_set_and_found(running_service: Service, tmp_path: Path) -> None:
    project = running_service.make_project()
    key = running_service.make_key(["llm_skill:write"], [project.id])
    skill = {"name": "changelog", "description": "Write a changelog.", "body": "# Changelog"}
    with running_service.client(key, project.id) as http:
        http.post("llm_skills/", json=skill).raise_for_status()
    env = {
        "PATH": os.environ["PATH"],
        "BASE": f"{running_service.base_url}/api/projects/{project.id}",
        "SKALD_KEY": key,
    }
    changed, page, used = map(
        json.loads, paste(block("docs/api.md", "curl "), env, tmp_path).stdout.splitlines()
    )
    assert (changed["version"], changed["tags"]) == (1, ["docs", "release"])
    assert [row["name"] for row in page["results"]] == ["changelog"]
    assert used == {"tags": ["docs", "release"]}


def test_a_webhook_is_made(running_service: Service, tmp_path: Path) -> None:
    project_id = running_service.make_project().id
    env = {
        "PATH": os.environ["PATH"],
        "BASE": f"{running_service.base_url}/api/projects/{project_id}",
        "SKALD_KEY": running_service.make_key(["webhook:read", "webhook:write"], [project_id]),
    }
    done = paste(block("docs/subscribe.md", "curl "), env, tmp_path)
    made = json.loads(done.stdout)
    assert made["url"] == "https://example.com/hooks/skald", made
    assert made["secret"]


def test_people_and_keys_are_made_and_a_backup(start_service: StartService, tmp_path: Path) -> None:
    service = start_service()
    put_command(tmp_path)
    (tmp_path / ".skald").symlink_to(service.data_dir)
    shown = "01890a5d-ac96-774b-bcce-b302099a8057"
    lines = block("docs/operate.md", "skald project create")
    assert shown in lines
    ids = 'skald key list --json | sed \'s/.*"id": *"\\([^"]*\\)".*/\\1/\' | tail -n 1'
    script = lines.replace(shown, f'"$({ids})"') + block("docs/operate.md", ".venv/bin/skald backup")
    env = {"PATH": f"{tmp_path}/.venv/bin:{os.environ['PATH']}", "HOME": str(tmp_path / "home")}
    done = paste(script, env, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "skald.dump").stat().st_mode & 0o777 == 0o600


def test_a_role_for_serving_has_what_the_page_grants(fresh_database_url: str) -> None:
    with psycopg.connect(fresh_database_url, autocommit=True) as conn:
        conn.execute("CREATE ROLE serving LOGIN")
        try:
            conn.execute(block("docs/operate.md", "GRANT ").encode())
            with psycopg.connect(make_conninfo(fresh_database_url, user="serving")) as serving:
                assert serving.execute("SELECT count(*) FROM artifacts").fetchone() == (0,)
        finally:
            conn.execute("DROP OWNED BY serving")
            conn.execute("DROP ROLE serving")
