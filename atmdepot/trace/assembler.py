"""PDUs under way: the cells of each VC are put together, within bounds of time and memory.

`follow.py` judges the cells and gives each to its VC's `Assembly`; an `Assembler` finishes PDUs, or gives them up.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from atmdepot.drops import DropReason
from atmdepot.trace.items import Cell, HecVerdict, Pdu
from atmdepot.trace.sources import HecMark
from atmdepot.trace.verdicts import excuse, expected_cells, judge
from atmdepot.wire.aal5 import MAX_SDU, cells_needed
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE, PAYLOAD_SIZE, PTI_EFCI, PTI_LAST, HecReceiver

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.trace.items import CellRun, Item, Place
    from atmdepot.trace.names import VcName
    from atmdepot.wire.aal5 import CrcMode
    from atmdepot.wire.cell import CellHeader, Interface

_MAX_CELLS_OF_A_PDU = cells_needed(MAX_SDU)
_MAX_UNFINISHED = 1 << 16  # PDUs


class Assembly:
    """The PDU under way on a VC, in a direction of a link at a node; or, after the PDU was abandoned, its rest."""

    __slots__ = ("begun", "cells", "clp", "corrected", "discarding", "expected", "first", "name", "parts", "vci", "vpi")

    def __init__(self, vpi: int, vci: int, name: VcName) -> None:
        self.vpi, self.vci, self.name = vpi, vci, name
        self.parts: list[bytes] = []
        self.cells: list[Cell] = []
        self.begun = self.clp = self.corrected = self.expected = 0
        self.first = True
        self.discarding = False


class Known:
    """The result of a header's look-up: its fields, and the VC's assembly if its cells are part of PDUs."""

    __slots__ = ("assembly", "clp", "fields", "hec", "last")

    def __init__(self, fields: CellHeader, verdict: HecVerdict, assembly: Assembly | None) -> None:
        self.fields, self.hec, self.assembly = fields, verdict, assembly
        self.last, self.clp = fields.is_last, fields.clp


class Direction:
    """A direction of a link, as a node sees it.

    A VC's first PDU that begins before `headless_until` may have begun in a gap of the trace.
    """

    __slots__ = ("assemblies", "headless_until", "interface", "known", "place", "receiver")

    def __init__(self, place: Place, interface: Interface, headless_until: int | None) -> None:
        self.place = place
        self.interface = interface
        self.headless_until = headless_until
        self.receiver = HecReceiver()
        self.known: dict[bytes, Known] = {}
        self.assemblies: dict[tuple[int, int], Assembly] = {}


class Assembler:
    """The PDUs under way on all links together.

    Args:
        complete: takes each PDU that its last cell completes, and the items before it.
        cells: give an item for every cell, and keep each PDU's cells with it.
        counts: the caller counts the cells without items.
        crc: the CRC rule of all VCs, over that of each VC's name.
        timeout: time that a PDU waits for its last cell, and an abandoned PDU for its end, in ns of the records' own
            time.
        max_cells: most cells that wait in all; beyond it the oldest PDU is abandoned.

    """

    def __init__(self, complete: Callable[[Pdu, list[Item | CellRun]], None], *, cells: bool, counts: bool,
                 crc: CrcMode | None, timeout: int, max_cells: int) -> None:
        self._complete = complete
        self._cells = cells
        self._counts = counts
        self._crc = crc
        self._timeout = timeout
        self._max_cells = max_cells
        self._waiting = 0
        # An OrderedDict: finding the oldest key of a plain dict that is emptied from the front takes ever more steps.
        self._partial: OrderedDict[Assembly, Direction] = OrderedDict()

    def expire(self, now: int, items: list[Item | CellRun]) -> None:
        """Abandon the PDUs whose last cell is overdue."""
        while self._partial:
            oldest = next(iter(self._partial))
            oldest.begun = min(oldest.begun, now)  # the clock may have been set back
            if now - oldest.begun < self._timeout:
                return
            items.append(self._give_up(oldest, DropReason.REASSEMBLY_TIMEOUT))

    def give_up_all(self, node: str | None = None) -> list[Item | CellRun]:
        """Return all PDUs under way as they are, or those of a node; that they have no end is no problem."""
        ended = [assembly for assembly, direction in self._partial.items() if node in (None, direction.place.node)]
        return [self._give_up(assembly, None) for assembly in ended]

    def add(
        self, direction: Direction, assembly: Assembly, known: Known, octets: bytes, at: int, time: int,
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
            self._complete(self._finish(direction, assembly, known, time), items)
            return
        self._waiting += 1
        if self._waiting > self._max_cells or len(self._partial) > _MAX_UNFINISHED:
            self._discard_rest(next(iter(self._partial)), DropReason.REASSEMBLY_OVERFLOW, time, items)

    def add_run(self, direction: Direction, assembly: Assembly, known: Known, octets: bytes, at: int, header: bytes,
                 time: int, items: list[Item | CellRun]) -> int:
        """Add the run of cells with equal headers at octet `at`; return their number.

        The header is known as good, and is not a last cell's. The effect is that of `add` for each cell, in a trace
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
        # Payloads stay apart until the PDU is whole: joining them each time would copy a PDU as often as it has cells.
        parts += [octets[one:one + PAYLOAD_SIZE] for one in range(at + HEADER_SIZE, end, CELL_SIZE)]
        assembly.clp |= known.clp
        self._waiting += count
        if self._waiting > self._max_cells or len(self._partial) > _MAX_UNFINISHED:
            self._discard_rest(next(iter(self._partial)), DropReason.REASSEMBLY_OVERFLOW, time, items)
        return count

    def _still_skips(self, assembly: Assembly, time: int) -> bool:
        assembly.begun = min(assembly.begun, time)  # the clock may have been set back
        return time - assembly.begun < self._timeout

    def _discard_rest(self, assembly: Assembly, why: DropReason, time: int, items: list[Item | CellRun]) -> None:
        """Abandon a PDU, and skip its cells to come: else they would look like another PDU."""
        items.append(self._give_up(assembly, why))
        assembly.discarding = True
        assembly.begun = time

    def _finish(self, direction: Direction, assembly: Assembly, known: Known, time: int) -> Pdu:
        # The last cell never counted as waiting.
        self._waiting -= len(assembly.parts) - 1
        pdu = _pdu_of(direction, assembly, time, congested=known.fields.congested)
        pdu.counted = self._counts
        self._partial.pop(assembly, None)
        judge(pdu, self._crc or assembly.name.crc)
        if pdu.first and direction.headless_until is not None and pdu.begun < direction.headless_until:
            excuse(pdu)
        return pdu

    def _give_up(self, assembly: Assembly, why: DropReason | None) -> Pdu:
        """Return the captured part of a PDU that will have no end."""
        self._waiting -= len(assembly.parts)
        pdu = _pdu_of(self._partial.pop(assembly), assembly, assembly.begun)
        pdu.problem = why
        pdu.unfinished = True
        pdu.counted = self._counts
        return pdu


def cell_of(direction: Direction, known: Known, name: VcName, octets: bytes, time: int, mark: HecMark) -> Cell:
    """Make a cell that is in no PDU, or not yet."""
    verdict = HecVerdict.ABSENT if mark is HecMark.ABSENT else known.hec
    return Cell(time, direction.place, octets, known.fields, verdict, name, direction.interface)


def _cell_of_pdu(
    direction: Direction, assembly: Assembly, known: Known, octets: bytes, time: int, mark: HecMark, *, skip: bool,
) -> Cell:
    """Make a cell with its place in the PDU under way; a skipped cell has no place."""
    cell = cell_of(direction, known, assembly.name, octets, time, mark)
    if not skip:
        if not assembly.parts:
            assembly.expected = expected_cells(cell.payload, assembly.name.encapsulation)
        cell.position, cell.expected = len(assembly.parts) + 1, assembly.expected
        assembly.cells.append(cell)
    return cell


def _pdu_of(direction: Direction, assembly: Assembly, time: int, *, congested: bool = False) -> Pdu:
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
