"""The overview of `skald` is written down, so that showing it imports no command: it must name what is there."""

import subprocess
import sys

import click
import pytest

from cli.main import skald
from tests.support.servers import ROOT

NAMES = skald.list_commands(click.Context(skald))


@pytest.mark.parametrize("name", NAMES)
def test_every_command_of_the_overview_exists_under_its_name(name: str) -> None:
    command = skald.get_command(click.Context(skald), name)
    assert command is not None
    assert command.name == name
    assert command.help


def test_the_overview_loads_no_database_and_no_http_client() -> None:
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from cli.main import skald; skald(['--help'], standalone_mode=False); "
            "print(sorted({'psycopg', 'httpx', 'litestar', 'rich', 'asyncio'} & set(sys.modules)))",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert found.splitlines()[-1] == "[]"


def test_the_commands_for_people_know_the_service_by_http_alone() -> None:
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; import cli.client.login, cli.client.push, cli.client.pull, cli.client.browse, cli.client.past; "
            "print(sorted({'psycopg', 'litestar', 'redis', 'store', 'api', 'projections'} & set(sys.modules)))",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert found == "[]\n"
