"""`atmdepot takeover` and `atmdepot release`: which depot of a set is active."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from pathlib import Path

_TABLE = "standby"
"""The table to begin with where no daemon runs."""
_LOOK, _PATIENCE = 0.05, 8.0
"""Seconds between two looks at the role, and until it is to have changed: depots give up after 5."""
_ACTIVE = ("active", "alone")
_NETWORK = click.option("--network", "network_name", metavar="NAME",
                        help="The running network; needed only while several run.")
_NODE = click.option("--node", metavar="NODE", help="The depot; needed only while several that run here can be "
                                    "meant.")


@click.command("takeover", epilog="\b\nExamples:\n  atmdepot takeover\n  atmdepot takeover --node depot2 --force\n")
@_NODE
@click.option("--force", is_flag=True, help="Take over without asking the active depot, also when out of sync.")
@_NETWORK
def takeover_command(node: str | None, force: bool, network_name: str | None) -> None:
    """Let a standby become the active depot of its set.

    No session is lost.
    """
    from atmdepot.net.control_client import ask_role

    path = _chosen(network_name, node, active=False)
    began = time.monotonic()
    _have(path, "takeover", force=force)
    while True:
        role = ask_role(path)
        if role.role in _ACTIVE:
            break
        if not role.phase or time.monotonic() - began > _PATIENCE:
            raise AtmdepotError(f"{path.stem} has not taken over, and is {role.role}: nobody gave it the address "
                                "(atmdepot show depots tells more)")
        time.sleep(_LOOK)
    click.echo(f"{path.stem} is active in term {role.term}, after {time.monotonic() - began:.2f} s")


@click.command("release", epilog="\b\nExamples:\n  atmdepot release\n  atmdepot release --node depot1 --force\n")
@_NODE
@click.option("--force", is_flag=True, help="Release also when no other depot is in sync, or there is none.")
@_NETWORK
def release_command(node: str | None, force: bool, network_name: str | None) -> None:
    """Have the active depot of a set hand over to another.

    The fittest other depot takes over. No session is lost.
    """
    from atmdepot.net.control_client import ask_role

    path = _chosen(network_name, node, active=True)
    began = time.monotonic()
    _have(path, "release", force=force)
    while (role := ask_role(path)).role == "handing-over" and time.monotonic() - began < _PATIENCE:
        time.sleep(_LOOK)
    if role.role in (*_ACTIVE, "handing-over"):
        raise AtmdepotError(f"no other depot has taken over: {path.stem} is active still")
    click.echo(f"{path.stem} has handed over after {time.monotonic() - began:.2f} s, and is {role.role}")


def _chosen(network_name: str | None, node: str | None, *, active: bool) -> Path:
    """The depot that is meant: without a name, the one here that is, or is not, active; raise AtmdepotError."""
    from atmdepot.net.control_client import Refused, ask_role
    from atmdepot.net.running import answering_sockets, control_sockets

    if node is not None:
        return control_sockets(network_name, node, _TABLE)[0]
    roles = {}
    answering, silent = answering_sockets(network_name, _TABLE)
    failures = [f"{node} does not answer" for node in silent]
    for path in answering:
        try:
            roles[path] = ask_role(path)
        except Refused:  # no depot
            continue
        except AtmdepotError as error:
            failures.append(str(error))
    meant = [path for path, role in roles.items() if (role.role in (*_ACTIVE, "handing-over")) is active]
    if len({roles[path].set_name for path in meant}) > 1:
        raise AtmdepotError(f"there are several sets: add --node with one of {', '.join(path.stem for path in meant)}")
    if not meant:
        known = [f"{path.stem} is {role.role}" for path, role in roles.items()]
        told = ", ".join([*known, *failures]) or "there is no depot"
        wanted = "is active" if active else "stands by"
        raise AtmdepotError(f"no depot of a set {wanted} here: {told}; `atmdepot show depots` tells more")
    return max(meant, key=lambda path: roles[path].fitness)


def _have(path: Path, what: str, *, force: bool) -> None:
    from atmdepot.net.control_client import ask

    next(ask(path, {what: True, "force": force}))
