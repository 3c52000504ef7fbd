"""Block 40: TCP packet forwarding. The methods stand in the order in which a packet passes them.

::

    from a client                                          from a server
      analyse                what does it say of itself?     cells -> packet      reassemble, per VC
      session                primary, then secondary table   analyse
        none, and a SYN:     service, preloaded next         session              of the flow, client first
                             server, VC                      state tracking
      state tracking         guess both ends' states         to the client        the octets that came
      size                   too big: ICMP error back
      class                  DSCP -> CLP of its cells
      cells                  segment, on the session's VC

The packet is only read. It is dropped only when its server cannot be known, and each drop has its `DropReason`. Packets
that are not TCP are forwarded in `other_traffic`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.bearer.atm import Target, VcMap
from atmdepot.config.qos import QosMap
from atmdepot.depot.orphans import Orphans
from atmdepot.depot.other_traffic import OtherTraffic
from atmdepot.depot.probing import Probing
from atmdepot.depot.session_management import Pool, SessionManagement
from atmdepot.depot.sessions import Session, SessionEvent, SessionTables, is_half_open, session_of
from atmdepot.depot.tcp_states import is_opening
from atmdepot.drops import DropReason
from atmdepot.node.fragments import FragmentMap
from atmdepot.node.node import AtmNode
from atmdepot.restoring import restored_on_failure
from atmdepot.wire.tcp import RST, SYN, reset_for

if TYPE_CHECKING:
    from atmdepot.atm.timers import TimerWheel
    from atmdepot.atm.vc import Vc
    from atmdepot.config.model import Network
    from atmdepot.depot.servers import Server
    from atmdepot.node.node import Observer
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.packet import Packet, TcpFields

_SYN, _RST = SYN, RST  # C numbers, where this is compiled


def _in_place_of(old: Session) -> str:
    """The reason why an old entry of the same flow made way for a session."""
    if old.closed_by:
        return "port reused"
    return "in place of one " + ("that its pool has lost" if old.server.alive else "on a dead server")


class Depot(AtmNode):
    """The depot's data path."""

    def __init__(self, network: Network, now: int) -> None:
        """Make the depot of a VC table."""
        super().__init__(network, network.depot)
        self.qos = QosMap(network.qos.dscp, network.qos.contracts)
        self._clp = self.qos.clp  # read for each packet
        self.management = SessionManagement(network, now)
        self.probing = Probing(network.probing)
        self.vc_map = VcMap(network, self.qos)
        self.use_links(self.vc_map.links)
        self.sessions = SessionTables(network.sessions, self._release, self._is_lost)
        self.fragments: FragmentMap[Target] = FragmentMap(self.drops)
        self.others = OtherTraffic(self)
        self.orphans = Orphans(self)
        self.probes: dict[FlowKey, Server] = {}
        """Flows of the depot's own probes; their server is given, not chosen by a balancer."""

    # From clients to servers.

    def packet_from_tun(self, octets: bytes, now: int) -> None:
        """Forward a client's packet from the TUN device; time in ns."""
        packet = self.analyse_from_tun(octets)
        if packet is None:
            return
        if packet.later:
            target = self._target_of_first(octets, packet, now)
        elif packet.tcp is not None:
            target = self._session_target(octets, packet, packet.tcp, now)
        else:
            target = self.others.target(octets, packet, now)
        if target is not None:
            self._to_server(octets, packet, target)
            if packet.fragment and not packet.later:
                # Later fragments have no ports: these came first and waited to learn this target.
                for held in self.fragments.first(packet, target, now):
                    self._to_server(held.octets, held.packet, target)

    def _target_of_first(self, octets: bytes, packet: Packet, now: int) -> Target | None:
        """The target of a packet's first fragment; None while that is awaited, or (counted) when it can never pass."""
        if self.management.pool_of_vip(packet.destination) is None:
            self.drops.count(DropReason.NOT_A_SERVICE, 1, octets)
            return None
        return self.fragments.later(octets, packet, now)

    def _session_target(self, octets: bytes, packet: Packet, tcp: TcpFields, now: int) -> Target | None:
        """The target of a segment's session, which it may open; None (and counted) when it has no session."""
        key = packet.key()
        session = self.sessions.find(key)
        if session is None or self.sessions.is_new(session, tcp):
            session = self._open_session(key, octets, packet, now)
            if session is None:
                if self.is_answered_orphan(packet, tcp):
                    self.packets_out.append(reset_for(octets))
                return None
        self.sessions.track(session, tcp, now, True)
        session.packets_in += 1
        session.octets_in += len(octets)
        # Only a SYN or data starts the wait for an answer; a probe's outcome is judged by the prober.
        if (tcp.length or is_opening(tcp.flags)) and not session.probe:
            server = session.server
            server.condition.asked(session.key, now)
        return session.target

    def pool_for(self, packet: Packet) -> Pool | DropReason:
        """The pool for a TCP or UDP packet without a session; the drop reason when the packet cannot open a session."""
        pool = self.management.pool_at(packet.service(), packet.protocol)
        if pool is None:
            return DropReason.NOT_A_SERVICE
        if packet.tcp is not None and not is_opening(packet.tcp.flags):
            return DropReason.NO_SESSION
        has_room = self.sessions.has_room_for(packet.key(), packet.tcp is not None)
        return pool if has_room else DropReason.TABLE_FULL

    def _open_session(self, key: FlowKey, octets: bytes, packet: Packet, now: int) -> Session | None:
        """Open a session with the preloaded next server and a VC; None (and counted) when it cannot be opened."""
        # Most of the time no probe runs: then no key is looked up.
        if self.probes and (server := self.probe_of(packet)) is not None:
            return self._open_probe(key, server, now)
        found = self.pool_for(packet)
        if not isinstance(found, Pool):
            self.drops.count(found, 1, octets)
            return None
        pool = found
        server = pool.take_preloaded()
        if server is None:
            server = pool.choose(packet.source, now) or self.choose_by_eviction(pool, packet, now)
        if server is None:
            self.drops.count(DropReason.NO_SERVER, 1, octets)
            return None
        session = session_of(key, server, self.qos.category(packet.dscp), now)
        old = self.sessions.open(session, now)
        vp = self.vc_map.vps[server.vp]
        # After `open` of the tables: entries removed there have freed their VCIs.
        session.target = vp.open(session.category, session)
        pool.preload(now)  # so that the next SYN does not wait for a choice
        if self.sessions.observers:  # else the text has no reader
            reuse = "" if old is None else f", {_in_place_of(old)}"
            self.sessions.tell(session, SessionEvent.OPENED, pool.how(server) + reuse)
        return session

    def choose_by_eviction(self, pool: Pool, packet: Packet, now: int) -> Server | None:
        """Evict a half-open session or unanswered flow of a server at its bound, and choose a server for the packet."""
        going = self.sessions.goes_for(pool.members, packet.tcp is not None)
        if going is None:
            return None
        self.sessions.evict(going)
        return pool.choose(packet.source, now)

    def probe_of(self, packet: Packet) -> Server | None:
        """The server that the depot probes with this SYN, else None. A probe has a place even in a full table."""
        tcp = packet.tcp
        return self.probes.get(packet.key()) if tcp is not None and is_opening(tcp.flags) else None

    def _open_probe(self, key: FlowKey, server: Server, now: int) -> Session:
        """Open a session for the depot's own probe, on the default VC of the probed server; it is not counted."""
        session = Session(key, server, self.qos.category(0), now, probe=True)
        session.target = self.vc_map.vps[server.vp].default_target
        self.sessions.open(session, now)
        self.sessions.tell(session, SessionEvent.OPENED, "probe")
        return session

    def is_answered_orphan(self, packet: Packet, tcp: TcpFields) -> bool:
        """True when a segment without a session is answered with an RST (the patent only drops it)."""
        return (self.network.sessions.orphan == "reset" and not tcp.flags & (_RST | _SYN)
                and self.management.pool_of_vip(packet.destination) is not None)

    def _to_server(self, octets: bytes, packet: Packet, target: Target) -> None:
        if len(octets) > target.vp.mtu:
            self.answer_too_big(octets, packet, target.vp.mtu)
            return
        target.vp.link.send(octets, target.vc, self._clp[packet.dscp])

    # From servers to clients.

    def cells_from_link(self, name: str, cells: bytes, now: int) -> None:
        """Take cells (a multiple of 53 octets) from a link; time in ns."""
        link = self.links[name]
        for sdu in link.receive(cells, now):
            vc, octets = sdu.vc, sdu.octets
            if vc in self.vc_map.management:  # statistics are for the depot itself, not for a client
                self._take_statistics(vc, octets, name, now)
                continue
            packet = self.analyse(octets, vc)
            if packet is not None and self._may_pass(name, vc, octets, packet, now):
                self.packets_out.append(octets)
                if packet.fragment and not packet.later:
                    self.others.follow_first(name, packet, now)
        if self.vc_map.straying:
            self.vc_map.close_strays()

    def _take_statistics(self, vc: Vc, sdu: bytes, link: str, now: int) -> None:
        server = self.management.server_on.get(self.vc_map.management[vc])
        path = self.links[link].condition()
        if server is not None and not self.probing.report(server, sdu, path, now):
            self.links[link].drops.count(DropReason.BAD_STATISTICS, 1, sdu, vc)

    def _may_pass(self, link: str, vc: Vc, octets: bytes, packet: Packet, now: int) -> bool:
        """Follow a server's packet; False (and counted) when it belongs to no session of the server on this link."""
        tcp = packet.tcp
        if tcp is None:
            return self.others.may_pass(link, vc, octets, packet, now)
        session = self._answered_session(link, vc, octets, packet, now)
        if session is None:
            return False
        server = session.server
        # An RST to a SYN says that no process listens; a probe's outcome is judged by the prober.
        if tcp.flags & _RST and is_half_open(session) and not session.probe:
            server.condition.refused()
        self.sessions.track(session, tcp, now, False)
        server.condition.answered(now)
        session.packets_out += 1
        session.octets_out += packet.total_length
        return True

    def _answered_session(self, link: str, vc: Vc, octets: bytes, packet: Packet, now: int) -> Session | None:
        """The session that owns the VC (nearly always), else the flow's session, else an adopted session, or None."""
        owner = vc.owner
        if isinstance(owner, Session) and packet.answers(owner.key):  # spares the look-up
            return owner
        session = self.sessions.find(packet.reverse_key())
        if session is None:
            return self.orphans.session_of(link, vc, octets, packet, now)
        if session.target.vp.link.name != link:  # a server must not answer for another server
            self.drops.count(DropReason.WRONG_VP, 1, octets, vc)
            return None
        return session

    def server_on(self, link: str) -> Server | None:
        """The server at the far end of a link; None while the VC table has no server there."""
        return self.management.server_on.get(self.vc_map.on_link[link].name)

    def is_allowed(self, link: str, packet: Packet) -> bool:
        """True when the source address alone lets a packet pass from a server's side (`servers.X.allow`)."""
        server = self.server_on(link)
        return server is not None and server.allows(packet.source)

    # In time.

    def handle_timer(self, now: int) -> None:
        """Expire sessions, fragments and unfinished PDUs, and detect servers that have fallen silent."""
        self.sessions.expire(now)
        self.fragments.expire(now)
        self.probing.check(self.management.servers.values(), now)
        for link in self.links.values():
            link.reassembler.expire(now)
        self.vc_map.close_strays()

    def next_timer(self) -> int | None:
        """The time (ns) at which `handle_timer` is next due, or None."""
        times = [self.sessions.next_timer(), self.fragments.next_timer(),
                 self.probing.next_timer(self.management.servers.values()),
                 *(link.reassembler.next_timer() for link in self.links.values())]
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
        super().subscribe(observer)
        self.sessions.subscribe(observer.session_changed)

    def unsubscribe(self, observer: Observer) -> None:
        """Stop reporting to an observer."""
        super().unsubscribe(observer)
        self.sessions.unsubscribe(observer.session_changed)

    def _is_lost(self, session: Session) -> bool:
        return self.management.has_lost(session.server, session.key)

    def _release(self, session: Session) -> None:
        session.target.vp.close(session.target.vc, session)
