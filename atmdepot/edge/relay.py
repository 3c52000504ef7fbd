"""The edge node of a link of Frame Relay: frames to packets for the server, and its answers to frames.

As the edge node of ATM learns the flow of a VC, this one learns the flow of a DLCI from the packets that come on it,
and sends the flow's answers there. Packets of no known flow go on the shared DLCI. It has a single way, to the depot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.fragments import FragmentMap
from atmdepot.atm.timers import Expiring, TimerWheel
from atmdepot.bearer.relay_port import RelayPath, relay_ports
from atmdepot.config.qos import QosMap
from atmdepot.drops import DropReason
from atmdepot.node.node import Node
from atmdepot.restoring import restored_on_failure
from atmdepot.wire.packet import quick_frame
from atmdepot.wire.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from atmdepot.config.model import Network
    from atmdepot.node.proxy_counts import ProxyCounts
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.offload import PlainFrame
    from atmdepot.wire.packet import Packet
    from atmdepot.wire.statistics import ServerState


class RelayFlow(Expiring):
    """A learnt flow and its PVC; the key is as the client sees the flow. Without a key the PVC waits for a flow."""

    __slots__ = ("key", "path")

    def __init__(self, key: FlowKey | None, path: RelayPath, deadline: int) -> None:
        self.stand_nowhere(deadline)
        self.key, self.path = key, path


class RelayEdgeNode(Node):
    """The data path of an edge node with PVCs of Frame Relay to the depot."""

    oam: None = None
    protected: Mapping[str, Any] = {}
    """It has neither: the LMI tells of its PVCs."""
    followings: Mapping[str, Any] = {}
    """It follows no depot: its PVCs lead to a single one."""

    def __init__(self, network: Network, node: str, now: int = 0) -> None:
        """Make an edge node of a VC table at a time in ns; its PVCs lead to a depot."""
        super().__init__(network, node)
        ports = relay_ports(network, node, now)
        self.use_links(ports)
        # To the depot, or to an interworking function on the way there.
        name, settings = next(iter(network.dlcis_of(node).items()))
        self._far, self._settings = settings.other_end(node), settings
        self.port = ports[network.relay_links(name)[node]]
        self.default = self.port.add(RelayPath(self.port, settings.dlci, self._far, settings, "default"))
        self.management = self.port.add(
            RelayPath(self.port, settings.statistics_dlci, self._far, settings, "management"))
        self.port.open_stray = self._open
        self.mtu = settings.mtu
        self._clp = QosMap(network.qos.dscp, network.qos.contracts).clp
        self.flows: dict[FlowKey, RelayFlow] = {}
        self.fragments: FragmentMap[RelayPath] = FragmentMap(self.drops)
        self.server_state: ServerState | None = None  # as of the last report; None before the first
        self.proxy: ProxyCounts | None = None  # of its server, where that is a caching proxy
        self.tries_not_made = 0  # of connections to the server, which this host could not make
        self._sequence = 0
        self._now = now
        self._wheel = TimerWheel()
        self.reconfigure(network, now)

    def reconfigure(self, network: Network, now: int) -> None:
        """Take over the values of a changed VC table that may change while flows go on: their lifetime and number."""
        with restored_on_failure(and_attributes_of=(self,)):
            self._lifetime = network.sessions.idle + network.sessions.two_msl
            self._lifetime_unclaimed = network.sessions.two_msl
            self._most_flows = network.sessions.max_sessions
            self.network = network

    # From the depot to the server.

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
            self.port.drops.count(DropReason.BAD_STATISTICS, 1, octets, path)  # the depot sends no statistics
            return
        packet = self.analyse(octets, path)
        if packet is None:
            return
        # A packet without ports (ICMP, later fragments) names no flow.
        if packet.source_port:
            self._learn(packet, path, now)
        self.packets_out.append(octets)

    def _open(self, dlci: int, _: bytes) -> RelayPath | None:
        """Open a PVC of the session range for its first frame; it closes after 2 MSL unless a flow comes on it."""
        own = self._settings.session_dlcis
        if own is None or not own.holds(dlci):
            return None
        path = self.port.add(RelayPath(self.port, dlci, self._far, self._settings))
        self._own(None, path, self._now, self._lifetime_unclaimed)
        return path

    def _own(self, key: FlowKey | None, path: RelayPath, now: int, lifetime: int) -> RelayFlow:
        """Give a PVC of its own to a flow, or to none yet; what had it before has ended."""
        before: RelayFlow | None = path.owner  # type: ignore[assignment]  # at an edge node flows own PVCs
        if before is not None:
            self._wheel.remove(before)
            if before.key is not None:
                del self.flows[before.key]
        flow = path.owner = RelayFlow(key, path, now + lifetime)
        if key is not None:
            self.flows[key] = flow
        self._wheel.add(flow, now)
        return flow

    def _learn(self, packet: Packet, path: RelayPath, now: int) -> None:
        """Note that the PVC carries the packet's flow."""
        flow = self.flows.get(packet.key)
        if flow is not None and flow.path is path:
            flow.deadline = now + self._lifetime
            return
        if flow is not None:
            self._forget(flow, now)
        # Many flows share the default PVC, and answers without a known flow go there anyway.
        if path is self.default:
            return
        # The dict is in order of insertion: the flow that was learnt first goes.
        if len(self.flows) >= self._most_flows:
            self._forget(next(iter(self.flows.values())), now)
        self._own(packet.key, path, now, self._lifetime)

    def _forget(self, flow: RelayFlow, now: int) -> None:
        """Let a flow's PVC wait for another flow."""
        self._own(None, flow.path, now, self._lifetime_unclaimed)

    # From the server to the depot.

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
        path.send(octets, self._clp[packet.dscp])
        if packet.fragment and not packet.later:
            for held in self.fragments.first(packet, path, now, packet.destination):
                path.send(held.octets, self._clp[held.packet.dscp])

    def _takes_frame(self, frame: PlainFrame, packet: Packet, now: int) -> bool:
        """Send a frame of the server as `packet_from_tun` does its packets; False where each is answered or dropped."""
        if frame.greatest() > self.mtu or packet.is_for_a_group:
            return False
        flow = self.flows.get(packet.reverse_key())
        path = self.default if flow is None else flow.path
        path.send_frame(frame, self._clp[packet.dscp])
        return True

    def _path_of_answer(self, octets: bytes, packet: Packet, now: int) -> RelayPath | None:
        """The PVC of the packet's flow, else the default PVC; None for a fragment that waits for its first."""
        if packet.later:
            # All packets come from the same server, so the origin is the client, among which shares must be fair.
            return self.fragments.later(octets, packet, now, packet.destination)
        flow = self.flows.get(packet.reverse_key())
        return self.default if flow is None else flow.path

    def send_statistics(self, server: ServerState, load: float, cores: int, connect_time: int, now: int) -> None:
        """Report on the management PVC; `load` as the system has it, `connect_time` to the server in ns."""
        self.server_state = server
        self._sequence = (self._sequence + 1) % (1 << 32)
        report = Statistics(
            server, cores, self._sequence, len(self.flows), self.tx_packets, self.rx_packets, self.tx_octets,
            self.rx_octets, min(int(load * 1000), 0xFFFFFFFF), min(connect_time // 1000, 0xFFFFFFFF), now,
            proxy=None if self.proxy is None else self.proxy.figures())
        self.management.send(report.pack(), 0)

    # In time.

    def handle_timer(self, now: int) -> None:
        """Forget flows that have been idle, and close their PVCs; expire fragments, and have the LMI do its work."""
        for item in self._wheel.expired(now):
            assert isinstance(item, RelayFlow)
            if item.key is not None:
                del self.flows[item.key]
            item.path.owner = None
            self.port.close(item.path)
        self.fragments.expire(now)
        for port in self._ports_by_number:
            port.handle_timer(now)

    def wheels(self) -> list[TimerWheel]:
        """The timer wheel of the flows."""
        return [self._wheel]

    def next_timer(self) -> int | None:
        """The time (ns) at which `handle_timer` is next due, or None."""
        times = (self._wheel.next_timer(), self.fragments.next_timer(),
                 *(port.next_timer() for port in self._ports_by_number))
        return min((time for time in times if time is not None), default=None)
