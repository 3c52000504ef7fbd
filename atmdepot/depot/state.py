"""The depot's state: its tables and blocks, which forwarding, other traffic and orphans share, and its time.

It decides nothing of a packet's way but what several of them ask: which pool a packet may open a session in, which
server a packet came from, which session makes room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.fragments import FragmentMap
from atmdepot.bearer.registry import bearer_of
from atmdepot.config.qos import DEFAULT, QosMap
from atmdepot.depot.probing import Probing
from atmdepot.depot.roles import Roles
from atmdepot.depot.session_management import Pool, SessionManagement
from atmdepot.depot.sessions import SessionTables
from atmdepot.depot.tcp_tracking import is_opening
from atmdepot.drops import DropReason
from atmdepot.node.node import Node
from atmdepot.restoring import restored_on_failure
from atmdepot.wire.tcp import RST, SYN

if TYPE_CHECKING:
    from atmdepot.atm.timers import TimerWheel
    from atmdepot.bearer.base import Bearer, Path
    from atmdepot.config.contract import ServiceCategory
    from atmdepot.config.model import Network
    from atmdepot.depot.servers import Server
    from atmdepot.depot.session import Session
    from atmdepot.node.node import Observer
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.packet import Packet, TcpFields

_SYN, _RST = SYN, RST  # C numbers, where this is compiled
_NO_SERVER = DropReason.NO_SERVER  # an enum member: to look it up costs as much as the rest of a step


class Decision:
    """The fate of a packet without a session: the session that it opens, or the reason why it opens none.

    A decision changes no state. The data path opens the session as decided, and `explain` prints the decision.
    """

    __slots__ = ("candidates", "category", "evicts", "pool", "reason", "server")

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Decide nothing yet."""
        self.server: Server | None = None
        """The server of the session; None when no session opens."""
        self.reason = _NO_SERVER
        """The reason when no session opens."""
        self.pool: Pool | None = None
        """The pool of the packet's service; None for the depot's own probe, and for no service."""
        self.candidates: list[Server] | None = None
        """The servers among which it was chosen now; None for the preloaded server, empty when all are full or dead."""
        self.category: ServiceCategory = DEFAULT
        self.evicts: Session | None = None
        """The entry that makes room, in the table or at the server; the flow's old entry goes in any case."""

    def has_free_server(self) -> bool:
        """True when a server takes the session without an eviction at its bound."""
        return self.server is not None and self.candidates != []


