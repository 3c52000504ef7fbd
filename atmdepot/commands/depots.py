"""`atmdepot resync`, and what `atmdepot show depots --compare` adds: the depots of a set held against each other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from collections.abc import Callable

_ACTIVE = ("active", "handing-over")
_TABLE = "standby"
"""The table to begin with where no daemon runs."""
_PATIENCE = 2.0
"""Time (s) for changes that are under way to arrive."""
_PAUSE = 0.1

Rows = list[dict[str, Any]]


@click.command("resync", epilog="\b\nExamples:\n  atmdepot resync\n  atmdepot resync --node depot2\n")
@click.option("--node", metavar="NODE", help="The depot that gets all sessions again; all that stand by if not given.")
@click.option("--network", "network_name", metavar="NAME",
              help="The running network; needed only while several run.")
def resync_command(node: str | None, network_name: str | None) -> None:
    """Have the active depot send all sessions to its standbys."""
    from atmdepot.net.control_client import ask_done, show
    from atmdepot.net.running import answering_sockets, control_sockets

    paths = answering_sockets(network_name, _TABLE)[0] if node is None else control_sockets(network_name, node, _TABLE)
    standing_by = [path for path in paths if node is not None or any(
        row["role"] in ("joining", "standby") for row in show(path, "depots", 10) if "fitness" in row)]
    if not standing_by:
        raise AtmdepotError("no depot stands by here; `atmdepot show depots` tells the roles")
    for path in standing_by:
        click.echo(ask_done(path, {"resync": True}))


def compare(ask_again: Callable[[], Rows]) -> tuple[list[str], bool]:
    """A line for each depot that stands by, with what it has beside the active one, and True when all are equal.

    Asks again for a while, since changes may be under way.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        rows = [row for row in ask_again() if "digest" in row]
        lines, equal = _compared(rows)
        if equal or time.monotonic() > until:
            return lines, equal
        time.sleep(_PAUSE)


def _compared(rows: Rows) -> tuple[list[str], bool]:
    lines, equal = [], bool(rows)
    for row in rows:
        if row["role"] in _ACTIVE:
            continue
        active = next((one for one in rows if one["set"] == row["set"] and one["role"] in _ACTIVE), None)
        if active is None:
            lines.append(f"{row['node']}: no active depot to compare it with")
            equal = False
        elif active["digest"] == row["digest"]:
            lines.append(f"{row['node']} has the same sessions as {active['node']}: digest {row['digest']}")
        else:
            lines.append(f"{row['node']} differs from {active['node']}: digest {row['digest']}, not "
                         f"{active['digest']}; it is {row.get('behind', 'many')} octets behind")
            equal = False
    return lines or ["no depot stands by here"], equal and bool(lines)
