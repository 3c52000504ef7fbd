"""Taps: bounded records of a node's traffic for traces; they never hold up the data path.

While there is a tap, a tapped path in front of the node's data path notes the cells; an observer hears of drops and
sessions. Records that exceed a tap's bound are counted; a `Missed` record in their place has the count.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from atmdepot.drops import DropReason
from atmdepot.errors import AtmdepotError
from atmdepot.net.events import Cells, Drop, FrameSeen, Missed, SessionChange
from atmdepot.node.names import flow_ends
from atmdepot.node.node import DataPath, Observer
from atmdepot.wire.cell import CELL_SIZE
from atmdepot.wire.ip import PROTOCOL_TCP
from atmdepot.wire.offload import packets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from atmdepot.bearer.base import Port
    from atmdepot.bearer.rewrite_paths import HostPort
    from atmdepot.depot.session import Session
    from atmdepot.drops import OnChannel
    from atmdepot.net.events import Record
    from atmdepot.node.node import Node
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.offload import Frame

DEFAULT_BOUND = 8 * 2**20
MAX_TAPS = 8
MAX_DROP_OCTETS = 256
"""Octets that are kept of dropped data."""
_OVERHEAD = 256  # octets, for the objects of a record
_SESSION_WEIGHT = 512
_FORGOTTEN_AT_ONCE = 1000
_MOST_CELLS = 1000 * CELL_SIZE


class SessionNote(msgspec.Struct, gc=False):
    """Raw fields of a `SessionChange`; its texts take too long to be made on the data path."""

    time: int
    number: int
    event: str
    key: FlowKey
    server: str
    link: str
    channel: tuple[int, ...]
    category: str
    why: str

    @classmethod
    def of(cls, session: Session, event: str, why: str, time_ns: int) -> SessionNote:
        """Note a change of a session."""
        path = session.path
        return cls(time_ns, session.number, event, session.key, session.server.name, path.port, path.channel,
                   session.category, why)

    def record(self) -> SessionChange:
        """The record."""
        client, service = flow_ends(self.key)
        protocol = "TCP" if self.key[0] == PROTOCOL_TCP else "UDP"
        return SessionChange(self.time, self.number, self.event, protocol, client, service, self.server, self.link,
                             _plain(self.channel), self.category, self.why)


class Tap:
    """Records of a node for a client, kept until they are taken.

    With `links`, the tap keeps only the cells, drops and sessions of these links, and the packets that the node itself
    dropped, which belong to no link.
    """

    def __init__(
        self, links: Collection[str] = (), *, cells: bool = True, drops: bool = True, sessions: bool = True,
        bound: int = DEFAULT_BOUND,
    ) -> None:
        """Keep records up to `bound` octets in all, including an overhead for each record.

        Cells are kept up to 7/8 of the bound: the rest is for drops and sessions, which matter most when there are too
        many cells.
        """
        self._links = frozenset(links)
        self._all_links = not self._links
        self._wants_cells, self._wants_drops, self._wants_sessions = cells, drops, sessions
        self._bound = bound
        self._bound_of_cells = bound - bound // 8
        self._kept: deque[tuple[int, Record | SessionNote]] = deque()
        self._missed: Missed | None = None
        self.weight = 0
        """Octets that are held, including the overhead of each record."""
        self.noted = 0
        """Cells so far, those missed included."""

    def sees(self, link: str) -> bool:
        """True when the tap keeps records of a link."""
        return self._all_links or link in self._links

    def cells(self, time_ns: int, link: str, direction: str, octets: bytes) -> None:
        """Note cells that cross a link."""
        if not self._wants_cells or not (self._all_links or link in self._links):
            return
        self.noted += len(octets) // CELL_SIZE
        for at in range(0, len(octets), _MOST_CELLS):
            part = octets[at:at + _MOST_CELLS]
            if not self._keep(_OVERHEAD + len(part), Cells(time_ns, link, direction, part), self._bound_of_cells):
                self._miss(time_ns).cells += len(part) // CELL_SIZE

    def frame(self, frame: FrameSeen) -> None:
        """Note a frame that crosses a port; it has the cells' room, and where it is missed it counts among them."""
        if self._wants_cells and self.sees(frame.link) and not self._keep(
                _OVERHEAD + len(frame.octets), frame, self._bound_of_cells):
            self._miss(frame.time).cells += 1

    def drop(self, drop: Drop) -> None:
        """Note a drop."""
        if not self._wants_drops or not (drop.link == "" or self.sees(drop.link)):
            return
        if not self._keep(_OVERHEAD + len(drop.octets), drop, self._bound):
            self._miss(drop.time).drops += drop.count

    def session(self, note: SessionNote) -> None:
        """Note a change of a session."""
        if not self._wants_sessions or not self.sees(note.link):
            return
        if not self._keep(_SESSION_WEIGHT, note, self._bound):
            self._miss(note.time).sessions += 1

    def _keep(self, weight: int, record: Record | SessionNote, bound: int) -> bool:
        """Keep a record, after the `Missed` record before it; False when it does not fit into `bound`."""
        if self._missed is not None:  # the Missed record goes first, and needs room, too
            if self.weight + weight + _OVERHEAD > bound:
                return False
            self.weight += _OVERHEAD
            self._kept.append((_OVERHEAD, self._missed))
            self._missed = None
        elif self.weight + weight > bound:
            return False
        self.weight += weight
        self._kept.append((weight, record))
        return True

    def _miss(self, time_ns: int) -> Missed:
        if self._missed is None:
            self._missed = Missed(time_ns)
        return self._missed

    @property
    def is_waiting(self) -> bool:
        """True when a record waits."""
        return bool(self._kept or self._missed)

    def watermark(self, now: int) -> int:
        """The time (ns) before which no record waits: that of the oldest record, or `now`."""
        if self._kept:
            return self._kept[0][1].time
        return now if self._missed is None else self._missed.time

    def take(self, most: int) -> list[Record]:
        """The oldest records, until they weigh `most` octets or no more wait; they are the caller's now."""
        records: list[Record] = []
        end = max(0, self.weight - most)
        while self._kept and self.weight > end:
            weight, record = self._kept.popleft()
            self.weight -= weight
            records.append(record.record() if isinstance(record, SessionNote) else record)
        if not self._kept and self._missed is not None:
            records.append(self._missed)
            self._missed = None
        return records


    async def forget(self) -> None:
        """Drop the records, in slices: to free tens of thousands of records at once would hold up the data path."""
        with trio.CancelScope(shield=True):  # a cancelled trace, too, must free its records in slices
            while self._kept:
                for _ in range(min(_FORGOTTEN_AT_ONCE, len(self._kept))):
                    self.weight -= self._kept.popleft()[0]
                await trio.lowlevel.checkpoint()
        self._missed = None


