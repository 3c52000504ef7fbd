"""A group of commands whose modules are imported only when a command of theirs runs.

Some commands need half of the package; `--version`, `--help` and the shell's completion need no other module. So the
group has a table of its commands, with their modules and the help lines that `--help` and completion show.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from atmdepot.commands.hinting_group import HintingGroup
from atmdepot.completion import complete_names

_MARGINS = 6
"""Columns beside a name and its help line, as in click's own groups."""


class Place(NamedTuple):
    """A command's module, its name there, and its help line, which is the first sentence of its help."""

    module: str
    name: str
    line: str


class LazyGroup(HintingGroup):
    """A click group; the commands in `places` are imported at their first use."""

    def __init__(self, *args: Any, places: dict[str, Place], **options: Any) -> None:
        super().__init__(*args, **options)
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, sorted."""
        return sorted({*super().list_commands(ctx), *self.places})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command `name`, imported if need be."""
        place = self.places.get(name)
        if place is not None and name not in self.commands:
            command: click.Command = complete_names(getattr(import_module(place.module), place.name))
            self.add_command(command, name)
        return super().get_command(ctx, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help line of every command without importing its module."""
        with formatter.section("Commands"):
            names = self.list_commands(ctx)
            room = formatter.width - _MARGINS - max(map(len, names))
            formatter.write_dl([(name, self._listed(name).get_short_help_str(room)) for name in names])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command, or an option of the group."""
        # Not `super()`, which would import every command for its help line.
        names = [CompletionItem(name, help=self._listed(name).get_short_help_str()) for name in self.list_commands(ctx)
                 if name.startswith(incomplete)]
        # The options come from the base of click.Group, which knows no commands.
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def _listed(self, name: str) -> click.Command:
        """The command, for its help line; for a command in `places` a placeholder that has only this line."""
        place = self.places.get(name)
        return self.commands[name] if place is None else click.Command(name, help=place.line)
