"""`atmdepot reload`: running daemons read their VC table again.

A lab runs from a copy of its table, so that an edit half made harms no node that is started. Here the file that was
given to `lab up` is taken for it again.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@click.command("reload", epilog="""\b
Examples:
  atmdepot reload --dry-run
  atmdepot reload
  atmdepot reload --node sw1
""")
@click.option("--node", metavar="NODE", help="Only this node.")
@click.option("--dry-run", is_flag=True, help="Only say what would change, and whether it may.")
@click.option("--network", "network_name", metavar="NAME",
              help="The running network; needed only while several run.")
def reload_command(node: str | None, dry_run: bool, network_name: str | None) -> None:
    """Have the daemons read their VC table again.

    Servers, weights, pools, balancing, probing and timers may change; no session is cut. All nodes refuse a VC table
    with a mistake, or with other changes, as a whole. A lab reads the file that was given to `lab up`.
    """
    from atmdepot.net.running import answering_sockets, control_sockets

    sockets, silent = answering_sockets(network_name)
    if node is not None:
        sockets, silent = control_sockets(network_name, node), []
    with _table_of_lab(sockets[0].parent, keep=not dry_run) as by_its_own_name:
        told = [_ask(path, dry_run=True) for path in sockets]  # all or none: each must be able to take it
        if not dry_run:
            told = [_ask(path) for path in sockets]
    click.echo("\n".join(dict.fromkeys(map(by_its_own_name, told))))
    if silent:
        raise AtmdepotError(f"{', '.join(silent)}: no answer; a daemon that is started reads the VC table again")


def _ask(path: Path, *, dry_run: bool = False) -> str:
    from atmdepot.net.control_client import ask_done

    return ask_done(path, {"reload": True, "dry_run": dry_run})


@contextmanager
def _table_of_lab(directory: Path, *, keep: bool) -> Iterator[Callable[[str], str]]:
    """Put the given file in place of a lab's copy; the copy is as it was after a failure, and if it is not to be kept.

    Yields what puts the given file's name in place of the copy's in a text for the user.

    Raises AtmdepotError for a file that is no VC table of this network.
    """
    from atmdepot.config.reading import load
    from atmdepot.lab import state as states
    from atmdepot.paths import write_whole

    state = states.read(directory)
    if state is None or not Path(state.table).is_absolute():
        yield str  # no lab, or a VC table that ships with atmdepot
        return
    given, copy = Path(state.table), directory / states.TABLE_FILE
    if (name := load(given).name) != directory.name:
        raise AtmdepotError(f"{given}: its name is \"{name}\", and the lab runs \"{directory.name}\"")
    before = copy.read_text(encoding="utf-8")
    write_whole(copy, given.read_text(encoding="utf-8"))

    def by_its_own_name(told: str) -> str:
        return told.replace(str(copy), str(given))

    try:
        yield by_its_own_name
    except AtmdepotError as failure:
        write_whole(copy, before)
        raise AtmdepotError(by_its_own_name(str(failure))) from None
    except BaseException:
        write_whole(copy, before)
        raise
    if not keep:
        write_whole(copy, before)
