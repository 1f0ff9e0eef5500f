"""Options that several commands share."""

import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from cli.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the embedded servers' data  [default: $SKALD_DATA_DIR or .skald]",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def common(command: F) -> F:
    """``--data-dir`` and ``--json``."""
    return data_dir(as_json(command))


def settings_with(**overrides: object) -> "Settings":
    """The settings of the environment with the given command line options over them. Raises SettingError."""
    # Only where settings count: they know PostgreSQL's addresses, and that takes time to load.
    from cli.settings import Settings

    return Settings.from_env(os.environ, **overrides)


class Duration(click.ParamType[timedelta]):
    """A number and a unit: 30m, 12h, 90d, 4w."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"([0-9]{1,9})([smhdw])", str(value).strip())
        if not match or int(match[1]) == 0:
            self.fail(
                f"{value!r} is no duration; write a number and one of s, m, h, d, w, such as 90d", param, ctx
            )
        try:
            return timedelta(**{UNITS[match[2]]: int(match[1])})
        except OverflowError:
            self.fail(f"{value!r} is too long", param, ctx)
