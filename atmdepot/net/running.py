"""Which daemons run here: their control sockets, found in the run directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.errors import AtmdepotError
from atmdepot.net.control import is_answered, show
from atmdepot.paths import run_dir

if TYPE_CHECKING:
    from pathlib import Path

_BEGIN = "begin with `atmdepot lab up direct`"


def running_networks() -> dict[str, list[Path]]:
    """The control sockets of each network of which a daemon answers; a socket's stem is its node's name."""
    found = sorted(run_dir().glob("*/*.sock"))
    names = sorted({path.parent.name for path in found if is_answered(path)})
    return {name: [path for path in found if path.parent.name == name] for name in names}


def control_sockets(network: str | None, node: str | None) -> list[Path]:
    """The sockets of one running network's nodes; raise AtmdepotError when it is not clear which.

    Args:
        network: its name; None where only one runs.
        node: only this node's; None for all.

    """
    running = running_networks()
    if network is not None and network not in running:
        raise AtmdepotError(f"the network \"{network}\" does not run here"
                            + (f"; running: {', '.join(running)}" if running else ""))
    if network is None and len(running) > 1:
        raise AtmdepotError(f"several networks run here: add --network with one of {', '.join(running)}")
    if not running:
        raise AtmdepotError(f"no daemon runs here: {_BEGIN}")
    sockets = running[network or next(iter(running))]
    if node is None:
        return sockets
    chosen = [path for path in sockets if path.stem == node]
    if not chosen:
        raise AtmdepotError(f"no daemon of \"{node}\" runs here: there are {', '.join(p.stem for p in sockets)}")
    return chosen


def depot_socket(network: str | None) -> Path:
    """The socket of a running network's depot, which is the node that has servers; raise AtmdepotError."""
    for path in control_sockets(network, None):
        if show(path, "servers", 1):
            return path
    raise AtmdepotError(f"no depot runs here: {_BEGIN}")
