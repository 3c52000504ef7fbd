"""Segmentation and reassembly: packets to cell trains and back (ITU-T I.363.5).

`segment` makes the train of a packet on a VC. A `Reassembler` takes the cells of a link, interleaved over VCs in any
way, and returns SDUs. It works on runs of equal headers, not on single cells.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from atmdepot.atm.vc import Vc, VcTable
from atmdepot.drops import DropReason, Drops
from atmdepot.signatures import OfInit
from atmdepot.wire.aal5 import Aal5Error, CrcMode, cpcs_pdu, parse_cpcs_pdu, to_cells
from atmdepot.wire.arguments import member, whole_number
from atmdepot.wire.cell import (
    CELL_SIZE,
    HEADER_SIZE,
    IDLE_CELL,
    PAYLOAD_SIZE,
    CellHeader,
    HecMode,
    HecReceiver,
    Interface,
)
from atmdepot.wire.llc import Encapsulation, encapsulate
from atmdepot.wire.octets import (
    header_at,
    headers_of,
    payloads,
    run_end,
    sdu_of_cells,
    sdu_of_pdu,
    train,
    user_word,
    user_word_at,
)
from atmdepot.wire.offload import gulp
from atmdepot.wire.packet import Arrival

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.wire.octets import Headers
    from atmdepot.wire.offload import PlainFrame

_IDLE_HEADER = IDLE_CELL[:HEADER_SIZE]
_TOLD_PIECES = 6
"""The observers of drops see at most this number of cell runs of a PDU that is dropped unfinished."""
# Bits of a header's fourth octet (of user cells).
_CLP, _LAST, _EFCI, _MARKS = 0b0001, 0b0010, 0b0100, 0b1111
_ILMI_VCI, _NOT_USER = 16, 0b100
# Enum members, looked up once: a look-up costs as much as counting a packet.
_VC_MUX, _LLC = Encapsulation.VC_MUX, Encapsulation.LLC
_DYNAMIPS, _CORRECTION = CrcMode.DYNAMIPS, HecMode.CORRECTION


def segment(packet: bytes, vc: Vc, clp: int = 0) -> bytes:
    """The train of cells that carries a packet on a VC.

    Args:
        packet: an IP packet (or a frame, on a VC with a bridged encapsulation).
        vc: the VC to send on; its counters are updated.
        clp: the CLP bit of all its cells, 0 or 1.

    Raises:
        ValueError: for an SDU of 0 octets or more than the VC's `max_sdu`, and for another CLP.
        TypeError: for a packet that is no octets, and what is no VC.
        EncapsulationError: for a packet that the VC's encapsulation cannot name.

    """
    if not isinstance(vc, Vc):
        raise TypeError(f"vc {vc!r} is no Vc: write segment(packet, Vc(vpi=1, vci=64))")
    if not isinstance(packet, (bytes, bytearray, memoryview)):
        raise TypeError(f"packet is of type {type(packet).__name__}: write its octets, as in b\"...\"")
    if type(clp) is not int or not 0 <= clp <= 1:  # the call costs more than the train of a short packet
        clp = whole_number("clp", clp, 0, 1)
    packet = bytes(packet)
    sdu = packet if vc.encapsulation is _VC_MUX else encapsulate(packet, vc.encapsulation)
    if len(sdu) > vc.max_sdu:
        raise ValueError(f"an SDU on {vc!r} has 1 to {vc.max_sdu} octets, its max_sdu, and this one has {len(sdu)}")
    return segment_sdu(sdu, vc, clp)


def segment_packet(packet: bytes, vc: Vc, clp: int) -> bytes:
    """The same without the checks of `vc`, `clp` and `max_sdu`, for the data path, whose packets fit the MTU."""
    return segment_sdu(packet if vc.encapsulation is _VC_MUX else encapsulate(packet, vc.encapsulation), vc, clp)


def segment_sdu(sdu: bytes, vc: Vc, clp: int) -> bytes:
    """The train of cells that carries an SDU, encapsulation included; otherwise as `segment_packet`."""
    if vc.crc is _DYNAMIPS:
        cells = to_cells(cpcs_pdu(sdu, crc=vc.crc), *vc.headers[clp])
    else:
        cells = train(sdu, vc.header_octets, clp)
    vc.tx_pdus += 1
    vc.tx_cells += len(cells) // CELL_SIZE
    return cells


def segment_frame(frame: PlainFrame, vc: Vc, clp: int, most: int) -> list[bytes]:
    """The trains of cells that carry the packets of a frame on a VC; raises as `segment_packet` does.

    Args:
        frame: two or more packets of a flow.
        vc: the VC to send on; its counters are updated.
        clp: the CLP bit of all cells.
        most: the octets that the caller sends at once; a piece of whole trains has no more, if a train fits at all.

    """
    if vc.crc is _DYNAMIPS or not (vc.encapsulation is _VC_MUX or vc.encapsulation is _LLC):
        return [segment_packet(packet, vc, clp) for packet in frame.packets()]
    trains = frame.trains(vc.header_octets, clp, vc.encapsulation is _LLC, most)
    vc.tx_pdus += frame.count
    for cells in trains:
        vc.tx_cells += len(cells) // CELL_SIZE
    return trains


Maintenance = Callable[[CellHeader, bytes, int], bool]
"""A function that takes a cell without user data, with its header as corrected and the time (ns).

