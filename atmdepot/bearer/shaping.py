"""Ports whose output is shaped to contracts, or scheduled at a link's rate: the traffic management of figure 8.

Packets are cut into cells when they are sent, as at any port. The trains wait in the VCs' own queues
(`atm/sources.py`), and leave when `transmit` finds them due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.line import DEFAULT_QUEUE
from atmdepot.atm.sar import segment_frame, segment_packet
from atmdepot.atm.scheduler import BURST, DEFAULT_WEIGHT, QueueClass
from atmdepot.atm.sources import SourceScheduler
from atmdepot.bearer.adaptation import LinkAdaptation
from atmdepot.bearer.admission import Admission
from atmdepot.bearer.base import PortCounts, QueueCounts
from atmdepot.config.contract import Contract, ServiceCategory
from atmdepot.wire.cell import CELL_SIZE, Interface

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atmdepot.atm.sources import VcSource
    from atmdepot.atm.vc import Vc, VcTable
    from atmdepot.config.model import Network
    from atmdepot.wire.offload import PlainFrame

_VCI_BITS = 16
_MAINTENANCE = -1
"""The key, and the VPI, of cells that carry no packet: of no VC and no VP."""
_AHEAD = Contract(ServiceCategory.CBR)


class ShapedAdaptation(LinkAdaptation):
    """A link as an ATM end point sees it, whose cells wait for contracts and for the link's rate."""

    is_timed = True

    def __init__(
        self, name: str, interface: Interface, table: VcTable, output: SourceScheduler, *, timeout: int,
        max_octets: int, cells: int = 27,
    ) -> None:
        """Adapt packets as `LinkAdaptation` does, in front of an output."""
        LinkAdaptation.__init__(  # not by super(), which the compiled module does not have
            self, name, interface, table, timeout=timeout, max_octets=max_octets, cells=cells)
        self.output = output
        output.drops = self.drops
        self._came: list[tuple[Vc | None, bytes]] = []
        self._left: list[Vc] = []  # closed, perhaps with trains in `_came`

    def send(self, packet: bytes, vc: Vc, clp: int) -> None:
        """Cut a packet into cells for its VC, which enter the output with the next `transmit`."""
        if vc.bridge is not None:
            self._hold(packet, vc, clp)
            return
        train = segment_packet(packet, vc, clp)
        if self.protection is not None and not self.protection.carry([train], 1, vc):
            return
        self.tx_pdus += 1
        self._come(vc, train)

    def send_frame(self, frame: PlainFrame, vc: Vc, clp: int) -> None:
        """Cut the packets of a frame into cells for their VC: a train for each packet."""
        if vc.bridge is not None:
            for packet in frame.packets():
                self._hold(packet, vc, clp)
            return
        trains = segment_frame(frame, vc, clp, CELL_SIZE)
        if self.protection is not None and not self.protection.carry(trains, frame.count, vc):
            return
        self.tx_pdus += frame.count
        for train in trains:
            self._come(vc, train)

    def _come(self, vc: Vc | None, train: bytes) -> None:
        self.tx_cells += len(train) // CELL_SIZE
        if not self._came:
            self.ready.append(self.number)
        self._came.append((vc, train))

    def send_trains(self, trains: Sequence[bytes], vc: Vc) -> None:
        """Have trains that are cut already enter the output in the name of a VC."""
        for train in trains:
            self._come(vc, train)

    def _put(self, vc: Vc, train: bytes) -> None:
        self._come(vc, train)

    def send_cells(self, cells: bytes, vc: Vc | None) -> None:
        """Send cells that carry no packet, in their own queue before all packets: alarms do not wait behind data."""
        self._come(None, cells)

    def _waiting(self, now: int) -> bytes:
        """Remove and return the cells that are due, in order."""
        output = self.output
        out: list[bytes] = []
        if output.held:  # before those that came: in a slot of the past no later cell leaves
            output.leave(now, out)
        if self._came:
            for vc, train in self._came:
                output.enter(self._source(vc), train, now, out)
            self._came.clear()
            for vc in self._left:
                output.close(vc.vpi << _VCI_BITS | vc.vci, vc)
            self._left.clear()
            if output.held:
                output.leave(now, out)
        self.due = output.next_timer()
        return out[0] if len(out) == 1 else b"".join(out)

    def _source(self, vc: Vc | None) -> VcSource:
        if vc is None:
            return self.output.source(None, _MAINTENANCE, _MAINTENANCE, _AHEAD)
        key = vc.vpi << _VCI_BITS | vc.vci
        found = self.output.sources.get(key)
        if found is not None and found.name is vc and found.contract is vc.contract:
            return found
        return self.output.source(vc, key, vc.vpi, vc.contract)

    def close(self, vc: Vc) -> None:
        """Close a VC and drop its unfinished PDU; cells that it has sent still leave."""
        LinkAdaptation.close(self, vc)
        if self.admission is not None:
            self.admission.release(vc.channel)
        if self._came:
            self._left.append(vc)
        else:
            self.output.close(vc.vpi << _VCI_BITS | vc.vci, vc)

    def counts(self) -> PortCounts:
        """The cells and PDUs of the link, with the cells that left too late."""
        return LinkAdaptation.counts(self)._replace(late=self.output.late)

    def queues(self) -> list[QueueCounts]:
        """The queues of the output."""
        return [QueueCounts(name, waiting.room, waiting.held, waiting.most, waiting.shaped, waiting.entered,
                            waiting.left, waiting.dropped.total(), 0)
                for name, waiting in self.output.queues.items()]

    def source_of(self, vc: Vc) -> VcSource | None:
        """A VC's part of the output; None for a VC that has sent nothing."""
        return self.output.sources.get(vc.vpi << _VCI_BITS | vc.vci)


def port_of(network: Network, link: str, node: str, table: VcTable) -> LinkAdaptation:
    """A node's port on a link of a VC table: shaped if the link has a rate there, or a contract bounds a VC's or VP's.

    Raises ValueError for a contract without a rate that its category needs.
    """
    settings = network.links[link]
    line = settings.line_from(node)
    vps = {route.vpi_at(node): agreed for name, vp in network.vps_of(node).items()
           if (agreed := vp.agreed) is not None for route in network.routes.of(name) if route.link_at(node) == link}
    of_vcs = [Contract.parse(text) for text in network.qos.contracts.values()]
    of_vcs += [vc.agreed for vc in network.vcs.values() if vc.agreed is not None and node in vc.ends]
    if not (line.rate or any(contract.pcr for contract in (*of_vcs, *vps.values()))):
        return LinkAdaptation.of(network, link, table)
    room = {name: settings.queues.get(name.value, line.queue or DEFAULT_QUEUE) for name in QueueClass}
    weights = {name: settings.weights.get(name.value, weight) for name, weight in DEFAULT_WEIGHT.items()}
    output = SourceScheduler(int(line.rate or 0), room=room, burst=line.burst or BURST, weights=weights, vps=vps)
    made = ShapedAdaptation(
        link, Interface(settings.interface), table, output, timeout=network.reassembly.timeout,
        max_octets=network.reassembly.octets, cells=settings.cells)
    if line.rate and not settings.overbook:
        made.admission = Admission(link, int(line.rate), weights)
    return made
