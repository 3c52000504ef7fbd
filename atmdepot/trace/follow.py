"""From records to items: the follower judges cells by their HEC, and has an `Assembler` make PDUs of them.

This is the data path of a trace: records in, items out, in the order of events; filters, printers and writers use the
items. It stands outside the network: it does not know the state of a real receiver before the trace began, and it shows
what a receiver would drop instead of dropping it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from atmdepot.net.events import Cells, Missed, SessionChange
from atmdepot.trace.assembler import Assembler, Assembly, Direction, Known, cell_of
from atmdepot.trace.items import CellRun, HecVerdict, Pdu, Place
from atmdepot.trace.names import VcBook
from atmdepot.trace.sources import CapturedCells, HecMark, PduSeen, Remark, UnplacedPdu
from atmdepot.trace.verdicts import is_the_same, judge
from atmdepot.wire.aal5 import CrcMode, cells_of
from atmdepot.wire.cell import (
    CELL_SIZE,
    HEADER_SIZE,
    PTI_LAST,
    PTI_OAM,
    CellHeader,
    HecMode,
    Interface,
)

if TYPE_CHECKING:
    from atmdepot.trace.items import Item
    from atmdepot.trace.sessions import SessionNames
    from atmdepot.trace.sources import SourceRecord

DEFAULT_TIMEOUT = 2_000_000_000
"""Time that a PDU waits for its last cell, in ns: a VC table's own default."""
DEFAULT_MAX_CELLS = 1 << 20
_MAX_HELD = 1 << 18
"""Bound on VCs, headers and directions of links remembered, all together: twice what unfinished PDUs can need."""
_MAX_RECENT = 64  # directions whose latest PDU is remembered, to find it again as a whole
_MAX_RUNS = 1 << 14  # VCs counted at a time
_NO_FIELDS = CellHeader(-1, -1, PTI_LAST)  # of a PDU without a VC
_NS = 1_000_000_000
_AAL5_BELOW_32 = frozenset({5, 16, 17, 18})
"""Reserved VCIs that carry AAL5: signalling, ILMI, LECS and PNNI."""


class _Run:
    """Cells of a VC that are only counted, and the times of the first and the last cell."""

    __slots__ = ("cells", "direction", "first", "last")

    def __init__(self, direction: Direction, time: int, cells: int) -> None:
        self.direction, self.first, self.last, self.cells = direction, time, time, cells


