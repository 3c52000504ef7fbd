"""The bearer of rewritten headers: it writes a server's address and port into packets, and the service's into answers.

A packet goes back to the depot's own host, whose kernel routes it to the server, over any network. An answer comes back
over the host, too. Its two ends (the server's, and the client's or one of a pool that stands for it) tell its path, and
the service's end is written in again. So a server needs neither an address of a service nor an edge node.

Each session has a path of its own. After a restart, a server's packet without a path may begin one (`is_adoptable`), if
a single service is at that end and no pool stood for the clients, for as long as a session from before may have been
idle. In a set of depots this holds from the moment at which this depot becomes active. A session that the stream has
told of has the path that it had at the other depot, with the same ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atmdepot.bearer.base import Bearer, Counter, Path, PathText
from atmdepot.bearer.rewrite_paths import HostPort, RewritePath, SharedRewritePath, end_text
from atmdepot.bearer.rewritten_traffic import RewrittenTraffic
from atmdepot.bearer.server_ends import ServerEnds, services_at
from atmdepot.config.pools import REWRITE_PORT
from atmdepot.wire.flows import flow_key, flow_of_key
from atmdepot.wire.packet import Arrival
from atmdepot.wire.rewriting import End, Rewriting, changed_octets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from atmdepot.bearer.base import Owner
    from atmdepot.config.contract import ServiceCategory
    from atmdepot.config.model import Network
    from atmdepot.config.qos import QosMap
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.offload import PlainFrame
    from atmdepot.wire.packet import Packet

_OTHER_PORTS = 16
"""Ports tried in place of a client's that is in use towards the same end of a server."""
_FIRST_FREE_PORT = 1024
_NEVER = 1
"""A time (ns) long ago, until which a depot that stands by adopts sessions."""


