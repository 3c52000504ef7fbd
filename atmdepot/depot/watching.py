"""Hot standby: "the replica actively monitors all input streams from both the client and server" (patent, page 17).

A depot that watches gets copies of the clients' packets by its watch port (`net/watch.py`), and on its own
links what the servers send, which their nodes send to both depots. It tracks them as the active depot does, and sends
nothing. The active's choice of server cannot be known from inputs, but it can be seen: the server's answer comes on a
path whose far end is the server. So of a watched SYN only its packet is kept, and the session is made when the SYN+ACK
comes, or the stream tells of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.session import session_of
from atmdepot.depot.tcp_tracking import is_opening
from atmdepot.wire.packet import analyse
from atmdepot.wire.tcp import ACK, RST, SYN

if TYPE_CHECKING:
    from atmdepot.bearer.base import Path
    from atmdepot.depot.orphans import Orphans
    from atmdepot.depot.session import Session
    from atmdepot.depot.state import DepotState
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.packet import Packet

_MOST_SYNS = 65_536


class Watching:
    """The inputs of the active depot, as a standby sees them."""

    def __init__(self, depot: DepotState, orphans: Orphans) -> None:
        self._depot, self._orphans = depot, orphans
        self._syns: dict[FlowKey, Packet] = {}
        """The last watched SYNs without an answer, the oldest first; a flood pushes the oldest out."""
        self.packets = self.unknown = 0
        """Copies of clients' packets; packets of both sides of no known session."""
        self.lost = 0
        """Copies that the kernel had no room for, as the watch port has told."""

    def client_packet(self, octets: bytes, now: int) -> None:
        """Track a copy of a client's packet."""
        try:
            packet = analyse(octets)
        except ValueError:
            return  # the active depot counts it, whose packet it is
        if packet.later:
            return
        self.packets += 1
        tables, tcp = self._depot.sessions, packet.tcp
        if tcp is None:
            flow = tables.find(packet.key)
            if flow is not None and not flow.is_tcp:
                tables.touch_flow(flow, now)
            return
        session = tables.followed(packet.key, tcp)
        if session is not None:
            tables.track(session, tcp, now, True)
        elif is_opening(tcp.flags):
            self._remember(packet)
        else:
            self.unknown += 1

    def _remember(self, packet: Packet) -> None:
        self._syns.pop(packet.key, None)  # to the end
        self._syns[packet.key] = packet
        if len(self._syns) > _MOST_SYNS:
            del self._syns[next(iter(self._syns))]

    def session_of(self, path: Path, packet: Packet, now: int) -> Session | None:
        """The session of a server's packet that no session has, if one can be made from it; else None.

        At the active depot these are the answers to another depot's own probes, which come here too: no drops.
        """
        session: Session | None = None
        if self._depot.sessions.stands_by:
            session = self.answered(path, packet, now) or self._orphans.adopt(path, packet, now)
        self.unknown += session is None
        return session

    def answered(self, path: Path, packet: Packet, now: int) -> Session | None:
        """The half-open session of a watched SYN that a server's packet answers; None when it answers none."""
        depot, tcp = self._depot, packet.tcp
        key = packet.reverse_key()
        syn = self._syns.get(key)
        if tcp is None or syn is None or syn.tcp is None or tcp.flags & (SYN | ACK | RST) != SYN | ACK:
            return None
        server = depot.server_at(path)
        if (tcp.acknowledgment != (syn.tcp.sequence + 1) % 2**32 or server is None
                or not depot.bearer.is_adoptable(path) or not depot.sessions.eviction.has_room_for(key)):
            return None
        del self._syns[key]
        session = session_of(key, server, depot.qos.category(syn.dscp), now)
        depot.sessions.open(session, now, depot.sessions.eviction.pushed_out(key))
        session.path = depot.bearer.adopt(path, session.category, session)
        depot.sessions.track(session, syn.tcp, now, True)
        return session

    def forget(self) -> None:
        """Forget the SYNs: this depot is active now, and clients send theirs again."""
        self._syns.clear()
