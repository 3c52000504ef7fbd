"""A group of commands that tells which one was meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import click

WORDS = "atmdepot.words"
"""The key, in the `meta` of a context, of the words after the command's name."""


class HintingGroup(click.Group):
    """A click group that names the command that was meant: `other_words` has those of other programs, and ours."""

    def __init__(self, *args: Any, other_words: dict[str, str] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.other_words = other_words or {}

    def resolve_command(
        self, ctx: click.Context, args: list[str],
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that `args` begins with; end with a hint where there is none."""
        name = args[0]
        if name[:1].isalpha() and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            near = [ours] if (ours := self.other_words.get(name)) else \
                [f"{ctx.command_path} {one}" for one in get_close_matches(name, self.list_commands(ctx), 1)]
            ctx.fail(f"No such command '{name}'.{f' Did you mean `{near[0]}`?' if near else ''}")
        ctx.meta[WORDS] = args[1:]
        return super().resolve_command(ctx, args)
