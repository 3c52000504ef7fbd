"""Block 40: TCP packet forwarding. The methods stand in the order in which a packet passes them.

::

    from a client                                          from a server
      analyse                what does it say of itself?     bearer               octets -> packets, each with its path
      session                primary, then secondary table   analyse
        none, and a SYN:     service, preloaded next         session              of the flow, client first
                             server, path                    state tracking
      state tracking         guess both ends' states         to the client        the octets that came
      size                   too big: ICMP error back
      class                  DSCP -> CLP
      bearer                 packet -> octets, on the session's path

The packet is only read. It is dropped only when its server cannot be known, and each drop has its `DropReason`. Packets
that are not TCP are forwarded in `other_traffic`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.bearer.base import Path
from atmdepot.depot.announcing import Announcing
from atmdepot.depot.orphans import Orphans
from atmdepot.depot.other_traffic import OtherTraffic
from atmdepot.depot.peers import Peers
from atmdepot.depot.recall import Recalling
from atmdepot.depot.replica import Replica
from atmdepot.depot.replication import Replication
from atmdepot.depot.session import Session, SessionEvent, session_of
from atmdepot.depot.state import DepotState
from atmdepot.depot.tcp_tracking import is_half_open, is_opening
from atmdepot.depot.watching import Watching
from atmdepot.drops import DropReason
from atmdepot.wire.announcement import is_message
from atmdepot.wire.flows import is_reverse
from atmdepot.wire.packet import quick_frame
from atmdepot.wire.tcp import RST, reset_for

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.depot.roles import Roles
    from atmdepot.depot.servers import Server
    from atmdepot.drops import OnChannel
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.offload import PlainFrame
    from atmdepot.wire.packet import Packet, TcpFields

_RST = RST  # a C number, where this is compiled


def _in_place_of(old: Session) -> str:
    """The reason why an old entry of the same flow made way for a session."""
    if old.closed_by:
        return "port reused"
    return "in place of one " + ("that its pool has lost" if old.server.alive else "on a dead server")


class Depot(DepotState):
    """The depot's data path."""

    def __init__(self, network: Network, now: int, name: str = "") -> None:
        """Make a depot of a VC table; without a name, its first."""
        DepotState.__init__(self, network, now, name)  # not by super(), which the compiled module does not have
        self.orphans = Orphans(self)
        self.others = OtherTraffic(self, self.orphans)
        self.peers = Peers(self.roles, self.count_sessions)
        stands_by = network.set_of(self.name).stands_by
        self.replication = Replication(self, now) if stands_by else None
        """The stream of this depot to the others of its set; None without standby."""
        self.replica = Replica(self, now) if stands_by else None
        """The active depot's stream, applied here; None without standby."""
        self.watching: Watching | None = None
        """The active depot's inputs, as this one sees them; None but in hot standby."""
        if self.replica is not None and self.replica.watches:
            self.watching = Watching(self, self.orphans)
        self.opened_as_standby = 0
        """Sessions opened here while another depot of the set was active: the clients' route moved before the role."""
        self.only_watches = False
        """True while this depot is a hot standby: then what comes on its links is tracked, and goes no further."""
        self.announcing = Announcing(self, now)
        """Its announcements to the edge nodes, and their answers."""
        self.recall = Recalling(self, self.replica)
        """Its questions to the edge nodes for sessions."""
        if stands_by:
            self.roles.subscribe(self._role_changed)
            self._role_changed(self.roles, "", now)

    # From clients to servers.

    def packet_from_tun(self, octets: bytes, now: int) -> None:
        """Forward a client's packet from the TUN device; time in ns."""
        packet = self.analyse_from_tun(octets)
        if packet is None or (self.bearer.hears_host and self._takes_answer(octets, packet, now)):
            return
        if self.bearer.has_routes and self._takes_route(octets, packet):
            return
        if packet.later:
            path = self._path_of_first(octets, packet, now)
        elif packet.tcp is not None:
            path = self._session_path(octets, packet, packet.tcp, now)
        else:
            path = self.others.path_of(octets, packet, now)
        if path is not None:
            self._to_server(octets, packet, path)
            if packet.fragment and not packet.later:
                # Later fragments have no ports: these came first and waited to learn this path.
                for held in self.fragments.first(packet, path, now):
                    self._to_server(held.octets, held.packet, path)

    def _takes_answer(self, octets: bytes, packet: Packet, now: int) -> bool:
        """Take a packet that came from a server over the host; False for a client's."""
        arrivals = self.bearer.from_host(octets, packet, now)
        if arrivals is None:
            return False
        for arrival in arrivals:
            self._packet_from_path(arrival.path, arrival.octets, now)
        return True

    def _takes_route(self, octets: bytes, packet: Packet) -> bool:
        """Send a packet that is for no VIP on the path of its destination in the VC table; False without a path."""
        if self.management.pool_of_vip(packet.destination) is not None:
            return False
        path = self.bearer.route(packet.destination)
        if path is not None:
            self._to_server(octets, packet, path)
        return path is not None

    def _path_of_first(self, octets: bytes, packet: Packet, now: int) -> Path | None:
        """The path of a packet's first fragment; None while that is awaited, or (counted) when it can never pass."""
        if self.management.pool_of_vip(packet.destination) is None:
            self.drops.count(DropReason.NOT_A_SERVICE, 1, octets)
            return None
        return self.fragments.later(octets, packet, now)

    def _session_path(self, octets: bytes, packet: Packet, tcp: TcpFields, now: int) -> Path | None:
        """The path of a segment's session, which it may open; None (and counted) when it has no session."""
        session = self.sessions.followed(packet.key, tcp)
        if session is not None and now < self.holds_until and self.sessions.may_be_outdated(session):
            self.drops.count(DropReason.RECALLING, 1, octets)
            return None
        if session is None:
            session = self._open_session(octets, packet, now)
            if session is None:
                if self.is_answered_orphan(packet, tcp, now):
                    self.packets_out.append(reset_for(octets))
                return None
        self.sessions.track(session, tcp, now, True)
        if not session.probe:
            self.sessions.client_seen = now
        session.packets_in += 1
        session.octets_in += len(octets)
        server = session.server
        server.octets_in += len(octets)
        # Only a SYN or data starts the wait for an answer; a probe's outcome is judged by the prober.
        if (tcp.length or is_opening(tcp.flags)) and not session.probe:
            server.condition.asked(session.key, now)
        return session.path

    def _open_session(self, octets: bytes, packet: Packet, now: int) -> Session | None:
        """Open a session with the preloaded next server and a path; None (and counted) when it cannot be opened."""
        decision = self.decide(packet, now)
        server, pool = decision.server, decision.pool
        if server is None:
            self.drops.count(decision.reason, 1, octets)
            return None
        if pool is None:
            return self._open_probe(packet.key, server, now)
        pool.take(server, decision.candidates, now)
        session = session_of(packet.key, server, decision.category, now)
        old = self.sessions.open(session, now, decision.evicts)
        # After `open` of the tables: entries removed there have freed their channels.
        session.path = self.bearer.for_unanswered(server.node, session.category, session) \
            if self.shares(server.node, now) else self.bearer.open(server.node, session.category, session)
        pool.preload(now)  # so that the next SYN does not wait for a choice
        if self.sessions.stands_by:
            self.opened_as_standby += 1
        if self.sessions.observers:  # else the text has no reader
            reuse = "" if old is None else f", {_in_place_of(old)}"
            self.sessions.tell(session, SessionEvent.OPENED, pool.how(server) + reuse)
        return session

    def _open_probe(self, key: FlowKey, server: Server, now: int) -> Session:
        """Open a session for the depot's own probe, on a path of the probed server; it is not counted."""
        session = Session(key, server, self.qos.category(0), now, probe=True)
        self.sessions.open(session, now, None)
        session.path = self.bearer.for_probe(server.node, session)
        self.sessions.tell(session, SessionEvent.OPENED, "probe")
        return session

    def _to_server(self, octets: bytes, packet: Packet, path: Path) -> None:
        if len(octets) > path.mtu:
            self.answer_too_big(octets, packet, path.mtu)
            return
        path.send(octets, self._clp[packet.dscp])

    def _takes_frame(self, frame: PlainFrame, packet: Packet, now: int) -> bool:
        """Forward a frame as `packet_from_tun` does its packets, if they belong to an established session."""
        if self.bearer.hears_host:
            arrival = self.bearer.frame_from_host(frame, packet)
            if arrival is not None and arrival.frame is not None:
                self._frame_from_path(arrival.path, arrival.frame, now)
                return True
        tcp = packet.tcp
        session = self.sessions.find(packet.key)
        if tcp is None or session is None or not self.sessions.follows_frame(session, tcp, True):
            return False
        path: Path = session.path
        if frame.greatest() > path.mtu:
            return False
        self.sessions.track(session, tcp, now, True)
        session.packets_in += frame.count
        session.octets_in += frame.total()
        server = session.server
        server.octets_in += frame.total()
        if not session.probe:
            self.sessions.client_seen = now
            server.condition.asked(session.key, now)
        path.send_frame(frame, self._clp[packet.dscp])
        return True

    # From servers to clients.

    def octets_from_port(self, name: str, octets: bytes, now: int) -> None:
        """Take octets from a link, whole as its bearer needs them; time in ns."""
        before = len(self.packets_out)
        for arrival in self.bearer.receive(name, octets, now):
            frame = arrival.frame
            if frame is None:
                self._packet_from_path(arrival.path, arrival.octets, now)
            else:
                self._frame_from_path(arrival.path, frame, now)
        if self.bearer.straying:
            self.bearer.close_strays()
        if self.only_watches:
            self._keep_answers_to_probes(before)

    def _keep_answers_to_probes(self, before: int) -> None:
        """Forward nothing but answers to this depot's own probes: the active depot forwards its copies of the rest."""
        made = self.packets_out[before:]
        del self.packets_out[before:]
        if self.probes:
            for item in made:
                for octets in [item] if isinstance(item, bytes) else item.packets():
                    packet = self.analyse(octets)
                    if packet is not None and packet.reverse_key() in self.probes:
                        self.packets_out.append(octets)

    def watch(self, packets: list[bytes], now: int) -> None:
        """Take copies of clients' packets, which a hot standby only tracks; time in ns."""
        if self.watching is not None and self.only_watches:
            for packet in packets:
                self.watching.client_packet(packet, now)

    def _frame_from_path(self, path: Path, frame: PlainFrame, now: int) -> None:
        """Forward a server's frame, as a whole or packet by packet."""
        if self._frame_may_pass(path, frame, now):
            self.packets_out.append(frame)
            return
        for packet in frame.packets():
            self._packet_from_path(path, packet, now)

    def _packet_from_path(self, path: Path, octets: bytes, now: int) -> None:
        if path.is_management:  # statistics are for the depot itself, not for a client
            self._take_statistics(path, octets, now)
            return
        packet = self.analyse(octets, path)
        if path.is_routed:
            if packet is not None:
                self._packet_from_route(path, octets, packet)
        elif packet is not None and self._may_pass(path, octets, packet, now):
            self.packets_out.append(octets)
            if packet.fragment and not packet.later:
                self.others.follow_first(path, packet, now)

    def _packet_from_route(self, path: Path, octets: bytes, packet: Packet) -> None:
        if path.takes(packet):
            self.packets_out.append(octets)
        else:
            self.drops.count(DropReason.WRONG_NETWORK, 1, octets, path)

    def carries_group(self, packet: Packet, channel: OnChannel | None) -> bool:
        """True for a group to which the VC table gives a path, or from whose path the packet comes."""
        path = self.bearer.route(packet.destination) if channel is None else channel
        return isinstance(path, Path) and path.is_routed and (channel is None or path.takes(packet))

    def _frame_may_pass(self, path: Path, frame: PlainFrame, now: int) -> bool:
        """Follow a server's frame as `_may_pass` does its packets, if they belong to an established session.

        False, and no change, otherwise: each packet is looked at by itself.
        """
        packet = quick_frame(frame)
        if packet is None or packet.tcp is None or path.is_management or path.is_routed:
            return False
        session = path.owner if isinstance(path.owner, Session) else None
        if session is None or not is_reverse(packet.key, session.key):
            session = self.sessions.find(packet.reverse_key())
        if session is None or session.path.node != path.node:
            return False
        if not self.sessions.follows_frame(session, packet.tcp, False):
            return False
        self.sessions.track(session, packet.tcp, now, False)
        server = session.server
        server.condition.answered(now)
        session.packets_out += frame.count
        session.octets_out += frame.total()
        server.octets_out += frame.total()
        return True

    def _take_statistics(self, path: Path, octets: bytes, now: int) -> None:
        """Take what an edge node tells: its statistics, or flows for which the depot has asked."""
        server, port = self.server_at(path), self.links[path.port]
        if server is None:
            return
        if is_message(octets):
            reason = self.recall.take(path, octets, now)
            if reason is not None:
                port.drops.count(reason, 1, octets, path)
        elif not self.probing.report(server, octets, self.bearer.condition(path), now):
            port.drops.count(DropReason.BAD_STATISTICS, 1, octets, path)
        elif server.condition.last_report is not None:
            self.announcing.heard(path.node, server.condition.last_report, now)

    def _may_pass(self, path: Path, octets: bytes, packet: Packet, now: int) -> bool:
        """Follow a server's packet; False (and counted) when it belongs to no session of the server on this path."""
        tcp = packet.tcp
        if tcp is None:
            return self.others.may_pass(path, octets, packet, now)
        session = self._answered_session(path, octets, packet, now)
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
        server.octets_out += packet.total_length
        return True

    def _answered_session(self, path: Path, octets: bytes, packet: Packet, now: int) -> Session | None:
        """The session that owns the path (nearly always), else the flow's session, else an adopted session, or None."""
        session: Session | None = path.owner if isinstance(path.owner, Session) else None
        if session is not None and is_reverse(packet.key, session.key):  # spares the look-up
            return session
        session = self.sessions.find(packet.reverse_key())
        if session is None and self.watching is not None and (
                self.only_watches or not self.bearer.is_adoptable(path)):
            return self.watching.session_of(path, packet, now)
        if self.only_watches and self.watching is not None and session is not None and session.closed_by:
            session = self.watching.answered(path, packet, now) or session  # the client has opened it anew
        if session is None:
            return self.orphans.session_of(path, octets, packet, now)
        if session.path.node != path.node:  # a server must not answer for another server
            if self.only_watches and self.watching is not None:
                self.watching.unknown += 1  # of a session on the same port whose SYN has not come here yet
            else:
                self.drops.count(DropReason.WRONG_PATH, 1, octets, path)
            return None
        return session

    # In time.

    def handle_timer(self, now: int) -> None:
        """Do what is due; see `DepotState.handle_timer`. The set's stream, too."""
        DepotState.handle_timer(self, now)
        self.announcing.handle_timer(now)
        self.recall.handle_timer(now)
        if self.replication is not None:
            self.replication.handle_timer(now)

    def next_timer(self) -> int | None:
        """The time (ns) at which `handle_timer` is next due, or None."""
        times = [DepotState.next_timer(self), self.announcing.next_timer(), self.recall.next_timer()]
        if self.replication is not None:
            times.append(self.replication.next_timer())
        return min((time for time in times if time is not None), default=None)

    def start(self, now: int) -> None:
        """Begin to serve: a depot on its own asks the edge nodes for the sessions of its life before."""
        self.recall.start(now)

    def _role_changed(self, roles: Roles, _why: str, now: int) -> None:
        """Stand by, or take the sessions over, as the role has it."""
        assert self.replica is not None
        assert self.replication is not None
        if roles.is_active == self.sessions.stands_by:
            if roles.is_active:
                self.replica.take_over(now)
            else:
                self.replication.stop()
                self.replica.stand_by(now)
            self.bearer.role_changed(roles.is_active, now)
        if self.watching is not None:
            self.only_watches = not roles.is_active
            self.watching.forget()
