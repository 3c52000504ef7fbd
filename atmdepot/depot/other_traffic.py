"""What is not TCP: UDP flows, ICMP errors and their sessions, and all that belongs to none.

UDP to a service is a flow with an idle time, given to a server as a session is. An ICMP error follows the session that
the packet inside it names (path MTU discovery dies without it). All else, echo requests among it, takes the default VC
of a server that is the same for a client as long as the alive-list stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.sessions import Session, SessionEvent
from atmdepot.drops import DropReason
from atmdepot.wire.flows import flow_key
from atmdepot.wire.icmp import quoted_flow, says_unreachable
from atmdepot.wire.ip import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP

if TYPE_CHECKING:
    from atmdepot.atm.vc import Vc
    from atmdepot.bearer.atm import Target
    from atmdepot.depot.forwarding import Depot
    from atmdepot.depot.session_management import Pool
    from atmdepot.wire.packet import Packet


class OtherTraffic:
    """Finds targets in the depot's own tables."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot

    def target(self, octets: bytes, packet: Packet, now: int) -> Target | None:
        """Where a client's packet goes; None (and counted) when no service is there for it."""
        depot = self._depot
        pool = depot.management.pool_of_vip(packet.destination)
        if pool is None:
            depot.drops.count(DropReason.NOT_A_SERVICE, 1, octets)
            return None
        if packet.protocol in (PROTOCOL_ICMP, PROTOCOL_ICMPV6):
            session = self.session_of_error(octets)
            if session is not None:
                return session.target
        elif packet.protocol == PROTOCOL_UDP:
            return self._flow_target(octets, packet, now)
        return self._default_target(pool, octets, packet)

    def session_of_error(self, octets: bytes) -> Session | None:
        """The session named by the packet inside a client's ICMP error; that packet came from the server."""
        flow = quoted_flow(octets)
        if flow is None:
            return None
        protocol, source, sport, destination, dport = flow
        return self._depot.sessions.find(flow_key(protocol, destination, dport, source, sport))

    def _flow_target(self, octets: bytes, packet: Packet, now: int) -> Target | None:
        depot = self._depot
        key = packet.key()
        flow = depot.sessions.find(key)
        if flow is None:
            flow = self._open_flow(octets, packet, now)
            if flow is None:
                return None
        depot.sessions.touch_flow(flow, now)
        flow.packets_in += 1
        flow.octets_in += len(octets)
        return flow.target

    def _open_flow(self, octets: bytes, packet: Packet, now: int) -> Session | None:
        depot = self._depot
        pool = depot.pool_for(packet)
        if isinstance(pool, DropReason):
            depot.drops.count(pool, 1, octets)
            return None
        server = pool.take_next(packet.source, now)
        if server is None:
            depot.drops.count(DropReason.NO_SERVER, 1, octets)
            return None
        flow = Session(packet.key(), server, depot.qos.category(packet.dscp), now)
        depot.sessions.open_flow(flow, now)
        flow.target = depot.vc_map.vps[server.vp].open(flow.category, flow)
        pool.preload(now)
        depot.sessions.tell(flow, SessionEvent.OPENED, pool.how(server))
        return flow

    def _default_target(self, pool: Pool, octets: bytes, packet: Packet) -> Target | None:
        server = pool.server_of(packet.source)
        if server is None:
            self._depot.drops.count(DropReason.NO_SERVER, 1, octets)
            return None
        return self._depot.vc_map.vps[server.vp].default_target

    def may_pass(self, link: str, vc: Vc, octets: bytes, packet: Packet, now: int) -> bool:
        """Whether a server's packet goes on to the client: what a VIP sends, and what routers say about sessions."""
        depot = self._depot
        if packet.protocol == PROTOCOL_UDP and (flow := depot.sessions.find(packet.reverse_key())) is not None:
            if flow.vp.link.name != link:
                depot.drops.count(DropReason.WRONG_VP, 1, octets, vc)
                return False
            depot.sessions.touch_flow(flow, now)
            flow.server.condition.answered(now)
            flow.packets_out += 1
            flow.octets_out += packet.total_length
        elif packet.protocol in (PROTOCOL_ICMP, PROTOCOL_ICMPV6):
            self._hear_error(link, octets, packet, now)
        return packet.protocol != PROTOCOL_TCP or depot.is_from_vip(octets, packet, vc)

    def _hear_error(self, link: str, octets: bytes, packet: Packet, now: int) -> None:
        """An error about a client's packet is an answer of its server, unless a router says that it cannot reach it."""
        flow = quoted_flow(octets)
        if flow is None:
            return
        protocol, source, sport, destination, dport = flow
        session = self._depot.sessions.find(flow_key(protocol, source, sport, destination, dport))
        if session is not None and session.vp.link.name == link and (
                packet.source == destination or not says_unreachable(octets)):
            session.server.condition.answered(now)
