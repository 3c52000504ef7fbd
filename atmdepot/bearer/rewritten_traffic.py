"""Packets without ports or sessions, for the bearer of rewritten headers: queries, errors, fragments, other traffic.

A client's packet without a session is remembered for a while by protocol, addresses and, for an ICMP query, identifier,
so that its answer finds the client. Packets of a server's host that are no answers go on unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from atmdepot.atm.fragments import FragmentMap
from atmdepot.bearer.rewrite_paths import RewritePath
from atmdepot.bearer.rewritten_queries import Remembered
from atmdepot.drops import DropReason
from atmdepot.wire.flows import flow_key
from atmdepot.wire.icmp import query_identifier, quoted_packet
from atmdepot.wire.ip import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP
from atmdepot.wire.packet import Arrival, analyse
from atmdepot.wire.rewriting import End, Rewriting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from atmdepot.bearer.rewrite_paths import HostPort, SharedRewritePath
    from atmdepot.wire.packet import Packet

_ICMP = (PROTOCOL_ICMP, PROTOCOL_ICMPV6)
_WITH_PORTS = (PROTOCOL_TCP, PROTOCOL_UDP)
_OTHER_IDENTIFIERS, _STEP = 16, 6007
"""Identifiers tried in place of one that is in use towards the same server, and the distance between them."""


class Services(Protocol):
    """The services as the bearer knows them."""

    taps_port: bool

    def is_vip(self, address: bytes) -> bool:
        """True for a service's address."""

    def services_at(self, protocol: int, address: bytes, port: int) -> Sequence[object]:
        """The services at a server's end."""

    def stray(self, packet: Packet, now: int) -> RewritePath | None:
        """A path for a packet from a server's end that has none."""

    def arrival(self, path: RewritePath, octets: bytes) -> Arrival:
        """A server's packet, with the ends of its service and client written in again."""


class _Asked:
    """A client's query, or its packets of another protocol: the path of the answers, and the client's key."""

    __slots__ = ("key", "path")

    def __init__(self, key: bytes, path: RewritePath) -> None:
        self.key, self.path = key, path


class _PassesOn:
    """Stands for the path of packets that are no server's answers."""


_PASSES_ON = _PassesOn()