It returns False for a cell that it does not handle.
"""


class Sdu(Arrival):
    """A reassembled SDU: its VC and that VC's owner, its octets, the OR of its cells' CLP bits, the last cell's EFCI.

    After decapsulation, `octets` is the packet in the SDU. With a `frame` it stands for an SDU of each packet in that,
    all with these values, and `octets` is empty.
    """

    __slots__ = ("clp", "congested", "vc")
    __signature__ = OfInit()

    def __init__(self, vc: Vc, octets: bytes, clp: int, congested: bool, frame: PlainFrame | None = None) -> None:
        """Take an SDU's parts."""
        self.vc = vc
        self.octets = octets
        self.frame = frame
        self.path = vc.owner
        self.clp = clp
        self.congested = congested

    def __iter__(self) -> Iterator[Any]:
        return iter((self.vc, self.octets, self.clp, self.congested))

    def __repr__(self) -> str:
        return f"Sdu(vc={self.vc!r}, octets={self.octets!r}, clp={self.clp}, congested={self.congested})"


class Reassembler:
    """The receiving side of a link: HEC, VC look-up and AAL5 reassembly.

    Memory is bounded: a VC holds at most its greatest SDU, and all unfinished PDUs together hold at most `max_octets`;
    beyond it the oldest is dropped. A PDU waits at most `timeout` for its last cell. `drops` counts every drop.
    """

    __signature__ = OfInit()

    def __init__(
        self, table: VcTable, *, interface: Interface | str = "uni", timeout: int = 2_000_000_000,
        max_octets: int = 67_108_864, drops: Drops | None = None,
    ) -> None:
        """Take cells for the VCs of `table`.

        Args:
            table: the VCs of the link.
            interface: the header format, or its value.
            timeout: ns that a PDU waits for its last cell, 0 or more.
            max_octets: octets of all unfinished PDUs together, 0 or more.
            drops: counts the drops; None makes a counter of its own.

        Raises:
            ValueError: for a value that is unknown or too small, with the field's name and what would be right.
            TypeError: the same for a value of another type.

        """
        if not isinstance(table, VcTable):
            raise TypeError(f"table {table!r} is no VcTable: write Reassembler(VcTable(vc))")
        self.table = table
        self.interface: Interface = member(Interface, "interface", interface)
        self._is_nni = self.interface is Interface.NNI
        self.timeout = whole_number("timeout", timeout, 0)
        self.max_octets = whole_number("max_octets", max_octets, 0)
        self.drops = Drops() if drops is None else drops
        self.hec = HecReceiver()
        self.unassigned_cells = 0
        self.octets_pending = 0
        self.keeps_frames = False
        """PDUs with packets that follow one another become a frame; else each PDU is an SDU."""
        self.maintenance: Maintenance | None = None
        """Takes the cells without user data."""
        # VCs with an unfinished PDU, and VCs whose PDU was dropped but has not ended: each in order of `started`.
        self._partial: dict[Vc, None] = {}
        self._discarding: dict[Vc, None] = {}

    def receive(self, cells: bytes | bytearray | memoryview, now: int) -> list[Sdu]:
        """Reassemble `cells` (a multiple of 53 octets): return the SDUs completed, in the order of their last cells.

        Raises ValueError for another number of octets, which the link has to drop before.
        """
        # The compiled functions take bytes only.
        if not isinstance(cells, bytes):
            cells = bytes(memoryview(cells))  # which refuses a number, of which bytes would make zeros
        count = len(cells) // CELL_SIZE
        if len(cells) != count * CELL_SIZE:
            raise ValueError(f"{len(cells)} octets are no whole number of {CELL_SIZE}-octet cells")
        headers = headers_of(cells)
        sdus: list[Sdu] = []
        at = 0
        while at < count:
            word, end, stop = user_word_at(headers, at, self._is_nni), at + 1, at
            if word >= 0:
                # A good header leads back to correction mode; a call of `HecReceiver` would cost more.
                self.hec.mode = _CORRECTION
                vc = self._find(word, cells, at)
                # A run has a good HEC: a corrected header leads to detection mode, in which equal headers are
                # dropped. It ends where the VC's greatest SDU does, so a run has the effect of its single cells.
                if vc is not None and not word & _LAST:
                    stop = min(count, at + vc.max_cells - vc.cells_pending)
                    end = run_end(headers, at, stop)
            else:
                header = header_at(headers, at)
                word, vc = self._look_closer(header, cells, at, now)
                if header == _IDLE_HEADER:  # a datagram of full length may be filled with them
                    end = run_end(headers, at, count)
                    self.unassigned_cells += end - at - 1
            if vc is not None:
                if end < stop and self._ends_with(headers, end, word, end - at):
                    word |= _LAST
                    end += 1
                    if (end < count and self.keeps_frames and not vc.cells_pending and not vc.discarding
                            and (frame := self._frame_at(vc, cells, at, end)) is not None):
                        self._deliver_frame(vc, word & _MARKS, frame, sdus)
                        at += frame.cells
                        continue
                self._take(vc, word & _MARKS, cells, at, end - at, now, sdus)
            at = end
        return sdus

    def _ends_with(self, headers: Headers, end: int, word: int, count: int) -> bool:
        """True when a run of `count` cells and cell `end` behind it, the rest of a PDU, can be taken at once.

        False where the run would exceed `max_octets`, and so evict another PDU, before its last cell comes.
        """
        return (user_word_at(headers, end, self._is_nni) == word | _LAST
                and self.octets_pending + PAYLOAD_SIZE * count <= self.max_octets)

    def _take(self, vc: Vc, marks: int, cells: bytes, at: int, count: int, now: int, sdus: list[Sdu]) -> None:
        """Add a run of cells to its VC's PDU, and deliver the PDU at its last cell."""
        last = marks & _LAST
        vc.rx_cells += count
        vc.clp_pending |= marks & _CLP
        if vc.discarding:
            # The last cell ends the dropped PDU; the next cell begins a new PDU.
            if last:
                self._release(vc)
            return
        # The whole PDU is in this run, so its payloads are checked in place, without a copy.
        if last and not vc.cells_pending:
            octets = sdu_of_cells(cells, at, count, vc.max_sdu) or self._judge(vc, payloads(cells, at, count))
            self._deliver(vc, marks, octets, sdus)
            return
        if not vc.cells_pending:
            vc.started = now
            self._partial[vc] = None
        # The PDU cannot fit the VC's greatest SDU any more.
        if vc.cells_pending + count > vc.max_cells:
            self._discard_rest(vc, DropReason.OVERSIZE, now)
            if last:
                self._release(vc)
            return
        vc.pieces.append(payloads(cells, at, count))
        if last:
            pdu = b"".join(vc.pieces)
            self._release(vc, keep_clp=True)  # `_deliver` needs the CLP bits
            self._deliver(vc, marks, sdu_of_pdu(pdu, vc.max_sdu) or self._judge(vc, pdu), sdus)
            return
        vc.cells_pending += count
        self.octets_pending += PAYLOAD_SIZE * count
        while self.octets_pending > self.max_octets:
            self._discard_rest(next(iter(self._partial)), DropReason.REASSEMBLY_OVERFLOW, now)

    def _judge(self, vc: Vc, pdu: bytes) -> bytes:
        """The SDU of a PDU with a CRC or Length error by the standard, if the VC's CRC mode accepts it.

        Otherwise count a drop and return no octets.
        """
        try:
            return parse_cpcs_pdu(pdu, crc=vc.crc, max_sdu=vc.max_sdu).sdu
        except Aal5Error as error:
            self.drops.count(error.reason, 1, pdu, vc)
            return b""

    def _deliver(self, vc: Vc, marks: int, octets: bytes, sdus: list[Sdu]) -> None:
        """End a PDU; `octets` is empty when the PDU was dropped."""
        clp, vc.clp_pending = vc.clp_pending, 0
        if octets:
            congested = marks & _EFCI != 0
            vc.rx_pdus += 1
            vc.rx_clp1 += clp
            vc.rx_efci += congested
            sdu = Sdu.__new__(Sdu)  # in compiled code a call with arguments costs more
            sdu.vc, sdu.octets, sdu.clp, sdu.congested, sdu.frame = vc, octets, clp, congested, None
            sdu.path = vc.owner
            sdus.append(sdu)

    def _frame_at(self, vc: Vc, cells: bytes, at: int, end: int) -> PlainFrame | None:
        """The frame of the PDU in cells `at` to `end` and the PDUs behind it, or None.

        A PDU behind the first has at most as many cells, so it cannot exceed `max_octets` where the first does not.
        """
        if vc.encapsulation is _VC_MUX or vc.encapsulation is _LLC:
            return gulp(cells, at, end, vc.max_sdu, vc.encapsulation is _LLC)
        return None

    def _deliver_frame(self, vc: Vc, marks: int, frame: PlainFrame, sdus: list[Sdu]) -> None:
        """Count the PDUs of a frame, whose cells all have the same marks but for the last of each PDU."""
        clp, congested = marks & _CLP, marks & _EFCI != 0
        vc.rx_cells += frame.cells
        vc.rx_pdus += frame.count
        vc.rx_clp1 += frame.count if clp else 0
        vc.rx_efci += frame.count if congested else 0
        sdu = Sdu.__new__(Sdu)
        sdu.vc, sdu.octets, sdu.clp, sdu.congested, sdu.frame = vc, b"", clp, congested, frame
        sdu.path = vc.owner
        sdus.append(sdu)

    def _look_closer(self, header: bytes, cells: bytes, at: int, now: int) -> tuple[int, Vc | None]:
        """Correct the header of cell `at`; return its word and VC.

        Cells without user data are handed over; other cells are dropped and counted. Both have no VC here.
        """
        good = self.hec.receive(header)
        if good is None:
            self.drops.count(DropReason.HEC_ERROR, octets=_cell(cells, at))
            return -1, None
        word = user_word(good, self._is_nni)
        if word >= 0:
            return word, self._find(word, cells, at)
        fields = CellHeader.unpack(good, self.interface)
        if fields.vci == _ILMI_VCI and not fields.pti & _NOT_USER:  # reserved, but a VC of user cells where it is open
            reserved = self.table.find(fields.vpi, _ILMI_VCI)
            if reserved is not None:
                return int.from_bytes(good[:4], "big"), reserved
        if fields.is_idle:
            self.unassigned_cells += 1
        elif self.maintenance is None or not self.maintenance(fields, _cell(cells, at), now):
            self.drops.count(DropReason.NOT_USER_DATA, 1, _cell(cells, at), fields)
        return -1, None

    def _find(self, word: int, cells: bytes, at: int) -> Vc | None:
        """The VC of a header's word; None, and a drop is counted, when the table has no VC for cell `at`."""
        vc = self.table.find(word >> 20, word >> 4 & 0xFFFF)
        if vc is None:
            vc = self.table.stray(word >> 20, word >> 4 & 0xFFFF, _cell(cells, at)[HEADER_SIZE:])
        if vc is None:
            fields = CellHeader.unpack(word.to_bytes(4, "big"), self.interface)
            self.drops.count(DropReason.UNKNOWN_VC, 1, _cell(cells, at), fields)
        return vc

    def forget(self, vc: Vc) -> None:
        """Drop the unfinished PDU of a VC that is being closed."""
        self._release(vc)

    def forget_vp(self, vpi: int, reason: DropReason) -> None:
        """Drop the unfinished PDUs of a VP, whose next cells begin new PDUs."""
        for vc in [*self._partial, *self._discarding]:
            if vc.vpi == vpi:
                if not vc.discarding:
                    self._count_pdu(vc, reason)
                self._release(vc)

    def expire(self, now: int) -> None:
        """Free the PDUs whose last cell is overdue."""
        while (vc := next(iter(self._partial), None)) is not None and vc.started + self.timeout <= now:
            self._count_pdu(vc, DropReason.REASSEMBLY_TIMEOUT)
            self._release(vc)
        while (vc := next(iter(self._discarding), None)) is not None and vc.started + self.timeout <= now:
            self._release(vc)

    def next_timer(self) -> int | None:
        """The time (ns) at which `expire` is next due, or None."""
        # Both are in order of `started`, so the first of each is the oldest.
        oldest = [vc.started for held in (self._partial, self._discarding) for vc in islice(held, 1)]
        return min(oldest) + self.timeout if oldest else None

    def _discard_rest(self, vc: Vc, reason: DropReason, now: int) -> None:
        """Drop the unfinished PDU and all its later cells, so that they are not taken for another PDU."""
        self._count_pdu(vc, reason)
        self._release(vc)
        vc.discarding = True
        vc.started = now
        self._discarding[vc] = None

    def _count_pdu(self, vc: Vc, reason: DropReason) -> None:
        """Count the unfinished PDU as dropped; the observers, if any, see its beginning."""
        beginning = b"".join(vc.pieces[:_TOLD_PIECES]) if self.drops.observers else b""
        self.drops.count(reason, 1, beginning, vc)

    def _release(self, vc: Vc, *, keep_clp: bool = False) -> None:
        """Release the octets of the VC's PDU, and end discarding."""
        # A VC is in `_discarding` or in `_partial`, never in both.
        if vc.discarding:
            del self._discarding[vc]
            vc.discarding = False
        self._partial.pop(vc, None)
        self.octets_pending -= PAYLOAD_SIZE * vc.cells_pending
        vc.cells_pending = 0
        vc.pieces.clear()
        if not keep_clp:
            vc.clp_pending = 0


def _cell(cells: bytes, at: int) -> bytes:
    """Cell `at` of a train."""
    return cells[at * CELL_SIZE:(at + 1) * CELL_SIZE]
