"""What the commands for people share: which service they mean, and how they print."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.client.profile import find_target
from cli.client.remote import Remote
from cli.options import as_json
from cli.output import printable, say, say_data
from domain.artifacts.kinds import KINDS

F = TypeVar("F", bound=Callable[..., Any])

_profile = click.option(
    "--profile", metavar="NAME", help="A service of `skald login --profile NAME`  [default: $SKALD_PROFILE]"
)
_project = click.option(
    "--project",
    metavar="ID",
    help="Another project than that of the profile  [default: $SKALD_PROJECT]",
)
kind = click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    default="skill",
    show_default=True,
    help="What is meant.",
)


def remote_options(command: F) -> F:
    """``--profile``, ``--project`` and ``--json``."""
    return _profile(_project(as_json(command)))


@contextmanager
def service(profile: str | None, project: str | None) -> Iterator[Remote]:
    """A connection to the service that the options, the environment and the file of profiles mean."""
    with Remote(find_target(os.environ, profile=profile, project=project), notice=warn) as remote:
        yield remote


def warn(line: str) -> None:
    """A line for the person at the terminal, beside the output."""
    say(line, err=True)


def shown(path: Path) -> str:
    """A path as text that can be printed and sent, whatever its bytes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def one_line(text: str, width: int) -> str:
    """The beginning of a text, on one line of at most ``width`` characters."""
    line = printable(" ".join(text[: 4 * width].split()))
    return line if len(line) <= width else f"{line[: max(width - 1, 0)]}…"


def to_terminal() -> bool:
    return sys.stdout.isatty()


def show_diff(lines: Iterator[str] | list[str]) -> None:
    """Lines of a unified diff on standard output, coloured where a person looks."""
    if not to_terminal():
        say_data("\n".join(lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for line in lines:
        console.print(Text(printable(line, lines=True), style=_style(line)), soft_wrap=True)


def _style(line: str) -> str:
    if line.startswith(("+++", "---", "diff ", "index ", "rename ", "new file", "deleted file", "#")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
