"""The daemons that run here: their control sockets, found in the run directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.errors import AtmdepotError
from atmdepot.net.control_client import ask_role, is_answered, show
from atmdepot.net.surroundings import begin, closed
from atmdepot.paths import BENCH_PREFIX, run_dir

if TYPE_CHECKING:
    from pathlib import Path

    from atmdepot.net.control_client import Standing

_ACTIVE, _STANDING_BY = ("active", "handing-over"), ("standby", "joining")


def running_networks() -> dict[str, list[Path]]:
    """The control sockets of each network in which a daemon answers; a socket's stem is its node's name."""
    return {name: list(sockets) for name, sockets in _networks().items()}


def _networks() -> dict[str, dict[Path, bool]]:
    """The same; each socket has True when its daemon answers. Each daemon is asked once."""
    found: dict[str, dict[Path, bool]] = {}
    for path in sorted(run_dir().glob("*/*.sock")):
        found.setdefault(path.parent.name, {})[path] = is_answered(path)
    return {name: sockets for name, sockets in found.items() if any(sockets.values())}


def control_sockets(network: str | None, node: str | None, table: str = "direct") -> list[Path]:
    """The sockets of a running network's nodes; raise AtmdepotError when the network or the node is not clear.

    The sockets exist, but may be left over from dead daemons: `answering_sockets` returns live sockets only.

    Args:
        network: its name; None if only a single network runs.
        node: the name of the only node to return; None for all.
        table: that to begin with where none runs.

    """
    sockets = list(_sockets_of(network, table))
    if node is None:
        return sockets
    chosen = [path for path in sockets if path.stem == node]
    if not chosen:
        raise AtmdepotError(f"no daemon of \"{node}\" runs here: there are {', '.join(p.stem for p in sockets)}")
    return chosen


def answering_sockets(network: str | None, table: str = "direct") -> tuple[list[Path], list[str]]:
    """The live sockets of a running network's nodes, and the names of the nodes whose sockets do not answer.

    Raises AtmdepotError when the network is not clear; where none runs, it names the table to begin with.
    """
    sockets = _sockets_of(network, table)
    return ([path for path, answers in sockets.items() if answers],
            [path.stem for path, answers in sockets.items() if not answers])


def _sockets_of(network: str | None, table: str) -> dict[Path, bool]:
    running = _networks()
    if not running and (told := closed()):
        raise AtmdepotError(told)
    if network is not None and network not in running:
        raise AtmdepotError(f"the network \"{network}\" does not run here"
                            + (f"; running: {', '.join(running)}" if running else ""))
    if not running:
        raise AtmdepotError(f"no daemon runs here: {begin(table)}")
    if network is not None:
        return running[network]
    chosen = [name for name in running if not name.startswith(BENCH_PREFIX)]
    if not chosen:
        raise AtmdepotError(f"only a benchmark runs here: name it if you mean it, --network {next(iter(running))}")
    if len(chosen) > 1:
        raise AtmdepotError(f"several networks run here: add --network with one of {', '.join(chosen)}")
    return running[chosen[0]]


def node_socket(network: str | None, node: str | None) -> Path:
    """The socket of a running node, the depot's without a name; raise AtmdepotError."""
    return depot_socket(network) if node is None else control_sockets(network, node)[0]


def depot_socket(network: str | None) -> Path:
    """The socket of a running network's depot, which is the node that has servers; raise AtmdepotError.

    Where the first stands by, it is the active depot of its set, if that answers here.
    """
    answering, silent = answering_sockets(network)
    problem: AtmdepotError | None = None
    for path in answering:
        try:
            if show(path, "servers", 1):
                return _active_for(path, answering)
        except AtmdepotError as error:  # a daemon that hangs or is just ending; the depot may be another
            problem = error
    if problem is not None:
        raise problem
    unheard = f" ({', '.join(silent)}: no answer)" if silent else ""
    others = [] if silent else [path.stem for path in answering]
    raise AtmdepotError(f"no depot runs here{unheard}: {begin('direct', others)}")


def _active_for(depot: Path, answering: list[Path]) -> Path:
    """The active depot of the set in which a depot stands by; the depot itself if it is active, or none is."""
    own = _standing_of(depot) if len(answering) > 1 else None
    if own is None or own.role not in _STANDING_BY:
        return depot
    for path in answering:
        other = _standing_of(path) if path != depot else None
        if other is not None and other.set_name == own.set_name and other.role in _ACTIVE:
            return path
    return depot


def _standing_of(path: Path) -> Standing | None:
    """The set and the role of a depot; None for other nodes, and for a daemon that does not answer."""
    try:
        return ask_role(path)
    except AtmdepotError:
        return None
