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

from atmdepot.atm.fragments import FragmentMap
from atmdepot.atm.timers import Expiring, TimerWheel
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.bearer.adaptation import LinkAdaptation
from atmdepot.bearer.circuits import CircuitEnd, Circuits
from atmdepot.bearer.oam import NodeOam
from atmdepot.bearer.protected import protected_vps
from atmdepot.bearer.shaping import port_of
from atmdepot.config.links import Vp
from atmdepot.config.qos import QosMap
from atmdepot.drops import DropReason
from atmdepot.edge.recall import Answer
from atmdepot.edge.vp_table import VpTable
from atmdepot.edge.ways import followings_of, ways_of
from atmdepot.node.node import Node
from atmdepot.restoring import restored_on_failure
from atmdepot.wire.announcement import Announcement, OtherBuild, Recall, read
from atmdepot.wire.cell import Interface
from atmdepot.wire.ip import PROTOCOL_TCP
from atmdepot.wire.packet import quick_frame
from atmdepot.wire.statistics import ServerState, Statistics
from atmdepot.wire.tcp import FIN, RST, SYN

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.drops import OnChannel
    from atmdepot.edge.protection import DepotWay, HeardDepot
    from atmdepot.node.proxy_counts import ProxyCounts
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.offload import PlainFrame
    from atmdepot.wire.packet import Packet


_TCP, _SYN, _TURNS = PROTOCOL_TCP, SYN, SYN | FIN | RST  # C numbers, where this is compiled


class Flow(Expiring):
    """A learnt flow and its VC; the key is as the client sees the flow."""

    __slots__ = ("has_ended", "key", "stays", "vc")

    def __init__(self, key: FlowKey, vc: Vc, deadline: int) -> None:
        self._begin(key, vc, deadline)

    def _begin(self, key: FlowKey, vc: Vc, deadline: int) -> None:
        self.stand_nowhere(deadline)
        self.key, self.vc = key, vc
        self.has_ended = False  # by the client's FIN or RST; then it is known for 2 MSL more
        self.stays = False  # it was opened by a depot that stands by, as a probe is: its answers go there


class UnclaimedVc(Expiring):
    """A VC of the session range without a flow: its first cells made no packet, or its flow has left it."""

    __slots__ = ("vc",)

    def __init__(self, vc: Vc, deadline: int) -> None:
        self.stand_nowhere(deadline)
        self.vc = vc


