"""Block 42: session management. It holds the preloaded next server of each service, chosen ahead of the session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.balancing.registry import BALANCERS
from atmdepot.depot.servers import Server
from atmdepot.wire.flows import service_of_key
from atmdepot.wire.ip import PROTOCOL_TCP, PROTOCOL_UDP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from atmdepot.config.model import Network
    from atmdepot.depot.balancing.base import Balancer
    from atmdepot.wire.flows import FlowKey

_ANY_PORT = 0  # the key of a service without ports
_UDP = PROTOCOL_UDP  # a C number, where this is compiled
class Pool:
    """The servers of a service and the balancer that chooses among them."""

    __slots__ = ("_next", "balancer", "balancing", "members", "name", "servers")

    def __init__(self, name: str, servers: Sequence[Server], balancing: str) -> None:
        self.name = name
        self.servers = list(servers)
        self.members = frozenset(servers)
        self.balancing = balancing
        self.balancer: Balancer = BALANCERS[balancing]()
        self.balancer.prepare(self.servers)
        self._next: Server | None = None

    def ready(self) -> Server | None:
        """The preloaded server if it may still take a session, else None."""
        return self._next if self._next is not None and self._next.takes_sessions() else None

    def take(self, server: Server, candidates: list[Server] | None, now: int) -> None:
        """Take the turn of a new session's server: the preloaded server, or chosen among `candidates`."""
        self._next = None
        if candidates is not None:
            self.balancer.take(candidates or [server], server, now)

    @property
    def preloaded(self) -> Server | None:
        """The preloaded server, or None."""
        return self._next

    def preload(self, now: int) -> None:
        """Choose the server of the next session ahead (patent: "this block is preloaded with the next server")."""
        # A preloaded server may have died, begun to drain or reached its bound since.
        if not self.balancer.keyed and (self._next is None or not self._next.takes_sessions()):
            candidates = self.candidates()
            self._next = self.balancer.choose(candidates, b"", now) if candidates else None

    def resume(self, preloaded: Server | None, position: Mapping[str, tuple[int, int]]) -> None:
        """Go on where the same pool of another depot was: with its preloaded server and its balancer's position."""
        if not self.balancer.keyed and (preloaded is None or preloaded in self.members):
            self._next = preloaded
        self.balancer.resume(self.servers, position)

    def change(self, servers: Sequence[Server]) -> None:
        """Take over the servers of a changed table; the preloaded server stays if it is still a regular server here."""
        self.servers = list(servers)
        self.balancer.prepare(self.servers)
        self.members = frozenset(servers)
        if self._next is not None and (
                self._next not in servers or not self._next.is_regular()):
            self._next = None

    def how(self, server: Server) -> str:
        """The criterion that chose a server of the pool, in words."""
        return f"{self.balancing}, backup" if server.settings.backup else self.balancing

    def candidates(self) -> list[Server]:
        """The regular servers that take sessions now; the backup servers when no regular server does."""
        ready, backup = [], []
        for server in self.servers:
            if server.takes_sessions():
                if server.is_regular():
                    ready.append(server)
                elif server.is_backup:
                    backup.append(server)
        return ready or backup

    def server_of(self, client: bytes) -> Server | None:
        """The server for a client's packets without a session: the same server while the alive-list does not change."""
        alive = [server for server in self.servers if server.alive]
        return alive[sum(client) % len(alive)] if alive else None  # a hash needs no state per client


