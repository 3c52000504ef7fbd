"""The edge node of links of Frame Relay: frames to packets for the server, and its answers to frames.

As the edge node of ATM learns the flow of a VC, this one learns the flow of a DLCI from the packets that come on it,
and sends the flow's answers there. Packets of no known flow go on the shared DLCI. With PVCs to several depots each
answer goes to one of them (`protection`), or to all depots of a set that stands by hot; a flow has the same DLCI at all
depots of its set.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from atmdepot.bearer.relay_port import relay_ports
from atmdepot.config.qos import QosMap
from atmdepot.edge.base import EdgeBase
from atmdepot.edge.relay_way import RelayFlow, relay_ways
from atmdepot.restoring import restored_on_failure
from atmdepot.wire.ip import PROTOCOL_TCP
from atmdepot.wire.packet import quick_frame
from atmdepot.wire.tcp import ACK, FIN, RST, SYN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from atmdepot.atm.timers import Expiring
    from atmdepot.bearer.relay_port import RelayPath
    from atmdepot.config.model import Network
    from atmdepot.edge.protection import DepotWay
    from atmdepot.edge.relay_way import RelayWay
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.offload import PlainFrame
    from atmdepot.wire.packet import Packet

# C numbers, where this is compiled.
_SYN, _SYN_ACK, _TURNS, _TCP = SYN, SYN | ACK, SYN | FIN | RST, PROTOCOL_TCP


class RelayEdgeNode(EdgeBase):
    """The data path of an edge node with PVCs of Frame Relay to depots."""

    oam: None = None
    protected: Mapping[str, Any] = {}
    """It has neither: the LMI tells of its PVCs."""

    def __init__(self, network: Network, node: str, now: int = 0) -> None:
        """Make an edge node of a VC table at a time in ns; its PVCs lead to depots."""
        EdgeBase.__init__(self, network, node)
        ports = relay_ports(network, node, now)
        self.use_links(ports)
        self.follow(network, relay_ways(network, node, ports))
        self._way_at: dict[str, RelayWay] = {way.port: way for way in self.ways}
        """The way on each link."""
        for name, way in self._way_at.items():
            way.relay.open_stray = partial(self._open, name)
        self._only: RelayWay | None = self.ways[0] if len(self.ways) == 1 else None
        # A packet may move to another depot, so it must fit the PVCs to all.
        self.mtu = min(way.mtu for way in self.ways)
        self._clp = QosMap(network.qos.dscp, network.qos.contracts).clp
        self._now = now
        self.reconfigure(network, now)

    def reconfigure(self, network: Network, now: int) -> None:
        """Take over the values of a changed VC table that may change while flows go on: their lifetime and number."""
        with restored_on_failure(and_attributes_of=(self,)):
            self._take_over(network)

    # From depots to the server.

    def octets_from_port(self, name: str, octets: bytes, now: int) -> None:
        """Take frames from a link."""
        self._now = now
        for arrival in self.links[name].receive(octets, now):  # type: ignore[attr-defined]  # ports of this bearer
            frame = arrival.frame
            if frame is None:
                self._packet_from_path(arrival.path, arrival.octets, now)
            elif not self._passes_whole(arrival.path, frame, now):
                for packet in frame.packets():
                    self._packet_from_path(arrival.path, packet, now)

    def _passes_whole(self, path: RelayPath, frame: PlainFrame, now: int) -> bool:
        """Pass a frame of TCP to the server as `_packet_from_path` does its packets; False where that cannot be."""
        packet = quick_frame(frame)
        if packet is None or packet.is_for_a_group:
            return False
        self._learn(packet, path, now)
        self.packets_out.append(frame)
        return True

    def _packet_from_path(self, path: RelayPath, octets: bytes, now: int) -> None:
        if path.is_management:
            self._message_from_depot(self._way_at[path.port], octets, now)
            return
        packet = self.analyse(octets, path)
        if packet is None:
            return
        # A packet without ports (ICMP, later fragments) names no flow.
        if packet.source_port:
            self._learn(packet, path, now)
        self.packets_out.append(octets)

    def _open(self, link: str, dlci: int, _: bytes) -> RelayPath | None:
        """Open a PVC of the session range for its first frame; it closes after 2 MSL unless a flow comes on it."""
        way = self._way_at[link]
        if not way.is_session(dlci):
            return None
        path = way.open(dlci)
        self._own(None, path, self._now, self._lifetime_unclaimed)
        return path

    def _own(self, key: FlowKey | None, path: RelayPath, now: int, lifetime: int) -> RelayFlow:
        """Give a PVC of its own to a flow, or to none yet; what had it before has ended."""
        before: RelayFlow | None = path.owner  # type: ignore[assignment]  # at an edge node flows own PVCs
        if before is not None:
            self._wheel.remove(before)
            if before.key is not None:
                del self.flows[before.key]
        flow = RelayFlow(key, path, now + lifetime)
        if not path.use:  # many flows share the default PVC
            path.owner = flow
        if key is not None:
            self.flows[key] = flow
        self._wheel.add(flow, now)
        return flow

    def _learn(self, packet: Packet, path: RelayPath, now: int) -> None:
        """Note that the PVC carries the packet's flow."""
        key = packet.key
        flow: RelayFlow | None = self.flows.get(key)
        if flow is not None and flow.path is path:
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
        if path.use and not self._learns_on_default(packet):
            return
        # The dict is in order of insertion: the flow that was learnt first goes.
        if len(self.flows) >= self._most_flows:
            self._forget(next(iter(self.flows.values())), now)
        turns = 0 if packet.tcp is None else packet.tcp.flags & _TURNS
        ends = bool(turns) and not turns & _SYN
        flow = self._own(key, path, now, self._lifetime_unclaimed if ends else self._lifetime)
        flow.is_half_open, flow.has_ended = bool(turns & _SYN), ends
        flow.stays = self._is_opened_aside(packet, path, now)

    def _learns_on_default(self, packet: Packet) -> bool:
        """True for a flow of the shared PVC that a depot may ask for, and for each where there are several depots.

        Other answers without a known flow go on the shared PVC anyway. Where flows get PVCs of their own, a UDP flow on
        the shared one has had no answer yet, and is worth nothing.
        """
        only = self._only
        return only is None or (self._is_recalled and (packet.protocol == _TCP or not only.has_own))

    def _is_opened_aside(self, packet: Packet, path: RelayPath, now: int) -> bool:
        """True for a SYN from a depot that stands by: its probe, as a rule, which is answered there."""
        tcp = packet.tcp
        if self._only is not None or tcp is None or tcp.flags & _SYN_ACK != _SYN:
            return False
        way = self._way_at[path.port]
        return not way.announces(now) and way.following.followed(now) != ""

    def _forget(self, flow: RelayFlow, now: int) -> None:
        """Let a flow's own PVC wait for another flow."""
        if not flow.path.use:
            self._own(None, flow.path, now, self._lifetime_unclaimed)
            return
        self._wheel.remove(flow)
        assert flow.key is not None
        del self.flows[flow.key]

    # From the server to depots.

    def packet_from_tun(self, octets: bytes, now: int) -> None:
        """Take a packet of the server from the TUN device."""
        packet = self.analyse_from_tun(octets)
        if packet is None:
            return
        if len(octets) > self.mtu:
            self.answer_too_big(octets, packet, self.mtu)
            return
        path = self._path_of_answer(octets, packet, now)
        if path is None:
            return
        self._send(octets, path, packet, now)
        if packet.fragment and not packet.later:
            for held in self.fragments.first(packet, path, now, packet.destination):
                self._send(held.octets, path, held.packet, now)

    def _takes_frame(self, frame: PlainFrame, packet: Packet, now: int) -> bool:
        """Send a frame of the server as `packet_from_tun` does its packets; False where each is answered or dropped."""
        if frame.greatest() > self.mtu or packet.is_for_a_group:
            return False
        for path in self._copies(self._path_of_flow(packet, now), now):
            path.send_frame(frame, self._clp[packet.dscp])
        return True

    def _send(self, octets: bytes, path: RelayPath, packet: Packet, now: int) -> None:
        for each in self._copies(path, now):
            each.send(octets, self._clp[packet.dscp])

    def _path_of_answer(self, octets: bytes, packet: Packet, now: int) -> RelayPath | None:
        """The PVC of the packet's flow, at the depot to answer; None for a fragment that waits for its first."""
        if packet.later:
            # All packets come from the same server, so the origin is the client, among which shares must be fair.
            return self.fragments.later(octets, packet, now, packet.destination)
        return self._path_of_flow(packet, now)

    def _path_of_flow(self, packet: Packet, now: int) -> RelayPath:
        """The PVC of the packet's flow, else the shared one, at the depot that is to have the packet."""
        flow: RelayFlow | None = self.flows.get(packet.reverse_key())
        if self._only is not None:
            return self._only.default if flow is None else flow.path
        if flow is None:
            return self._default(now)
        way = self._way_at[flow.path.port]
        if flow.stays:
            if not way.announces(now):
                return flow.path
            flow.stays = False
        to: RelayWay = way.following.answers(way, now)  # type: ignore[assignment]  # all ways here are of this bearer
        return flow.path if to is way else self._path_at(to, flow.path)

    def _default(self, now: int) -> RelayPath:
        """The shared PVC at the depot that is followed, of the first set in which one is."""
        chosen: list[Any] = [following.chosen(now) for following in self.followings.values()]
        default: RelayPath = next((way for way in chosen if way.announces(now)), chosen[0]).default
        return default

    def _path_at(self, way: RelayWay, path: RelayPath) -> RelayPath:
        """The PVC of another depot with the DLCI of a PVC."""
        at = way.relay.paths.get(path.dlci) or self._open(way.port, path.dlci, b"")
        return way.default if at is None else at

    def _copies(self, path: RelayPath, now: int) -> Sequence[RelayPath]:
        """The PVCs for a packet: one, or those to all depots of a set that stands by hot (1+1)."""
        if self._only is not None:
            return (path,)
        following = self._way_at[path.port].following
        if not following.is_bridged or (isinstance(path.owner, RelayFlow) and path.owner.stays):
            return (path,)
        ways: Sequence[RelayWay] = following.ways  # type: ignore[assignment]  # all ways here are of this bearer
        self._now = now
        return [path if way.port == path.port else self._path_at(way, path) for way in ways]

    # In time, and what depots ask.

    def _channel_of(self, item: Expiring, way: DepotWay) -> int:
        """The depot's number of the PVC of a flow that goes on, where a depot of the set opened it; else 0."""
        assert isinstance(item, RelayFlow)
        if item.key is None or item.has_ended or self.flows.get(item.key) is not item:
            return 0
        its = self._way_at[item.path.port]
        return its.number_of(item.path) if its.of == way.of else 0

    def _expire(self, item: Expiring) -> None:
        """Forget a flow that was idle, and close its PVC."""
        assert isinstance(item, RelayFlow)
        if item.key is not None:
            del self.flows[item.key]
        if not item.path.use:
            item.path.owner = None
            item.path.relay.close(item.path)
