"""Taps: bounded looks at what a node does, for those who trace it; they never hold up the data path.

Cells are noted on their way through a data path that stands before the node's while there is a tap; drops and sessions
are told to an observer. What a tap has no room for is counted, and told by a `Missed` record where it is missing.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec
import trio

from atmdepot.drops import DropReason
from atmdepot.errors import AtmdepotError
from atmdepot.node.events import Cells, Drop, Missed, SessionChange
from atmdepot.node.names import flow_ends
from atmdepot.node.node import DataPath, Observer
from atmdepot.wire.cell import CELL_SIZE
from atmdepot.wire.ip import PROTOCOL_TCP

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from atmdepot.depot.sessions import Session
    from atmdepot.drops import OnVc
    from atmdepot.node.events import Record
    from atmdepot.node.node import AtmNode
    from atmdepot.wire.flows import FlowKey

DEFAULT_BOUND = 8 * 2**20
MAX_TAPS = 8
MAX_DROP_OCTETS = 256
"""Of what was dropped, so much is kept."""
_OVERHEAD = 256
_SESSION_WEIGHT = 512
_FORGOTTEN_AT_ONCE = 1000
_MOST_CELLS = 1000 * CELL_SIZE


class SessionNote(msgspec.Struct, gc=False):
    """What a `SessionChange` is made of; its texts cost too much to be made on the data path."""

    time: int
    number: int
    event: str
    key: FlowKey
    server: str
    link: str
    vpi: int
    vci: int
    category: str
    why: str

    @classmethod
    def of(cls, session: Session, event: str, why: str, time_ns: int) -> SessionNote:
        """Note what has happened to a session."""
        vp, vc = session.vp, session.vc
        return cls(time_ns, session.number, event, session.key, session.server.name, vp.link.name, vc.vpi, vc.vci,
                   session.category, why)

    def record(self) -> SessionChange:
        """The record."""
        client, service = flow_ends(self.key)
        protocol = "TCP" if self.key[0] == PROTOCOL_TCP else "UDP"
        return SessionChange(self.time, self.number, self.event, protocol, client, service, self.server, self.link,
                             _plain(self.vpi, self.vci), self.category, self.why)


class Tap:
    """What one client wants to see of a node, kept until it is taken.

    With `links`, only these are looked at: their cells and drops and the sessions on them; packets that the node itself
    dropped are of no link and told in any case.
    """

    def __init__(
        self, links: Collection[str] = (), *, cells: bool = True, drops: bool = True, sessions: bool = True,
        bound: int = DEFAULT_BOUND,
    ) -> None:
        """Keep records up to `bound` octets in all, counting some for each record itself.

        Cells are kept only while all weighs no more than 7/8 of it: the rest is for drops and sessions, which tell most
        when cells are too many.
        """
        self._links = frozenset(links)
        self._all_links = not self._links
        self._wants_cells, self._wants_drops, self._wants_sessions = cells, drops, sessions
        self._bound = bound
        self._bound_of_cells = bound - bound // 8
        self._kept: deque[tuple[int, Record | SessionNote]] = deque()
        self._missed: Missed | None = None
        self.weight = 0
        """Octets that are held, with those for each record itself."""

    def sees(self, link: str) -> bool:
        """Whether a link is looked at."""
        return self._all_links or link in self._links

    def cells(self, time_ns: int, link: str, direction: str, octets: bytes) -> None:
        """Note cells that cross a link."""
        if not self._wants_cells or not (self._all_links or link in self._links):
            return
        for at in range(0, len(octets), _MOST_CELLS):
            part = octets[at:at + _MOST_CELLS]
            if not self._keep(_OVERHEAD + len(part), Cells(time_ns, link, direction, part), self._bound_of_cells):
                self._miss(time_ns).cells += len(part) // CELL_SIZE

    def drop(self, drop: Drop) -> None:
        """Note something that is dropped."""
        if not self._wants_drops or not (drop.link == "" or self.sees(drop.link)):
            return
        if not self._keep(_OVERHEAD + len(drop.octets), drop, self._bound):
            self._miss(drop.time).drops += drop.count

    def session(self, note: SessionNote) -> None:
        """Note what happens to a session."""
        if not self._wants_sessions or not self.sees(note.link):
            return
        if not self._keep(_SESSION_WEIGHT, note, self._bound):
            self._miss(note.time).sessions += 1

    def _keep(self, weight: int, record: Record | SessionNote, bound: int) -> bool:
        """Keep a record, after what was missed before it; False when it does not fit into `bound`."""
        if self._missed is not None:
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
        """Whether there is something to take."""
        return bool(self._kept or self._missed)

    def watermark(self, now: int) -> int:
        """The time before which nothing is left to take: that of the oldest that is held, or `now`."""
        if self._kept:
            return self._kept[0][1].time
        return now if self._missed is None else self._missed.time

    def take(self, most: int) -> list[Record]:
        """The oldest records, until they weigh `most` octets or there are no more; they are the caller's now."""
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
        """Give up what is kept, in slices: to free tens of thousands of records at once would hold up the data path."""
        with trio.CancelScope(shield=True):
            while self._kept:
                for _ in range(min(_FORGOTTEN_AT_ONCE, len(self._kept))):
                    self.weight -= self._kept.popleft()[0]
                await trio.lowlevel.checkpoint()
        self._missed = None


