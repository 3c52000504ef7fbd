"""The edge node in front of a server (figure 8): cells to packets for the server, and its answers to cells.

The node has no session table. It learns the flow of a VC from the packets that come on the VC, and sends the flow's
answers on that VC. Packets of no known flow go on the default VC. All that is of the VP to the depot; a node with VPs
to several depots is in `multihomed`.

A depot that has lost its sessions asks for what was learnt (`recall`). For that the flows of the default VC are learnt,
too, where they have no VC of their own.

A node may have circuits, too: VPs to other edge nodes and permanent VCs. On them go the packets for their networks,
except those from a VIP, which answer clients of the depot. A node without a VP to the depot has circuits alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.timers import Expiring
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.bearer.adaptation import LinkAdaptation
from atmdepot.bearer.circuits import CircuitEnd, Circuits
from atmdepot.bearer.oam import NodeOam
from atmdepot.bearer.protected import protected_vps
from atmdepot.bearer.shaping import port_of
from atmdepot.config.links import Vp
from atmdepot.config.qos import QosMap
from atmdepot.drops import DropReason
from atmdepot.edge.base import EdgeBase
from atmdepot.edge.vp_table import VpTable
from atmdepot.edge.ways import ways_of
from atmdepot.restoring import restored_on_failure
from atmdepot.wire.cell import Interface
from atmdepot.wire.ip import PROTOCOL_TCP
from atmdepot.wire.packet import quick_frame
from atmdepot.wire.tcp import FIN, RST, SYN

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.drops import OnChannel
    from atmdepot.edge.protection import DepotWay
    from atmdepot.edge.vp_table import VpWay
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.offload import PlainFrame
    from atmdepot.wire.packet import Packet


_TCP, _SYN, _TURNS = PROTOCOL_TCP, SYN, SYN | FIN | RST  # C numbers, where this is compiled


class Flow(Expiring):
    """A learnt flow and its VC; the key is as the client sees the flow."""

    __slots__ = ("has_ended", "is_half_open", "key", "stays", "vc")

    def __init__(self, key: FlowKey, vc: Vc, deadline: int) -> None:
        self._begin(key, vc, deadline)

    def _begin(self, key: FlowKey, vc: Vc, deadline: int) -> None:
        self.stand_nowhere(deadline)
        self.key, self.vc = key, vc
        self.has_ended = False  # by the client's FIN or RST; then it is known for 2 MSL more
        self.is_half_open = False  # its client has sent nothing but SYNs
        self.stays = False  # it was opened by a depot that stands by, as a probe is: its answers go there


class UnclaimedVc(Expiring):
    """A VC of the session range without a flow: its first cells made no packet, or its flow has left it."""

    __slots__ = ("vc",)

    def __init__(self, vc: Vc, deadline: int) -> None:
        self.stand_nowhere(deadline)
        self.vc = vc


class EdgeNode(EdgeBase):
    """The edge node's data path."""

    def __init__(self, network: Network, node: str) -> None:
        """Make an edge node of a VC table, with a VP to the depot, circuits, or both."""
        EdgeBase.__init__(self, network, node)  # not by super(), which the compiled module does not have
        self.qos = QosMap(network.qos.dscp, network.qos.contracts)
        self._clp = self.qos.clp
        self._open_vps_to_depots()
        opened = {way.link.name: way.link for way in self.ways}
        links = {name: opened.get(name) or port_of(network, name, node, VcTable())
                 for name in network.links_of(node)}
        self.use_links(links)
        self.circuits = Circuits(network, node, links, self.qos)
        self._has_circuits = bool(self.circuits.ends)
        self.oam = NodeOam(network, node, links)
        self.protected = protected_vps(network, node, links, self.oam)
        self.reconfigure(network, 0)

    def _open_vps_to_depots(self) -> None:
        network, node = self.network, self.name
        self.follow(network, ways_of(network, node, self.qos))
        self.leads_to_depot = bool(self.ways)
        if self.ways:
            way = self.ways[0]
            self.table, self.link, self.mtu = way.table, way.link, way.mtu
        else:  # the place of a VP that no link carries, so that the data path need not ask for each packet
            self.table = VpTable(Vp(ends=[node], vpi=0), 0, Interface.UNI, self.qos)
            self.link = LinkAdaptation("", Interface.UNI, self.table, timeout=0, max_octets=0)
            self.mtu = 0

    def reconfigure(self, network: Network, now: int) -> None:
        """Take over the values of a changed VC table that may change while flows go on: their lifetime and number."""
        with restored_on_failure(and_attributes_of=(self,)):
            self._vips = frozenset(vip.packed for vip in network.vips)
            self._take_over(network)

    # From the depot, or the far end of a circuit, to the server.

    def octets_from_port(self, name: str, octets: bytes, now: int) -> None:
        """Take cells (a multiple of 53 octets) from a link."""
        link = self.link
        if name is not link.name:  # nearly all datagrams are of this link: no look-up for them
            link = self.links[name]  # all ports of this node are of ATM
        for sdu in link.receive(octets, now):
            frame = sdu.frame
            if frame is None:
                self._packet_from_vc(sdu.vc, sdu.octets, now)
            elif not self._frame_from_vc(sdu.vc, frame, now):
                for packet in frame.packets():
                    self._packet_from_vc(sdu.vc, packet, now)
        # A VC that a cell has just opened, but that carries no flow yet, must not stay open for ever.
        if self.table.opened:
            for vc in self.table.opened:
                if vc.owner is None:
                    self._unclaim(vc, now)
            self.table.opened.clear()

    def _packet_from_vc(self, vc: Vc, octets: bytes, now: int) -> None:
        if vc is self.table.management:
            self._message_from_depot(self.ways[0], octets, now)
            return
        packet = self.analyse(octets, vc)
        if packet is None:
            return
        if self._has_circuits and isinstance(vc.owner, CircuitEnd):
            self._packet_from_circuit(vc.owner, octets, packet)
            return
        # A packet without ports (ICMP, later fragments) names no flow.
        if packet.source_port:
            self._learn(packet, vc, now)
        self.packets_out.append(octets)

    def _channel_of(self, item: Expiring, way: DepotWay) -> int:
        """The VCI of a flow that goes on, where a depot of the set opened it; else 0."""
        if not isinstance(item, Flow) or item.has_ended or self.flows.get(item.key) is not item:
            return 0
        return item.vc.vci if self._way_of(item.vc).of == way.of else 0

    def _way_of(self, vc: Vc) -> VpWay:
        """The way that has a VC."""
        way: VpWay = self.ways[0]
        return way

    def _packet_from_circuit(self, end: CircuitEnd, octets: bytes, packet: Packet) -> None:
        if end.takes(packet):
            self.packets_out.append(octets)
        else:
            self.drops.count(DropReason.WRONG_NETWORK, 1, octets, end)

    def carries_group(self, packet: Packet, channel: OnChannel | None) -> bool:
        """True for a group to whose network a circuit leads, or from which a circuit brings packets."""
        if isinstance(channel, Vc):
            return isinstance(channel.owner, CircuitEnd) and channel.owner.takes(packet)
        return self.circuits.towards(packet.destination) is not None

    def _frame_from_vc(self, vc: Vc, frame: PlainFrame, now: int) -> bool:
        """Pass a frame to the server as `_packet_from_vc` does its packets; False, and no change, if that cannot be."""
        packet = quick_frame(frame)
        if packet is None or vc is self.table.management or packet.is_for_a_group:
            return False
        if self._has_circuits and isinstance(vc.owner, CircuitEnd):
            if not vc.owner.takes(packet):
                return False
        elif packet.source_port:
            self._learn(packet, vc, now)
        self.packets_out.append(frame)
        return True

    def _learn(self, packet: Packet, vc: Vc, now: int) -> None:
        """Note that the VC carries the packet's flow."""
        key = packet.key
        flow: Flow | None = vc.owner if isinstance(vc.owner, Flow) else None
        if flow is None or flow.key != key:  # the VC is not this flow's own, or not yet
            flow = self.flows.get(key)
        if flow is not None and flow.vc is vc:
            tcp = packet.tcp
            if tcp is not None and tcp.flags & _TURNS:
                flow.is_half_open = flow.is_half_open or (flow.has_ended and bool(tcp.flags & _SYN))
                flow.has_ended = not tcp.flags & _SYN
            elif flow.is_half_open:
                flow.is_half_open = False
            flow.deadline = now + (self._lifetime_unclaimed if flow.has_ended else self._lifetime)
            return
        if flow is not None:
            self._forget(flow, now)
        # Many flows share the default VC, and answers without a known flow go there anyway.
        if vc is self.table.default and not self._learns_on_default(packet):
            return
        # The dict is in order of insertion: evict the flow that was learnt first.
        if len(self.flows) >= self._most_flows:
            self._forget(next(iter(self.flows.values())), now)
        flow = self.flows[key] = Flow.__new__(Flow)  # in compiled code a call with arguments costs more
        turns = 0 if packet.tcp is None else packet.tcp.flags & _TURNS
        ends = bool(turns) and not turns & _SYN
        flow._begin(key, vc, now + (self._lifetime_unclaimed if ends else self._lifetime))
        flow.is_half_open, flow.has_ended = bool(turns & _SYN), ends
        flow.stays = self._is_opened_aside(packet, vc, now)
        self._wheel.add(flow, now)
        if self.table.is_session_vc(vc):
            self._claim(vc, flow)
            self.table.classify(vc, packet.dscp)

    def _learns_on_default(self, packet: Packet) -> bool:
        """True for a flow of the default VC that a depot may ask for.

        Where flows get VCs of their own, a UDP flow on the default VC has had no answer yet, and is worth nothing.
        """
        return self._is_recalled and (packet.protocol == _TCP or not self.table.has_own)

    def _is_opened_aside(self, packet: Packet, vc: Vc, now: int) -> bool:
        """True for a packet that opens a flow at a depot while another one of its set is followed."""
        return False

    def _claim(self, vc: Vc, flow: Flow) -> None:
        """Give the VC to the flow. Its earlier flow has ended, else the depot would not reuse the VCI."""
        before = vc.owner
        if isinstance(before, Flow):
            del self.flows[before.key]
        if isinstance(before, Expiring):
            self._wheel.remove(before)
        vc.owner = flow

    def _forget(self, flow: Flow, now: int) -> None:
        del self.flows[flow.key]
        self._wheel.remove(flow)
        if flow.vc.owner is flow:
            self._unclaim(flow.vc, now)

    def _unclaim(self, vc: Vc, now: int) -> None:
        """Let the VC close after 2 MSL unless a flow comes on it; not at once, since cells of it may be under way."""
        vc.owner = unclaimed = UnclaimedVc(vc, now + self._lifetime_unclaimed)
        self._wheel.add(unclaimed, now)

    # From the server to the depot, or to the far end of a circuit.

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
        self.link.send(octets, vc, self._clp[packet.dscp])
        if packet.fragment and not packet.later:
            for held in self.fragments.first(packet, vc, now, packet.destination):
                self.link.send(held.octets, vc, self._clp[held.packet.dscp])

    def _circuit_of(self, packet: Packet) -> CircuitEnd | None:
        """The circuit of a packet's destination; None for a packet that answers a client of the depot, or has none."""
        if packet.source in self._vips and not packet.is_for_a_group:
            return None
        return self.circuits.towards(packet.destination)

    def _takes_circuit(self, octets: bytes, packet: Packet) -> bool:
        """Send a packet on the circuit of its destination, or drop it; False for a packet that goes to the depot."""
        end = self._circuit_of(packet)
        if end is None:
            if not self.leads_to_depot:
                self.answer_no_route(octets, packet)
            return not self.leads_to_depot
        if len(octets) > end.mtu:
            self.answer_too_big(octets, packet, end.mtu)
        else:
            end.send_of_class(octets, packet.dscp, self._clp[packet.dscp])
        return True

    def _takes_frame(self, frame: PlainFrame, packet: Packet, now: int) -> bool:
        """Send a frame of the server as `packet_from_tun` does its packets; False where each is answered or dropped."""
        end = self._circuit_of(packet) if self._has_circuits else None
        if end is not None:
            if frame.greatest() > end.mtu:
                return False
            end.send_frame_of_class(frame, packet.dscp, self._clp[packet.dscp])
            return True
        if frame.greatest() > self.mtu or packet.is_for_a_group:
            return False
        flow = self.flows.get(packet.reverse_key())
        self.link.send_frame(frame, self.table.default if flow is None else flow.vc, self._clp[packet.dscp])
        return True

    def _vc_of_answer(self, octets: bytes, packet: Packet, now: int) -> Vc | None:
        """The VC of the packet's flow, else the default VC; None for a fragment that waits for its first."""
        if packet.later:
            # All packets come from the same server, so the origin is the client, among which shares must be fair.
            held: Vc | None = self.fragments.later(octets, packet, now, packet.destination)
            return held
        flow: Flow | None = self.flows.get(packet.reverse_key())
        return self.table.default if flow is None else flow.vc

    # In time.

    def _expire(self, item: Expiring) -> None:
        """Forget a learnt flow or an unclaimed VC, and close its VC."""
        if isinstance(item, Flow):
            del self.flows[item.key]
        vc: Vc = item.vc  # type: ignore[attr-defined]  # both have one
        if self.table.is_session_vc(vc):
            self._close(vc)
            vc.owner = None  # breaks the reference cycle: neither waits for the garbage collector

    def _close(self, vc: Vc) -> None:
        self.link.close(vc)

    def stood_still(self, span: int, now: int) -> None:
        """Note that the process did not run for `span` ns until now, so that no far end counts as silent."""
        EdgeBase.stood_still(self, span, now)
        self.oam.stood_still(span, now)
