"""README and docs say what is so: settings, commands, metrics, addresses, make targets and links are looked up."""

import re
import shlex
from pathlib import Path

import click
import pytest

from benchmarks.__main__ import TABLES
from cli.main import skald
from cli.settings import Settings
from store.eventsourcing import Factory

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "RESULTS.md"]
LINK = re.compile(r"\]\(([^)#]+)?(?:#([^)]+))?\)")
BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """Every line of a shell block that calls `skald`, and every such command in a sentence, in words."""
    text = page.read_text()
    lines = [line.strip() for block in BLOCK.findall(text) for line in block.splitlines()]
    lines += re.findall(r"`(?:\.venv/bin/)?(skald [a-z][^`]*)`", text)
    return [shlex.split(line) for line in lines if line.startswith("skald ")]


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text()):
        if "://" not in path:
            target = page.parent / path if path else page
            assert target.exists(), path
            assert not anchor or anchor in anchors(target), anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist_with_their_options(page: Path) -> None:
    for _, *words in commands(page):
        command: click.Command = skald
        context = click.Context(skald)
        while isinstance(command, click.Group) and words:
            found = command.get_command(context, words.pop(0))
            assert found is not None, words
            command = found
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, words


def test_the_settings_page_has_every_setting_with_its_default_and_no_other() -> None:
    page = (ROOT / "docs" / "configure.md").read_text()
    rows = dict(re.findall(r"^\| `(SKALD_[A-Z_]+)` \| (.+?) \|", page, re.MULTILINE))
    shown = {setting.variable: setting.default for setting in Settings().shown()}

    assert list(rows) == list(shown)
    for name, default in shown.items():
        # How many API processes there are hangs on the machine.
        if name != "SKALD_WORKERS":
            assert rows[name].strip("`") == (default or "–")


def test_only_settings_that_exist_are_named() -> None:
    known = {setting.variable for setting in Settings().shown()}
    # The key of the README's example, and the password that compose.yaml takes.
    known |= {"SKALD_KEY", "SKALD_POSTGRES_PASSWORD"}
    # Where the commands for people find a service.
    known |= {"SKALD_URL", "SKALD_PROJECT", "SKALD_PROFILE"}
    # In whose name the commands on the host act.
    known |= {"SKALD_ACTOR"}
    # By which a shell asks for completions.
    known |= {"SKALD_COMPLETE"}
    # Those of programs that are written with the eventsourcing library.
    known |= {Factory.DATABASE_URL, Factory.PROJECT_ID, Factory.LOG_APPEND}
    for page in PAGES:
        assert set(re.findall(r"SKALD_[A-Z_]*[A-Z]", page.read_text())) <= known


def test_metrics_are_those_that_are_measured() -> None:
    source = (ROOT / "api" / "server" / "metrics.py").read_text()
    measured = set(re.findall(r'"(skald_[a-z_]+)"', source))
    named = set(re.findall(r"`(skald_[a-z_]+)`", (ROOT / "docs" / "operate.md").read_text()))

    assert named == measured


def test_files_and_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        text = page.read_text()
        for target in re.findall(
            r"\bmake ([a-z]+)\b", " ".join(re.findall(r"`[^`]+`|^make .*$", text, re.MULTILINE))
        ):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
        for path in re.findall(
            r"`((?:api|store|domain|projections|workers|cli|benchmarks)/[a-z_/]*(?:\.py)?)`", text
        ):
            assert (ROOT / path).exists(), path


def test_the_results_have_every_table_of_the_benchmarks() -> None:
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text()
    titles = {
        "publish": "Publish: ",
        "get": "GET by name, warm: ",
        "versions": "Versions of one prompt",
        "feed": "Feed: ",
        "replay": "Replay and export",
        "beside_writer": "GET by name, warm, beside a writer",
        "cold": "GET by name, cold in process",
        "redis_cache": "GET by name of 2,000 skills by several hosts",
        "storage": "Storage: ",
        "scale": "Size of a project: ",
        "years": "Years of use: ",
        "search": "Search: ",
        "console": "Console: ",
        "mlflow": "Prompts: ",
        "start": "Start of ",
        "processes": "API processes and hosts: ",
        "replicas": "Reads with replicas: ",
        "overload": "Overload: ",
        "soak": "Soak: ",
    }
    assert set(TABLES) == set(titles)
    for title in titles.values():
        assert f"\n## {title}" in results