class Follower:
    """Makes items from records.

    It differs from a node's `Reassembler`. It follows every VC. It does not know a VC's greatest SDU: a PDU may grow to
    AAL5's limit. It bounds the cells and the number of unfinished PDUs of all links together. With very many VCs it
    forgets idle VCs, even a VC on which it was to skip a PDU's rest. When a node reports that the trace missed cells,
    the node's PDUs under way end there, and the rests that come after the gap are no fault of the network. A PDU that
    was under way when the trace began is judged like all PDUs: it looks the same as a PDU that lost its beginning.

    Args:
        book: names of VCs, with encapsulation and CRC rule; for a VC that it lacks, the octets decide.
        cells: give an item for every cell, and keep each PDU's cells with it; else give only cells that are in no PDU.
        count: without `cells`, give a `CellRun` for the cells of a VC in each second, instead of an item for each cell.
        interface: the header format of links for which record and book have no format.
        sessions: names the sessions of PDUs, if given.
        crc: the CRC rule of all VCs, over that of the book.
        timeout: time that a PDU waits for its last cell, and an abandoned PDU for its end, in ns of the records' own
            time.
        max_cells: most cells that wait in all; beyond it the oldest PDU is abandoned.

    """

    def __init__(
        self, book: VcBook | None = None, *, cells: bool = False, count: bool = False,
        interface: Interface = Interface.UNI, sessions: SessionNames | None = None, crc: CrcMode | None = None,
        timeout: int = DEFAULT_TIMEOUT, max_cells: int = DEFAULT_MAX_CELLS,
    ) -> None:
        self.book = VcBook() if book is None else book
        self.interfaces: dict[tuple[str, str], Interface] = {}
        """The header format of a node's link, if its node reported it."""
        self._cells = cells
        self._counts = count and not cells
        self._interface = interface
        self._sessions = sessions
        self._crc = crc
        self._timeout = timeout
        self._held = 0
        self._second = 0
        self._runs: dict[Assembly, _Run] = {}
        self._headless_until: dict[str, int] = {}
        self._directions: dict[tuple[str, str, str], Direction] = {}
        self._pdus = Assembler(self._finish, cells=cells, counts=self._counts, crc=crc, timeout=timeout,
                               max_cells=max_cells)
        self._recent: OrderedDict[Place, Pdu] = OrderedDict()

    def take(self, record: SourceRecord) -> list[Item | CellRun]:
        """Return the items that a record makes; a Remark makes no item."""
        items: list[Item | CellRun] = []
        if self._counts and not isinstance(record, Remark):
            # The counts of the second before go first, to keep the order.
            items = self._end_second(record.time)
        if isinstance(record, Cells):
            self._pdus.expire(record.time, items)
            self._take_cells(record, items)
        elif isinstance(record, PduSeen):
            self._pdus.expire(record.time, items)
            self._take_pdu(record, items)
        elif isinstance(record, SessionChange):
            if self._sessions is not None:
                self._sessions.change(record)
            # Sessions opened before the trace give names, but are no change to show.
            if record.event != "known":
                items.append(record)
        elif not isinstance(record, tuple):
            if isinstance(record, Missed):
                self._miss(record, items)
            items.append(record)
        return items

    def finish(self) -> list[Item | CellRun]:
        """The PDUs whose last cells had not come at the end of the trace (not a problem), and the last counts."""
        return [*self._take_runs(), *self._pdus.give_up_all()]

    def _miss(self, missed: Missed, items: list[Item | CellRun]) -> None:
        """Forget the state that a gap made doubtful; a PDU that began in it ends within the timeout, or is overdue."""
        if missed.sessions and self._sessions is not None:
            self._sessions.forget(missed.node)
        if not missed.cells:
            return
        self._headless_until[missed.node] = missed.time + self._timeout
        items += self._pdus.give_up_all(missed.node)
        # The assemblies of new directions are `first` again, as `excuse` needs them.
        for place in [place for place in self._directions if place[0] == missed.node]:
            del self._directions[place]
        self._count_held()

    # Cells.

    def _take_cells(self, record: Cells, items: list[Item | CellRun]) -> None:
        direction = self._direction(record)
        receiver, headers = direction.receiver, direction.known
        mark = record.hec if type(record) is CapturedCells else HecMark.RECORDED
        octets, time = record.octets, record.time
        at, end = 0, len(octets) - CELL_SIZE
        while at <= end:
            header = octets[at:at + HEADER_SIZE]
            # A record's error flag overrides a header that was good before.
            known = headers.get(header) if mark is not HecMark.BAD else None
            is_met = known is not None
            if known is None:
                known = self._look_up(direction, header, mark)
            elif receiver.mode is HecMode.DETECTION:
                # A good header ends detection mode (I.432.1 figure 3).
                receiver.mode = HecMode.CORRECTION
            assembly = known.assembly
            done = 1
            if assembly is None:
                # Idle cells are of use only to a trace that shows or counts cells.
                if self._cells or self._counts or not known.fields.is_idle:
                    name = self.book.of(record.link, known.fields.vpi, known.fields.vci)
                    items.append(cell_of(direction, known, name, octets[at:at + CELL_SIZE], time, mark))
            elif is_met and not known.last and not self._cells:
                # A run of equal headers is added in a single step, for speed.
                done = self._pdus.add_run(direction, assembly, known, octets, at, header, time, items)
            else:
                self._pdus.add(direction, assembly, known, octets, at, time, mark, items)
            at += done * CELL_SIZE
            # For a corrected cell `add` has given an item, which counts it.
            if self._counts and assembly is not None and known.hec is not HecVerdict.CORRECTED:
                run = self._runs.get(assembly)
                if run is None:
                    self._runs[assembly] = _Run(direction, time, done)
                else:
                    run.cells += done
                    if time > run.last:
                        run.last = time
                    elif time < run.first:
                        run.first = time

    def _end_second(self, time: int) -> list[Item | CellRun]:
        """Return the cells counted in the second before, if `time` is in another second."""
        second = time // _NS
        if second == self._second and len(self._runs) <= _MAX_RUNS:
            return []
        self._second = second
        return self._take_runs()

    def _take_runs(self) -> list[Item | CellRun]:
        runs: list[Item | CellRun] = [
            CellRun(run.first, run.last, *run.direction.place, assembly.vpi, assembly.vci, assembly.name, run.cells)
            for assembly, run in self._runs.items()]
        self._runs.clear()
        return runs

    def _direction(self, record: Cells | PduSeen) -> Direction:
        if self._held > _MAX_HELD:
            self._forget_idle()
        found = self._directions.get((record.node, record.link, record.direction))
        if found is None:
            told = record.interface if isinstance(record, CapturedCells) else None
            # The nearest source of the format wins: record, node, table, and last the user's choice.
            interface = (told or self.interfaces.get((record.node, record.link)) or self.book.interface(record.link)
                         or self._interface)
            place = Place(record.node, record.link, record.direction)
            found = self._directions[place] = Direction(place, interface, self._headless_until.get(record.node))
            self._held += 1
        return found

    def _forget_idle(self) -> None:
        """Bound the memory: keep only VCs and links with a PDU under way."""
        for place, direction in list(self._directions.items()):
            direction.known.clear()
            direction.assemblies = {vc: held for vc, held in direction.assemblies.items() if held.parts}
            if not direction.assemblies:
                del self._directions[place]
        self._count_held()

    def _count_held(self) -> None:
        self._held = sum(1 + len(direction.assemblies) + len(direction.known)
                         for direction in self._directions.values())

    def _look_up(self, direction: Direction, header: bytes, mark: HecMark) -> Known:
        """Judge a header that is not in the cache; only headers with a good HEC are cached."""
        if mark is HecMark.BAD:
            return Known(CellHeader.unpack(header, direction.interface), HecVerdict.BAD, None)
        good = direction.receiver.receive(header)
        if good is None:
            return Known(CellHeader.unpack(header, direction.interface), HecVerdict.BAD, None)
        fields = CellHeader.unpack(good, direction.interface)
        verdict = HecVerdict.GOOD if good == header else HecVerdict.CORRECTED
        known = Known(fields, verdict, self._assembly(direction, fields.vpi, fields.vci) if _is_aal5(fields) else None)
        # A corrected header depends on the receiver's mode: it is judged each time.
        if verdict is HecVerdict.GOOD:
            direction.known[header] = known
            self._held += 1
        return known

    def _assembly(self, direction: Direction, vpi: int, vci: int) -> Assembly:
        found = direction.assemblies.get((vpi, vci))
        if found is None:
            name = self.book.of(direction.place.link, vpi, vci)
            found = direction.assemblies[vpi, vci] = Assembly(vpi, vci, name)
            self._held += 1
        return found

    def _finish(self, pdu: Pdu, items: list[Item | CellRun]) -> None:
        """Show a PDU that its last cell completed, and remember it for the PDU that may follow as a whole."""
        place = Place(pdu.node, pdu.link, pdu.direction)
        self._recent[place] = pdu
        self._recent.move_to_end(place)
        if len(self._recent) > _MAX_RECENT:
            self._recent.popitem(last=False)
        self._show_pdu(pdu, items)

    def _show_pdu(self, pdu: Pdu, items: list[Item | CellRun]) -> None:
        """Name a PDU's session; the changes that it made to the session come first."""
        if self._sessions is not None and pdu.sdu:
            pdu.session = self._sessions.of(pdu)
            items += self._sessions.changes
            self._sessions.changes.clear()
        items.append(pdu)

    # PDUs that a capture holds as a whole.

    def _take_pdu(self, record: PduSeen, items: list[Item | CellRun]) -> None:
        """Show a PDU, unless its cells were just shown: files for Wireshark hold both."""
        direction = self._direction(record)
        fields = _NO_FIELDS if isinstance(record, UnplacedPdu) else CellHeader.unpack(
            record.header, direction.interface)
        last = self._recent.get(direction.place)
        # Only the latest PDU of a direction can be its twin: writers put it right behind its cells.
        same_vc = last is not None and (last.vpi, last.vci) == (fields.vpi, fields.vci)
        if last is not None and same_vc and is_the_same(last, record.octets, record.missing):
            del self._recent[direction.place]
            return
        pdu = Pdu(record.time, record.time, direction.place, record.header, fields.vpi, fields.vci, record.octets)
        pdu.name = self.book.of(record.link, fields.vpi, fields.vci)
        pdu.clp, pdu.congested = fields.clp, fields.congested
        size = len(record.octets) + record.missing
        # An SDU alone fills as many cells as it needs with its trailer.
        pdu.count = size // 48 if record.trailer else cells_of(size)
        if record.trailer and not record.missing:
            judge(pdu, self._crc or pdu.name.crc)
        else:
            pdu.sdu, pdu.missing = record.octets, record.missing
        self._show_pdu(pdu, items)


def _is_aal5(fields: CellHeader) -> bool:
    return fields.is_user_data or (fields.vci in _AAL5_BELOW_32 and not fields.pti & PTI_OAM)