class Taps(Observer):
    """The taps of a node, at most `MAX_TAPS`. `open` is empty while no trace runs."""

    def __init__(
        self, node: Node, queue_drops: Callable[[], int], lead_through: Callable[[DataPath], object],
    ) -> None:
        """Observe a node.

        `queue_drops` gives the number of packets that the kernel has dropped in front of its TUN device; `lead_through`
        leads all traffic through a tapped path, or through the node's own path again.
        """
        self.open: list[Tap] = []
        self._node = node
        self._path = TappedPath(node, self)
        self._lead_through = lead_through
        self._queue_drops = queue_drops
        self._queue_drops_seen = 0
        self._time = 0

    def add(self, tap: Tap) -> None:
        """Add a tap; raise AtmdepotError when there are too many."""
        if len(self.open) >= MAX_TAPS:
            raise AtmdepotError(f"{self._node.name}: {MAX_TAPS} traces are running already; end one of them")
        if not self.open:
            self._queue_drops_seen = self._queue_drops()  # earlier drops belong to no trace
            self._node.subscribe(self)
            self._lead_through(self._path)
        self.open.append(tap)

    def remove(self, tap: Tap) -> None:
        """Remove a tap."""
        self.open.remove(tap)
        if not self.open:  # without a trace, the data path pays for no observer
            self._node.unsubscribe(self)
            self._lead_through(self._node)

    def begin_burst(self) -> None:
        """Take the wall-clock time, which is the time of all records of a burst."""
        self._time = time.time_ns()  # wall clock, since traces of several nodes are merged

    def now(self) -> int:
        """The wall-clock time (ns); later records have no earlier time, even outside a burst."""
        self.begin_burst()
        return self._time

    def cells(self, link: str, direction: str, octets: bytes) -> None:
        """Pass cells that cross a link to the taps."""
        for tap in self.open:
            tap.cells(self._time, link, direction, octets)

    def crossed(self, port: Port, direction: str, octets: bytes) -> None:
        """Pass what crosses a port to the taps: cells, or frames."""
        if port.medium == "cells":
            self.cells(port.name, direction, octets)
            return
        for frame in port.frames_in(octets):
            for tap in self.open:
                tap.frame(FrameSeen(self._time, port.name, direction, port.medium, frame))

    def crossed_host(self, port: HostPort, direction: str, packets: Sequence[bytes | Frame]) -> None:
        """Pass the packets to the taps that come from the host to be rewritten, or go back to it rewritten."""
        for packet in packets_of(packets):
            side = port.side_of(packet, direction) if packet else ""
            for tap in self.open if side else ():
                tap.frame(FrameSeen(self._time, port.name, direction, side, packet))

    def look_at_the_queue(self) -> None:
        """Record the packets that the kernel has dropped in front of the TUN device since the last call."""
        before, self._queue_drops_seen = self._queue_drops_seen, self._queue_drops()
        if self._queue_drops_seen > before:
            self.dropped("", DropReason.TUN_QUEUE_FULL, self._queue_drops_seen - before, b"", None)

    def dropped(
        self, link: str, reason: DropReason, count: int, octets: bytes | memoryview, channel: OnChannel | None,
    ) -> None:
        """Pass a drop to the taps."""
        beginning = bytes(octets[:MAX_DROP_OCTETS])  # a copy: the octets are the caller's
        drop = Drop(self._time, link, reason, count, beginning, None if channel is None else _plain(channel.channel))
        for tap in self.open:
            tap.drop(drop)

    def session_changed(self, session: Session, event: str, why: str) -> None:
        """Pass a change of a session to the taps."""
        note = SessionNote.of(session, event, why, self._time)
        for tap in self.open:
            tap.session(note)


