"""The IP/ATM adaptation block of figure 7 for a link: packets to cells on a VC, and cells back to packets.

Both depot and edge node use it. It touches no socket: cells to be sent gather in `cells_out` until the node asks for
them, once for each burst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.sar import Reassembler, Sdu, segment, segment_frame
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.bearer.base import PathCondition, Port, PortCounts
from atmdepot.drops import DropReason, Drops
from atmdepot.wire.aal5 import CrcMode
from atmdepot.wire.cell import CELL_SIZE, IDLE_CELL, Interface
from atmdepot.wire.llc import ETHERTYPE_IPV4, ETHERTYPE_IPV6, Encapsulation, EncapsulationError, decapsulate

if TYPE_CHECKING:
    from atmdepot.config.contract import Contract
    from atmdepot.config.model import Network, Vp
    from atmdepot.wire.offload import PlainFrame


_ENCAPSULATIONS = {encapsulation.value: encapsulation for encapsulation in Encapsulation}
_CRC_MODES = {mode.value: mode for mode in CrcMode}
_VC_MUX = Encapsulation.VC_MUX
_MOST_DATAGRAMS, _MOST_OCTETS = 64, 65_507
"""Datagrams, and octets in them, that the kernel takes in a system call at most (UDP_MAX_SEGMENTS; longest payload)."""
_DAMAGE = (DropReason.CRC_ERROR, DropReason.LENGTH_ERROR, DropReason.REASSEMBLY_TIMEOUT)


class LinkAdaptation(Port):
    """A link as an ATM end point sees it."""

    def __init__(
        self, name: str, interface: Interface, table: VcTable, *, timeout: int, max_octets: int, cells: int = 27,
    ) -> None:
        """Adapt packets to the VCs of `table`, for a link with so many cells in a datagram; times in ns."""
        Port.__init__(self, name, Drops())  # not by super(), which the compiled module does not have
        self.interface = interface
        self.table = table
        self.reassembler = Reassembler(
            table, interface=interface, timeout=timeout, max_octets=max_octets, drops=self.drops)
        self.cells_out: list[bytes] = []
        self._has_frames = False  # in `cells_out`
        datagram = cells * CELL_SIZE
        self._most = min(_MOST_DATAGRAMS, max(1, _MOST_OCTETS // datagram)) * datagram
        self.tx_cells = self.rx_cells = self.tx_pdus = self.rx_pdus = self.rx_congested = self.fillers_sent = 0

    @classmethod
    def of(cls, network: Network, link: str, table: VcTable) -> LinkAdaptation:
        """The adaptation of a link of a VC table."""
        return cls(link, Interface(network.links[link].interface), table,
                   timeout=network.reassembly.timeout, max_octets=network.reassembly.octets,
                   cells=network.links[link].cells)

    def send(self, packet: bytes, vc: Vc, clp: int) -> None:
        """Cut a packet into cells for its VC."""
        train = segment(packet, vc, clp)
        self.tx_pdus += 1
        self.tx_cells += len(train) // CELL_SIZE
        if not self.cells_out:
            self.ready.append(self.number)
        self.cells_out.append(train)

    def send_frame(self, frame: PlainFrame, vc: Vc, clp: int) -> None:
        """Cut the packets of a frame into cells for their VC."""
        trains = segment_frame(frame, vc, clp, self._most)
        self.tx_pdus += frame.count
        for train in trains:
            self.tx_cells += len(train) // CELL_SIZE
        if not self.cells_out:
            self.ready.append(self.number)
        self.cells_out += trains
        self._has_frames = True

    def fill(self, count: int) -> bytes:
        """Make a full-length datagram of `count` idle cells, and count them as sent."""
        self.fillers_sent += 1
        self.tx_cells += count
        return IDLE_CELL * count

    def transmit(self, now: int) -> bytes:
        """Remove and return the cells to send, in order: all, or with frames as many as a system call takes."""
        if self._has_frames:
            return self._transmit_some()
        trains = self.cells_out
        # A burst is often a single train, which needs no join.
        if len(trains) == 1:
            return trains.pop()
        cells = b"".join(trains)
        trains.clear()
        return cells

    def _transmit_some(self) -> bytes:
        """Return the first cells, and make the port ready again for the rest: to join long trains would copy them."""
        trains, at, octets = self.cells_out, 0, 0
        for train in trains:
            octets += len(train)
            if at and octets > self._most:
                break
            at += 1
        cells = trains[0] if at == 1 else b"".join(trains[:at])
        del trains[:at]
        self._has_frames = bool(trains)
        if trains:
            self.ready.append(self.number)
        return cells

    def keep_frames(self, wanted: bool) -> None:
        """Have cells of packets that follow one another become frames."""
        self.reassembler.keeps_frames = wanted

    def receive(self, cells: bytes, now: int) -> list[Sdu]:
        """Reassemble `cells`: return the packets that they complete, each with its VC."""
        self.rx_cells += len(cells) // CELL_SIZE
        sdus = self.reassembler.receive(cells, now)
        all_plain = True
        for sdu in sdus:
            if sdu.frame is not None:  # of packets already
                self.rx_pdus += sdu.frame.count
                self.rx_congested += sdu.frame.count if sdu.congested else 0
                continue
            self.rx_pdus += 1
            self.rx_congested += sdu.congested
            # With VC multiplexing an SDU is a packet already, so usually the list needs no second pass.
            if sdu.vc.encapsulation is not _VC_MUX:
                all_plain = False
        return sdus if all_plain else [sdu for sdu in sdus if self._decapsulate(sdu)]

    def _decapsulate(self, sdu: Sdu) -> bool:
        """Reduce an SDU to the packet in it; return False, and count a drop, when it carries no IP packet."""
        if sdu.vc.encapsulation is _VC_MUX or sdu.frame is not None:
            return True
        try:
            ethertype, packet = decapsulate(sdu.octets, sdu.vc.encapsulation)
        except EncapsulationError:
            ethertype, packet = None, b""
        # Bridged frames have None here, and are dropped too.
        if ethertype not in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
            self.drops.count(DropReason.UNKNOWN_ENCAPSULATION, 1, sdu.octets, sdu.vc)
            return False
        sdu.octets = packet
        return True

    def channels(self) -> int:
        """The number of its open VCs."""
        return len(self.table)

    def condition(self) -> PathCondition:
        """The condition of the path to this end, in totals; a caller compares two of them."""
        damaged = sum(self.drops[reason] for reason in _DAMAGE)
        return PathCondition(self.rx_pdus, damaged, self.rx_congested, self.fillers_sent,
                             self.reassembler.unassigned_cells)

    def counts(self) -> PortCounts:
        """The cells and PDUs of the link."""
        return PortCounts(self.rx_cells, self.tx_cells, self.reassembler.unassigned_cells,
                          self.reassembler.hec.corrected, self.rx_pdus, self.tx_pdus)

    def next_timer(self) -> int | None:
        """The time (ns) at which an unfinished PDU is given up, or None."""
        return self.reassembler.next_timer()

    def handle_timer(self, now: int) -> None:
        """Drop unfinished PDUs whose last cell is overdue."""
        self.reassembler.expire(now)

    def close(self, vc: Vc) -> None:
        """Close a VC and drop its unfinished PDU."""
        self.table.remove(vc)
        self.reassembler.forget(vc)


def adaptation_of(port: Port) -> LinkAdaptation:
    """The port of an ATM link as such, for views of cells and VCs."""
    assert isinstance(port, LinkAdaptation), port.name
    return port


def vc_of(vp: Vp, vpi: int, vci: int, interface: Interface, contract: Contract) -> Vc:
    """A VC in a VP of the VC table, whose VPI on this link is `vpi`."""
    encapsulation = _ENCAPSULATIONS[vp.encapsulation]
    return Vc(vpi, vci, interface=interface, contract=contract, encapsulation=encapsulation, crc=_CRC_MODES[vp.crc],
              max_sdu=vp.mtu + encapsulation.overhead)
