"""Traffic other than TCP: UDP flows, ICMP errors and their sessions, and packets without a session.

UDP to a service is a flow with an idle time. It gets a server as a session does, and leaves a server that is dead, gone
or draining. An ICMP error follows the packet that it quotes, since path MTU discovery needs it: to the packet's session
or flow, or for any other protocol to the server of the client's packets. All other packets, echo requests included,
take the default path of a server, which is the same for a client as long as the alive-list does not change.

From servers these packets pass: packets of flows, ICMP queries and replies and other protocols from the VIPs of the
server, ICMP errors from any address about clients' packets, and later fragments of packets that have passed. All other
packets are dropped, unless `servers.X.allow` lets them pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.fragments import fragment_key
from atmdepot.depot.servers import Server
from atmdepot.depot.session import Session, SessionEvent
from atmdepot.depot.state import Decision
from atmdepot.drops import DropReason
from atmdepot.wire.flows import flow_key
from atmdepot.wire.icmp import is_error, quoted_packet, says_unreachable
from atmdepot.wire.ip import EXTENSIONS, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP

if TYPE_CHECKING:
    from atmdepot.bearer.base import Path
    from atmdepot.depot.orphans import Orphans
    from atmdepot.depot.session_management import Pool
    from atmdepot.depot.state import DepotState
    from atmdepot.wire.icmp import Quoted
    from atmdepot.wire.packet import Packet

_ICMP = (PROTOCOL_ICMP, PROTOCOL_ICMPV6)
_NEED_MORE = {PROTOCOL_TCP, PROTOCOL_UDP, *EXTENSIONS}
"""Protocols whose quoted packet is too short to assign if it has no ports: ports or upper protocol were cut off."""


class OtherTraffic:
    """The forwarding of traffic other than TCP, by the depot's own tables."""

    def __init__(self, depot: DepotState, orphans: Orphans) -> None:
        self._depot = depot
        self._orphans = orphans

    def path_of(self, octets: bytes, packet: Packet, now: int) -> Path | None:
        """The path of a client's packet; None (and counted) when it has no service, session or server."""
        depot = self._depot
        found = self.decide(octets, packet, now)
        if isinstance(found, Decision):
            found = found.reason if found.server is None else self._open_flow(packet, found, now)
        if isinstance(found, DropReason):
            depot.drops.count(found, 1, octets)
            return None
        if isinstance(found, Session):
            if packet.protocol == PROTOCOL_UDP:  # an ICMP error belongs to no flow, and prolongs none
                depot.sessions.touch_flow(found, now)
                depot.sessions.client_seen = now
                found.packets_in += 1
                if found.packets_in == 2:  # no longer a lone packet: the other depots of the set are told of it
                    depot.sessions.note(found)
                found.octets_in += len(octets)
                found.server.octets_in += len(octets)
            return found.path
        return depot.bearer.default(found.node) if isinstance(found, Server) else found

    def decide(self, octets: bytes, packet: Packet, now: int) -> Session | Decision | Path | Server | DropReason:
        """Decide what becomes of a client's packet, without a change of state.

        It follows the session or flow returned, opens a flow by the decision, or goes to the path or the server; or it
        is dropped for the reason.
        """
        depot = self._depot
        pool = depot.management.pool_of_vip(packet.destination)
        if pool is None:
            return DropReason.NOT_A_SERVICE
        if packet.protocol in _ICMP and is_error(octets):
            return self._subject_of_error(pool, octets, packet, now)
        if packet.protocol == PROTOCOL_UDP:
            flow = depot.sessions.find(packet.key)
            return depot.decide(packet, now) if flow is None or self._leaves(flow, packet, now) else flow
        return pool.server_of(packet.source) or DropReason.NO_SERVER

    def _subject_of_error(
        self, pool: Pool, octets: bytes, packet: Packet, now: int,
    ) -> Session | Path | Server | DropReason:
        """The receiver of a client's ICMP error: the session of the server's packet that the error quotes.

        For a quoted later fragment it is the fragment's path, and for a protocol without sessions the server of the
        client. It is the drop reason when no server of this network sent the quoted packet, or when too little of the
        packet is quoted.
        """
        depot = self._depot
        quoted = quoted_packet(octets)
        # The quoted packet went the other way: its source, a VIP, is the address to which the error is sent.
        if quoted is None or quoted.source != packet.destination:
            return DropReason.NO_SESSION
        if quoted.ports is not None:
            to, port = quoted.ports[1], quoted.ports[0]  # a server's packet, but the key is client first
            return (depot.sessions.find(flow_key(quoted.protocol, quoted.destination, to, quoted.source, port))
                    or DropReason.NO_SESSION)
        if (path := self._path_of_quoted_fragment(quoted, now)) is not None:
            return path
        if quoted.protocol in _NEED_MORE:
            return DropReason.NO_SESSION
        return pool.server_of(quoted.destination) or DropReason.NO_SERVER

    def _path_of_quoted_fragment(self, quoted: Quoted, now: int) -> Path | None:
        if not quoted.later:
            return None
        return self._depot.fragments.target_named(fragment_key(
            quoted.version, quoted.protocol, quoted.source, quoted.destination, quoted.identification), now)

    def _leaves(self, flow: Session, packet: Packet, now: int) -> bool:
        """True when a flow leaves its server, and opens anew with this packet.

        The server is dead or out of the pool, or it has been draining until `flows_leave_at` and the pool has a
        candidate.
        """
        server = flow.server
        if self._depot.sessions.is_lost(flow):
            return True
        if not server.draining or now < server.flows_leave_at:
            return False
        return self._depot.decide(packet, now).has_free_server()

    def _open_flow(self, packet: Packet, decision: Decision, now: int) -> Session:
        """Open a flow as decided. It gets its own path only once it is answered, so no flood takes all channels."""
        depot, server, pool = self._depot, decision.server, decision.pool
        assert server is not None
        assert pool is not None
        pool.take(server, decision.candidates, now)
        flow = Session(packet.key, server, decision.category, now)
        old = depot.sessions.open_flow(flow, now, decision.evicts)
        flow.path = depot.bearer.for_unanswered(server.node, flow.category, flow)
        pool.preload(now)
        why = "" if old is None else f", no longer {old.server.name}"
        depot.sessions.tell(flow, SessionEvent.OPENED, pool.how(server) + why)
        return flow

    def answered(self, flow: Session) -> None:
        """Note the first answer to a flow: it is no flood, and gets its own path if a channel is free."""
        self._depot.sessions.flow_answered(flow)
        flow.path = self._depot.bearer.for_answered(flow.path, flow.category, flow)

    def may_pass(self, path: Path, octets: bytes, packet: Packet, now: int) -> bool:
        """True when a server's packet passes: it answers a client or is allowed; False (and counted) if not."""
        depot = self._depot
        if packet.later:  # it has no ports, so its first fragment decides
            return self._may_follow(path, octets, packet, now)
        if packet.protocol == PROTOCOL_UDP:
            flow = depot.sessions.find(packet.reverse_key()) or self._orphans.adopt(path, packet, now)
            if flow is not None:
                return self._answers_flow(flow, path, octets, packet, now)
        reason = self._refusal(path, octets, packet, now)
        if reason is None or depot.is_allowed(path, packet):
            return True
        depot.drops.count(reason, 1, octets, path)
        return False

    def _answers_flow(self, flow: Session, path: Path, octets: bytes, packet: Packet, now: int) -> bool:
        depot = self._depot
        if flow.path.node != path.node:  # a server speaks for no flow of another
            depot.drops.count(DropReason.WRONG_PATH, 1, octets, path)
            return False
        if flow.opening and not depot.shares(path.node, now):  # this is its first answer
            self.answered(flow)
        depot.sessions.touch_flow(flow, now)
        flow.server.condition.answered(now)
        flow.packets_out += 1
        flow.octets_out += packet.total_length
        flow.server.octets_out += packet.total_length
        return True

    def _refusal(self, path: Path, octets: bytes, packet: Packet, now: int) -> DropReason | None:
        """The drop reason for a server's packet without a flow; None when it may pass."""
        if packet.protocol in _ICMP and is_error(octets):
            return self._refusal_of_error(path, octets, packet, now)
        # Echo replies and other protocols have no flow to look up, so the source address decides.
        return self._refusal_of_vip(path, packet.source) or (
            DropReason.NO_SESSION if packet.protocol == PROTOCOL_UDP else None)

    def _refusal_of_vip(self, path: Path, address: bytes) -> DropReason | None:
        """The drop reason when a path's server must not send from an address; None for a VIP of its pools."""
        depot = self._depot
        if depot.management.pool_of_vip(address) is None:
            return DropReason.NOT_A_SERVICE
        server = depot.server_at(path)
        return None if server is not None and depot.management.serves(server, address) else DropReason.WRONG_PATH

    def _refusal_of_error(self, path: Path, octets: bytes, packet: Packet, now: int) -> DropReason | None:
        """The drop reason for an ICMP error from a server's side; None when a client sent the packet that it quotes."""
        quoted = quoted_packet(octets)
        # An error goes to the sender of the packet that it quotes, so both name the same client.
        if quoted is None or quoted.source != packet.destination:
            return DropReason.NO_SESSION
        way = None
        if (flow := quoted.flow()) is not None:
            session = self._depot.sessions.find(flow_key(*flow))
            if session is None:
                return DropReason.NO_SESSION
            way = session.path
            # An error is an answer of the server, unless a router reports that it cannot reach the server.
            if way.node == path.node and (packet.source == quoted.destination or not says_unreachable(octets)):
                session.server.condition.answered(now)
        way = way or self._path_of_quoted_fragment(quoted, now)
        if way is not None:
            return None if way.node == path.node else DropReason.WRONG_PATH
        if quoted.protocol in _NEED_MORE:  # without ports its session cannot be found
            return DropReason.NO_SESSION
        return self._refusal_of_vip(path, quoted.destination)

    def _may_follow(self, path: Path, octets: bytes, packet: Packet, now: int) -> bool:
        """True when a later fragment passes now: its first fragment has passed, or its source is allowed."""
        depot = self._depot
        if depot.is_allowed(path, packet):
            return True
        if (reason := self._refusal_of_vip(path, packet.source)) is not None:
            depot.drops.count(reason, 1, octets, path)
            return False
        return depot.fragments.later(octets, packet, now, path.node) is not None

    def follow_first(self, path: Path, packet: Packet, now: int) -> None:
        """Release the later fragments that waited for this first fragment of a server's packet."""
        depot = self._depot
        session = depot.sessions.find(packet.reverse_key())  # None for ICMP and protocols without sessions
        way = depot.bearer.default(path.node) if session is None else session.path
        depot.packets_out += [held.octets for held in depot.fragments.first(packet, way, now, path.node)]
