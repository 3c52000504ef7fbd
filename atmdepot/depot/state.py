"""The depot's state: its tables and blocks, which forwarding, other traffic and orphans share, and its time.

It decides nothing of a packet's way but what several of them ask: which pool a packet may open a session in, which
server a packet came from, which session makes room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.bearer.atm import AtmBearer
from atmdepot.config.qos import QosMap
from atmdepot.depot.probing import Probing
from atmdepot.depot.session_management import Pool, SessionManagement
from atmdepot.depot.sessions import Session, SessionTables
from atmdepot.depot.tcp_tracking import is_opening
from atmdepot.drops import DropReason
from atmdepot.node.fragments import FragmentMap
from atmdepot.node.node import Node
from atmdepot.restoring import restored_on_failure
from atmdepot.wire.tcp import RST, SYN

if TYPE_CHECKING:
    from atmdepot.atm.timers import TimerWheel
    from atmdepot.bearer.base import Bearer, Path
    from atmdepot.config.model import Network
    from atmdepot.depot.servers import Server
    from atmdepot.node.node import Observer
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.packet import Packet, TcpFields

_SYN, _RST = SYN, RST  # C numbers, where this is compiled


class DepotState(Node):
    """A depot's tables and blocks."""

    def __init__(self, network: Network, now: int) -> None:
        """Make the tables of a VC table's depot."""
        Node.__init__(self, network, network.depot)  # not by super(), which the compiled module does not have
        self.qos = QosMap(network.qos.dscp, network.qos.contracts)
        self._clp = self.qos.clp  # read for each packet
        self.management = SessionManagement(network, now)
        self.probing = Probing(network.probing)
        self.bearer: Bearer = AtmBearer(network, self.qos)
        self.use_links(self.bearer.links)
        self.sessions = SessionTables(network.sessions, self._release, self._is_lost)
        self.fragments: FragmentMap[Path] = FragmentMap(self.drops)
        self.probes: dict[FlowKey, Server] = {}
        """Flows of the depot's own probes; their server is given, not chosen by a balancer."""

    def pool_for(self, packet: Packet) -> Pool | DropReason:
        """The pool for a TCP or UDP packet without a session; the drop reason when the packet cannot open a session."""
        pool = self.management.pool_at(packet.service(), packet.protocol)
        if pool is None:
            return DropReason.NOT_A_SERVICE
        if packet.tcp is not None and not is_opening(packet.tcp.flags):
            return DropReason.NO_SESSION
        has_room = self.sessions.has_room_for(packet.key(), packet.tcp is not None)
        return pool if has_room else DropReason.TABLE_FULL

    def choose_by_eviction(self, pool: Pool, packet: Packet, now: int) -> Server | None:
        """Evict a half-open session or unanswered flow of a server at its bound, and choose a server for the packet."""
        going = self.sessions.goes_for(pool.members, packet.tcp is not None)
        if going is None:
            return None
        self.sessions.evict(going)
        return pool.choose(packet.source, now)

    def is_answered_orphan(self, packet: Packet, tcp: TcpFields) -> bool:
        """True when a segment without a session is answered with an RST (the patent only drops it)."""
        return (self.network.sessions.orphan == "reset" and not tcp.flags & (_RST | _SYN)
                and self.management.pool_of_vip(packet.destination) is not None)

    def server_at(self, path: Path) -> Server | None:
        """The server at the far end of a path; None while the VC table has no server there."""
        return self.management.server_at.get(path.node)

    def is_allowed(self, path: Path, packet: Packet) -> bool:
        """True when the source address alone lets a packet pass from a server's side (`servers.X.allow`)."""
        server = self.server_at(path)
        return server is not None and server.allows(packet.source)

    # In time.

    def handle_timer(self, now: int) -> None:
        """Expire sessions, fragments and unfinished packets, and detect servers that have fallen silent."""
        self.sessions.expire(now)
        self.fragments.expire(now)
        self.probing.check(self.management.servers.values(), now)
        for port in self.links.values():
            port.handle_timer(now)
        self.bearer.close_strays()

    def next_timer(self) -> int | None:
        """The time (ns) at which `handle_timer` is next due, or None."""
        times = [self.sessions.next_timer(), self.fragments.next_timer(),
                 self.probing.next_timer(self.management.servers.values()),
                 *(port.next_timer() for port in self.links.values())]
        return min((time for time in times if time is not None), default=None)

    def wheels(self) -> list[TimerWheel]:
        """The timer wheel of the sessions."""
        return [self.sessions._wheel]

    def stood_still(self, span: int, now: int) -> None:
        """Count the last `span` ns, in which this process did not run, as no server's silence."""
        self.probing.stood_still(self.management.servers.values(), span, now)

    def reconfigure(self, network: Network, now: int) -> None:
        """Take over the parts of a changed VC table that may change while sessions go on.

        These are servers, pools, balancing and timers. The change is atomic: when a part of the table cannot be taken
        over, the state before is restored and the error is raised.
        """
        pools = self.management.pools.values()
        with restored_on_failure(self.management, *pools, *(pool.balancer for pool in pools), and_attributes_of=(
                self, self.probing, self.sessions, *self.management.servers.values(), *self.management.removed())):
            self.sessions.use(network.sessions)
            self.management.configure(network, now)
            self.network = network
            self.probing.use(network.probing, self.management.servers.values(), now)

    def subscribe(self, observer: Observer) -> None:
        """Report drops and session events to an observer."""
        Node.subscribe(self, observer)
        self.sessions.subscribe(observer.session_changed)

    def unsubscribe(self, observer: Observer) -> None:
        """Stop reporting to an observer."""
        Node.unsubscribe(self, observer)
        self.sessions.unsubscribe(observer.session_changed)

    def _is_lost(self, session: Session) -> bool:
        return self.management.has_lost(session.server, session.key)

    def _release(self, session: Session) -> None:
        self.bearer.close(session.path, session)