class EdgeNode(Node):
    """The edge node's data path."""

    def __init__(self, network: Network, node: str) -> None:
        """Make an edge node of a VC table, with a VP to the depot, circuits, or both."""
        super().__init__(network, node)
        self.qos = QosMap(network.qos.dscp, network.qos.contracts)
        self._clp = self.qos.clp
        self._open_vps_to_depots()
        self._answers: dict[DepotWay, Answer] = {}  # to recalls, while they are told
        opened = {way.link.name: way.link for way in self.ways}
        links = {name: opened.get(name) or port_of(network, name, node, VcTable())
                 for name in network.links_of(node)}
        self.use_links(links)
        self.circuits = Circuits(network, node, links, self.qos)
        self._has_circuits = bool(self.circuits.ends)
        self.oam = NodeOam(network, node, links)
        self.protected = protected_vps(network, node, links, self.oam)
        self.flows: dict[FlowKey, Flow] = {}
        self.fragments: FragmentMap[Vc] = FragmentMap(self.drops)
        self.server_state: ServerState | None = None  # as of the last report; None before the first
        self.proxy: ProxyCounts | None = None  # of its server, where that is a caching proxy
        self._reported: tuple[float, int, int] = 0.0, 1, 0  # load, cores and time to connect, as of then
        self.tries_not_made = 0  # of connections to the server, which this host could not make
        self._sequence = 0
        self._wheel = TimerWheel()
        self.reconfigure(network, 0)

    def _open_vps_to_depots(self) -> None:
        network, node = self.network, self.name
        self.ways = ways_of(network, node, self.qos)
        self.leads_to_depot = bool(self.ways)
        if self.ways:
            way = self.ways[0]
            self.table, self.link, self.mtu = way.table, way.link, way.mtu
        else:  # the place of a VP that no link carries, so that the data path need not ask for each packet
            self.table = VpTable(Vp(ends=[node], vpi=0), 0, Interface.UNI, self.qos)
            self.link = LinkAdaptation("", Interface.UNI, self.table, timeout=0, max_octets=0)
            self.mtu = 0
        self.followings = followings_of(network, self.ways)

    def reconfigure(self, network: Network, now: int) -> None:
        """Take over the values of a changed VC table that may change while flows go on: their lifetime and number."""
        with restored_on_failure(and_attributes_of=(self,)):
            # As long as the depot can hold the session: idle in the primary table, then 2 MSL in the secondary table.
            self._lifetime = network.sessions.idle + network.sessions.two_msl
            self._lifetime_unclaimed = network.sessions.two_msl
            self._most_flows = network.sessions.max_sessions
            self._vips = frozenset(vip.packed for vip in network.vips)
            self._is_recalled = any(network.sets[name].recall for name in self.followings)
            for name, following in self.followings.items():
                following.silence = int(network.sets[name].silence)
            self.network = network

    # From the depot, or the far end of a circuit, to the server.

    def octets_from_port(self, name: str, octets: bytes, now: int) -> None:
        """Take cells (a multiple of 53 octets) from a link."""
        link = self.link
        if name is not link.name:  # nearly all datagrams are of this link: no look-up for them
            link = self.links[name]  # type: ignore[assignment]  # all ports of this node are of ATM
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

    def _message_from_depot(self, way: DepotWay, octets: bytes, now: int) -> None:
        """Hear a depot announce itself, or answer its recall."""
        told, wrong = None, DropReason.BAD_ANNOUNCEMENT
        try:
            told = read(octets)
        except OtherBuild:
            wrong = DropReason.OTHER_BUILD
        except ValueError:
            pass
        if isinstance(told, Announcement) and (told.of, told.node) == (way.of, way.depot):
            way.following.hear(way, told, now)
            self._tell_news(now)
        elif isinstance(told, Recall):
            if way in self._answers:
                self._answers[way].give_up()
            self._answers[way] = Answer(told, way, self._wheel, now)
            while way in self._answers and self._answers[way].due <= now:
                self._go_on_with_answers(now)
        else:
            way.link.drops.count(wrong, 1, octets, way.table.management)

    def _go_on_with_answers(self, now: int) -> None:
        """Tell a slice of each answer that is due."""
        for way, answer in list(self._answers.items()):
            if answer.due > now:
                continue
            items = answer.some(now)
            if items is None:
                answer.end()
                del self._answers[way]
                continue
            for item in items:
                if isinstance(item, Flow) and not item.has_ended and self.flows.get(item.key) is item \
                        and self._way_of(item.vc).of == way.of:
                    answer.tell(item.key, item.vc.vci, max(0, now - item.deadline + self._lifetime))
        self.urgent = bool(self._answers)

    def _way_of(self, vc: Vc) -> DepotWay:
        """The way that has a VC."""
        return self.ways[0]

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
                flow.has_ended = not tcp.flags & _SYN
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
        flow._begin(key, vc, now + self._lifetime)
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
            return self.fragments.later(octets, packet, now, packet.destination)
        flow = self.flows.get(packet.reverse_key())
        return self.table.default if flow is None else flow.vc

    # From the node itself to each depot.

    def send_statistics(self, server: ServerState, load: float, cores: int, connect_time: int, now: int) -> None:
        """Report on the management VC; `load` as the system has it, `connect_time` to the server in ns."""
        self.server_state, self._reported = server, (load, cores, connect_time)
        self._send_statistics(server, now)

    def _tell_news(self, now: int) -> None:
        """Tell the depots of a set at once that another of them is followed, or none any more.

        By the next report they would know a second later. The server was not tried anew.
        """
        news = [following.has_news(now) for following in self.followings.values()]
        if any(news) and self.server_state is not None:
            self._send_statistics(ServerState.UNKNOWN, now)

    def _send_statistics(self, server: ServerState, now: int) -> None:
        load, cores, connect_time = self._reported
        self._sequence = (self._sequence + 1) % (1 << 32)
        for way in self.ways:
            link, following = way.link, way.following
            statistics = Statistics(
                server, cores, self._sequence, len(self.flows), self.tx_packets, self.rx_packets, self.tx_octets,
                self.rx_octets, min(int(load * 1000), 0xFFFFFFFF), min(connect_time // 1000, 0xFFFFFFFF), now,
                link.fillers_sent & 0xFFFF, link.reassembler.unassigned_cells & 0xFFFF,
                following.term, following.followed(now), None if self.proxy is None else self.proxy.figures())
            link.send(statistics.pack(), way.table.management, 0)

    def heard_depots(self, now: int) -> list[HeardDepot]:
        """The depots to which the node has a VP, as it has heard them, set by set."""
        return [heard for following in self.followings.values() for heard in following.heard(now)]

    # In time.

    def handle_timer(self, now: int) -> None:
        """Expire learnt flows and unclaimed VCs, and close their VCs; expire held fragments and unfinished PDUs."""
        for item in self._wheel.expired(now):
            if isinstance(item, Flow):
                del self.flows[item.key]
            if self.table.is_session_vc(item.vc):
                self._close(item.vc)
                item.vc.owner = None  # breaks the reference cycle: neither waits for the garbage collector
        self.fragments.expire(now)
        self._tell_news(now)
        if self._answers:
            self._go_on_with_answers(now)
        for port in self._ports_by_number:
            port.handle_timer(now)

    def _close(self, vc: Vc) -> None:
        self.link.close(vc)

    def wheels(self) -> list[TimerWheel]:
        """The timer wheel of flows and unclaimed VCs."""
        return [self._wheel]

    def stood_still(self, span: int, now: int) -> None:
        """Note that the process did not run for `span` ns until now, so that no far end counts as silent."""
        self.oam.stood_still(span, now)
        for following in self.followings.values():
            following.stood_still(span, now)

    def next_timer(self) -> int | None:
        """The time (ns) at which `handle_timer` is next due, or None."""
        times = (self._wheel.next_timer(), self.fragments.next_timer(),
                 *(answer.due for answer in self._answers.values()),
                 *(following.next_news() for following in self.followings.values()),
                 *(port.next_timer() for port in self._ports_by_number))
        return min((time for time in times if time is not None), default=None)