class SessionManagement:
    """The pools of all services, by VIP, port and protocol."""

    def __init__(self, network: Network, depot: str, now: int) -> None:
        """Build the servers and pools of a VC table that a depot serves."""
        self._depot = depot
        self.servers: dict[str, Server] = {}
        self.pools: dict[str, Pool] = {}
        self.server_at: dict[str, Server] = {}
        """The server of each node."""
        self._removed: dict[str, Server] = {}
        """Servers that a reload took out of the table, kept while entries refer to them or they are draining."""
        self._by_service: dict[bytes, Pool] = {}
        self._by_udp_service: dict[bytes, Pool] = {}
        self._by_vip: dict[bytes, Pool] = {}
        self._vips_of: dict[str, set[bytes]] = {}
        self.configure(network, now)

    def configure(self, network: Network, now: int) -> None:
        """Take over a VC table's servers, weights, pools and criteria; a server that stays keeps its condition."""
        servers = {}
        for position, (name, settings) in enumerate(network.servers.items()):
            link = network.port_towards(self._depot, name)
            if link is None:
                continue  # it is another set's
            server = self.servers.get(name) or self._put_back(name, now) \
                or Server(name, position, settings, link, now)
            server.configure(position, settings, link)
            servers[name] = server
        self._keep_removed(servers)
        self.servers = servers
        pools = {}
        for name, service in network.services.items():
            members = [servers[server] for server in service.servers if network.serves(self._depot, server)]
            pool = self.pools.get(name)
            if pool is None or pool.balancing != service.balancing:  # else the balancer keeps its turns
                pool = Pool(name, members, service.balancing)
            pool.change(members)
            pools[name] = pool
        self.pools = pools
        self.server_at = {server.node: server for server in servers.values()}
        self._index(network)

    def removed(self) -> list[Server]:
        """The servers that are out of the table, but may be put back as they are."""
        return list(self._removed.values())

    def _put_back(self, name: str, now: int) -> Server | None:
        """The removed server of that name, with its remaining sessions; None when no entry kept it."""
        server = self._removed.get(name)
        if server is not None:
            server.forget_condition(now)
        return server

    def _keep_removed(self, servers: dict[str, Server]) -> None:
        """Keep servers that left the table while entries refer to them or they drain, by name; forget the rest."""
        self._removed = {name: server for name, server in (self._removed | self.servers).items()
                         if name not in servers and (server.entries or server.draining)}

    def _index(self, network: Network) -> None:
        self._by_service, self._by_udp_service, self._by_vip = {}, {}, {}
        self._vips_of = {name: set() for name in self.servers}
        for name, service in network.services.items():
            for server in self.servers.keys() & set(service.servers):
                self._vips_of[server].update(vip.packed for vip in service.vip)
            for vip in service.vip:
                self._by_vip.setdefault(vip.packed, self.pools[name])  # several services may share a VIP: the first
                for protocol in service.offered:
                    pools = self._by_udp_service if protocol == "udp" else self._by_service
                    for port in service.ports or [_ANY_PORT]:
                        # The key is `Packet.service`, so that a look-up converts no address.
                        pools[vip.packed + port.to_bytes(2, "big")] = self.pools[name]

    def pool_of(self, vip: bytes, port: int, protocol: int = PROTOCOL_TCP) -> Pool | None:
        """The pool of a VIP (4 or 16 octets) and port, for TCP or UDP; None when no service has them."""
        return self.pool_at(vip + port.to_bytes(2, "big"), protocol)

    def pool_at(self, service: bytes, protocol: int = PROTOCOL_TCP) -> Pool | None:
        """The pool of a VIP and port in octets, for TCP or UDP, else of the VIP's port 0, which means any port."""
        pools = self._by_udp_service if protocol == _UDP else self._by_service
        pool = pools.get(service)
        return pools.get(service[:-2] + _ANY_PORT.to_bytes(2, "big")) if pool is None else pool

    def has_lost(self, server: Server, key: FlowKey) -> bool:
        """True when the server of a session or flow (by its key) is dead, or no longer in the service's pool."""
        if not server.alive:
            return True
        pool = self.pool_at(service_of_key(key), key[0])
        return pool is None or server not in pool.members

    def pool_of_vip(self, vip: bytes) -> Pool | None:
        """The pool that answers for a VIP as a whole, for protocols without ports (ICMP); None when it is no VIP."""
        return self._by_vip.get(vip)

    def serves(self, server: Server, vip: bytes) -> bool:
        """True when a server is in a pool of a VIP, of any port."""
        return vip in self._vips_of.get(server.name, ())
