"""Servers' packets of sessions that the depot does not know, as after its restart.

On a VC of the session range the VP names the server, and the edge node keeps a flow on its VC. So the session is
adopted: it is made anew from the server's packet, on that VC. On a VC that sessions share, `sessions.orphan` decides.
With "reset" the depot answers the server with an RST (RFC 9293 section 3.10.7.1). It asks the client, which may only be
waiting for data, for an acknowledgment (a keep-alive, section 3.8.4): only that gives the number of an RST that the
client's TCP accepts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.sessions import Session
from atmdepot.drops import DropReason
from atmdepot.wire.flows import service_of_key
from atmdepot.wire.ip import source_in
from atmdepot.wire.tcp import ACK, FIN, RST, SYN, keep_alive_for, reset_for

if TYPE_CHECKING:
    from atmdepot.atm.vc import Vc
    from atmdepot.bearer.atm import VpMap
    from atmdepot.depot.forwarding import Depot
    from atmdepot.wire.packet import Packet, TcpFields

_ADDRESSES = (4, 16)


class Orphans:
    """The handling of packets from servers without a session, in the depot's own tables."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot
        for vp in depot.vc_map.vps.values():
            vp.recognise = self.may_begin  # so that a VP opens unknown VCs for no other cells

    def may_begin(self, vp: VpMap, payload: bytes) -> bool:
        """True when a PDU's first cell, by its 48 octets, may begin a packet of a session to adopt.

        The packet is TCP or UDP from a service of the VP's server. All other cells on an unknown VC are dropped.
        """
        management = self._depot.management
        source = source_in(payload[vp.default.encapsulation.overhead:])
        server = management.server_on.get(vp.name)
        if source is None or server is None:
            return False
        protocol, service = source
        if len(service) in _ADDRESSES:  # no port: with LLC/SNAP, the port of an IPv6 packet is in the second cell
            return management.serves(server, service)
        pool = management.pool_at(service, protocol)
        return pool is not None and server in pool.servers

    def session_of(self, link: str, vc: Vc, octets: bytes, packet: Packet, now: int) -> Session | None:
        """Adopt the session of a server's segment; None when it must not be (the segment is passed on or counted)."""
        depot = self._depot
        session = self.adopt(link, vc, packet, now)
        if session is not None:
            return session
        if depot.is_allowed(link, packet):
            depot.packets_out.append(octets)
            return None
        depot.drops.count(DropReason.NO_SESSION, 1, octets, vc)
        tcp, server = packet.tcp, depot.server_on(link)
        if (tcp is not None and server is not None and depot.network.sessions.orphan == "reset"
                and depot.management.serves(server, packet.source)):
            self._answer(link, octets, packet, tcp)
        return None

    def adopt(self, link: str, vc: Vc, packet: Packet, now: int) -> Session | None:
        """Make a session or flow from a server's packet; None when it must not be adopted.

        The VC must be a stray of the session range, and the source a service of the VP's server. A TCP segment must be
        of a kind that only an open session sends: with ACK, without SYN and RST.
        """
        depot = self._depot
        vp = depot.vc_map.on_link[link]
        if not vp.is_stray(vc) or (packet.tcp is not None and packet.tcp.flags & (ACK | SYN | RST) != ACK):
            return None
        key, server = packet.reverse_key(), depot.server_on(link)
        pool = depot.management.pool_at(service_of_key(key), packet.protocol)
        if pool is None or server is None or server not in pool.servers:
            return None
        if not depot.sessions.has_room_for(key, packet.tcp is not None):
            return None
        session = Session(key, server, depot.qos.category(packet.dscp), now)
        session.target = vp.adopt(vc, session.category, session)
        depot.sessions.adopt(session, now)
        return session

    def _answer(self, link: str, octets: bytes, packet: Packet, tcp: TcpFields) -> None:
        if tcp.flags & RST or packet.fragment:  # an RST is never answered with an RST (RFC 9293 section 3.10.7.1)
            return
        target = self._depot.vc_map.on_link[link].default_target
        target.vp.link.send(reset_for(octets), target.vc, 0)
        # Data or a FIN shows that the client may be waiting; a bare ACK may be an answer to a segment of the client.
        if (tcp.length or tcp.flags & FIN) and tcp.flags & (ACK | SYN) == ACK:
            self._depot.packets_out.append(keep_alive_for(octets))
