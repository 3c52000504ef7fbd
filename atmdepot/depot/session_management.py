"""Block 42: session management. For each service it holds the preloaded next server, chosen ahead of its session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.balancing import BALANCERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atmdepot.depot.balancing import Balancer
    from atmdepot.network import Network


class Server:
    """A server as the depot knows it: where it is, whether it is on the alive-list, and what it carries."""

    __slots__ = ("alive", "link", "name", "node", "primary_sessions", "since", "total_sessions", "vp", "why")

    def __init__(self, name: str, node: str, vp: str, link: str, now: int) -> None:
        self.name, self.node, self.vp, self.link = name, node, vp, link
        self.alive = True
        self.since = now
        self.why = "at start"
        self.primary_sessions = 0
        self.total_sessions = 0


class Pool:
    """The servers of one service and the balancer that chooses among them."""

    __slots__ = ("_next", "balancer", "balancing", "name", "servers")

    def __init__(self, name: str, servers: Sequence[Server], balancing: str) -> None:
        """Preload the first server."""
        self.name = name
        self.servers = list(servers)
        self.balancing = balancing
        self.balancer: Balancer = BALANCERS[balancing]()
        self._next = self.balancer.choose(self.servers)

    def take_next(self) -> Server | None:
        """The preloaded server for a new session; the one after it is chosen at once. None when none is alive."""
        server = self._next
        if server is None or not server.alive:
            server = self.balancer.choose(self.servers)
        self._next = self.balancer.choose(self.servers)
        return server

    def server_of(self, client: bytes) -> Server | None:
        """The server for what belongs to no session: the same one for a client while the alive-list stands."""
        alive = [server for server in self.servers if server.alive]
        return alive[sum(client) % len(alive)] if alive else None


class SessionManagement:
    """All services: the pool that a packet's VIP and port lead to."""

    def __init__(self, network: Network, now: int) -> None:
        """Make the servers and pools of a VC table."""
        self.servers = {
            name: Server(name, server.node, *_path_to(network, server.node), now)
            for name, server in network.servers.items()}
        self.pools: dict[str, Pool] = {}
        self._by_port: dict[tuple[bytes, int], Pool] = {}
        self._by_vip: dict[bytes, Pool] = {}
        for name, service in network.services.items():
            pool = Pool(name, [self.servers[server] for server in service.servers], service.balancing)
            self.pools[name] = pool
            for vip in service.vip:
                self._by_vip.setdefault(vip.packed, pool)
                for port in service.ports or [0]:
                    self._by_port[vip.packed, port] = pool

    def pool_of(self, vip: bytes, port: int) -> Pool | None:
        """The pool of a TCP port of a VIP (port 0 of a service stands for all)."""
        return self._by_port.get((vip, port)) or self._by_port.get((vip, 0))

    def pool_of_vip(self, vip: bytes) -> Pool | None:
        """The pool that answers for a VIP as a whole (ICMP and the like)."""
        return self._by_vip.get(vip)


def _path_to(network: Network, node: str) -> tuple[str, str]:
    vp = network.vp_to(node)
    return next(name for name, other in network.vps.items() if other is vp), network.link_of_vp(vp)
