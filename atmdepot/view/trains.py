"""Trains: cells of one VC that cross a link together, with their server and service category."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from atmdepot.config.contract import ServiceCategory
from atmdepot.view.ticks import Train
from atmdepot.wire.cell import CELL_SIZE, CellHeader, Interface

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network
    from atmdepot.net.events import Cells, SessionChange
    from atmdepot.trace.items import Cell
    from atmdepot.trace.names import VcBook
    from atmdepot.view.ticks import Kind

_CATEGORIES = frozenset(map(str, ServiceCategory))
_MOST_SESSIONS = 100_000
_MOST_PROBES = 10_000
"""Probes that are remembered; the cells of one may be looked at for a minute after its end."""
_FADE = 0.8
"""The share of a link's counts that stays from tick to tick, so that colours do not flicker."""
_LEAST = 0.01


class _Of:
    """A session, as its VC shows it."""

    __slots__ = ("category", "number", "server")

    def __init__(self, number: int, server: str, category: str) -> None:
        self.number, self.server, self.category = number, server, category


class TrainSorter:
    """Sorts cells by what they are of, by VC table and the depot's sessions."""

    def __init__(self, network: Network, book: VcBook) -> None:
        self._network = network
        self.book = book
        self._sessions: dict[tuple[str, int], _Of] = {}  # by VP and VCI: on another link the VP may have another VPI
        self._probes: dict[int, None] = {}  # the oldest first
        self._servers: dict[str, Counter[str]] = {}
        self._categories: dict[str, Counter[str]] = {}

    def is_probe(self, session: int) -> bool:
        """True for a session of the depot's own probes."""
        return session in self._probes

    def is_aside(self, cell: Cell) -> bool:
        """True for a cell of a probe, of a server's report, or of OAM: not of a client's session."""
        pdu = cell.pdu
        return cell.is_oam or cell.name.role == "management" or (
            pdu is not None and pdu.session is not None and pdu.session.number in self._probes)

    def take_session(self, change: SessionChange) -> None:
        """Note a session's VC, or that it is free again."""
        if change.event == "opened":
            self._probes.pop(change.number, None)  # of the depot before it was started anew
            if change.why == "probe":
                self._probes[change.number] = None
                if len(self._probes) > _MOST_PROBES:
                    del self._probes[next(iter(self._probes))]
        if len(change.vc) != 2:
            return  # of another bearer
        vpi, vci = change.vc
        vc = self.book.of(change.link, vpi, vci).vp, vci
        if change.event == "gone":
            if (known := self._sessions.get(vc)) is not None and known.number == change.number:
                del self._sessions[vc]
            return
        if len(self._sessions) >= _MOST_SESSIONS:
            self._sessions.clear()
            self._probes.clear()
        self._sessions[vc] = _Of(change.number, change.server, change.category)

    def trains_of(self, cells: Cells) -> Iterator[Train]:
        """The trains of cells that crossed a link together; idle cells are none."""
        link = self._network.links.get(cells.link)
        there = link is None or (cells.node == next(iter(link.ends))) == (cells.direction == "out")
        interface = Interface.UNI if link is None else Interface(link.interface)
        octets, at = cells.octets, 0
        while at < len(octets):
            header = octets[at:at + 4]
            end = at + CELL_SIZE
            # The last cell of a PDU has another PTI, and is of the same train.
            while end < len(octets) and octets[end:end + 3] == header[:3] and (octets[end + 3] ^ header[3]) & 0xF0 == 0:
                end += CELL_SIZE
            fields = CellHeader.unpack(octets[at:at + 5], interface)
            if not fields.is_idle:
                train = self._train(cells, there, fields, (end - at) // CELL_SIZE)
                self._count(train)
                yield train
            at = end

    def _train(self, cells: Cells, there: bool, header: CellHeader, count: int) -> Train:
        name = self.book.of(cells.link, header.vpi, header.vci)
        if header.is_oam:
            return Train(cells.time, cells.link, there, count, name.server, "", "oam")
        if name.role == "management":
            return Train(cells.time, cells.link, there, count, name.server, "", "management")
        session = self._sessions.get((name.vp, header.vci))
        if session is not None and session.server == name.server:
            kind: Kind = "probe" if session.number in self._probes else "session"
            return Train(cells.time, cells.link, there, count, name.server, session.category, kind, session.number)
        category = name.role if name.role in _CATEGORIES else ""
        kind = "session" if name.server else "other"
        return Train(cells.time, cells.link, there, count, name.server, category, kind)

    def _count(self, train: Train) -> None:
        if train.server:
            self._servers.setdefault(train.link, Counter())[train.server] += train.cells
        if train.category:
            self._categories.setdefault(train.link, Counter())[train.category] += train.cells

    def shares(self, link: str) -> tuple[dict[str, float], dict[str, float]]:
        """The shares of a link's cells by server and by category; by the VPs on it where no cell was seen."""
        return _shares(self._servers.get(link)), _shares(self._categories.get(link))

    def end_tick(self) -> None:
        """Give earlier counts less weight."""
        for counts in (*self._servers.values(), *self._categories.values()):
            for name in list(counts):
                counts[name] *= _FADE  # type: ignore[assignment]  # a Counter's values may be any numbers
                if counts[name] < _LEAST:
                    del counts[name]


def _shares(counts: Counter[str] | None) -> dict[str, float]:
    total = sum(counts.values()) if counts else 0
    return {name: round(count / total, 3) for name, count in counts.items()} if counts and total else {}
