"""Segmentation and reassembly: packets to cell trains and back (ITU-T I.363.5).

`segment` makes the train of one packet on one VC. A `Reassembler` takes the cells of one link, however they are
interleaved over VCs, and gives back SDUs. It works on runs of equal headers, not on cells: a header that has been
looked up once is found again by its five octets, HEC and all.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.drops import DropReason, Drops
from atmdepot.wire.aal5 import Aal5Error, cpcs_pdu, headers_of, parse_cpcs_pdu, payload_of, to_cells
from atmdepot.wire.cell import CELL_SIZE, CellHeader, HecMode, HecReceiver, Interface
from atmdepot.wire.llc import encapsulate

if TYPE_CHECKING:
    from atmdepot.atm.vc import Vc, VcTable

DEFAULT_TIMEOUT = 2_000_000_000
DEFAULT_MAX_OCTETS = 64 * 2**20
_MAX_KNOWN_HEADERS = 1 << 19
_TOLD_PIECES = 6
"""Of a PDU that is dropped unfinished, so many runs of cells are told."""


def segment(packet: bytes, vc: Vc, clp: int = 0) -> bytes:
    """The train of cells that carries a packet on a VC.

    Args:
        packet: an IP packet (or a frame, on a VC with a bridged encapsulation).
        vc: where it goes; its counters move.
        clp: the CLP bit of all its cells.

    Raises:
        ValueError: for an SDU that is empty, or greater than 65535 octets.
        EncapsulationError: for a packet that the VC's encapsulation cannot name.

    """
    header, last_header = vc.headers[clp]
    train = to_cells(cpcs_pdu(encapsulate(packet, vc.encapsulation), crc=vc.crc), header, last_header)
    vc.tx_pdus += 1
    vc.tx_cells += len(train) // CELL_SIZE
    return train


class Sdu(NamedTuple):
    """A reassembled SDU: the VC it came on, its octets, the OR of its cells' CLP, the last cell's EFCI."""

    vc: Vc
    octets: bytes
    clp: int
    congested: bool


class _Known(NamedTuple):
    """What a header says, looked up."""

    vc: Vc
    last: bool
    clp: int
    congested: bool


class Reassembler:
    """The receiving side of a link: HEC, VC look-up and AAL5 reassembly.

    Memory is bounded: each VC by its greatest SDU, all PDUs under way together by `max_octets` (beyond it the oldest
    goes), and none waits longer than `timeout` for its last cell. What is dropped is counted in `drops`.
    """

    def __init__(
        self, table: VcTable, *, interface: Interface = Interface.UNI, timeout: int = DEFAULT_TIMEOUT,
        max_octets: int = DEFAULT_MAX_OCTETS, drops: Drops | None = None,
    ) -> None:
        """Take cells for the VCs of `table`; times in ns."""
        self.table = table
        self.interface = interface
        self.timeout = timeout
        self.max_octets = max_octets
        self.drops = Drops() if drops is None else drops
        self.hec = HecReceiver()
        self.unassigned_cells = 0
        self.octets_pending = 0
        self._known: dict[bytes, _Known] = {}
        # VCs with a PDU under way, and VCs whose PDU was given up but has not ended: each in order of `started`.
        self._partial: dict[Vc, None] = {}
        self._discarding: dict[Vc, None] = {}

    def receive(self, cells: bytes, now: int) -> list[Sdu]:
        """The SDUs that `cells` (a multiple of 53 octets) complete, in the order of their last cells.

        Raises ValueError for another number of octets: the link has to sort those out.
        """
        if len(cells) % CELL_SIZE:
            raise ValueError(f"{len(cells)} octets are no whole number of {CELL_SIZE}-octet cells")
        headers = headers_of(cells)
        sdus: list[Sdu] = []
        at, count = 0, len(headers)
        while at < count:
            header = headers[at]
            known = self._known.get(header)
            if known is None:
                known = self._look_up(header, cells, at)
            elif self.hec.mode is HecMode.DETECTION:
                self.hec.mode = HecMode.CORRECTION
            end = at + 1
            if known is not None:
                # A run has a good header (one just mended leaves detection mode, in which its like are dropped) and
                # ends where the VC's greatest SDU does, so that a run does what its cells would do one by one.
                if not known.last and self.hec.mode is HecMode.CORRECTION:
                    stop = min(count, at + known.vc.max_cells - known.vc.cells_pending)
                    while end < stop and headers[end] == header:
                        end += 1
                self._take(known, payload_of(cells, at, end - at), end - at, now, sdus)
            at = end
        return sdus

    def _take(self, known: _Known, payload: bytes, count: int, now: int, sdus: list[Sdu]) -> None:
        """Add a run of cells to its VC's PDU, and finish the PDU with its last cell."""
        vc = known.vc
        vc.rx_cells += count
        vc.clp_pending |= known.clp
        if not vc.pieces and not vc.discarding:
            if known.last:
                self._finish(known, payload, sdus)
                return
            vc.started = now
            self._partial[vc] = None
        if vc.discarding:
            if known.last:
                self._release(vc)
            return
        vc.cells_pending += count
        if vc.cells_pending > vc.max_cells:
            self._discard_rest(vc, DropReason.OVERSIZE, now)
            if known.last:
                self._release(vc)
            return
        vc.pieces.append(payload)
        if known.last:
            pdu = b"".join(vc.pieces)
            self._release(vc, keep_clp=True)
            self._finish(known, pdu, sdus)
            return
        vc.octets_pending += len(payload)
        self.octets_pending += len(payload)
        while self.octets_pending > self.max_octets:
            self._discard_rest(next(iter(self._partial)), DropReason.REASSEMBLY_OVERFLOW, now)

    def _finish(self, known: _Known, pdu: bytes, sdus: list[Sdu]) -> None:
        vc = known.vc
        clp, vc.clp_pending = vc.clp_pending, 0
        try:
            parsed = parse_cpcs_pdu(pdu, crc=vc.crc, max_sdu=vc.max_sdu)
        except Aal5Error as error:
            self.drops.count(error.reason, 1, pdu, vc)
            return
        vc.rx_pdus += 1
        vc.rx_clp1 += clp
        vc.rx_efci += known.congested
        sdus.append(Sdu(vc, parsed.sdu, clp, known.congested))

    def _look_up(self, header: bytes, cells: bytes, at: int) -> _Known | None:
        """Check, correct and look up the header, not met before, of cell `at`; None (and counted) to drop the cell."""
        good = self.hec.receive(header)
        if good is None:
            self.drops.count(DropReason.HEC_ERROR, octets=_cell(cells, at))
            return None
        if (known := self._known.get(good)) is not None:
            return known
        fields = CellHeader.unpack(good, self.interface)
        if fields.is_idle:
            self.unassigned_cells += 1
            return None
        if not fields.is_user_data:
            self.drops.count(DropReason.NOT_USER_DATA, 1, _cell(cells, at), fields)
            return None
        vc = self.table.find(fields.vpi, fields.vci)
        if vc is None:
            self.drops.count(DropReason.UNKNOWN_VC, 1, _cell(cells, at), fields)
            return None
        known = _Known(vc, fields.is_last, fields.clp, fields.congested)
        if len(self._known) < _MAX_KNOWN_HEADERS:
            self._known[good] = known
            vc.rx_headers.append(good)
        return known

    def forget(self, vc: Vc) -> None:
        """Drop all that is held of a VC that is being closed."""
        for header in vc.rx_headers:
            self._known.pop(header, None)
        vc.rx_headers.clear()
        self._release(vc)

    def expire(self, now: int) -> None:
        """Free the PDUs whose last cell is overdue."""
        while (vc := next(iter(self._partial), None)) is not None and vc.started + self.timeout <= now:
            self._count_pdu(vc, DropReason.REASSEMBLY_TIMEOUT)
            self._release(vc)
        while (vc := next(iter(self._discarding), None)) is not None and vc.started + self.timeout <= now:
            self._release(vc)

    def next_timer(self) -> int | None:
        """When `expire` has something to do (ns), or None."""
        oldest = [vc.started for held in (self._partial, self._discarding) for vc in islice(held, 1)]
        return min(oldest) + self.timeout if oldest else None

    def _discard_rest(self, vc: Vc, reason: DropReason, now: int) -> None:
        """Give up the PDU under way and all cells up to its end, so that its rest is not taken for another."""
        self._count_pdu(vc, reason)
        self._release(vc)
        vc.discarding = True
        vc.started = now
        self._discarding[vc] = None

    def _count_pdu(self, vc: Vc, reason: DropReason) -> None:
        """Count the PDU under way as dropped; its beginning is told, if anybody listens."""
        beginning = b"" if self.drops.watcher is None else b"".join(vc.pieces[:_TOLD_PIECES])
        self.drops.count(reason, 1, beginning, vc)

    def _release(self, vc: Vc, *, keep_clp: bool = False) -> None:
        """Hold nothing of the VC's PDU any more."""
        if vc.discarding:
            del self._discarding[vc]
            vc.discarding = False
        self._partial.pop(vc, None)
        self.octets_pending -= vc.octets_pending
        vc.octets_pending = vc.cells_pending = 0
        vc.pieces.clear()
        if not keep_clp:
            vc.clp_pending = 0


def _cell(cells: bytes, at: int) -> bytes:
    """Cell `at` of a train."""
    return cells[at * CELL_SIZE:(at + 1) * CELL_SIZE]
