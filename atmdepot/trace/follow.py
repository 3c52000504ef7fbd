"""From records to items: the follower judges cells by their HEC and reassembles PDUs, as a receiver does.

This is the data path of a trace: records in, items out, in the order of events; filters, printers and writers use the
items. It stands outside the network: it does not know the state of a real receiver before the trace began, and it shows
what a receiver would drop instead of dropping it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from atmdepot.drops import DropReason
from atmdepot.net.events import Cells, Missed, SessionChange
from atmdepot.trace.items import Cell, CellRun, HecVerdict, Pdu, Place
from atmdepot.trace.names import VcBook, VcName
from atmdepot.trace.sources import CapturedCells, HecMark, PduSeen, Remark, UnplacedPdu
from atmdepot.trace.verdicts import excuse, expected_cells, is_the_same, judge
from atmdepot.wire.aal5 import MAX_SDU, CrcMode, cells_needed
from atmdepot.wire.cell import (
    CELL_SIZE,
    HEADER_SIZE,
    PAYLOAD_SIZE,
    PTI_EFCI,
    PTI_LAST,
    PTI_OAM,
    CellHeader,
    HecMode,
    HecReceiver,
    Interface,
)

if TYPE_CHECKING:
    from atmdepot.trace.items import Item
    from atmdepot.trace.sessions import SessionNames
    from atmdepot.trace.sources import SourceRecord

DEFAULT_TIMEOUT = 2_000_000_000
"""Time that a PDU waits for its last cell, in ns: a VC table's own default."""
DEFAULT_MAX_CELLS = 1 << 20
_MAX_CELLS_OF_A_PDU = cells_needed(MAX_SDU)
_MAX_UNFINISHED = 1 << 16  # PDUs
_MAX_HELD = 1 << 18
"""Bound on VCs, headers and directions of links remembered, all together: twice what unfinished PDUs can need."""
_MAX_RECENT = 64  # directions whose latest PDU is remembered, to find it again as a whole
_MAX_RUNS = 1 << 14  # VCs counted at a time
_NO_FIELDS = CellHeader(-1, -1, PTI_LAST)  # of a PDU without a VC
_NS = 1_000_000_000
_AAL5_BELOW_32 = frozenset({5, 16, 17, 18})
"""Reserved VCIs that carry AAL5: signalling, ILMI, LECS and PNNI."""


class _Assembly:
    """The PDU under way on a VC, in a direction of a link at a node; or, after the PDU was abandoned, its rest."""

    __slots__ = ("begun", "cells", "clp", "corrected", "discarding", "expected", "first", "name", "parts", "vci", "vpi")

    def __init__(self, vpi: int, vci: int, name: VcName) -> None:
        self.vpi, self.vci, self.name = vpi, vci, name
        self.parts: list[bytes] = []
        self.cells: list[Cell] = []
        self.begun = self.clp = self.corrected = self.expected = 0
        self.first = True
        self.discarding = False


class _Known:
    """The result of a header's look-up: its fields, and the VC's assembly if its cells are part of PDUs."""

    __slots__ = ("assembly", "clp", "fields", "hec", "last")

    def __init__(self, fields: CellHeader, verdict: HecVerdict, assembly: _Assembly | None) -> None:
        self.fields, self.hec, self.assembly = fields, verdict, assembly
        self.last, self.clp = fields.is_last, fields.clp


class _Direction:
    """A direction of a link, as a node sees it.

    A VC's first PDU that begins before `headless_until` may have begun in a gap of the trace.
    """

    __slots__ = ("assemblies", "headless_until", "interface", "known", "place", "receiver")

    def __init__(self, place: Place, interface: Interface, headless_until: int | None) -> None:
        self.place = place
        self.interface = interface
        self.headless_until = headless_until
        self.receiver = HecReceiver()
        self.known: dict[bytes, _Known] = {}
        self.assemblies: dict[tuple[int, int], _Assembly] = {}


