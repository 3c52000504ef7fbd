"""The edge node with VPs to several depots: of one set, which stand by for one another, or of several sets.

All that comes from any depot goes to the server. Each answer goes to one depot (`protection`); to all depots of a set
that stands by hot. A flow has the same VCI in the VPs to all depots of its set, so its VC at another depot is found by
that. `table` and `link` of the node are those of the depot of the packet at hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.edge.node import EdgeNode, Flow
from atmdepot.wire.tcp import ACK, SYN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.atm.vc import Vc
    from atmdepot.config.model import Network
    from atmdepot.edge.vp_table import VpWay
    from atmdepot.wire.offload import PlainFrame
    from atmdepot.wire.packet import Packet


_SYN, _ACK = SYN, ACK  # C numbers, where this is compiled


class MultihomedEdgeNode(EdgeNode):
    """The data path of an edge node with VPs to several depots."""

    def __init__(self, network: Network, node: str) -> None:
        EdgeNode.__init__(self, network, node)  # not by super(), which the compiled module does not have
        # A packet may move to another depot, so it must fit the VPs to all.
        self.mtu = min(way.mtu for way in self.ways)

    def octets_from_port(self, name: str, octets: bytes, now: int) -> None:
        """Take cells (a multiple of 53 octets) from a link."""
        for sdu in self.links[name].receive(octets, now):  # type: ignore[attr-defined]  # all ports are of ATM
            way = self._way_of(sdu.vc)
            self.table, self.link = way.table, way.link
            frame = sdu.frame
            if sdu.vc is way.table.management:
                self._message_from_depot(way, sdu.octets, now)
            elif frame is None:
                self._packet_from_vc(sdu.vc, sdu.octets, now)
            elif not self._frame_from_vc(sdu.vc, frame, now):
                for packet in frame.packets():
                    self._packet_from_vc(sdu.vc, packet, now)
        for way in self.ways:
            if way.table.opened:
                self._watch_opened(way, now)

    def _watch_opened(self, way: VpWay, now: int) -> None:
        """Have the VCs close again that have just opened, and carry no flow yet."""
        for vc in way.table.opened:
            if vc.owner is None:
                self._unclaim(vc, now)
        way.table.opened.clear()

    def _way_of(self, vc: Vc) -> VpWay:
        """The way that has a VC; the first for a VC that is closed, or of a circuit."""
        way: VpWay
        for way in self.ways:
            if way.table.has(vc):
                return way
        way = self.ways[0]
        return way

    def _learns_on_default(self, packet: Packet) -> bool:
        """True: answers go to the depot from which the flow came."""
        return True

    def _is_opened_aside(self, packet: Packet, vc: Vc, now: int) -> bool:
        """True for a SYN from a depot that stands by: its probe, as a rule.

        Else every server would be silent for that depot, and its answers would look like sessions to the active one.
        """
        tcp = packet.tcp
        if tcp is None or tcp.flags & (_SYN | _ACK) != _SYN:
            return False
        way = self._way_of(vc)
        return not way.announces(now) and way.following.followed(now) != ""

    # From the server to the depots.

    def packet_from_tun(self, octets: bytes, now: int) -> None:
        """Take a packet of the server from the TUN device."""
        packet = self.analyse_from_tun(octets)
        if packet is None or (self._has_circuits and self._takes_circuit(octets, packet)):
            return
        if len(octets) > self.mtu:
            self.answer_too_big(octets, packet, self.mtu)
            return
        vc = self._vc_of_answer(octets, packet, now)
        if vc is None:
            return
        self._send(octets, vc, packet, now)
        if packet.fragment and not packet.later:
            for held in self.fragments.first(packet, vc, now, packet.destination):
                self._send(held.octets, vc, held.packet, now)

    def _takes_frame(self, frame: PlainFrame, packet: Packet, now: int) -> bool:
        """Send a frame of the server as `packet_from_tun` does its packets; False where each is answered or dropped."""
        if (self._has_circuits and self._circuit_of(packet) is not None) or packet.is_for_a_group:
            return False
        if frame.greatest() > self.mtu:
            return False
        clp = self._clp[packet.dscp]
        for way, vc in self._bridged(self._vc_of_flow(packet, now), packet, now):
            way.link.send_frame(frame, vc, clp)
        return True

    def _send(self, octets: bytes, vc: Vc, packet: Packet, now: int) -> None:
        clp = self._clp[packet.dscp]
        for way, at in self._bridged(vc, packet, now):
            way.link.send(octets, at, clp)

    def _vc_of_answer(self, octets: bytes, packet: Packet, now: int) -> Vc | None:
        """The VC of the packet's flow at the depot to answer; None for a fragment that waits for its first."""
        if packet.later:
            return self.fragments.later(octets, packet, now, packet.destination)
        return self._vc_of_flow(packet, now)

    def _vc_of_flow(self, packet: Packet, now: int) -> Vc:
        """The VC of the packet's flow, else the default VC, at the depot that is to have the packet."""
        flow: Flow | None = self.flows.get(packet.reverse_key())
        if flow is None:
            return self._default(now)
        way = self._way_of(flow.vc)
        if flow.stays:
            if not way.announces(now):
                return flow.vc
            flow.stays = False
        to: VpWay = way.following.answers(way, now)  # type: ignore[assignment]  # all ways of this node are VPs
        return flow.vc if to is way else self._vc_at(to, flow.vc, packet, now)

    def _default(self, now: int) -> Vc:
        """The default VC at the depot that is followed, of the first set in which one is."""
        for following in self.followings.values():
            way: VpWay = following.chosen(now)  # type: ignore[assignment]  # all ways of this node are VPs
            if way.announces(now):
                return way.table.default
        way = self.ways[0].following.chosen(now)
        return way.table.default

    def _vc_at(self, way: VpWay, vc: Vc, packet: Packet, now: int) -> Vc:
        """The VC of another depot with the VCI of a flow's VC; the default VC where the other depot has no such VC."""
        at = way.table.at(vc.vci)
        if way.table.opened:
            way.table.classify(way.table.opened[0], packet.dscp)
            self._watch_opened(way, now)
        return way.table.default if at is None else at

    def _bridged(self, vc: Vc, packet: Packet, now: int) -> Iterator[tuple[VpWay, Vc]]:
        """The ways and VCs for a packet: one, or those to all depots of a set that stands by hot (1+1)."""
        way = self._way_of(vc)
        yield way, vc
        if way.following.is_bridged and not (isinstance(vc.owner, Flow) and vc.owner.stays):
            other: VpWay
            for other in way.following.ways:  # type: ignore[assignment]  # all ways of this node are VPs
                if other is not way:
                    yield other, self._vc_at(other, vc, packet, now)

    def _close(self, vc: Vc) -> None:
        self._way_of(vc).link.close(vc)


def edge_node(network: Network, name: str) -> EdgeNode:
    """The data path of an edge node of a VC table, with VPs to one depot, to several, or to none."""
    to_depots = [vp for vp in network.vps_of(name).values() if network.ends_at_depot(vp)]
    return MultihomedEdgeNode(network, name) if len(to_depots) > 1 else EdgeNode(network, name)
