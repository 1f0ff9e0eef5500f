"""A group of commands each of which is imported when it is called: `skald list` need not know PostgreSQL."""

import importlib
from typing import Any, NamedTuple

import click


class Lazy(NamedTuple):
    """A command of a module; ``summary`` is what the overview shows, without importing it."""

    module: str
    name: str
    summary: str


class LazyGroup(click.Group):
    """``sections``: the heads of the overview, each with its commands. Others can be added as in every group."""

    def __init__(self, *arguments: Any, sections: dict[str, dict[str, Lazy]], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sections = sections
        self.lazy = {name: entry for commands in sections.values() for name, entry in commands.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *self.lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands and cmd_name in self.lazy:
            entry = self.lazy[cmd_name]
            self.add_command(getattr(importlib.import_module(entry.module), entry.name), cmd_name)
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        others = {name: command for name, command in self.commands.items() if name not in self.lazy}
        width = max(map(len, [*self.lazy, *others]))
        for title, commands in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), entry.summary) for name, entry in commands.items()])
        if others:
            with formatter.section("Others"):
                formatter.write_dl(
                    [(name, command.get_short_help_str(90)) for name, command in sorted(others.items())]
                )
