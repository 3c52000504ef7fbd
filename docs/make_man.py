"""The manual page, made of the commands' own help: `python docs/make_man.py > atmdepot.1`."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

import atmdepot
from atmdepot.cli import cli

if TYPE_CHECKING:
    from collections.abc import Iterator


def escaped(text: str) -> str:
    """Text as roff takes it: no backslash, hyphen or leading dot of its own has a meaning."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def page() -> Iterator[str]:
    """The lines of the page."""
    yield f'.TH ATMDEPOT 1 "" "atmdepot {atmdepot.__version__}" "User Commands"'
    yield from (".SH NAME", "atmdepot \\- switch TCP sessions among servers, over ATM cells")
    yield from (".SH SYNOPSIS", ".B atmdepot", "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]...")
    yield from (".SH DESCRIPTION", escaped(cli.help or ""))
    yield from (".SH OPTIONS", *options_of(cli, click.Context(cli, info_name="atmdepot")))
    yield ".SH COMMANDS"
    yield from commands_of(cli, click.Context(cli, info_name="atmdepot"))
    yield from (".SH ENVIRONMENT", ".TP", "\\fBATMDEPOT_RUN_DIR\\fR", "Directory of control sockets, logs and labs.")
    yield from (".TP", "\\fBATMDEPOT_COMMAND_OPTION\\fR", "Any option, as in ATMDEPOT_SHOW_OUTPUT=json.")
    yield ".SH EXIT STATUS"
    yield "0 good; 1 failed; 2 wrong command line; 4 not ready in time; 5 the machine lacks something."


def commands_of(group: click.Group, context: click.Context) -> Iterator[str]:
    """A section for each command, and for those of groups."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        yield f".SS {escaped(inner.command_path.removeprefix('atmdepot '))}"
        if isinstance(command, click.Group):
            yield first_words(command)
            yield from commands_of(command, inner)
            continue
        yield f"\\fB{escaped(' '.join([inner.command_path, *command.collect_usage_pieces(inner)]))}\\fR"
        yield from (".PP", first_words(command))
        yield from options_of(command, inner)


def first_words(command: click.Command) -> str:
    """The help of a command as roff takes it, a line for each paragraph."""
    return "\n.PP\n".join(escaped(" ".join(part.split())) for part in (command.help or "").split("\n\n"))


def options_of(command: click.Command, context: click.Context) -> Iterator[str]:
    """The options of a command with their help."""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            yield from (".TP", f"\\fB{escaped(record[0])}\\fR", escaped(" ".join(record[1].split())) or "\\&")


if __name__ == "__main__":
    sys.stdout.write("\n".join(page()) + "\n")
