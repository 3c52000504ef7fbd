"""Completion in the shell of names that a network has: nodes, servers, links, networks, VC tables, fields of a trace.

A parameter of a command is completed by its name, whichever command it is of. Names come from the networks that run
here; a daemon that does not answer at once has none.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from atmdepot.errors import AtmdepotError
from atmdepot.paths import run_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PATIENCE = 1.0


def complete_names(command: click.Command) -> click.Command:
    """Have a command, and those of a group, complete names."""
    for parameter in command.params:
        names = _NAMES.get(parameter.name or "")
        if names is not None and type(parameter.type) in (click.types.StringParamType, click.Path):
            # Not an argument of each option: commands need not know of completion.
            setattr(parameter, "shell_complete", _completer(names))  # noqa: B010 - it is a method for type checkers
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        complete_names(inner)
    return command


def _completer(names: Callable[[click.Context], Iterable[str]]) -> Callable[[click.Context, str], list[CompletionItem]]:
    def complete(context: click.Context, incomplete: str) -> list[CompletionItem]:
        with suppress(AtmdepotError, OSError):
            return [CompletionItem(name) for name in sorted(set(names(context))) if name.startswith(incomplete)]
        return []

    return complete


def _sockets(context: click.Context) -> list[Path]:
    network = context.params.get("network_name") or context.params.get("name") or "*"
    return list(run_dir().glob(f"{network}/*.sock"))


def _networks(_: click.Context) -> Iterable[str]:
    return (path.parent.name for path in run_dir().glob("*/*.sock"))


def _nodes(context: click.Context) -> Iterable[str]:
    """The nodes of the given table, or else of what runs here; in labs the client, too."""
    from atmdepot.config.reading import find, load

    # The shell's words: click has not read the table yet while an option before it lacks its value.
    words = os.environ.get("COMP_WORDS", "").split() if any(p.name == "table" for p in context.command.params) else []
    for word in words:
        if word not in ("depot", "switch") and find(word).suffix == ".toml" and find(word).is_file():
            return load(word).nodes
    is_lab = context.parent is not None and context.parent.info_name == "lab"
    return [path.stem for path in _sockets(context)] + ["client"] * is_lab


def _asked(subject: str, key: str) -> Callable[[click.Context], Iterable[str]]:
    """The values of a key in the rows that the daemons have of a subject."""
    def names(context: click.Context) -> Iterable[str]:
        from atmdepot.net.control_client import show

        for path in _sockets(context):
            with suppress(AtmdepotError):
                yield from (str(row[key]) for row in show(path, subject, timeout=_PATIENCE))

    return names


def _tables(_: click.Context) -> Iterable[str]:
    from atmdepot.config.reading import shipped_tables

    return [*shipped_tables(), *(path.name for path in Path().glob("*.toml"))]


def _fields(_: click.Context) -> Iterable[str]:
    from atmdepot.trace.show.fields import FIELDS

    return (field.name for field in FIELDS)


def _lessons(_: click.Context) -> Iterable[str]:
    from atmdepot.exercises.lessons import LESSONS

    return (lesson.name for lesson in LESSONS)


_NAMES: dict[str, Callable[[click.Context], Iterable[str]]] = {
    "node": _nodes, "sender": _nodes, "switch": _nodes, "network_name": _networks, "word": _networks,
    "name": _networks, "table": _tables, "file": _tables, "server": _asked("servers", "server"),
    "link": _asked("impairments", "link"), "wires": _asked("impairments", "link"), "vp": _asked("protection", "vp"),
    "fields": _fields, "lesson": _lessons}
"""By a parameter's name in its command."""