class DepotState(Node):
    """A depot's tables and blocks."""

    def __init__(self, network: Network, now: int, name: str = "") -> None:
        """Make the tables of a VC table's depot; without a name, of its first."""
        # Not by super(), which the compiled module does not have.
        Node.__init__(self, network, name or network.depot)
        self.qos = QosMap(network.qos.dscp, network.qos.contracts)
        self._clp = self.qos.clp  # read for each packet
        self.management = SessionManagement(network, self.name, now)
        self.probing = Probing(network.probing)
        self.bearer: Bearer = bearer_of(network, self.name, self.qos)
        self.bearer.tell(self._path_changed, self._way_changed)
        self.bearer.lead_to_host(self.packets_out)
        self.use_links(self.bearer.links)
        self.sessions = SessionTables(network.sessions, self._release, self._is_lost)
        self.fragments: FragmentMap[Path] = FragmentMap(self.drops)
        self.roles = Roles(network.set_of(self.name), self.name, now, self.count_sessions)
        self.roles.client_seen = self.client_seen
        self.holds_until = 0
        """Until this time (ns) the edge nodes are asked for sessions that are not known here (`recall`)."""
        self.shares_until = 0
        """Until this time (ns) new sessions at the nodes of `shares_at` share a path."""
        self.shares_at: frozenset[str] = frozenset()
        """Nodes that may still tell of sessions: a channel of a new session's own may be that of a lost one."""
        self.probes: dict[FlowKey, Server] = {}
        """Flows of the depot's own probes; their server is given, not chosen by a balancer."""

    def client_seen(self) -> int:
        """The time (ns) of the last packet of a client."""
        return self.sessions.client_seen

    def decide(self, packet: Packet, now: int) -> Decision:
        """Decide what becomes of a TCP or UDP packet without a session."""
        decision = Decision.__new__(Decision)  # in compiled code a call of the class costs more
        decision.begin()
        tcp = packet.tcp
        # Most of the time no probe runs: then no key is looked up.
        if self.probes and tcp is not None and is_opening(tcp.flags):
            decision.server = self.probes.get(packet.key)
            if decision.server is not None:
                return decision
        pool = decision.pool = self.management.pool_at(packet.service(), packet.protocol)
        if pool is None:
            decision.reason = DropReason.NOT_A_SERVICE
        elif tcp is not None and not is_opening(tcp.flags):
            decision.reason = DropReason.RECALLING if self.holds(now) else DropReason.NO_SESSION
        elif not self.sessions.eviction.has_room_for(packet.key, tcp is not None):
            decision.reason = DropReason.TABLE_FULL
        else:
            self._decide_server(decision, pool, packet, now)
        return decision

    def _decide_server(self, decision: Decision, pool: Pool, packet: Packet, now: int) -> None:
        is_tcp = packet.tcp is not None
        decision.category = self.qos.category(packet.dscp)
        decision.server = pool.ready()
        if decision.server is None:
            decision.candidates = pool.candidates()
            if not decision.candidates:
                decision.evicts = self.sessions.eviction.goes_for(pool.members, is_tcp)
                if decision.evicts is not None:  # this makes room in the table as well
                    decision.server = decision.evicts.server
                    if decision.evicts.key == packet.key:
                        decision.evicts = None  # the flow's old entry goes in any case
                return
            decision.server = pool.balancer.pick(decision.candidates, packet.source, now)
        decision.evicts = self.sessions.eviction.pushed_out(packet.key, is_tcp)

    def is_answered_orphan(self, packet: Packet, tcp: TcpFields, now: int) -> bool:
        """True when a segment without a session is answered with an RST (the patent only drops it)."""
        return (self.resets_orphans and not self.holds(now) and not tcp.flags & (_RST | _SYN)
                and self.management.pool_of_vip(packet.destination) is not None)

    @property
    def resets_orphans(self) -> bool:
        """True where segments without a session are answered with an RST.

        Only the active depot can tell that a session is lost: the clients' route moves some milliseconds before the
        role, and another depot or the edge nodes may know the session.
        """
        return self.network.sessions.orphan == "reset" and self.roles.is_active

    def holds(self, now: int) -> bool:
        """True while an edge node may still tell of the session of a packet that has none here."""
        return now < self.holds_until

    def shares(self, node: str, now: int) -> bool:
        """True while a node may still tell of a session on a channel that a new one would get."""
        return now < self.shares_until and node in self.shares_at

    def is_own(self, address: bytes) -> bool:
        """True for the depot's own address, from which its probes come."""
        return address in self._addresses.values()

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
        self.roles.handle_timer(now)
        for port in self.links.values():
            port.handle_timer(now)
        self.bearer.close_strays()

    def next_timer(self) -> int | None:
        """The time (ns) at which `handle_timer` is next due, or None."""
        times = [self.sessions.next_timer(), self.fragments.next_timer(), self.roles.next_timer(),
                 self.probing.next_timer(self.management.servers.values()),
                 *(port.next_timer() for port in self.links.values())]
        return min((time for time in times if time is not None), default=None)

    def wheels(self) -> list[TimerWheel]:
        """The timer wheel of the sessions."""
        return [self.sessions.wheel]

    def stood_still(self, span: int, now: int) -> None:
        """Count the last `span` ns, in which this process did not run, as no server's silence."""
        self.probing.stood_still(self.management.servers.values(), span, now)
        self.bearer.stood_still(span, now)
        self.roles.stood_still(span, now)

    def _path_changed(self, node: str, now: int) -> None:
        """Put the servers at a node on the dead-list, or take them back, by what the bearer tells of the way there."""
        for server in self.management.servers.values():
            if server.node == node:
                server.condition.path_changed(self.bearer.troubles.get(node, ""), now)

    def _way_changed(self, node: str, now: int) -> None:
        """Blame no server at a node for the silence of the way that packets took there until now."""
        for server in self.management.servers.values():
            if server.node == node:
                server.condition.way_changed(now)

    def reconfigure(self, network: Network, now: int) -> None:
        """Take over the parts of a changed VC table that may change while sessions go on.

        These are servers, pools, balancing and timers. The change is atomic: when a part of the table cannot be taken
        over, the state before is restored and the error is raised.
        """
        pools = self.management.pools.values()
        with restored_on_failure(self.management, *pools, *(pool.balancer for pool in pools), and_attributes_of=(
                self, self.probing, self.sessions, self.sessions.eviction, *self.management.servers.values(),
                *self.management.removed())):
            self.sessions.use(network.sessions)
            self.management.configure(network, now)
            self.bearer.reconfigure(network, now)
            self.network = network
            self.probing.use(network.probing, self.management.servers.values(), now)
            for node in self.bearer.troubles:
                self._path_changed(node, now)

    def subscribe(self, observer: Observer) -> None:
        """Report drops and session events to an observer."""
        Node.subscribe(self, observer)
        self.sessions.subscribe(observer.session_changed)

    def unsubscribe(self, observer: Observer) -> None:
        """Stop reporting to an observer."""
        Node.unsubscribe(self, observer)
        self.sessions.unsubscribe(observer.session_changed)

    def count_sessions(self) -> int:
        """The count of live sessions and flows, without the depot's own probes."""
        return sum(server.primary_sessions for server in self.management.servers.values())

    def _is_lost(self, session: Session) -> bool:
        return self.management.has_lost(session.server, session.key)

    def _release(self, session: Session) -> None:
        self.bearer.close(session.path, session)
