"""The ends of circuits at a node: VPs between edge nodes and permanent VCs, found by a packet's destination.

A circuit takes only what the VC table says of it. A packet must be for a network to which the far end sends on it, and,
where this end sends to networks of hosts, from such a network. So an edge node that is broken into, or that has another
table, neither speaks for hosts elsewhere nor reaches a service past the depot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.bearer.adaptation import LinkAdaptation, vc_of
from atmdepot.bearer.base import Path
from atmdepot.config.circuits import circuits_of
from atmdepot.config.contract import ServiceCategory
from atmdepot.config.prefixes import PrefixTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atmdepot.atm.vc import Vc
    from atmdepot.config.circuits import Circuit
    from atmdepot.config.model import Network
    from atmdepot.config.qos import QosMap
    from atmdepot.wire.offload import PlainFrame
    from atmdepot.wire.packet import Packet


class CircuitEnd(Path):
    """An end of a circuit, which opens its VCs; a packet's DSCP chooses among those of a VP."""

    __slots__ = ("_branches", "_is_two_way", "_sends", "_takes", "circuit", "name", "vc")

    def __init__(
        self, network: Network, node: str, circuit: Circuit, links: Mapping[str, LinkAdaptation], qos: QosMap,
    ) -> None:
        self.circuit = circuit
        self.name = circuit.name
        self.node, self.port, self.mtu = ", ".join(circuit.far), circuit.places[0][0], circuit.settings.mtu
        self.owner, self.is_management, self.is_routed = None, False, True
        self._sends = PrefixTable((text, True) for text in circuit.sends)
        self._takes = PrefixTable((text, True) for text in circuit.takes)
        self._is_two_way = circuit.is_two_way
        self._branches: list[tuple[LinkAdaptation, list[Vc]]] = []
        """The links, each with the VC of each DSCP."""
        for link, vpi in circuit.places:
            self._branches.append((links[link], self._open(network, node, links[link], vpi, qos)))
        self.vc = self._branches[0][1][0]

    def _open(self, network: Network, node: str, link: LinkAdaptation, vpi: int, qos: QosMap) -> list[Vc]:
        circuit = self.circuit
        qos = qos.over(circuit.settings.header_octets)
        agreed = circuit.vc.agreed if circuit.vc is not None else None
        contract = qos.contract(ServiceCategory.UBR_1) if agreed is None else agreed
        default = vc_of(circuit.settings, vpi, circuit.vci, link.interface, contract)
        shared = {}
        for name, vci in (circuit.vp.shared_vcs if circuit.vp is not None else {}).items():
            category = ServiceCategory.parse(name)
            shared[category] = default.beside(vci, qos.contract(category))
        for vc in (default, *shared.values()):
            vc.owner = self
            link.table.add(vc)
            if link.admission is not None and not link.admission.admit(vc.channel, vc.contract):
                vc.contract = best_effort = qos.contract(ServiceCategory.UBR_1)
                vc.category = best_effort.category
        link.join(network, node, self.name, circuit.settings, default, *shared.values())
        return [shared.get(qos.category(dscp), default) for dscp in range(64)]

    @property
    def channel(self) -> tuple[int, int]:
        """VPI and VCI of its first VC."""
        return self.vc.channel

    def send(self, packet: bytes, clp: int) -> None:
        """Cut a packet into cells on the VC of the default DSCP."""
        self.send_of_class(packet, 0, clp)

    def send_of_class(self, packet: bytes, dscp: int, clp: int) -> None:
        """Cut a packet of at most `mtu` octets into cells on the VC of its DSCP, on each link."""
        for link, vcs in self._branches:
            link.send(packet, vcs[dscp], clp)

    def send_frame_of_class(self, frame: PlainFrame, dscp: int, clp: int) -> None:
        """Cut the packets of a frame, each of at most `mtu` octets, into cells on the VC of their DSCP."""
        for link, vcs in self._branches:
            link.send_frame(frame, vcs[dscp], clp)

    def takes(self, packet: Packet) -> bool:
        """True for a packet that the table lets the far end send; see the module's text."""
        if self._takes.find(packet.destination) is None:
            return False
        return not self._is_two_way or self._sends.find(packet.source) is not None


class Circuits:
    """The circuits of a node, found by the longest network that holds a destination; without any it is false."""

    def __init__(self, network: Network, node: str, links: Mapping[str, LinkAdaptation], qos: QosMap) -> None:
        """Open the VCs of a node's circuits on its links."""
        self.ends = [CircuitEnd(network, node, circuit, links, qos) for circuit in circuits_of(network, node)]
        self._by_network = PrefixTable((text, end) for end in self.ends for text in end.circuit.sends)

    def towards(self, destination: bytes) -> CircuitEnd | None:
        """The circuit that carries packets for an address of 4 or 16 octets, or None."""
        return self._by_network.find(destination)
