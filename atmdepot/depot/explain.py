"""Explanation of a packet's way through `forwarding`, step by step, without sending it.

No state changes: no session, path, counter, turn of a balancer, random number. Each step calls the function by which
the data path decides (`SessionTables.followed`, `Depot.decide`, `OtherTraffic.decide`, `Bearer.would_open`), so an
explanation cannot differ from the real outcome. Only the words are this module's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from atmdepot.config.qos import dscp_name
from atmdepot.config.units import count_text
from atmdepot.depot.reasons import (
    choice_text,
    entry_text,
    evicted_text,
    flags_words,
    hindrance_text,
    if_dead_text,
    late_syn_text,
    packet_text,
    protocol_text,
    replaced_text,
    services_text,
)
from atmdepot.depot.servers import Server
from atmdepot.depot.session import Session
from atmdepot.depot.state import Decision
from atmdepot.depot.tcp_tracking import is_opening
from atmdepot.drops import DropReason
from atmdepot.node.node import Node
from atmdepot.wire.ip import PROTOCOL_UDP, address_text

if TYPE_CHECKING:
    from atmdepot.bearer.base import Path, PathText
    from atmdepot.depot.forwarding import Depot
    from atmdepot.depot.session_management import Pool
    from atmdepot.drops import OnChannel
    from atmdepot.wire.packet import Packet, TcpFields


class Step(Struct, frozen=True):
    """A step of the way: its `stage` (packet, set, service, session, server, class, size) and its finding in words.

    The stage of a path is the bearer's word for it (`PathText.stage`).
    """

    stage: str
    text: str


class Explanation(Struct):
    """The outcome of a packet; its keys in JSON are stable.

    `outcome` is `forwarded`, `dropped` (`reason` is the `DropReason`) or `held` (a fragment that waits for its first).
    `answer` is the packet sent back to the sender: `RST`, `ICMP`, or empty. `session` is the number of the packet's
    session, null without a session; `opens` is true when the packet opens a session. `path` has the bearer's keys
    (`Bearer.no_path`), as far as the path is known: a packet too big to be forwarded may still open a session.
    """

    outcome: str = ""
    verdict: str = ""
    reason: str = ""
    answer: str = ""
    service: str = ""
    session: int | None = None
    opens: bool = False
    server: str = ""
    path: dict[str, Any] = field(default_factory=dict)
    octets: int = 0
    steps: list[Step] = field(default_factory=list)


class _Scratch(Node):
    """Takes the counts and answers in a depot's place, so the depot's stay."""

    def __init__(self, depot: Depot) -> None:
        super().__init__(depot.network, depot.name)
        self._depot = depot

    def carries_group(self, packet: Packet, channel: OnChannel | None) -> bool:
        return self._depot.carries_group(packet, channel)


def explain(depot: Depot, octets: bytes, now: int) -> Explanation:
    """Explain the outcome of `depot.packet_from_tun(octets, now)`; time in ns."""
    return _Way(depot, octets, now).explain()


class _Way:
    """A packet's way. The methods are in the order of the methods of `Depot` and `OtherTraffic` that they explain."""

    def __init__(self, depot: Depot, octets: bytes, now: int) -> None:
        self._depot, self._octets, self._now = depot, octets, now
        self._scratch = _Scratch(depot)
        self._told = Explanation(octets=len(octets), path=depot.bearer.no_path())

    def explain(self) -> Explanation:
        packet = self._scratch.analyse(self._octets)
        if packet is None:
            self._drop(next(iter(self._scratch.drops)))  # the reason that `analyse` has counted
            return self._told
        self._say("packet", packet_text(packet, len(self._octets)))
        self._tell_role()
        if (path := self._route(packet)) is not None:
            pass
        elif packet.later:
            path = self._follow_first(packet)
        elif packet.tcp is not None:
            path = self._session_path(packet, packet.tcp)
        else:
            path = self._other_path(packet)
        if path is not None:
            self._to_server(packet, path)
        return self._told

    def _say(self, stage: str, text: str) -> None:
        self._told.steps.append(Step(stage, text))

    def _drop(self, reason: DropReason) -> None:
        self._told.outcome, self._told.reason = "dropped", str(reason)
        self._told.verdict = f"dropped: {reason} ({reason.text})"

    def _tell_role(self) -> None:
        """Tell of the set, where this depot is in one with others: it forwards what comes to it, whatever its role."""
        roles, network = self._depot.roles, self._depot.network
        if len(roles.settings.nodes) > 1:
            of = network.name_of_set_of(self._depot.name)
            active = roles.heard.active_name
            elsewhere = f"; clients' packets go to {active}, which is active" if active is not None else ""
            text = {"joining": "joins", "standby": "stands by"}.get(roles.role, f"is {roles.role}")
            self._say("set", f"{self._depot.name} {text} in {of}, term {roles.term}" + (
                "" if roles.is_active else f"{elsewhere}; what comes here is forwarded all the same"))

    def _route(self, packet: Packet) -> Path | None:
        """The path that the VC table gives a destination that is no VIP, as `Depot._takes_route`."""
        bearer = self._depot.bearer
        if not bearer.has_routes or self._depot.management.pool_of_vip(packet.destination) is not None:
            return None
        path = bearer.route(packet.destination)
        if path is not None:
            self._told.server = path.node
            self._say("service", f"{address_text(packet.destination)} is no VIP, but the VC table has a path to its "
                                 "network")
        return path

    def _follow_first(self, packet: Packet) -> Path | None:
        """Give a later fragment the path of its packet's first fragment."""
        fragments = self._depot.fragments
        if self._depot.management.pool_of_vip(packet.destination) is None:
            self._tell_service(packet)
            self._drop(DropReason.NOT_A_SERVICE)
            return None
        path = fragments.target_of(packet, self._now)
        if path is not None:
            self._say("session", "it has no ports; it follows the first fragment of its packet")
            self._told.server = self._server_at(path)
        elif fragments.would_hold(self._octets, packet, self._now):
            self._told.outcome = "held"
            self._told.verdict = "held: the first fragment of its packet, which has the ports, has not come"
        else:
            self._say("session", "the first fragment of its packet has not come, and too much waits already")
            self._drop(DropReason.FRAGMENT)
        return path

    def _server_at(self, path: Path) -> str:
        """The name of the server of the path's session, else of the server at the far node, else of that node."""
        owner = path.owner
        server = owner.server if isinstance(owner, Session) else self._depot.server_at(path)
        return path.node if server is None else server.name

    def _session_path(self, packet: Packet, tcp: TcpFields) -> Path | None:
        self._tell_service(packet)
        sessions = self._depot.sessions
        session = sessions.followed(packet.key, tcp)
        if session is not None:
            return self._known(session, packet)
        path = self._open(packet, self._depot.decide(packet, self._now))
        if path is None and self._depot.is_answered_orphan(packet, tcp, self._now):
            self._told.answer = "RST"
            self._say("session", "orphan is \"reset\": an RST goes back to the client")
        return path

    def _known(self, session: Session, packet: Packet) -> Path:
        """Send a packet of a session or flow on that session's path, in any state."""
        server = session.server
        self._told.session, self._told.server = session.number, server.name
        self._say("session", entry_text(session, self._now))
        if packet.tcp is not None and is_opening(packet.tcp.flags):
            self._say("session", late_syn_text(session, packet.tcp))
        self._say("server", f"{server.name}, which has it{if_dead_text(server, self._now)}")
        return session.path

    def _open(self, packet: Packet, decision: Decision) -> Path | None:
        """Open a session or flow as decided; None when none opens."""
        old = self._depot.sessions.find(packet.key)
        self._say("session", "it has none" if old is None else replaced_text(old, self._now))
        server, pool = decision.server, decision.pool
        if server is None:
            self._refuse(decision, packet)
            return None
        self._told.server, self._told.opens = server.name, True
        if pool is None:
            self._say("server", f"{server.name}: this is the depot's own probe of it")
            return self._depot.bearer.default(server.node)
        if decision.has_free_server():
            self._say("server", f"{server.name}: {choice_text(decision, packet.source)}")
        self._tell_passed_over(pool, server)
        if decision.evicts is not None:
            self._tell_evicted(decision, decision.evicts)
        return self._own_path(packet, server, decision, old)

    def _refuse(self, decision: Decision, packet: Packet) -> None:
        """Tell why no session opens."""
        if decision.reason is DropReason.NO_SESSION and packet.tcp is not None:
            self._say("session", f"only a SYN opens one, not {flags_words(packet.tcp.flags)}")
        elif decision.reason is DropReason.RECALLING:
            self._say("session", "the edge nodes are asked now for sessions that this depot does not know")
        elif decision.reason is DropReason.TABLE_FULL:
            most = count_text(self._depot.sessions.timers.max_sessions, "session")
            self._say("session", f"there may be {most}, no more (max_sessions)")
        elif decision.pool is not None:
            self._tell_passed_over(decision.pool, None)
        self._drop(decision.reason)

    def _tell_service(self, packet: Packet) -> None:
        management, port = self._depot.management, packet.destination_port
        pool = management.pool_of(packet.destination, port, packet.protocol)
        if pool is not None:
            names = ", ".join(server.name for server in pool.servers)
            self._told.service = pool.name
            self._say("service", f"{pool.name}: {pool.balancing} over {names}")
            return
        vip = management.pool_of_vip(packet.destination) is not None
        self._say("service", f"{address_text(packet.destination)} is "
                             + (f"a VIP, but no service has its port {port} for {protocol_text(packet.protocol)}"
                                if vip else "no VIP")
                             + f"; there are {services_text(self._depot.network)}")

    def _tell_passed_over(self, pool: Pool, server: Server | None) -> None:
        """Tell why the servers that are no candidates were not chosen."""
        candidates = pool.candidates()
        for other in pool.servers:
            if other is not server and other not in candidates:
                self._say("server", f"not {other.name}: {hindrance_text(other, self._now)}")

    def _tell_evicted(self, decision: Decision, session: Session) -> None:
        if decision.has_free_server():
            self._say("session", evicted_text(session, self._depot.sessions.timers))
        else:
            self._say("server", f"{session.server.name}: its session {session.number} is not established, "
                                "and makes room")

    def _own_path(self, packet: Packet, server: Server, decision: Decision, old: Session | None) -> Path:
        """The path of a new session; entries replaced or evicted for it close their paths first."""
        bearer, category = self._depot.bearer, decision.category
        if packet.tcp is None:  # a UDP flow: it is new here, so it has no answer yet
            path, why = bearer.would_share(server.node, category, packet.key)
        elif self._depot.shares(server.node, self._now):
            path, _ = bearer.would_share(server.node, category, packet.key)
            why = "it is shared, since the edge nodes are asked now which channels have sessions"
        else:
            leaving = [session.path for session in (old, decision.evicts) if session is not None]
            path, why = bearer.would_open(server.node, category, leaving, packet.key)
        text = self._text(path)
        self._say(text.stage, f"{text.name}: {why}")
        self._say("class", f"DSCP {dscp_name(packet.dscp)} asks for {category}")
        return path

    def _other_path(self, packet: Packet) -> Path | None:
        """The path of a packet other than TCP."""
        found = self._depot.others.decide(self._octets, packet, self._now)
        if found is DropReason.NOT_A_SERVICE or packet.protocol == PROTOCOL_UDP:
            self._tell_service(packet)
        if found is DropReason.NOT_A_SERVICE:
            self._drop(found)
            return None
        if isinstance(found, Decision):
            return self._open(packet, found)
        if isinstance(found, Session):
            if packet.protocol != PROTOCOL_UDP:
                self._say("session", "an ICMP error follows the session that the packet inside it names")
            return self._known(found, packet)
        if found is DropReason.NO_SESSION:
            self._say("session", "the packet that the ICMP error quotes belongs to no session of this network")
            self._drop(found)
            return None
        if isinstance(found, Server | DropReason):
            return self._default_path(packet, found)
        self._say("session", "an ICMP error about a later fragment follows its packet")
        self._told.server = self._server_at(found)
        return found

    def _default_path(self, packet: Packet, found: Server | DropReason) -> Path | None:
        """Send a packet without sessions to its client's server."""
        pool = self._depot.management.pool_of_vip(packet.destination)
        assert pool is not None
        self._told.service = pool.name
        self._say("service", f"{address_text(packet.destination)} is a VIP of {pool.name}")
        self._say("session", f"none: {protocol_text(packet.protocol)} has no sessions here")
        if isinstance(found, DropReason):
            for other in pool.servers:
                self._say("server", f"not {other.name}: {hindrance_text(other, self._now)}")
            self._drop(found)
            return None
        self._told.server = found.name
        self._say("server", f"{found.name}: by the client's address, among the alive servers of {pool.name}")
        path = self._depot.bearer.default(found.node)
        text = self._text(path)
        self._say(text.stage, f"{text.name}: the default {text.stage}, for what belongs to no session")
        return path

    def _to_server(self, packet: Packet, path: Path) -> None:
        """Tell the path, MTU, mark, what the packet becomes, and the outcome."""
        clp, told = self._depot.qos.clp[packet.dscp], self._told
        text = self._depot.bearer.describe(path, len(self._octets), clp)
        self._say(text.stage, text.place)
        if len(self._octets) > path.mtu:
            told.path = self._depot.bearer.describe(path, None, 0).fields
            self._too_big(packet, path.mtu)
            return
        told.path, told.outcome = text.fields, "forwarded"
        self._say("class", f"{text.mark}, by DSCP {dscp_name(packet.dscp)}")
        self._say("size", f"{len(self._octets)} octets fit the MTU of {path.mtu} and make {text.load}")
        waiting = self._depot.fragments.waiting_for(packet, self._now) if packet.fragment and not packet.later else []
        if waiting:
            self._say("size", f"fragments that came before it, and follow it now: {len(waiting)}")
        # The mark without its scope: "CLP 1" of a mark that says where it stands.
        told.verdict = ", ".join(filter(None, (
            f"forwarded to {told.server} on {text.stage} {text.name}", text.load, text.category,
            text.mark.partition(" in ")[0] if clp else "")))

    def _text(self, path: Path) -> PathText:
        return self._depot.bearer.describe(path, len(self._octets), 0)

    def _too_big(self, packet: Packet, mtu: int) -> None:
        self._scratch.answer_too_big(self._octets, packet, mtu)  # answers only where the RFCs allow an ICMP error
        answered = bool(self._scratch.packets_out)
        self._told.answer = "ICMP" if answered else ""
        self._say("size", f"{len(self._octets)} octets do not fit the MTU of {mtu}: "
                          + ("an ICMP error tells the sender so" if answered else "no ICMP error may answer this one"))
        self._drop(DropReason.TOO_BIG)