class RewrittenTraffic:
    """The packets of a bearer's servers that have no session's path. Times in ns."""

    def __init__(self, host: HostPort, services: Services) -> None:
        self._host = host
        self._services = services
        self._drops = host.drops
        self.passed = 0
        """Packets that went on as they were."""
        self._asked: Remembered[_Asked] = Remembered(self._forget)
        """By the flow of the answers."""
        self._answers_of: dict[bytes, bytes] = {}
        """The flow of the answers, by the flow of the query."""
        self._fragments: FragmentMap[RewritePath | _PassesOn] = FragmentMap(self._drops)
        self._servers: set[bytes] = set()
        self._pools: set[bytes] = set()

    def use(self, paths: Iterable[SharedRewritePath]) -> None:
        """Take over the addresses of the servers and of their pools."""
        every = [path.ends for path in paths]
        self._servers = {address for ends in every for address in ends.address.values()}
        self._pools = {address for ends in every for pool in ends.pool.values() for address in pool}
        self._host.servers = frozenset(self._servers | self._pools)

    # From clients.

    def send(self, shared: SharedRewritePath, octets: bytes) -> None:
        """Send a client's packet that belongs to no session to the server of a shared path."""
        packet = analyse(octets)
        how = self._way_there(shared, octets, packet)
        if isinstance(how, DropReason):
            self._drops.count(how, 1, octets, shared)
            return
        self._host.tx_packets += 1
        self._host.out.append(how.packet(octets))

    def _way_there(self, shared: SharedRewritePath, octets: bytes, packet: Packet) -> Rewriting | DropReason:
        ends, vip = shared.ends, End(packet.destination, packet.destination_port)
        identifier = query_identifier(octets)
        if packet.later or (packet.protocol in _WITH_PORTS and not ends.has_pool):
            # A later fragment follows its first, whose source is the only one of the pool for packets of its kind.
            source = ends.pool[len(vip.address)][0] if ends.has_pool else packet.source
            return Rewriting(End(source), ends.end_for(vip))
        if ends.has_pool and identifier is None:
            return DropReason.NOT_REWRITABLE
        path = self._path_of_query(shared, packet, identifier)
        return DropReason.NO_SOURCE_PORT if path is None or path.there is None else path.there

    def _path_of_query(self, shared: SharedRewritePath, packet: Packet, identifier: int | None) -> RewritePath | None:
        """The path of a client's query, remembered from now on; None where no identifier is free for it."""
        ends, vip, client = shared.ends, End(packet.destination), End(packet.source, identifier or 0)
        key = flow_key(packet.protocol, client.address, client.port, vip.address, 0)
        known = self._asked.find(self._answers_of.get(key, b""))
        if known is not None and known.key == key and known.path.ends is ends and _is_current(known.path, vip):
            return known.path
        server = ends.end_for(vip)
        for number in range(_OTHER_IDENTIFIERS + 1):
            taken = ends.pool_for(packet.protocol, len(vip.address)).take() if ends.has_pool else None
            if taken is None and ends.has_pool:
                return None
            source = taken or End(client.address, (client.port + number * _STEP) % 65536)
            answers = flow_key(packet.protocol, server.address, source.port, source.address, 0)
            other = self._asked.find(answers)
            # Without an identifier nothing tells the flows of two services apart: the later has the answers.
            if other is None or other.key == key or identifier is None:
                break
            if taken is not None:
                ends.give_back(packet.protocol, taken)
        else:
            return None
        there, back = ends.ways(vip)
        if source != client:
            there, back = Rewriting(End(source.address), server, source.port), Rewriting(
                vip, End(client.address), identifier)
        path = RewritePath(self._host, ends, answers, there, back)
        path.taken = taken
        self._asked.keep(path.key, _Asked(key, path))
        self._answers_of[key] = path.key
        return path

    def _forget(self, asked: _Asked) -> None:
        path = asked.path
        if self._answers_of.get(asked.key) == path.key:
            del self._answers_of[asked.key]
        if path.taken is not None:
            path.ends.give_back(path.key[0], path.taken)

    # From servers.

    def take(self, octets: bytes, packet: Packet, now: int) -> list[Arrival] | None:
        """The arrivals of a packet from the host that is no whole packet of a session; None for a client's packet."""
        if packet.later:
            return self._take_later(octets, packet, now)
        path, is_of_a_router = self._path_of(octets, packet, now)
        if path is None:
            return self._take_nobodys(octets, packet, now)
        if is_of_a_router and path.back is not None:
            return [self._error_of_a_router(path, path.back, octets)]
        arrivals = [self._services.arrival(path, octets)]
        if packet.fragment:
            arrivals += [self._services.arrival(path, held.octets) for held in self._fragments.first(packet, path, now)]
        return arrivals

    def _error_of_a_router(self, path: RewritePath, back: Rewriting, octets: bytes) -> Arrival:
        self._host.rx_packets += 1
        arrival = Arrival()
        arrival.octets, arrival.frame, arrival.path = back.error_of_a_router(octets), None, path
        return arrival

    def _path_of(self, octets: bytes, packet: Packet, now: int) -> tuple[RewritePath | None, bool]:
        """The path of a server's packet or None, and True for an error whose source is no end of the flow."""
        path = self._host.paths.get(packet.key)
        if path is not None:
            return path, False
        if packet.protocol in _WITH_PORTS:
            return self._services.stray(packet, now), False
        quoted = quoted_packet(octets) if packet.protocol in _ICMP else None
        if quoted is not None:
            return self._path_of_quoted(quoted.flow()), packet.source != quoted.destination
        identifier = query_identifier(octets) or 0
        asked = self._asked.find(flow_key(packet.protocol, packet.source, identifier, packet.destination, 0))
        return None if asked is None else asked.path, False

    def _path_of_quoted(self, flow: tuple[int, bytes, int, bytes, int] | None) -> RewritePath | None:
        if flow is None:
            return None
        protocol, source, port, destination, other_port = flow
        return self._host.paths.get(flow_key(protocol, destination, other_port, source, port))

    def _take_later(self, octets: bytes, packet: Packet, now: int) -> list[Arrival] | None:
        """The arrival of a later fragment, which follows its first; none while that is awaited."""
        if not self._concerns(packet):
            return None
        target = self._fragments.later(octets, packet, now)
        if isinstance(target, _PassesOn):
            self._pass_on(octets)
        elif target is not None:
            return [self._services.arrival(target, octets)]
        return []

    def _concerns(self, packet: Packet) -> bool:
        """True for a packet that no client sent."""
        return not self._services.is_vip(packet.destination) and (
            packet.source in self._servers or packet.destination in self._pools or self._services.taps_port)

    def _take_nobodys(self, octets: bytes, packet: Packet, now: int) -> list[Arrival] | None:
        """Drop an answer without a session, pass on other traffic of servers' hosts; None for a client's packet."""
        if not self._concerns(packet):
            return None
        if packet.destination in self._pools or self._seems_an_answer(octets, packet):
            self._drops.count(DropReason.NOBODYS, 1, octets)
            return []
        self._pass_on(octets)
        if packet.fragment:
            for held in self._fragments.first(packet, _PASSES_ON, now):
                self._pass_on(held.octets)
        return []

    def _seems_an_answer(self, octets: bytes, packet: Packet) -> bool:
        """True for a packet from a server's end with services, and for an ICMP error about a packet to such an end."""
        services = self._services.services_at
        if packet.protocol in _WITH_PORTS:
            return bool(services(packet.protocol, packet.source, packet.source_port))
        quoted = quoted_packet(octets) if packet.protocol in _ICMP else None
        flow = None if quoted is None else quoted.flow()
        return flow is not None and bool(services(flow[0], flow[3], flow[4]))

    def _pass_on(self, octets: bytes) -> None:
        """Give a packet back to the host as it is; its kernel routes it on."""
        self.passed += 1
        self._host.out.append(octets)

    # In time.

    def next_timer(self) -> int | None:
        """The time at which `handle_timer` is next due, or None."""
        return min((time for time in (self._asked.next_timer(), self._fragments.next_timer()) if time is not None),
                   default=None)

    def handle_timer(self, now: int) -> None:
        """Forget queries that were not repeated, and fragments whose packets did not become whole."""
        self._asked.handle_timer(now)
        self._fragments.expire(now)


def _is_current(path: RewritePath, vip: End) -> bool:
    """True while a query's path has the ends that the VC table gives it now."""
    ends, taken = path.ends, path.taken
    server = None if path.there is None else path.there.destination
    may_stand = (taken and taken.address) in (ends.pool[len(vip.address)] if ends.has_pool else [None])
    return may_stand and server == ends.end_for(vip)
