"""Block 40: TCP packet forwarding. Read it from top to bottom: that is the way of a packet.

::

    from a client                                          from a server
      analyse                what does it say of itself?     cells -> packet      reassemble, per VC
      service                is it for one of our VIPs?      analyse
      session                primary, then secondary table   session              of the flow, client first
        none, and a SYN:     preloaded next server, VC       state tracking
      state tracking         guess both ends' states         to the client        the octets that came
      size                   too big: ICMP error back
      class                  DSCP -> CLP of its cells
      cells                  segment, on the session's VC

The packet is only read. It is dropped only when its server cannot be known, and each drop has its `DropReason`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.node import AtmNode
from atmdepot.depot.qos import QosMap
from atmdepot.depot.session_management import SessionManagement
from atmdepot.depot.sessions import Session, SessionTables
from atmdepot.depot.tcp_states import is_opening
from atmdepot.depot.vc_map import VcMap
from atmdepot.drops import DropReason
from atmdepot.wire.icmp import quoted_flow
from atmdepot.wire.ip import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP

if TYPE_CHECKING:
    from atmdepot.atm.vc import Vc
    from atmdepot.depot.vc_map import VpMap
    from atmdepot.network import Network
    from atmdepot.wire.packet import FlowKey, Packet, TcpFields


class Depot(AtmNode):
    """The depot's data path."""

    def __init__(self, network: Network, now: int) -> None:
        """Make the depot of a VC table."""
        super().__init__(network, network.depot)
        self.qos = QosMap(network.qos.dscp, network.qos.contracts)
        self.management = SessionManagement(network, now)
        self.vc_map = VcMap(network, self.qos)
        self.links = self.vc_map.links
        self.sessions = SessionTables(network.sessions, self._release)

    # From clients to servers.

    def packet_from_tun(self, octets: bytes, now: int) -> None:
        """A client's packet, from the TUN device."""
        self.rx_packets += 1
        packet = self.analyse(octets)
        if packet is None:
            return
        if packet.tcp is None:
            self._without_session(octets, packet)
            return
        key = packet.key
        session = self.sessions.find(key)
        if session is None or self.sessions.is_new(session, packet.tcp):
            session = self._open_session(key, packet, packet.tcp, now)
            if session is None:
                return
        self.sessions.track(session, packet.tcp, now, from_client=True)
        session.packets_in += 1
        session.octets_in += len(octets)
        self._to_server(octets, packet, session.vp, session.vc)

    def _open_session(self, key: FlowKey, packet: Packet, tcp: TcpFields, now: int) -> Session | None:
        """A new session gets the preloaded next server and a VC; None (and counted) when it cannot be one."""
        pool = self.management.pool_of(packet.destination, packet.destination_port)
        server = None
        if pool is None:
            reason = DropReason.NOT_A_SERVICE
        elif not is_opening(tcp.flags):
            reason = DropReason.NO_SESSION
        elif not self.sessions.has_room_for(key):
            reason = DropReason.TABLE_FULL
        else:
            server, reason = pool.take_next(), DropReason.NO_SERVER
        if server is None:
            self.drops[reason] += 1
            return None
        session = Session(key, server, self.qos.category(packet.dscp), now)
        session.vp = self.vc_map.vps[server.vp]
        self.sessions.open(session, now)
        session.vc = session.vp.open(session.category, session)
        return session

    def _to_server(self, octets: bytes, packet: Packet, vp: VpMap, vc: Vc) -> None:
        if len(octets) > vp.mtu:
            self.answer_too_big(octets, packet, vp.mtu)
            return
        vp.link.send(octets, vc, self.qos.clp[packet.dscp])

    def _without_session(self, octets: bytes, packet: Packet) -> None:
        """What has no session takes a default VC, that of a fixed server; but an ICMP error follows its session."""
        pool = self.management.pool_of_vip(packet.destination)
        if pool is None:
            self.drops[DropReason.NOT_A_SERVICE] += 1
            return
        session = self._session_of_icmp_error(octets, packet, from_client=True)
        if session is not None:
            self._to_server(octets, packet, session.vp, session.vc)
            return
        server = pool.server_of(packet.source)
        if server is None:
            self.drops[DropReason.NO_SERVER] += 1
            return
        vp = self.vc_map.vps[server.vp]
        self._to_server(octets, packet, vp, vp.default)

    def _session_of_icmp_error(self, octets: bytes, packet: Packet, *, from_client: bool) -> Session | None:
        """The session named by the packet inside an ICMP error; that packet went the other way."""
        if packet.protocol not in (PROTOCOL_ICMP, PROTOCOL_ICMPV6):
            return None
        flow = quoted_flow(octets)
        if flow is None:
            return None
        protocol, source, sport, destination, dport = flow
        return self.sessions.find((protocol, destination, dport, source, sport) if from_client else flow)

    # From servers to clients.

    def cells_from_link(self, name: str, cells: bytes, now: int) -> None:
        """Cells (a multiple of 53 octets) that a link gave."""
        for vc, octets in self.links[name].receive(cells, now):
            packet = self.analyse(octets)
            if packet is not None and self._may_pass(name, vc, packet, now):
                self.packets_out.append(octets)

    def _may_pass(self, link: str, vc: Vc, packet: Packet, now: int) -> bool:
        """Follow a server's packet; False (and counted) when it belongs to no session of a server on this link."""
        if packet.tcp is None:
            # Later fragments and ICMP: what a VIP sends, and what routers behind the edge node say about sessions.
            return packet.protocol != PROTOCOL_TCP or self._is_from_vip(packet)
        session = self.sessions.find(packet.reverse_key)
        if session is None:
            self.drops[DropReason.NO_SESSION] += 1
            return False
        if session.server.link != link:
            self.drops[DropReason.WRONG_VP] += 1
            return False
        self.sessions.track(session, packet.tcp, now, from_client=False)
        session.packets_out += 1
        session.octets_out += packet.total_length
        return True

    def _is_from_vip(self, packet: Packet) -> bool:
        if self.management.pool_of_vip(packet.source) is None:
            self.drops[DropReason.NOT_A_SERVICE] += 1
            return False
        return True

    # In time.

    def handle_timer(self, now: int) -> None:
        """Expire sessions and unfinished PDUs."""
        self.sessions.expire(now)
        for link in self.links.values():
            link.reassembler.expire(now)

    def next_timer(self) -> int | None:
        """When `handle_timer` has something to do (ns), or None."""
        times = [self.sessions.next_timer(), *(link.reassembler.next_timer() for link in self.links.values())]
        return min((time for time in times if time is not None), default=None)

    def _release(self, session: Session) -> None:
        session.vp.close(session.vc, session)