class Taps(Observer):
    """The taps of one node, at most `MAX_TAPS`. `open` is empty as long as nobody traces."""

    def __init__(
        self, node: AtmNode, queue_drops: Callable[[], int], lead_through: Callable[[DataPath], object],
    ) -> None:
        """Look at a node.

        `queue_drops` tells how many packets the kernel dropped in front of its TUN device so far; `lead_through` has
        all that passes go through a data path that is looked at, or through the node's own again.
        """
        self.open: list[Tap] = []
        self._node = node
        self._path = TappedPath(node, self)
        self._lead_through = lead_through
        self._queue_drops = queue_drops
        self._queue_drops_seen = 0
        self._time = 0

    def add(self, tap: Tap) -> None:
        """Begin to tell a tap; raise AtmdepotError when there are too many."""
        if len(self.open) >= MAX_TAPS:
            raise AtmdepotError(f"{self._node.name}: {MAX_TAPS} traces are running already; end one of them")
        if not self.open:
            self._queue_drops_seen = self._queue_drops()
            self._node.subscribe(self)
            self._lead_through(self._path)
        self.open.append(tap)

    def remove(self, tap: Tap) -> None:
        """Tell a tap no more."""
        self.open.remove(tap)
        if not self.open:
            self._node.unsubscribe(self)
            self._lead_through(self._node)

    def begin_burst(self) -> None:
        """Take the wall-clock time, which stands for all that happens in one go."""
        self._time = time.time_ns()

    def now(self) -> int:
        """The wall-clock time; nothing is told with an older one after this, even what belongs to no burst."""
        self.begin_burst()
        return self._time

    def cells(self, link: str, direction: str, octets: bytes) -> None:
        """Tell of cells that cross a link."""
        for tap in self.open:
            tap.cells(self._time, link, direction, octets)

    def look_at_the_queue(self) -> None:
        """Tell what the kernel has dropped in front of the TUN device since the last look."""
        before, self._queue_drops_seen = self._queue_drops_seen, self._queue_drops()
        if self._queue_drops_seen > before:
            self.dropped("", DropReason.TUN_QUEUE_FULL, self._queue_drops_seen - before, b"", None)

    def dropped(self, link: str, reason: DropReason, count: int, octets: bytes | memoryview, vc: OnVc | None) -> None:
        """Tell of a drop."""
        beginning = bytes(octets[:MAX_DROP_OCTETS])
        drop = Drop(self._time, link, reason, count, beginning, None if vc is None else _plain(vc.vpi, vc.vci))
        for tap in self.open:
            tap.drop(drop)

    def session_changed(self, session: Session, event: str, why: str) -> None:
        """Tell what has happened to a session."""
        note = SessionNote.of(session, event, why, self._time)
        for tap in self.open:
            tap.session(note)


class TappedPath(DataPath):
    """A node's data path whose cells are told to taps, and whose bursts have a time."""

    def __init__(self, node: AtmNode, taps: Taps) -> None:
        self._node = node
        self._taps = taps
        self._links = list(node.links)

    def begin(self) -> None:
        """Take the time of what follows."""
        self._taps.begin_burst()

    def packets_from_host(self, packets: list[bytes], now: int) -> None:
        """Take packets that the TUN device gave."""
        self._node.packets_from_host(packets, now)

    def cells_from_link(self, name: str, cells: bytes, now: int) -> None:
        """Tell of cells that a link gave, and take them."""
        self._taps.cells(name, "in", cells)
        self._node.cells_from_link(name, cells, now)

    def transmit(self, port: int, now: int) -> bytes:
        """The cells for a link, which are told of."""
        if cells := self._node.transmit(port, now):
            self._taps.cells(self._links[port], "out", cells)
        return cells

    def fill(self, name: str, cells: int) -> bytes:
        """So many idle cells for a link, which are told of."""
        octets = self._node.fill(name, cells)
        self._taps.cells(name, "out", octets)
        return octets

    def take_packets(self) -> list[bytes]:
        """The packets for the TUN device."""
        return self._node.take_packets()

    def handle_timer(self, now: int) -> None:
        """Do what is due."""
        self._node.handle_timer(now)


def _plain(vpi: int, vci: int) -> tuple[int, int]:
    """VPI and VCI as plain numbers; those that a VC table gives are of types of their own, which MessagePack lacks."""
    return int(vpi), int(vci)