class _Run:
    """Cells of a VC that are only counted, and the times of the first and the last cell."""

    __slots__ = ("cells", "direction", "first", "last")

    def __init__(self, direction: _Direction, time: int, cells: int) -> None:
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
        self._max_cells = max_cells
        self._waiting = self._held = 0
        self._second = 0
        self._runs: dict[_Assembly, _Run] = {}
        self._headless_until: dict[str, int] = {}
        self._directions: dict[tuple[str, str, str], _Direction] = {}
        # An OrderedDict: finding the oldest key of a plain dict that is emptied from the front takes ever more steps.
        self._partial: OrderedDict[_Assembly, _Direction] = OrderedDict()
        self._recent: OrderedDict[Place, Pdu] = OrderedDict()

    def take(self, record: SourceRecord) -> list[Item | CellRun]:
        """Return the items that a record makes; a Remark makes no item."""
        items: list[Item | CellRun] = []
        if self._counts and not isinstance(record, Remark):
            # The counts of the second before go first, to keep the order.
            items = self._end_second(record.time)
        if isinstance(record, Cells):
            self._expire(record.time, items)
            self._take_cells(record, items)
        elif isinstance(record, PduSeen):
            self._expire(record.time, items)
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
        return [*self._take_runs(), *(self._give_up(assembly, None) for assembly in list(self._partial))]

    def _miss(self, missed: Missed, items: list[Item | CellRun]) -> None:
        """Forget the state that a gap made doubtful; a PDU that began in it ends within the timeout, or is overdue."""
        if missed.sessions and self._sessions is not None:
            self._sessions.forget(missed.node)
        if not missed.cells:
            return
        self._headless_until[missed.node] = missed.time + self._timeout
        cut = [assembly for assembly, direction in self._partial.items() if direction.place.node == missed.node]
        items += [self._give_up(assembly, None) for assembly in cut]
        # The assemblies of new directions are `first` again, as `excuse` needs them.
        for place in [place for place in self._directions if place[0] == missed.node]:
            del self._directions[place]
        self._count_held()

    # Cells.

    def _expire(self, now: int, items: list[Item | CellRun]) -> None:
        """Abandon the PDUs whose last cell is overdue."""
        while self._partial:
            oldest = next(iter(self._partial))
            oldest.begun = min(oldest.begun, now)  # the clock may have been set back
            if now - oldest.begun < self._timeout:
                return
            items.append(self._give_up(oldest, DropReason.REASSEMBLY_TIMEOUT))

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
                    items.append(_cell(direction, known, name, octets[at:at + CELL_SIZE], time, mark))
            elif is_met and not known.last and not self._cells:
                # A run of equal headers is added in a single step, for speed.
                done = self._add_run(direction, assembly, known, octets, at, header, time, items)
            else:
                self._add(direction, assembly, known, octets, at, time, mark, items)
            at += done * CELL_SIZE
            # For a corrected cell `_add` has given an item, which counts it.
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

    def _direction(self, record: Cells | PduSeen) -> _Direction:
        if self._held > _MAX_HELD:
            self._forget_idle()
        found = self._directions.get((record.node, record.link, record.direction))
        if found is None:
            told = record.interface if isinstance(record, CapturedCells) else None
            # The nearest source of the format wins: record, node, table, and last the user's choice.
            interface = (told or self.interfaces.get((record.node, record.link)) or self.book.interface(record.link)
                         or self._interface)
            place = Place(record.node, record.link, record.direction)
            found = self._directions[place] = _Direction(place, interface, self._headless_until.get(record.node))
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

    def _look_up(self, direction: _Direction, header: bytes, mark: HecMark) -> _Known:
        """Judge a header that is not in the cache; only headers with a good HEC are cached."""
        if mark is HecMark.BAD:
            return _Known(CellHeader.unpack(header, direction.interface), HecVerdict.BAD, None)
        good = direction.receiver.receive(header)
        if good is None:
            return _Known(CellHeader.unpack(header, direction.interface), HecVerdict.BAD, None)
        fields = CellHeader.unpack(good, direction.interface)
        verdict = HecVerdict.GOOD if good == header else HecVerdict.CORRECTED
        known = _Known(fields, verdict, self._assembly(direction, fields.vpi, fields.vci) if _is_aal5(fields) else None)
        # A corrected header depends on the receiver's mode: it is judged each time.
        if verdict is HecVerdict.GOOD:
            direction.known[header] = known
            self._held += 1
        return known

    def _assembly(self, direction: _Direction, vpi: int, vci: int) -> _Assembly:
        found = direction.assemblies.get((vpi, vci))
        if found is None:
            name = self.book.of(direction.place.link, vpi, vci)
            found = direction.assemblies[vpi, vci] = _Assembly(vpi, vci, name)
            self._held += 1
        return found

    # PDUs.

    def _add(
        self, direction: _Direction, assembly: _Assembly, known: _Known, octets: bytes, at: int, time: int,
        mark: HecMark, items: list[Item | CellRun],
    ) -> None:
        """Add the cell at octet `at` to its VC's PDU, and finish the PDU with its last cell."""
        if len(assembly.parts) >= _MAX_CELLS_OF_A_PDU:
            self._discard_rest(assembly, DropReason.OVERSIZE, time, items)
        skip = assembly.discarding and self._still_skips(assembly, time)
        assembly.discarding = skip and not known.last
        if self._cells or (self._counts and known.hec is HecVerdict.CORRECTED):
            cell = octets[at:at + CELL_SIZE]
            items.append(_cell_of_pdu(direction, assembly, known, cell, time, mark, skip=skip))
        if skip:
            return
        parts = assembly.parts
        if not parts:
            assembly.begun = time
            assembly.clp = assembly.corrected = 0
            # A PDU of a single cell never waits.
            if not known.last:
                self._partial[assembly] = direction
        parts.append(octets[at + HEADER_SIZE:at + CELL_SIZE])
        assembly.clp |= known.clp
        if known.hec is HecVerdict.CORRECTED:
            assembly.corrected += 1
        if known.last:
            self._show_pdu(self._finish(direction, assembly, known, time), items)
            return
        self._waiting += 1
        if self._waiting > self._max_cells or len(self._partial) > _MAX_UNFINISHED:
            self._discard_rest(next(iter(self._partial)), DropReason.REASSEMBLY_OVERFLOW, time, items)

    def _add_run(self, direction: _Direction, assembly: _Assembly, known: _Known, octets: bytes, at: int, header: bytes,
                 time: int, items: list[Item | CellRun]) -> int:
        """Add the run of cells with equal headers at octet `at`; return their number.

        The header is known as good, and is not a last cell's. The effect is that of `_add` for each cell, in a trace
        that shows no cells.
        """
        parts = assembly.parts
        if len(parts) >= _MAX_CELLS_OF_A_PDU:
            self._discard_rest(assembly, DropReason.OVERSIZE, time, items)
            parts = assembly.parts
        skip = assembly.discarding and self._still_skips(assembly, time)
        assembly.discarding = skip
        # At a bound, which a single cell may pass, cells are added one by one.
        room = at + CELL_SIZE * max(1, min(_MAX_CELLS_OF_A_PDU - len(parts), self._max_cells - self._waiting))
        end = at + CELL_SIZE
        while end < room and octets[end:end + HEADER_SIZE] == header and len(octets) >= end + CELL_SIZE:
            end += CELL_SIZE
        count = (end - at) // CELL_SIZE
        if skip:
            return count
        if not parts:
            assembly.begun = time
            assembly.clp = assembly.corrected = 0
            self._partial[assembly] = direction
        parts += [octets[one:one + PAYLOAD_SIZE] for one in range(at + HEADER_SIZE, end, CELL_SIZE)]
        assembly.clp |= known.clp
        self._waiting += count
        if self._waiting > self._max_cells or len(self._partial) > _MAX_UNFINISHED:
            self._discard_rest(next(iter(self._partial)), DropReason.REASSEMBLY_OVERFLOW, time, items)
        return count

    def _still_skips(self, assembly: _Assembly, time: int) -> bool:
        assembly.begun = min(assembly.begun, time)  # the clock may have been set back
        return time - assembly.begun < self._timeout

    def _discard_rest(self, assembly: _Assembly, why: DropReason, time: int, items: list[Item | CellRun]) -> None:
        """Abandon a PDU, and skip its cells to come: else they would look like another PDU."""
        items.append(self._give_up(assembly, why))
        assembly.discarding = True
        assembly.begun = time

    def _finish(self, direction: _Direction, assembly: _Assembly, known: _Known, time: int) -> Pdu:
        # The last cell never counted as waiting.
        self._waiting -= len(assembly.parts) - 1
        pdu = _pdu_of(direction, assembly, time, congested=known.fields.congested)
        pdu.counted = self._counts
        self._partial.pop(assembly, None)
        judge(pdu, self._crc or assembly.name.crc)
        if pdu.first and direction.headless_until is not None and pdu.begun < direction.headless_until:
            excuse(pdu)
        self._recent[direction.place] = pdu
        self._recent.move_to_end(direction.place)
        if len(self._recent) > _MAX_RECENT:
            self._recent.popitem(last=False)
        return pdu

    def _give_up(self, assembly: _Assembly, why: DropReason | None) -> Pdu:
        """Return the captured part of a PDU that will have no end."""
        self._waiting -= len(assembly.parts)
        pdu = _pdu_of(self._partial.pop(assembly), assembly, assembly.begun)
        pdu.problem = why
        pdu.unfinished = True
        pdu.counted = self._counts
        return pdu

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
        pdu.count = size // 48 if record.trailer else cells_needed(size)
        if record.trailer and not record.missing:
            judge(pdu, self._crc or pdu.name.crc)
        else:
            pdu.sdu, pdu.missing = record.octets, record.missing
        self._show_pdu(pdu, items)


