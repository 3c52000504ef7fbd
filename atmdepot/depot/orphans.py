"""Servers' packets of sessions that the depot does not know, as after its restart.

The path names the server, and the far node keeps a flow on its path. So a session that had a path of its own is
adopted: it is made anew from the server's packet, on that path. On a path that sessions share, `sessions.orphan`
decides. With "reset" the depot answers the server with an RST (RFC 9293 section 3.10.7.1). It asks the client, which
may only be waiting for data, for an acknowledgment (a keep-alive, section 3.8.4): only that gives the number of an RST
that the client's TCP accepts. While the edge nodes are asked for their flows (`recall`), and at a depot that is not
active, such packets are only dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.adopting import adopt
from atmdepot.depot.session import Session
from atmdepot.drops import DropReason
from atmdepot.wire.flows import service_of_key
from atmdepot.wire.ip import source_in
from atmdepot.wire.tcp import ACK, FIN, RST, SYN, keep_alive_for, reset_for

if TYPE_CHECKING:
    from atmdepot.bearer.base import Path
    from atmdepot.depot.state import DepotState
    from atmdepot.wire.packet import Packet, TcpFields

_ADDRESSES = (4, 16)


class Orphans:
    """The handling of packets from servers without a session, in the depot's own tables."""

    def __init__(self, depot: DepotState) -> None:
        self._depot = depot
        depot.bearer.ask(self.may_begin)  # so that stray paths open for no other packets

    def may_begin(self, node: str, octets: bytes) -> bool:
        """True when the octets, of an unknown channel, may begin a packet of a session to adopt.

        The packet is TCP or UDP from a service of the far node's server. All others are dropped.
        """
        management = self._depot.management
        source = source_in(octets)
        server = management.server_at.get(node)
        if source is None or server is None:
            return False
        protocol, service = source
        if len(service) in _ADDRESSES:  # no port: the octets end before the port of an IPv6 packet
            return management.serves(server, service)
        pool = management.pool_at(service, protocol)
        return pool is not None and server in pool.servers

    def session_of(self, path: Path, octets: bytes, packet: Packet, now: int) -> Session | None:
        """Adopt the session of a server's segment; None when it must not be (the segment is passed on or counted)."""
        depot = self._depot
        session = self.adopt(path, packet, now)
        if session is not None:
            return session
        if depot.is_allowed(path, packet):
            depot.packets_out.append(octets)
            return None
        if depot.holds(now):
            depot.drops.count(DropReason.RECALLING, 1, octets, path)
            return None
        depot.drops.count(DropReason.NO_SESSION, 1, octets, path)
        tcp, server = packet.tcp, depot.server_at(path)
        if (tcp is not None and server is not None and depot.resets_orphans
                and depot.management.serves(server, packet.source)):
            self._answer(path, octets, packet, tcp)
        return None

    def adopt(self, path: Path, packet: Packet, now: int) -> Session | None:
        """Make a session or flow from a server's packet; None when it must not be adopted.

        The path must be a stray, and the source a service of the server at its end. A TCP segment must be
        of a kind that only an open session sends, or a server that has not been heard yet: with ACK, without RST.
        """
        depot = self._depot
        if not depot.bearer.is_adoptable(path) or not depot.network.set_of(depot.name).adopt:
            return None
        if packet.tcp is not None and packet.tcp.flags & (ACK | RST) != ACK:
            return None
        key, server = packet.reverse_key(), depot.server_at(path)
        pool = depot.management.pool_at(service_of_key(key), packet.protocol)
        if pool is None or server is None or server not in pool.servers:
            return None
        if not depot.sessions.eviction.has_room_for(key, packet.tcp is not None):
            return None
        session = Session(key, server, depot.qos.category(packet.dscp), now)
        session.path = depot.bearer.adopt(path, session.category, session)
        adopt(depot.sessions, session, now)
        return session

    def _answer(self, path: Path, octets: bytes, packet: Packet, tcp: TcpFields) -> None:
        if tcp.flags & RST or packet.fragment:  # an RST is never answered with an RST (RFC 9293 section 3.10.7.1)
            return
        self._depot.bearer.default(path.node).send(reset_for(octets), 0)
        # Data or a FIN shows that the client may be waiting; a bare ACK may be an answer to a segment of the client.
        if (tcp.length or tcp.flags & FIN) and tcp.flags & (ACK | SYN) == ACK:
            self._depot.packets_out.append(keep_alive_for(octets))
