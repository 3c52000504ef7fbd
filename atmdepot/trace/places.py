"""The sources of a trace: a network that runs here, an interface, or a capture."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.config.reading import load
from atmdepot.config.units import count_text
from atmdepot.errors import AtmdepotError
from atmdepot.net.control_client import is_answered, show
from atmdepot.net.running import control_sockets, running_networks
from atmdepot.tables import console, make_table
from atmdepot.trace.capture.files import FileSource, open_capture
from atmdepot.trace.capture.sniff import SniffSource
from atmdepot.trace.capture.udp_cells import names_of
from atmdepot.trace.follow import Follower
from atmdepot.trace.live import LiveSource, give_way
from atmdepot.trace.names import VcBook
from atmdepot.trace.sessions import CaptureSessions, DepotSessions
from atmdepot.wire.cell import Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from atmdepot.config.model import Network
    from atmdepot.trace.sources import SourceRecord
    from atmdepot.wire.aal5 import CrcMode

_IDLE = 0.2
"""Seconds without a record after which held output is flushed."""
_ALL = "any"


class StoppedReading(Exception):
    """The user has ended the trace of a pipe, whose next record may never come."""


class Choice(NamedTuple):
    """The user's choice: the places to trace, and how to read their records.

    `wants` are the kinds of records (`cells`, `drops`, `sessions`) that the filter needs; `links` are the only links
    from which it accepts items (None: all). `count_cells` tells that the cells of PDUs are only counted.
    `sessions_only` tells that cells have no use when a depot reports its sessions.
    """

    places: Sequence[str] = ()
    read: Path | None = None
    ports: Collection[int] = ()
    table: str | None = None
    network: str | None = None
    nni: bool = False
    crc: CrcMode | None = None
    cells: bool = False
    count_cells: bool = False
    sessions_only: bool = False
    wants: frozenset[str] = frozenset({"cells", "drops", "sessions"})
    links: frozenset[str] | None = None


@dataclass
class Opened:
    """An open source, with its follower, names and summary.

    `nodes` is the number of nodes it listens to (0: a capture may hold several), `place` the place it listens on (empty
    for a capture); `losses` gives sentences for the summary; `links` are the nodes, each with a link that is traced;
    `passing` are those nodes that only pass cells on.
    """

    source: Iterable[SourceRecord | None]
    follower: Follower
    book: VcBook
    stop: Callable[[], None]
    losses: Callable[[], list[str]] = field(default=list)
    nodes: int = 1
    place: str = ""
    links: list[tuple[str, str]] = field(default_factory=list)
    passing: list[str] = field(default_factory=list)


@contextlib.contextmanager
def open_source(choice: Choice) -> Iterator[Opened]:
    """Open the chosen source; raise AtmdepotError when it cannot be opened."""
    if choice.read is not None:
        with _capture(choice) as opened:
            yield opened
    elif choice.ports:
        with _interface(choice) as opened:
            yield opened
    else:
        with _running(choice) as opened:
            yield opened


def _follower(choice: Choice, book: VcBook, sessions: CaptureSessions | DepotSessions) -> Follower:
    interface = Interface.NNI if choice.nni else Interface.UNI
    return Follower(book, cells=choice.cells, count=choice.count_cells, interface=interface, sessions=sessions,
                    crc=choice.crc)


def _book(choice: Choice) -> VcBook:
    return VcBook([load(choice.table)] if choice.table else [])


# Captures and interfaces.

@contextlib.contextmanager
def _capture(choice: Choice) -> Iterator[Opened]:
    assert choice.read is not None
    book = _book(choice)
    with open_capture(choice.read, ports=choice.ports, names=names_of(book.addresses, book.keys)) as source:
        # `source.stop` waits for the next record, which a pipe may never give.
        stop = _give_up_reading if str(choice.read) == "-" else source.stop
        yield Opened(source, _follower(choice, book, CaptureSessions()), book, stop,
                     losses=lambda: _capture_losses(source), nodes=0)


def _give_up_reading() -> None:
    raise StoppedReading


def _capture_losses(source: FileSource) -> list[str]:
    return source.summary() if source.passed_over else []


@contextlib.contextmanager
def _interface(choice: Choice) -> Iterator[Opened]:
    if len(choice.places) > 1:
        raise AtmdepotError("with --port, only one interface can be listened to: take -i any for all of them")
    name = choice.places[0] if choice.places else _ALL
    book = _book(choice)
    with SniffSource(name, choice.ports, names=names_of(book.addresses, book.keys), idle=_IDLE) as source:
        yield Opened(source, _follower(choice, book, CaptureSessions()), book, source.stop, losses=source.summary,
                     place=f"{name}, UDP ports {', '.join(map(str, choice.ports))}")


# Networks that run here.

@contextlib.contextmanager
def _running(choice: Choice) -> Iterator[Opened]:
    places, silent = _sockets(choice)
    wants = choice.wants - {"cells"} if choice.sessions_only and _has_depot(places) else choice.wants
    # Before the first record: the nodes need the processor more than their trace does.
    give_way()
    with LiveSource(places, idle=_IDLE, **{kind: kind in wants for kind in ("cells", "drops", "sessions")}) as source:
        networks = [load(choice.table)] if choice.table else _tables_of(source)
        book = VcBook(networks)
        has_depot = any(told.kind == "depot" for told in source.nodes.values())
        follower = _follower(choice, book, DepotSessions() if has_depot else CaptureSessions())
        follower.interfaces = {(node, link): Interface(told.interface)
                               for node, of in source.nodes.items() for link, told in of.links.items()}
        place = ", ".join(source.nodes) + (f" (not running: {', '.join(silent)})" if silent else "")
        asked = {path.stem: links for path, links in places.items()}
        links = [(node, link) for node, told in source.nodes.items() for link in asked.get(node) or told.links]
        yield Opened(source, follower, book, source.stop, lambda: _missed(source), len(source.nodes), place, links,
                     [node for node, told in source.nodes.items() if told.kind == "switch"])


def _has_depot(places: Iterable[Path]) -> bool:
    return any(show(path, "servers", 1) for path in places)


def _sockets(choice: Choice) -> tuple[dict[Path, Collection[str]], list[str]]:
    """The control socket of each chosen node, with its links (empty: all), and the silent nodes of `any`."""
    wanted: dict[str, set[str]] = {}
    everywhere = not choice.places
    for place in choice.places:
        node, _, link = place.partition(":")
        if node == _ALL and not link:
            everywhere = True
        elif node:
            wanted.setdefault(node, set()).add(link)
        else:
            raise AtmdepotError(f"\"{place}\" is no place: write NODE, NODE:LINK or any; "
                                "`atmdepot trace -D` lists them")
    try:
        sockets = {path.stem: path for path in control_sockets(choice.network, None)}
    except AtmdepotError as error:
        raise AtmdepotError(f"{error}{_hint(wanted)}") from None
    for node in wanted:
        if node not in sockets:
            raise AtmdepotError(f"no daemon of \"{node}\" runs here: there are {', '.join(sockets)}; "
                                f"`atmdepot trace -D` lists all places{_hint([node])}")
    chosen = {path: set() if everywhere or "" in wanted[node] else wanted[node]
              for node, path in sockets.items() if everywhere or node in wanted}
    # A node asked for by name must answer; of `any`, silent nodes are left out.
    silent = {path for path in chosen if path.stem not in wanted and not is_answered(path)}
    answering = {path: links for path, links in chosen.items() if path not in silent}
    return _narrowed(answering, choice.links), sorted(path.stem for path in silent)


def _narrowed(chosen: dict[Path, set[str]], links: frozenset[str] | None) -> dict[Path, Collection[str]]:
    """Keep only the links from which the filter accepts items; each node knows its own links."""
    if links is None:
        return dict(chosen)
    narrowed: dict[Path, Collection[str]] = {}
    known: set[str] = set()
    for path, asked in chosen.items():
        own = {row["link"] for row in show(path, "links")}
        known |= own
        if unknown := asked - own:
            raise AtmdepotError(f"{path.stem} has no link \"{min(unknown)}\": its links are {', '.join(sorted(own))}")
        if left := (asked or own) & links:
            narrowed[path] = left
    if not narrowed:
        raise AtmdepotError(f"no link {' or '.join(sorted(links))} there: the links are {', '.join(sorted(known))}")
    return narrowed


def _hint(nodes: Iterable[str]) -> str:
    """Hint at a network interface that was given as a node."""
    interfaces = {name for _, name in socket.if_nameindex()}
    return next((f"; to listen to the network interface {node}, add the UDP ports of the links: --port 5501"
                 for node in nodes if node in interfaces), "")


def _tables_of(source: LiveSource) -> list[Network]:
    """The VC tables of the traced nodes, as far as they can be read from here."""
    networks = []
    for path in {told.table for told in source.nodes.values() if told.table}:
        # Without its table, a trace only lacks names.
        with contextlib.suppress(AtmdepotError):
            networks.append(load(path))
    return networks


def _missed(source: LiveSource) -> list[str]:
    missed = source.missed
    told = [count_text(missed.cells, "cell")] + [count_text(count, kind) for count, kind in (
        (missed.drops, "drop"), (missed.sessions, "session change")) if count]
    why = ": this trace was slower than the nodes" if missed.cells or len(told) > 1 else ""
    return [f"{', '.join(told)} missed{why}"]


# The list of `-D`.

def print_places() -> None:
    """List the places that can be traced from here: nodes and links of running networks, and network interfaces."""
    rows = []
    for network, sockets in running_networks().items():
        rows.append({"place": _ALL, "what": f"all nodes of the network {network} (--network {network})"})
        for path in sockets:
            with contextlib.suppress(AtmdepotError):
                links = show(path, "links")
                rows.append({"place": path.stem, "what": f"{network}: the node's links"})
                rows += [{"place": f"{path.stem}:{row['link']}", "what": f"{network}: the link to {row['peer']}"}
                         for row in links]
    rows += [{"place": name, "what": "a network interface: add the UDP ports of the links with --port"}
             for _, name in socket.if_nameindex()]
    console().print(make_table(f"places ({len(rows)})", ["place", "what"], rows))
