"""What users read says what a thing is and does, not who lives, hears or was told: style of the whole repository."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest
from litestar import Litestar

from api.app import route_handlers
from api.mcp.tools import TOOLS
from api.openapi.document import document
from cli.main import skald

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PERSONS = re.compile(r"\b(lives|life|told|tells?|nobody|somebody|whoever|hears?|heard)\b(?!-)", re.IGNORECASE)


def helps(command: click.Command, context: click.Context) -> Iterator[str]:
    """The help of a command and of all below it."""
    yield command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if (found := command.get_command(context, name)) is not None:
                yield from helps(found, click.Context(found, info_name=name, parent=context))


def test_the_openapi_document_speaks_of_things() -> None:
    described = document(Litestar(route_handlers=route_handlers(), openapi_config=None))

    assert PERSONS.findall(msgspec.json.encode(described).decode()) == []


def test_the_tools_of_mcp_speak_of_things() -> None:
    assert [tool.name for tool in TOOLS if PERSONS.search(tool.description or "")] == []


def test_the_help_of_every_command_speaks_of_things() -> None:
    texts = list(helps(skald, click.Context(skald, info_name="skald")))

    assert len(texts) > 30
    assert [found for text in texts for found in PERSONS.findall(text)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_speak_of_things(page: Path) -> None:
    # As root the servers run as the user of that name.
    assert PERSONS.findall(page.read_text().replace("`nobody`", "")) == []