class RewriteBearer(Bearer):
    """The servers of a depot that are reached by their own addresses."""

    kind = "rewrite"

    def __init__(self, network: Network, depot: str, qos: QosMap) -> None:  # packets keep their DSCP
        """Make the paths of a depot's servers."""
        Bearer.__init__(self)  # not by super(), which the compiled module does not have
        self.name = depot
        self.hears_host = True
        self.port = HostPort()
        self.links: dict[str, HostPort] = {REWRITE_PORT: self.port}
        self.paths = self.port.paths
        """The open paths, by the flow of their answers."""
        self.collisions = 0
        self.taps_port = False
        """True when the host leads all packets of an interface here; then packets that are no answers go on."""
        self._to: dict[str, SharedRewritePath] = {}
        self._services: dict[bytes, list[tuple[ServerEnds, End]]] = {}
        self._vips: set[bytes] = set()
        self.traffic = RewrittenTraffic(self.port, self)
        self.port.next_due, self.port.when_due = self.traffic.next_timer, self.traffic.handle_timer
        of = network.set_of(depot)
        self._part = of.nodes.index(depot), len(of.nodes)
        self._adopts_until = _NEVER if of.stands_by else 0  # 0: set by the first packet from the host
        self._use(network)

    def reconfigure(self, network: Network, now: int) -> None:
        """Take over the servers of a changed VC table; one that left it keeps the paths that it has."""
        self._use(network)

    def _use(self, network: Network) -> None:
        self._idle = int(network.sessions.idle)
        self._services = {}
        self._vips = {vip.packed for vip in network.vips}
        self.port.vips = frozenset(self._vips)
        self.taps_port = False
        for name, server in network.servers.items():
            if server.bearer != "rewrite":
                continue
            shared = self._to.get(server.node)
            if shared is None:
                shared = SharedRewritePath(self.port, ServerEnds(server.node, self._part), self.traffic.send)
                self._to[server.node] = shared
            shared.ends.use(server)
            self.taps_port = self.taps_port or server.port is not None
            for protocol, service in services_at(network, name, shared.ends):
                place = bytes((protocol,)) + _octets(shared.ends.end_for(service))
                self._services.setdefault(place, []).append((shared.ends, service))
        self.traffic.use(self._to.values())

    def lead_to_host(self, packets_out: list[Any]) -> None:
        """Put packets to servers into this list from now on."""
        self.port.out = packets_out

    def leads_to(self, node: str) -> bool:
        """True for a server of this bearer's."""
        return node in self._to

    def set_way(self, node: str, mtu: int, trouble: str, now: int) -> None:
        """Note the MTU (octets) of the host's route to a server, and its trouble in words (empty: none)."""
        ends = self._to[node].ends
        if mtu != ends.mtu:
            ends.mtu = self._to[node].mtu = mtu
            for path in self.paths.values():
                if path.ends is ends:
                    path.mtu = mtu
        if trouble != self.troubles.get(node, ""):
            if trouble:
                self.troubles[node] = trouble
            else:
                self.troubles.pop(node)
            if self.trouble_changed is not None:
                self.trouble_changed(node, now)

    # Paths.

    def open(self, node: str, category: ServiceCategory, owner: Owner) -> RewritePath:
        """Open a session's own path; where no source port is free, one that drops its packets."""
        return self._open(self._to[node].ends, owner, owner.key)

    def for_probe(self, node: str, owner: Owner) -> RewritePath:
        """Open a probe's path: the service's address stands for the host's own, so that answers come to the depot."""
        key = owner.key
        protocol, _, port, vip, service_port = flow_of_key(key)
        return self._open(self._to[node].ends, owner, flow_key(protocol, vip, port, vip, service_port))

    def for_unanswered(self, node: str, category: ServiceCategory, owner: Owner) -> RewritePath:
        """Open a flow's own path: without it no answer would find its client."""
        return self.open(node, category, owner)

    def for_answered(self, path: Path, category: ServiceCategory, owner: Owner) -> Path:
        """The path that the flow has."""
        return path

    def _open(self, ends: ServerEnds, owner: Owner, key: FlowKey) -> RewritePath:
        """Open the path of a flow; without a pool, the source in `key` stands for the client's end."""
        protocol, client, port, vip, service_port = flow_of_key(key)
        service, wanted = End(vip, service_port), End(client, port)
        there, back = ends.ways(service)
        server = there.destination
        assert server is not None
        source = self._source_in_pool(ends, protocol, server, len(vip)) if ends.has_pool else \
            self._source(protocol, server, wanted)
        path: RewritePath
        if source is None:
            path = RewritePath(self.port, ends, b"", None, None)
        else:
            own = wanted if key is owner.key else _client_of(owner.key)
            if source is not own and source != own:
                there, back = Rewriting(source, server), Rewriting(service, own)
            path = RewritePath(self.port, ends, flow_key(protocol, *server, *source), there, back)
            self.paths[path.key] = path
            if ends.has_pool:
                path.taken = source
        path.owner = owner
        return path

    def _source(self, protocol: int, server: End, client: End) -> End | None:
        """The client's end; with another port if another flow to the same end of the server has this one."""
        if flow_key(protocol, *server, *client) not in self.paths:
            return client
        self.collisions += 1
        span = 65536 - _FIRST_FREE_PORT
        for further in range(1, _OTHER_PORTS + 1):
            # Steps of about a tenth of all ports: a client's own ports in use often lie side by side.
            other = End(client.address, _FIRST_FREE_PORT + (client.port + further * 6007) % span)
            if flow_key(protocol, *server, *other) not in self.paths:
                return other
        return None

    def _source_in_pool(self, ends: ServerEnds, protocol: int, server: End, size: int) -> End | None:
        pool = ends.pool_for(protocol, size)
        # An end may be in use since before the pool was changed: its path gives it back.
        while (source := pool.take()) is not None and flow_key(protocol, *server, *source) in self.paths:
            pass
        return source

    def claim_rewritten(
        self, node: str, answers: FlowKey, category: ServiceCategory, owner: Owner,
    ) -> RewritePath | None:
        """Open the path that another depot of the set gave to a session, with the very same ends."""
        if answers in self.paths:
            return None
        ends = self._to[node].ends
        protocol, address, port, source_address, source_port = flow_of_key(answers)
        server, source, own = End(address, port), End(source_address, source_port), _client_of(owner.key)
        _, _, _, vip, service_port = flow_of_key(owner.key)
        service = End(vip, service_port)
        there, back = ends.ways(service)
        if source != own:
            there, back = Rewriting(source, server), Rewriting(service, own)
        elif there.destination != server:  # the server had another end in the VC table when the session opened
            there = Rewriting(None, server)
        path = RewritePath(self.port, ends, answers, there, back)
        path.owner = owner
        if source != own and ends.claim(protocol, source):
            path.taken = source
        self.paths[answers] = path
        return path

    def path_with_answers(self, node: str, answers: FlowKey) -> RewritePath | None:
        """The open path with these answers, or None."""
        return self.paths.get(answers)

    def role_changed(self, is_active: bool, now: int) -> None:
        """Adopt sessions of before from now on, or not any more."""
        self._adopts_until = now + self._idle if is_active else _NEVER

    def default(self, node: str) -> SharedRewritePath:
        """The path for packets that belong to no session."""
        return self._to[node]

    def would_open(
        self, node: str, category: ServiceCategory, leaving: Iterable[Path], key: FlowKey,
    ) -> tuple[Path, str]:
        """A path as `open` would give it; of a pool it has the address, since the port is not chosen yet."""
        ends = self._to[node].ends
        _, _, _, vip, port = flow_of_key(key)
        there, back = ends.ways(End(vip, port))
        why = "its own path, with the client's own address and port as source"
        if ends.has_pool:
            there = Rewriting(End(ends.pool[len(vip)][0]), there.destination)
            why = "its own path, with an address and port of the pool as source"
        return RewritePath(self.port, ends, key, there, back), why

    def would_share(self, node: str, category: ServiceCategory, key: FlowKey) -> tuple[Path, str]:
        """As `would_open`: all flows have paths of their own."""
        return self.would_open(node, category, (), key)

    def is_adoptable(self, path: Path) -> bool:
        """True for a path on which a server's packet came that belongs to no session."""
        return isinstance(path, RewritePath) and path.is_stray

    def adopt(self, path: Path, category: ServiceCategory, owner: Owner) -> Path:
        """Give a stray path to a session."""
        assert isinstance(path, RewritePath)
        path.is_stray, path.owner = False, owner
        self.paths[path.key] = path
        return path

    def close(self, path: Path, owner: object) -> None:
        """Close the path of a session that has ended; its source end is free again."""
        if not isinstance(path, RewritePath) or owner is None or path.owner is not owner:
            return
        path.owner = None
        if self.paths.get(path.key) is path:
            del self.paths[path.key]
        if path.taken is not None:
            path.ends.give_back(path.key[0], path.taken)
            path.taken = None

    # From servers.

    def from_host(self, octets: bytes, packet: Packet, now: int) -> list[Arrival] | None:
        """The arrivals that a packet of the host brings; None for a client's packet."""
        path = self.paths.get(packet.key)
        if path is None and packet.source_port and packet.destination in self._vips \
                and packet.source not in self.port.servers:
            return None  # most packets are clients', and most of these end here
        if path is None or packet.fragment:
            return self.traffic.take(octets, packet, now)
        return [self.arrival(path, octets)]

    def arrival(self, path: RewritePath, octets: bytes) -> Arrival:
        """A server's packet, with the ends of its service and client written in again."""
        assert path.back is not None
        self.port.rx_packets += 1
        arrival = Arrival()
        arrival.octets, arrival.frame, arrival.path = path.back.packet(octets), None, path
        return arrival

    def frame_from_host(self, frame: PlainFrame, packet: Packet) -> Arrival | None:
        """The arrival of a server's frame; None for a client's frame, and for a frame to be handled by packets."""
        path = self.paths.get(packet.key)
        made = None if path is None or path.back is None else path.back.frame(frame)
        if made is None:
            return None
        self.port.rx_packets += made.count
        arrival = Arrival()
        arrival.octets, arrival.frame, arrival.path = b"", made, path
        return arrival

    def stray(self, packet: Packet, now: int) -> RewritePath | None:
        """A stray path for a packet from a server's end, if a single service is there; else None.

        It may begin a session only for a time after the start: as long as a session from before may have been idle.
        What goes to a service's address answers a probe of the depot's life before, or of another depot.
        """
        if packet.destination in self._vips:
            return None
        found = self.services_at(packet.protocol, packet.source, packet.source_port)
        if len(found) != 1 or found[0][0].has_pool:
            return None
        ends, service = found[0]
        path = RewritePath(self.port, ends, packet.key, *ends.ways(
            End(service.address, service.port or packet.source_port)))
        self._adopts_until = self._adopts_until or now + self._idle
        path.is_stray = now < self._adopts_until
        return path

    def services_at(self, protocol: int, address: bytes, port: int) -> Sequence[tuple[ServerEnds, End]]:
        """The services at a server's end, a port of 0 for any."""
        place = bytes((protocol,)) + address
        return self._services.get(place + port.to_bytes(2, "big")) or self._services.get(place + b"\0\0") or ()

    def is_vip(self, address: bytes) -> bool:
        """True for a service's address."""
        return address in self._vips

    # For people.

    def counters(self) -> list[Counter]:
        """The counts of flows whose port was taken, and of packets that were no answers and went on."""
        return [Counter(REWRITE_PORT, "port-taken", self.collisions, "flows",
                        "the client's port was in use towards the same end of a server, and another was written in"),
                Counter(REWRITE_PORT, "passed-on", self.traffic.passed, "packets",
                        "other traffic of a server's host, which goes on as it is")]

    def no_path(self) -> dict[str, Any]:
        """The keys of `describe`, with empty values."""
        return {"server_end": "", "source_end": "", "rewritten": [], "category": "", "mtu": 0}

    def describe(self, path: Path, octets: int | None, clp: int) -> PathText:
        """A path in words, with the octets that are rewritten."""
        assert isinstance(path, RewritePath)
        del clp
        there = path.there
        size = next((len(end.address) for end in (there.destination, there.source) if end is not None), 4) \
            if there is not None else next(iter(path.ends.address), 4)
        changed = changed_octets(size, path.key[0] if path.key else 0, has_source=bool(
            path.ends.has_pool if there is None else there.source))
        source = "" if there is None or there.source is None else end_text(there.source)
        to = path.label if there is None or there.destination is None else end_text(there.destination)
        fields = {"server_end": to, "source_end": source, "rewritten": changed if octets is not None else [],
                  "category": "", "mtu": path.mtu}
        what = f"to {to}" + (f", as from {source}" if source else "")
        return PathText("end", path.label, f"{what}, by the host's route; rewritten: {', '.join(changed)}", "",
                        "1 packet", "no mark of loss, the DSCP stays", fields)


def _client_of(key: FlowKey) -> End:
    _, client, port, _, _ = flow_of_key(key)
    return End(client, port)


def _octets(end: End) -> bytes:
    return end.address + end.port.to_bytes(2, "big")