def _cell(direction: _Direction, known: _Known, name: VcName, octets: bytes, time: int, mark: HecMark) -> Cell:
    verdict = HecVerdict.ABSENT if mark is HecMark.ABSENT else known.hec
    return Cell(time, direction.place, octets, known.fields, verdict, name, direction.interface)


def _cell_of_pdu(
    direction: _Direction, assembly: _Assembly, known: _Known, octets: bytes, time: int, mark: HecMark, *, skip: bool,
) -> Cell:
    """Make a cell with its place in the PDU under way; a skipped cell has no place."""
    cell = _cell(direction, known, assembly.name, octets, time, mark)
    if not skip:
        if not assembly.parts:
            assembly.expected = expected_cells(cell.payload, assembly.name.encapsulation)
        cell.position, cell.expected = len(assembly.parts) + 1, assembly.expected
        assembly.cells.append(cell)
    return cell


def _pdu_of(direction: _Direction, assembly: _Assembly, time: int, *, congested: bool = False) -> Pdu:
    """Make a PDU of a VC's cells; the VC is free for the next PDU."""
    pti = PTI_LAST | PTI_EFCI if congested else PTI_LAST
    # The cell header of I.361, for a UNI or an NNI, with CLP as the OR over the cells.
    word = assembly.vpi << 20 | assembly.vci << 4 | pti << 1 | assembly.clp
    pdu = Pdu(time, assembly.begun, direction.place, word.to_bytes(4, "big"), assembly.vpi, assembly.vci,
              b"".join(assembly.parts))
    pdu.count = len(assembly.parts)
    pdu.name, pdu.first, pdu.clp, pdu.hec_corrected = assembly.name, assembly.first, assembly.clp, assembly.corrected
    pdu.congested = congested
    pdu.cells = assembly.cells
    for cell in pdu.cells:
        cell.pdu = pdu
    assembly.parts, assembly.cells, assembly.first = [], [], False
    return pdu


def _is_aal5(fields: CellHeader) -> bool:
    return fields.is_user_data or (fields.vci in _AAL5_BELOW_32 and not fields.pti & PTI_OAM)
