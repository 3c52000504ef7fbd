"""The IP/ATM adaptation block of figure 7 for a link: packets to cells on a VC, and cells back to packets.

Both depot and edge node use it. It touches no socket: cells to be sent gather in `cells_out` until the node asks for
them, once for each burst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from atmdepot.atm.sar import Reassembler, Sdu, segment_frame, segment_packet, segment_sdu
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.bearer.base import NEVER, PathCondition, Port, PortCounts
from atmdepot.bearer.bridged import Bridge, bridge_of
from atmdepot.bearer.ilmi import IlmiStation, ilmi_of
from atmdepot.drops import DropReason, Drops
from atmdepot.wire.aal5 import CrcMode
from atmdepot.wire.bridging import greatest_sdu
from atmdepot.wire.cell import CELL_SIZE, IDLE_CELL, Interface
from atmdepot.wire.llc import ETHERTYPE_IPV4, ETHERTYPE_IPV6, Encapsulation, EncapsulationError, decapsulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atmdepot.atm.supervision import LinkSupervision
    from atmdepot.bearer.admission import Admission
    from atmdepot.config.contract import Contract
    from atmdepot.config.links import PermanentVc, Vp
    from atmdepot.config.model import Network
    from atmdepot.wire.cell import CellHeader
    from atmdepot.wire.offload import PlainFrame


_ENCAPSULATIONS = {encapsulation.value: encapsulation for encapsulation in Encapsulation}
_CRC_MODES = {mode.value: mode for mode in CrcMode}
_VC_MUX = Encapsulation.VC_MUX
_BRIDGED = (Encapsulation.VC_MUX_BRIDGED, Encapsulation.LLC_BRIDGED)
_MOST_DATAGRAMS, _MOST_OCTETS = 64, 65_507
"""Datagrams, and octets in them, that the kernel takes in a system call at most (UDP_MAX_SEGMENTS; longest payload)."""
_DAMAGE = (DropReason.CRC_ERROR, DropReason.LENGTH_ERROR, DropReason.REASSEMBLY_TIMEOUT)


class Protection(Protocol):
    """The protected VPs of a link (`bearer/protected.py`), as the adaptation uses them. Times in ns."""

    def carry(self, trains: Sequence[bytes], packets: int, vc: Vc) -> bool:
        """Send trains of a VC on a second route if they belong there; True if they belong on this link."""

    def closed(self, vc: Vc) -> None:
        """Note that a VC of this link was closed."""

    def receive(self, cells: bytes, now: int) -> list[Sdu]:
        """Select among cells that came, and reassemble those that are taken."""

    def next_timer(self) -> int | None:
        """The time at which `handle_timer` is next due, or None."""

    def handle_timer(self, now: int) -> None:
        """Do the work that is due."""


class Maintenance(Protocol):
    """The OAM of a link (`bearer/link_oam.py`), as the adaptation uses it. Times in ns."""

    def takes(self, header: CellHeader, cell: bytes, now: int) -> bool:
        """Take a cell without user data; False for a cell of no OAM flow that ends here."""

    def listen(self, cells: bytes, now: int) -> None:
        """Hear cells that came, before they are reassembled."""

    def monitored(self, cells: bytes) -> bytes:
        """The cells to send, with those of performance monitoring between them."""

    def next_timer(self) -> int | None:
        """The time at which `handle_timer` is next due, or None."""

    def handle_timer(self, now: int) -> None:
        """Do the work that is due."""


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
        self.admission: Admission | None = None  # of VCs with contracts, where the port is asked to refuse some
        self.cells_out: list[bytes] = []
        self._has_frames = False  # in `cells_out`
        self.bridges: list[Bridge | IlmiStation] = []
        datagram = cells * CELL_SIZE
        self._most = min(_MOST_DATAGRAMS, max(1, _MOST_OCTETS // datagram)) * datagram
        self.tx_cells = self.rx_cells = self.tx_pdus = self.rx_pdus = self.rx_congested = self.fillers_sent = 0
        self.protection: Protection | None = None
        self.oam: Maintenance | None = None
        self.supervision: LinkSupervision | None = None
        self.listen_at = NEVER
        """From this time (ns) on the OAM hears what comes."""
        self.is_monitored = False
        """True where what is sent passes performance monitoring."""

    @classmethod
    def of(cls, network: Network, link: str, table: VcTable) -> LinkAdaptation:
        """The adaptation of a link of a VC table."""
        return cls(link, Interface(network.links[link].interface), table,
                   timeout=network.reassembly.timeout, max_octets=network.reassembly.octets,
                   cells=network.links[link].cells)

    def send(self, packet: bytes, vc: Vc, clp: int) -> None:
        """Cut a packet into cells for its VC."""
        if vc.bridge is not None:
            self._hold(packet, vc, clp)
            return
        train = segment_packet(packet, vc, clp)
        if self.protection is not None and not self.protection.carry([train], 1, vc):
            return
        self.tx_pdus += 1
        self.tx_cells += len(train) // CELL_SIZE
        if not self.cells_out:
            self.ready.append(self.number)
        self.cells_out.append(train)

    def send_frame(self, frame: PlainFrame, vc: Vc, clp: int) -> None:
        """Cut the packets of a frame into cells for their VC."""
        if vc.bridge is not None:
            for packet in frame.packets():
                self._hold(packet, vc, clp)
            return
        trains = segment_frame(frame, vc, clp, self._most)
        if self.protection is not None and not self.protection.carry(trains, frame.count, vc):
            return
        self.tx_pdus += frame.count
        for train in trains:
            self.tx_cells += len(train) // CELL_SIZE
        if not self.cells_out:
            self.ready.append(self.number)
        self.cells_out += trains
        self._has_frames = True

    def send_cells(self, cells: bytes, vc: Vc | None) -> None:
        """Send cells that carry no packet; `vc` is of their VP, None for cells of the link itself."""
        self.tx_cells += len(cells) // CELL_SIZE
        if not self.cells_out:
            self.ready.append(self.number)
        self.cells_out.append(cells)

    def send_trains(self, trains: Sequence[bytes], vc: Vc) -> None:
        """Send trains that are cut already, in their turn among those of a VC."""
        for train in trains:
            if not self.cells_out:
                self.ready.append(self.number)
            self._put(vc, train)
        self._has_frames = self._has_frames or len(trains) > 1

    def send_on_route(self, cells: bytes, vc: Vc) -> None:
        """Send cells of a VC that carry no packet, on the route of its VP."""
        if self.protection is None or self.protection.carry([cells], 0, vc):
            self.send_cells(cells, vc)

    def maintain(self, oam: Maintenance) -> None:
        """Hand cells without user data over to the link's OAM, and give it its time."""
        self.oam = oam
        self.reassembler.maintenance = oam.takes

    def _hold(self, packet: bytes, vc: Vc, clp: int) -> None:
        """Give a packet to its VC's bridge, which knows in `transmit` where it goes."""
        if not vc.bridge.has_output:  # else the port is ready already
            self.ready.append(self.number)
        vc.bridge.hold(packet, vc, clp)

    def _take_from_bridges(self, now: int) -> None:
        """Cut the frames that the bridges have to send."""
        for bridge in self.bridges:
            for sdu, vc, clp in bridge.outgoing(now):
                train = segment_sdu(sdu, vc, clp)
                if self.protection is None or self.protection.carry([train], 1, vc):
                    self.tx_pdus += 1
                    self._put(vc, train)

    def _put(self, vc: Vc, train: bytes) -> None:
        """Add a train to the output of a port that is ready."""
        self.tx_cells += len(train) // CELL_SIZE
        self.cells_out.append(train)

    def fill(self, count: int) -> bytes:
        """Make a full-length datagram of `count` idle cells, and count them as sent."""
        self.fillers_sent += 1
        self.tx_cells += count
        return IDLE_CELL * count

    def transmit(self, now: int) -> bytes:
        """Remove and return the cells to send, in order: all, or with frames as many as a system call takes."""
        if self.bridges:
            self._take_from_bridges(now)
        if self.supervision is None and not self.is_monitored:
            return self._waiting(now)
        return self._watched(self._waiting(now), now)

    def _watched(self, cells: bytes, now: int) -> bytes:
        """The cells to send on a link that is supervised or monitored."""
        if cells and self.supervision is not None:
            self.supervision.sent = now
        return self.oam.monitored(cells) if self.is_monitored and self.oam is not None else cells

    def _waiting(self, now: int) -> bytes:
        """Remove and return the cells that may leave."""
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
        """Take `cells` from the link: return the packets that they complete, each with its VC."""
        self.rx_cells += len(cells) // CELL_SIZE
        if self.supervision is not None and self._is_only_heard(cells, now):
            return []
        if now >= self.listen_at and self.oam is not None:
            self.oam.listen(cells, now)
        return self.reassemble(cells, now) if self.protection is None else self.protection.receive(cells, now)

    def reassemble(self, cells: bytes, now: int) -> list[Sdu]:
        """Reassemble cells for the VCs of this link, whatever way they came."""
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
            if sdu.vc.encapsulation is not _VC_MUX or sdu.vc.bridge is not None:
                all_plain = False
        return sdus if all_plain else [sdu for sdu in sdus if self._decapsulate(sdu, now)]

    def _is_only_heard(self, cells: bytes, now: int) -> bool:
        """Note that the link has a signal; True for a single idle cell, which says only that."""
        assert self.supervision is not None
        self.supervision.receive(now)
        return cells == IDLE_CELL

    def _decapsulate(self, sdu: Sdu, now: int) -> bool:
        """Reduce an SDU to the packet in it; return False, and count a drop, when it carries no IP packet."""
        if sdu.vc.bridge is not None:
            return self._take_from_frame(sdu, now)
        if sdu.vc.encapsulation is _VC_MUX or sdu.frame is not None:
            return True
        try:
            ethertype, packet = decapsulate(sdu.octets, sdu.vc.encapsulation)
        except EncapsulationError:
            ethertype, packet = None, b""
        if ethertype not in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
            self.drops.count(DropReason.UNKNOWN_ENCAPSULATION, 1, sdu.octets, sdu.vc)
            return False
        sdu.octets = packet
        return True

    def _take_from_frame(self, sdu: Sdu, now: int) -> bool:
        """Reduce an SDU to the packet in its Ethernet frame; False when there is none for the node, or it was ILMI."""
        bridge = sdu.vc.bridge
        sdu.octets = bridge.receive(sdu.octets, sdu.vc, now)
        if bridge.has_output:
            self.ready.append(self.number)
        return bool(sdu.octets)

    def join(self, network: Network, node: str, name: str, circuit: Vp | PermanentVc, *vcs: Vc) -> None:
        """Make a node a station of a bridged VP or permanent VC; `vcs` are open VCs of it, the default VC first.

        VCs made `beside` the default VC belong to it as well. Another encapsulation needs no station.
        """
        if circuit.encapsulation in _BRIDGED:
            bridge = bridge_of(network, node, name, circuit, vcs[0], self.drops)
            self.bridges.append(bridge)
            for vc in vcs:
                vc.bridge = bridge

    def answer_ilmi(self, network: Network, node: str) -> None:
        """Answer ILMI on VC 0/16; raise EnvironmentLacks without the SNMP library."""
        self.bridges.append(ilmi_of(network, node, self.name, self.table, self.drops))

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
        """The time (ns) at which an unfinished PDU is given up, or OAM, protection or a bridge has work; or None."""
        due = self.reassembler.next_timer()
        if self.oam is None and not self.bridges:
            return due
        times = [due, None if self.oam is None else self.oam.next_timer(), *(b.next_timer() for b in self.bridges)]
        if self.protection is not None:
            times.append(self.protection.next_timer())
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: int) -> None:
        """Drop unfinished PDUs whose last cell is overdue; have OAM, protection and the bridges do what is due."""
        self.reassembler.expire(now)
        if self.oam is not None:
            self.oam.handle_timer(now)
        if self.protection is not None:
            self.protection.handle_timer(now)
        if any((time := bridge.next_timer()) is not None and time <= now for bridge in self.bridges):
            self.ready.append(self.number)

    def close(self, vc: Vc) -> None:
        """Close a VC and drop its unfinished PDU."""
        self.table.remove(vc)
        self.reassembler.forget(vc)
        if self.protection is not None:
            self.protection.closed(vc)


def adaptation_of(port: Port) -> LinkAdaptation:
    """The port of an ATM link as such, for views of cells and VCs."""
    assert isinstance(port, LinkAdaptation), port.name
    return port


def vc_of(vp: Vp | PermanentVc, vpi: int, vci: int, interface: Interface, contract: Contract) -> Vc:
    """A VC in a VP of the VC table, or a permanent VC, whose VPI on this link is `vpi`."""
    encapsulation = _ENCAPSULATIONS[vp.encapsulation]
    is_bridged = vp.encapsulation in _BRIDGED
    return Vc(vpi, vci, interface=interface, contract=contract, encapsulation=encapsulation, crc=_CRC_MODES[vp.crc],
              max_sdu=greatest_sdu(vp.mtu, encapsulation) if is_bridged else vp.mtu + encapsulation.overhead)