class TappedPath(DataPath):
    """A data path that passes a node's cells to taps, and gives bursts their time."""

    def __init__(self, node: Node, taps: Taps) -> None:
        self._node = node
        self._taps = taps
        self._links = list(node.links)
        self._ports = node.links
        self._host: Any = next((port for port in node.links.values() if port.medium == "host"), None)

    def begin(self) -> None:
        """Take the time for the next records."""
        self._taps.begin_burst()

    def packets_from_host(self, packets: list[bytes | Frame], now: int) -> None:
        """Take packets that the TUN device gave; the taps get those to be rewritten."""
        if self._host is not None:
            self._taps.crossed_host(self._host, "in", packets)
        self._node.packets_from_host(packets, now)

    def octets_from_port(self, name: str, octets: bytes, now: int) -> None:
        """Pass cells that a link gave to the taps, and take them."""
        self._taps.crossed(self._ports[name], "in", octets)
        self._node.octets_from_port(name, octets, now)

    def transmit(self, port: int, now: int) -> bytes:
        """The cells for a link, which the taps get, too."""
        if cells := self._node.transmit(port, now):
            self._taps.crossed(self._ports[self._links[port]], "out", cells)
        return cells

    def fill(self, name: str, count: int) -> bytes:
        """Idle cells for a link, which the taps get, too."""
        octets = self._node.fill(name, count)
        self._taps.crossed(self._ports[name], "out", octets)
        return octets

    def take_packets(self) -> list[bytes | Frame]:
        """The packets for the TUN device; the taps get those that were rewritten."""
        packets = self._node.take_packets()
        if self._host is not None:
            self._taps.crossed_host(self._host, "out", packets)
        return packets

    def handle_timer(self, now: int) -> None:
        """Handle the timers that are due."""
        self._node.handle_timer(now)


def _plain(channel: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers of a channel as plain ones: MessagePack cannot encode the types that a VC table gives them."""
    return tuple(map(int, channel))
